package tfesim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const mediaType = "application/vnd.api+json"

// A resource is one JSON:API resource object.
type resource struct {
	ID            string         `json:"id"`
	Type          string         `json:"type"`
	Attributes    map[string]any `json:"attributes,omitempty"`
	Relationships map[string]any `json:"relationships,omitempty"`
	Links         map[string]any `json:"links,omitempty"`
}

// A document is the top level of a JSON:API answer.
type document struct {
	Data     any        `json:"data"`
	Included []resource `json:"included,omitempty"`
	Links    any        `json:"links,omitempty"`
	Meta     any        `json:"meta,omitempty"`
}

// A ref is a resource identifier: who holds a lock, who made a state version.
type ref struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// toOne is a relationship to one resource; a nil ref is "none".
func toOne(r *ref, related string) map[string]any {
	rel := map[string]any{"data": nil}
	if r != nil {
		rel["data"] = *r
	}
	if related != "" {
		rel["links"] = map[string]any{"related": related}
	}
	return rel
}

// toMany is a relationship to several resources.
func toMany(refs []ref) map[string]any {
	if refs == nil {
		refs = []ref{}
	}
	return map[string]any{"data": refs}
}

// An apiError is what a handler answers instead of a document.
type apiError struct {
	status  int
	title   string
	detail  string
	pointer string // source.pointer of validation errors
	empty   bool   // no body at all, as compatible servers do it
}

func (e *apiError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.status, e.title, e.detail)
}

func errNotFound() *apiError {
	return &apiError{status: 404, title: "not found"}
}

func errUnauthorized() *apiError {
	return &apiError{status: 401, title: "unauthorized"}
}

func errForbidden() *apiError {
	return &apiError{status: 403, title: "forbidden"}
}

func errConflict(format string, args ...any) *apiError {
	return &apiError{status: 409, title: "conflict", detail: fmt.Sprintf(format, args...)}
}

func errUnprocessable(format string, args ...any) *apiError {
	return &apiError{status: 422, title: "unprocessable entity", detail: fmt.Sprintf(format, args...)}
}

// errMissing is the answer when a parameter is not there.
func errMissing(name string) *apiError {
	return errUnprocessable("param is missing or the value is empty: %s", name)
}

// errInvalid is a validation error of one attribute, in the form Rails gives it.
func errInvalid(attribute, format string, args ...any) *apiError {
	return &apiError{status: 422, title: "invalid attribute", detail: fmt.Sprintf(format, args...), pointer: "/data/attributes/" + attribute}
}

func errBadRequest(format string, args ...any) *apiError {
	return &apiError{status: 400, title: "bad request", detail: fmt.Sprintf(format, args...)}
}

func errInclude(name string) *apiError {
	return errBadRequest("%q is not a valid include parameter", name)
}

func errTooLarge() *apiError {
	return &apiError{status: 413, title: "payload too large"}
}

// errBroken is the answer when the server cannot keep what it should.
func errBroken() *apiError {
	return &apiError{status: 500, title: "internal server error"}
}

// body is the error's JSON document.
func (e *apiError) body() []byte {
	entry := map[string]any{"status": strconv.Itoa(e.status), "title": e.title}
	if e.status == http.StatusTooManyRequests {
		entry["status"] = e.status // a number in the real server's answer, and only here
	}
	if e.detail != "" {
		entry["detail"] = e.detail
	}
	if e.pointer != "" {
		entry["source"] = map[string]any{"pointer": e.pointer}
	}
	b, err := json.Marshal(map[string]any{"errors": []any{entry}})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return b
}

// A payload is a JSON:API document that a client sent, with attributes left raw so that a
// wrong type is told from a missing one.
type payload struct {
	one  item
	many []item
	// reason is the top-level member with which a workspace is locked.
	reason string
	// comment is the top-level member of an action on a run.
	comment string
}

type item struct {
	ID            string                     `json:"id"`
	Type          string                     `json:"type"`
	Attributes    map[string]json.RawMessage `json:"attributes"`
	Relationships map[string]struct {
		Data json.RawMessage `json:"data"`
	} `json:"relationships"`
}

// maxDocument is how large a JSON:API document may be, apart from the base64 strings of a
// state version, which are streamed.
const maxDocument = 1 << 20

// readPayload reads a request body. An empty body is an empty payload: lock and unlock may
// have none.
func readPayload(r io.Reader) (*payload, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, readError(err)
	}
	if len(b) > maxDocument {
		return nil, errTooLarge()
	}
	return parsePayload(b)
}

func parsePayload(b []byte) (*payload, error) {
	p := &payload{}
	if len(strings.TrimSpace(string(b))) == 0 {
		return p, nil
	}
	if !json.Valid(b) {
		return nil, errBadRequest("There was a problem in the JSON you submitted")
	}
	var top struct {
		Data    json.RawMessage `json:"data"`
		Reason  string          `json:"reason"`
		Comment string          `json:"comment"`
	}
	if err := json.Unmarshal(b, &top); err != nil {
		return nil, errUnprocessable("the document is not a JSON:API object")
	}
	p.reason, p.comment = top.Reason, top.Comment
	if len(top.Data) == 0 || string(top.Data) == "null" {
		return p, nil
	}
	if top.Data[0] == '[' {
		if err := json.Unmarshal(top.Data, &p.many); err != nil {
			return nil, errUnprocessable("data is not a list of JSON:API resource objects")
		}
		return p, nil
	}
	if err := json.Unmarshal(top.Data, &p.one); err != nil {
		return nil, errUnprocessable("data is not a JSON:API resource object")
	}
	return p, nil
}

// readError turns an error of reading a body into an answer.
func readError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return errTooLarge()
	}
	var known *apiError
	if errors.As(err, &known) {
		return known
	}
	return errBadRequest("the request body could not be read to its end")
}

// has says whether the attribute was sent with a value other than null.
func (it item) has(name string) bool {
	raw, ok := it.Attributes[name]
	return ok && string(raw) != "null"
}

// sent says whether the attribute was sent at all, null included.
func (it item) sent(name string) bool {
	_, ok := it.Attributes[name]
	return ok
}

// str reads a string attribute; "" when absent or null.
func (it item) str(name string) (string, error) {
	if !it.has(name) {
		return "", nil
	}
	var v string
	if err := json.Unmarshal(it.Attributes[name], &v); err != nil {
		return "", errInvalid(name, "%s must be a string", name)
	}
	return v, nil
}

// boolean reads a bool attribute; def when absent or null.
func (it item) boolean(name string, def bool) (bool, error) {
	if !it.has(name) {
		return def, nil
	}
	var v bool
	if err := json.Unmarshal(it.Attributes[name], &v); err != nil {
		return false, errInvalid(name, "%s must be a boolean", name)
	}
	return v, nil
}

// integer reads an integer attribute without going through a float.
func (it item) integer(name string) (int64, error) {
	n, err := strconv.ParseInt(string(it.Attributes[name]), 10, 64)
	if err != nil {
		return 0, errInvalid(name, "%s must be an integer", name)
	}
	return n, nil
}

// related reads a to-one relationship; nil when it is absent, null, or names no id. Clients
// that build a document from an empty struct send `{"type":"runs","id":""}`.
func (it item) related(name string) (*ref, error) {
	rel, ok := it.Relationships[name]
	if !ok || len(rel.Data) == 0 || string(rel.Data) == "null" {
		return nil, nil
	}
	var r ref
	if err := json.Unmarshal(rel.Data, &r); err != nil {
		return nil, errUnprocessable("the relationship %s is not a resource identifier", name)
	}
	if r.ID == "" {
		return nil, nil
	}
	return &r, nil
}

// relatedItems reads a to-many relationship whose members may carry attributes.
func (it item) relatedItems(name string) ([]item, bool, error) {
	rel, ok := it.Relationships[name]
	if !ok || len(rel.Data) == 0 || string(rel.Data) == "null" {
		return nil, false, nil
	}
	var items []item
	if err := json.Unmarshal(rel.Data, &items); err != nil {
		return nil, false, errUnprocessable("the relationship %s is not a list of resources", name)
	}
	return items, true, nil
}

// timestamp is the form in which the API writes times.
func timestamp(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
