package jsonapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// An Error is the answer of a handler that refuses a request.
type Error struct {
	Status  int
	Title   string
	Detail  string
	Pointer string // source.pointer of validation errors
	Empty   bool   // no body at all, as compatible servers do it
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Status, e.Title, e.Detail)
}

// NotFound is the 404 answer, which the API also gives for what the caller cannot see.
func NotFound() *Error {
	return &Error{Status: 404, Title: "not found"}
}

// Unauthorized is the 401 answer.
func Unauthorized() *Error {
	return &Error{Status: 401, Title: "unauthorized"}
}

// Forbidden is the 403 answer.
func Forbidden() *Error {
	return &Error{Status: 403, Title: "forbidden"}
}

// Conflict is the 409 answer with a detail.
func Conflict(format string, args ...any) *Error {
	return &Error{Status: 409, Title: "conflict", Detail: fmt.Sprintf(format, args...)}
}

// Unprocessable is the 422 answer with a detail.
func Unprocessable(format string, args ...any) *Error {
	return &Error{Status: 422, Title: "unprocessable entity", Detail: fmt.Sprintf(format, args...)}
}

// Missing is the 422 answer to a request that lacks a required parameter.
func Missing(name string) *Error {
	return Unprocessable("param is missing or the value is empty: %s", name)
}

// Invalid is the 422 answer to an attribute with a wrong value.
func Invalid(attribute, format string, args ...any) *Error {
	return &Error{Status: 422, Title: "invalid attribute", Detail: fmt.Sprintf(format, args...), Pointer: "/data/attributes/" + attribute}
}

// BadRequest is the 400 answer with a detail.
func BadRequest(format string, args ...any) *Error {
	return &Error{Status: 400, Title: "bad request", Detail: fmt.Sprintf(format, args...)}
}

// BadInclude is the answer to an include parameter that names an unknown relationship.
func BadInclude(name string) *Error {
	return BadRequest("%q is not a valid include parameter", name)
}

// TooLarge is the 413 answer.
func TooLarge() *Error {
	return &Error{Status: 413, Title: "payload too large"}
}

// Broken is the 500 answer of a server that cannot write to its storage.
func Broken() *Error {
	return &Error{Status: 500, Title: "internal server error"}
}

// Body returns the error's JSON document.
func (e *Error) Body() []byte {
	entry := map[string]any{"status": strconv.Itoa(e.Status), "title": e.Title}
	if e.Status == http.StatusTooManyRequests {
		entry["status"] = e.Status // a number in the real server's answer, and only here
	}
	if e.Detail != "" {
		entry["detail"] = e.Detail
	}
	if e.Pointer != "" {
		entry["source"] = map[string]any{"pointer": e.Pointer}
	}
	b, err := json.Marshal(map[string]any{"errors": []any{entry}})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return b
}
