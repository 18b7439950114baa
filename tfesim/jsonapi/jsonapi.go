// Package jsonapi holds what every endpoint of tfesim reads and writes: JSON:API documents,
// errors, pages and plain settings, in the forms and with the texts of the real server. It knows
// no organization, workspace or user, and no endpoint.
package jsonapi

import (
	"time"
)

// MediaType is the content type of JSON:API documents.
const MediaType = "application/vnd.api+json"

// A Resource is one JSON:API resource object.
type Resource struct {
	ID            string         `json:"id"`
	Type          string         `json:"type"`
	Attributes    map[string]any `json:"attributes,omitempty"`
	Relationships map[string]any `json:"relationships,omitempty"`
	Links         map[string]any `json:"links,omitempty"`
}

// A Document is the top level of a JSON:API answer.
type Document struct {
	Data     any        `json:"data"`
	Included []Resource `json:"included,omitempty"`
	Links    any        `json:"links,omitempty"`
	Meta     any        `json:"meta,omitempty"`
}

// A Ref identifies a resource, such as the user who holds a lock.
type Ref struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// ToOne returns a relationship to one resource; a nil ref means none.
func ToOne(r *Ref, related string) map[string]any {
	rel := map[string]any{"data": nil}
	if r != nil {
		rel["data"] = *r
	}
	if related != "" {
		rel["links"] = map[string]any{"related": related}
	}
	return rel
}

// ToMany returns a relationship to several resources.
func ToMany(refs []Ref) map[string]any {
	if refs == nil {
		refs = []Ref{}
	}
	return map[string]any{"data": refs}
}

// Timestamp formats a time the way the API does.
func Timestamp(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
