package s3

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"tfhaul/backend"
)

// endlessly sends data until the client disconnects.
func endlessly(w http.ResponseWriter, status int, contentType, head string, piece []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, head)
	for {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

// TestEndlessResponsesAreNotHeld reads from a server that tries to fill the client's
// memory.
func TestEndlessResponsesAreNotHeld(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a refusal": func(w http.ResponseWriter, _ *http.Request) {
			endlessly(w, http.StatusForbidden, "application/xml", "<Error><Code>AccessDenied</Code><Message>", bytes.Repeat([]byte("x"), 1<<20))
		},
		"a listing": func(w http.ResponseWriter, _ *http.Request) {
			endlessly(w, http.StatusOK, "application/xml", `<?xml version="1.0"?><ListBucketResult>`,
				[]byte(strings.Repeat("<Contents><Key>a/"+strings.Repeat("k", 900)+".tfstate</Key><Size>1</Size></Contents>", 1000)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			awsEnvironment(t)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			server := httptest.NewServer(answer)
			defer server.Close()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := findWith(t, backend.Connection{}, "s3://acme/a/?path-style=true&endpoint="+server.URL, backend.Filter{})
			runtime.ReadMemStats(&after)
			var s3 *backend.Error
			if !errors.As(err, &s3) {
				t.Fatalf("%T %v", err, err)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 400<<20 {
				t.Errorf("%d MiB were allocated", grown>>20)
			}
		})
	}
}
