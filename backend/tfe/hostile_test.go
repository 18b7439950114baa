package tfe

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// Broken and malicious servers must not use unlimited memory or time. Endless bodies are
// tested in TestHugeAnswersAreNotHeld, endless listings in TestListings, nesting in
// TestHostileDocumentsGiveAnError, and silence in TestStalls.

// TestSlowDocumentTimesOut reads from a server that is never silent for long, but never
// finishes.
func TestSlowDocumentTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, end := serveInMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", jsonAPI)
			_, _ = io.WriteString(w, `{"data":{"id":"ws-1","type":"workspaces","attributes":{"name":"`)
			_ = http.NewResponseController(w).Flush()
			for lockwait.Sleep(r.Context(), 50*time.Second) == nil {
				_, _ = io.WriteString(w, "n")
				_ = http.NewResponseController(w).Flush()
			}
		}))
		defer end()
		start := time.Now()
		_, err := c.Workspace(t.Context(), "acme", "network")
		if backend.CodeOf(err) != backend.Ambiguous || !strings.Contains(err.Error(), "the response was not complete after 5m0s") {
			t.Errorf("code %q: %v", backend.CodeOf(err), err)
		}
		if took := time.Since(start); took != documentPatience*defaultTimeout {
			t.Errorf("took %s", took)
		}
	})
}

// TestHugeHeadersAreRefused reads from a server that fills the memory before its
// response begins.
func TestHugeHeadersAreRefused(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"one": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 4<<20)) },
		"many": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 20_000 {
				w.Header().Set(fmt.Sprintf("X-Header-%d", i), strings.Repeat("x", 100))
			}
		},
		"interim responses": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", strings.Repeat("x", 1000))
			for range 10_000 {
				if r.Context().Err() != nil {
					return
				}
				w.WriteHeader(http.StatusEarlyHints)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, handler).Workspace(t.Context(), "acme", "network")
			if backend.CodeOf(err) != backend.Ambiguous || len(err.Error()) > 600 {
				t.Errorf("code %q: %v", backend.CodeOf(err), err)
			}
		})
	}
}

// TestCompressedAnswersAreNotUnpacked reads from a server that sends a compression bomb.
func TestCompressedAnswersAreNotUnpacked(t *testing.T) {
	var bomb bytes.Buffer
	packed := gzip.NewWriter(&bomb)
	if _, err := packed.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Errorf("%s asks for compression", r.URL.Path)
		}
		w.Header().Set("Content-Type", jsonAPI)
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	}))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := c.Workspace(t.Context(), "acme", "network"); backend.CodeOf(err) != backend.Ambiguous {
		t.Errorf("a document: %v", err)
	}
	if _, err := c.Open(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, download: "/blob"}); backend.CodeOf(err) != Rejected {
		t.Errorf("a download: %v", err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("%d MiB were allocated", grown>>20)
	}
}

// TestRedirectsInACircleEnd counts the requests that a server can cause.
func TestRedirectsInACircleEnd(t *testing.T) {
	asked := 0
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
	}))
	if _, err := c.Workspace(t.Context(), "acme", "network"); backend.CodeOf(err) != Rejected {
		t.Error(err)
	}
	if _, err := c.Open(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, download: "/blob"}); backend.CodeOf(err) != Rejected {
		t.Error(err)
	}
	if asked > 20 {
		t.Errorf("%d requests", asked)
	}
}

// TestADownloadLongerThanAnnouncedIsNotHeld checks that a download is streamed, so that its
// reader decides when to stop.
func TestADownloadLongerThanAnnouncedIsNotHeld(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := make([]byte, 1<<20)
		for {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}))
	var before, after runtime.MemStats
	runtime.GC() // garbage does not count
	runtime.ReadMemStats(&before)
	body, err := c.Open(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, download: "/blob"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, body, 64<<20); err != nil {
		t.Error(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	_ = body.Close() // it did not end
	// The server uses some memory, too.
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 32<<20 {
		t.Errorf("%d MiB are held", held>>20)
	}
}

// Plain http is allowed to this machine, but its server must not send a download elsewhere
// without encryption.
func TestDownloadsAreNotRedirectedToPlainHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hosts []string
		c, end := serveInMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hosts = append(hosts, r.Host)
			http.Redirect(w, r, "http://blobs.example.com/plan", http.StatusTemporaryRedirect)
		}))
		defer end()
		_, err := c.OpenPlanJSON(t.Context(), "plan-1")
		if err == nil || !strings.Contains(err.Error(), "redirects") || len(hosts) != 1 {
			t.Errorf("%v after requests to %q", err, hosts)
		}
	})
}
