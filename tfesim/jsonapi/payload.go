package jsonapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// A Payload is a JSON:API document that a client sent. Its attributes stay raw, because a wrong
// type and a missing attribute get different answers.
type Payload struct {
	// One is the resource, and Many are the resources when data is a list.
	One  Item
	Many []Item
	// reason is the top-level member with which a workspace is locked.
	Reason string
	// comment is the top-level member of an action on a run.
	Comment string
}

// An Item is a resource that a client sent.
type Item struct {
	ID            string                     `json:"id"`
	Type          string                     `json:"type"`
	Attributes    map[string]json.RawMessage `json:"attributes"`
	Relationships map[string]struct {
		Data json.RawMessage `json:"data"`
	} `json:"relationships"`
}

// MaxDocument is the maximum size of a JSON:API document in bytes. The base64 strings of a state
// version do not count: they are streamed.
const MaxDocument = 1 << 20

// ReadPayload reads a request body. An empty body is an empty payload: lock and unlock may
// send none.
func ReadPayload(r io.Reader) (*Payload, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxDocument+1))
	if err != nil {
		return nil, readError(err)
	}
	if len(b) > MaxDocument {
		return nil, TooLarge()
	}
	return parsePayload(b)
}

func parsePayload(b []byte) (*Payload, error) {
	p := &Payload{}
	if len(strings.TrimSpace(string(b))) == 0 {
		return p, nil
	}
	if !json.Valid(b) {
		return nil, BadRequest("There was a problem in the JSON you submitted")
	}
	var top struct {
		Data    json.RawMessage `json:"data"`
		Reason  string          `json:"reason"`
		Comment string          `json:"comment"`
	}
	if err := json.Unmarshal(b, &top); err != nil {
		return nil, Unprocessable("the document is not a JSON:API object")
	}
	p.Reason, p.Comment = top.Reason, top.Comment
	if len(top.Data) == 0 || string(top.Data) == "null" {
		return p, nil
	}
	if top.Data[0] == '[' {
		if err := json.Unmarshal(top.Data, &p.Many); err != nil {
			return nil, Unprocessable("data is not a list of JSON:API resource objects")
		}
		return p, nil
	}
	if err := json.Unmarshal(top.Data, &p.One); err != nil {
		return nil, Unprocessable("data is not a JSON:API resource object")
	}
	return p, nil
}

// readError turns an error of reading a body into an answer.
func readError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return TooLarge()
	}
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return BadRequest("the request body could not be read completely")
}

// Has reports whether the attribute was sent with a value other than null.
func (it Item) Has(name string) bool {
	raw, ok := it.Attributes[name]
	return ok && string(raw) != "null"
}

// Sent reports whether the attribute was sent at all, null included.
func (it Item) Sent(name string) bool {
	_, ok := it.Attributes[name]
	return ok
}

// Text reads a string attribute. It is "" when absent or null.
func (it Item) Text(name string) (string, error) {
	if !it.Has(name) {
		return "", nil
	}
	var v string
	if err := json.Unmarshal(it.Attributes[name], &v); err != nil {
		return "", Invalid(name, "%s must be a string", name)
	}
	return v, nil
}

// Bool reads a boolean attribute. It is def when absent or null.
func (it Item) Bool(name string, def bool) (bool, error) {
	if !it.Has(name) {
		return def, nil
	}
	var v bool
	if err := json.Unmarshal(it.Attributes[name], &v); err != nil {
		return false, Invalid(name, "%s must be a boolean", name)
	}
	return v, nil
}

// Integer reads an integer attribute, without the rounding of a float.
func (it Item) Integer(name string) (int64, error) {
	n, err := strconv.ParseInt(string(it.Attributes[name]), 10, 64)
	if err != nil {
		return 0, Invalid(name, "%s must be an integer", name)
	}
	return n, nil
}

// Related reads a to-one relationship. It is nil when absent, null or without an id: clients that
// build a document from an empty struct send `{"type":"runs","id":""}`.
func (it Item) Related(name string) (*Ref, error) {
	rel, ok := it.Relationships[name]
	if !ok || len(rel.Data) == 0 || string(rel.Data) == "null" {
		return nil, nil
	}
	var r Ref
	if err := json.Unmarshal(rel.Data, &r); err != nil {
		return nil, Unprocessable("the relationship %s is not a resource identifier", name)
	}
	if r.ID == "" {
		return nil, nil
	}
	return &r, nil
}

// RelatedItems reads a to-many relationship whose members may carry attributes, and reports
// whether it was sent.
func (it Item) RelatedItems(name string) ([]Item, bool, error) {
	rel, ok := it.Relationships[name]
	if !ok || len(rel.Data) == 0 || string(rel.Data) == "null" {
		return nil, false, nil
	}
	var items []Item
	if err := json.Unmarshal(rel.Data, &items); err != nil {
		return nil, false, Unprocessable("the relationship %s is not a list of resources", name)
	}
	return items, true, nil
}
