package jsonapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// An Answer is the answer of a handler that succeeded. A nil body means none.
type Answer struct {
	Status int
	Body   any
	Header http.Header
}

// OK is the 200 answer with a document.
func OK(d Document) *Answer { return &Answer{Status: http.StatusOK, Body: d} }

// Created is the 201 answer with a document.
func Created(d Document) *Answer { return &Answer{Status: http.StatusCreated, Body: d} }

// NoContent is the 204 answer.
func NoContent() *Answer { return &Answer{Status: http.StatusNoContent} }

// Write sends the answer.
func (a *Answer) Write(w http.ResponseWriter) {
	for k, v := range a.Header {
		w.Header()[k] = v
	}
	if a.Body == nil {
		w.WriteHeader(a.Status)
		return
	}
	b, err := json.Marshal(a.Body)
	if err != nil {
		WriteError(w, err)
		return
	}
	WriteBody(w, a.Status, MediaType+"; charset=utf-8", b)
}

// AsError returns the error as the API answers it. Errors that no handler chose become a 500.
func AsError(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return Broken()
	}
	return e
}

// WriteError sends an error.
func WriteError(w http.ResponseWriter, err error) {
	e := AsError(err)
	if e.Empty {
		w.WriteHeader(e.Status)
		return
	}
	WriteBody(w, e.Status, MediaType+"; charset=utf-8", e.Body())
}

// WriteBody sends a body with its length.
func WriteBody(w http.ResponseWriter, status int, contentType string, b []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	// An error means that the client has disconnected.
	_, _ = w.Write(b)
}
