package tfesim

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// An answer is what a handler answers when nothing went wrong. A nil body is no body.
type answer struct {
	status int
	body   any
	header http.Header
}

func ok(d document) *answer      { return &answer{status: http.StatusOK, body: d} }
func created(d document) *answer { return &answer{status: http.StatusCreated, body: d} }
func noContent() *answer         { return &answer{status: http.StatusNoContent} }

// write sends the answer.
func (a *answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	b, err := json.Marshal(a.body)
	if err != nil {
		writeError(w, err)
		return
	}
	writeBody(w, a.status, mediaType+"; charset=utf-8", b)
}

// asAPIError is the error as the API answers it: one that no handler chose is a broken server.
func asAPIError(err error) *apiError {
	var e *apiError
	if !errors.As(err, &e) {
		return errBroken()
	}
	return e
}

// writeError answers a request that failed.
func writeError(w http.ResponseWriter, err error) {
	e := asAPIError(err)
	if e.empty {
		w.WriteHeader(e.status)
		return
	}
	writeBody(w, e.status, mediaType+"; charset=utf-8", e.body())
}

// writeBody writes an answer of a known length.
func writeBody(w http.ResponseWriter, status int, contentType string, b []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	// The client is gone if this fails, and there is nobody to tell.
	_, _ = w.Write(b)
}
