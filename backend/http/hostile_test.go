package http

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/backend"
	"tfhaul/fixtures/gitlab"
	"tfhaul/lockwait"
)

// atHandler returns a state on a server with this handler.
func atHandler(t *testing.T, h http.HandlerFunc, more ...string) backend.State {
	t.Helper()
	return find(t, plain+"://"+serve(t, h)+"/a?lock-address=a", append(more, "TF_HTTP_RETRY_MAX=0")...)
}

func TestRefusalsAreExplained(t *testing.T) {
	for _, tt := range []struct {
		status     int
		text, want string
		code       backend.Code
		environ    []string
	}{
		{401, "", "rejects the user name in TF_HTTP_USERNAME", backend.BadCredentials, nil},
		{401, "", "there are none for http://", backend.NoCredentials, []string{"TF_HTTP_USERNAME=", "TF_HTTP_PASSWORD="}},
		{403, `{"message":"no, glpat-hunter2hunter2"}`, `lack a permission ("no, [hidden]")`, backend.AccessDenied, nil},
		{404, "", "there is no state at this address", backend.NoState, nil},
		{302, "", "redirects to another address, which tfhaul does not follow", backend.Failed, nil},
		{405, "", "does not know the method GET here", backend.Failed, nil},
		{418, "<html>hunter2</html>", "answered 418 without a readable reason", backend.Failed, nil},
		{429, "", "asks to slow down", backend.RateLimited, nil},
	} {
		t.Run(tt.want, func(t *testing.T) {
			_, _, err := read(t, atHandler(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.text)
			}, tt.environ...), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || backend.CodeOf(err) != tt.code || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), token) {
				t.Errorf("error %v (%s)\nwant  %s", err, backend.CodeOf(err), tt.want)
			}
		})
	}
}

// Terraform takes an empty answer as no state.
func TestNoState(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"empty":      func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
		"empty, without a length": func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := atHandler(t, answer)
			if _, _, err := read(t, s, nil); backend.CodeOf(err) != backend.NoState {
				t.Errorf("error %v", err)
			}
			target := openTarget(t, strings.Replace(s.Address(), "/a?lock-address=a", "/?lock-address={name}", 1))
			if v, err := target.Current(t.Context(), &backend.Standing{ID: "a"}); v != nil || err != nil {
				t.Errorf("the current version is %+v, %v", v, err)
			}
		})
	}
}

// A read is repeated while the server is overloaded or fails, with the pauses of Terraform's
// settings or those that the server asks for. A refusal is not.
func TestReadsAreRepeated(t *testing.T) {
	for _, tt := range []struct {
		status  int
		after   string
		asked   int64
		took    time.Duration
		environ []string
	}{
		{429, "", 5, 3750 * time.Millisecond, nil},
		{503, "", 5, 3750 * time.Millisecond, nil},
		{429, "20", 5, 80 * time.Second, nil},
		{429, "3000", 2, 30 * time.Second, []string{"TF_HTTP_RETRY_MAX=1"}},
		{500, "", 3, 10 * time.Second, []string{"TF_HTTP_RETRY_MAX=2", "TF_HTTP_RETRY_WAIT_MIN=5", "TF_HTTP_RETRY_WAIT_MAX=5"}},
		{403, "", 1, 0, nil},
		{404, "", 1, 0, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int64
			s := bubbleState(t, func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Retry-After", tt.after)
				w.WriteHeader(tt.status)
			}, tt.environ...)
			started := time.Now()
			_, _, err := s.Open(t.Context(), nil)
			if err == nil || asked.Load() != tt.asked || time.Since(started) != tt.took {
				t.Errorf("%d: %d attempts in %s, want %d in %s (%v)", tt.status, asked.Load(), time.Since(started), tt.asked, tt.took, err)
			}
		})
	}
}

// bubbleState returns a state on a server that is reached without a network, for tests in a
// bubble.
func bubbleState(t *testing.T, h http.HandlerFunc, more ...string) *state {
	t.Helper()
	c := backend.Connection{Environ: environ(more...)}.WithDefaults()
	getenv := backend.Getenv(c.Environ)
	s := &servers{connection: c, getenv: getenv, bound: &binding{getenv: getenv}, servers: map[string]*server{}}
	l, err := s.parse("http+https://state.example.com/a?lock-address=a")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := s.server(l.origin, false, true)
	if err != nil {
		t.Fatal(err)
	}
	srv.client.Transport = handlerTransport{h}
	return srv.state(l)
}

type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // read
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// tfhaul notices content that a server or a proxy spoils.
func TestSpoiledContentIsNoticed(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(h http.Header, text []byte) []byte
		want  string
	}{
		"cut":            {func(_ http.Header, text []byte) []byte { return text[:50] }, "broke off after 50 of"},
		"another byte":   {func(_ http.Header, text []byte) []byte { return bytes.ToUpper(text) }, "does not match its Content-MD5"},
		"another digest": {func(h http.Header, text []byte) []byte { h.Set("Content-MD5", "AAAA"); return text }, "is not a digest"},
		"compressed":     {func(h http.Header, text []byte) []byte { h.Set("Content-Encoding", "gzip"); return text }, "none was requested"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &gitlab.Plain{}
			s.Intercept = func(w http.ResponseWriter, _ *http.Request, _ string, answer func() *httptest.ResponseRecorder) {
				out := answer()
				text := tt.spoil(out.Header(), out.Body.Bytes())
				for name, values := range out.Header() {
					w.Header()[name] = values
				}
				_, _ = w.Write(text)
				w.(http.Flusher).Flush()
				if len(text) < out.Body.Len() {
					panic(http.ErrAbortHandler)
				}
			}
			address := startPlain(t, s, "")
			s.Put("/states/net", []byte(stateText(1)))
			if _, _, err := read(t, find(t, address+"net"), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestADownloadThatStallsIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bubbleState(t, nil)
		s.server.client.Transport = stallingTransport{}
		in, _, err := s.Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		if _, err := io.ReadAll(in); !errors.As(err, new(*backend.StallError)) || time.Since(started) != time.Minute {
			t.Errorf("error %v after %s", err, time.Since(started))
		}
	})
}

// A stallingTransport sends the beginning of a state.
type stallingTransport struct{}

func (stallingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	body := io.MultiReader(strings.NewReader("{"), stalled{r.Context()})
	return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: 100, Body: io.NopCloser(body), Request: r}, nil
}

type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// An incomplete listing that is taken for a complete one would lose states.
func TestUnreliableListings(t *testing.T) {
	page := func(nodes, info string) string {
		return `{"data":{"project":{"terraformStates":{"nodes":[` + nodes + `],"pageInfo":{` + info + `}}}}}`
	}
	const node = `{"name":"a","latestVersion":{"serial":1}}`
	for name, tt := range map[string]struct{ text, want string }{
		"the same page forever": {page(node, `"hasNextPage":true,"endCursor":"x"`), "repeats states"},
		"empty pages forever":   {page("", `"hasNextPage":true,"endCursor":"x"`), "not where they begin"},
		"no cursor":             {page(node, `"hasNextPage":true`), "not where they begin"},
		"a page of null":        {page("null", ""), "repeats states"},
		"a page of a proxy":     {`<html>hunter2</html>`, "is it a GitLab server?"},
		"another document":      {`{"data":[]}`, "is it a GitLab server?"},
		"an error":              {`{"errors":[{"message":"Field 'x' doesn't exist"}]}`, "refuses the query"},
		"no project":            {`{"data":{"project":null}}`, "no such project"},
	} {
		t.Run(name, func(t *testing.T) {
			host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.text) }))
			_, err := kinds().Find(t.Context(), "gitlab+http://"+host+"/a/b/", backend.Filter{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

// A server that answers with 5 GB does not fill the memory.
func TestEndlessResponsesAreNotHeld(t *testing.T) {
	for name, status := range map[string]int{"a listing": 200, "a refusal": 403} {
		t.Run(name, func(t *testing.T) {
			host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				piece := bytes.Repeat([]byte(" "), 1<<20)
				for range 5 << 10 {
					if _, err := w.Write(piece); err != nil {
						return
					}
				}
			}))
			_, err := kinds().Find(t.Context(), "gitlab+http://"+host+"/a/b/", backend.Filter{})
			if err == nil || len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			runtime.GC()
			var after runtime.MemStats
			runtime.ReadMemStats(&after)
			if after.HeapAlloc > 32<<20 {
				t.Errorf("%d MiB are held", after.HeapAlloc>>20)
			}
		})
	}
}

// A server that grants a lock to two processes protects nothing.
func TestAServerWithoutLocksIsRefused(t *testing.T) {
	s := &gitlab.Plain{Lenient: true}
	address := startPlain(t, s, "?lock-address={name}")
	err := writerOf(t, openTarget(t, address), "net").Lock(t.Context(), always)
	if err == nil || !strings.Contains(err.Error(), "grants a lock to two processes") {
		t.Errorf("error %v", err)
	}
	if s.LockOf("/states/net") != nil {
		t.Error("a lock was left")
	}
}

// Some servers do not say who holds a lock. They still let only the holder write and unlock.
func TestAServerThatDoesNotNameHolders(t *testing.T) {
	s := &gitlab.Plain{Silent: true}
	target := openTarget(t, startPlain(t, s, "?lock-address={name}"))
	w := locked(t, target, "net")
	holder, err := w.Holder(t.Context(), always)
	if err != nil || holder.Ours || holder.Other || holder == (lockwait.Holder{}) {
		t.Errorf("the holder is %+v, %v", holder, err)
	}
	lease := lockwait.Resume(w, nil, lockwait.SystemClock())
	if _, err := w.Write(t.Context(), toWrite(1, stateText(1))); err != nil {
		t.Error(err)
	}
	if err := lease.Release(t.Context()); err != nil || s.LockOf("/states/net") != nil {
		t.Errorf("released: %v", err)
	}
	s.Lock("/states/net", []byte(`{"ID":"bobs"}`))
	if err := writerOf(t, target, "net").Lock(t.Context(), always); !errors.Is(err, lockwait.ErrHeld) {
		t.Errorf("a held lock: %v", err)
	}
}

// losing returns what loses the response to the n-th request of a kind, after or before it
// took effect.
func losing(op string, n int64, effect bool) func(http.ResponseWriter, *http.Request, string, func() *httptest.ResponseRecorder) {
	var seen atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request, now string, answer func() *httptest.ResponseRecorder) {
		if now != op || seen.Add(1) != n {
			gitlab.Give(w, answer())
			return
		}
		if effect {
			answer()
		}
		panic(http.ErrAbortHandler)
	}
}

// After a lost response, the lock is recognized, and a second request does no harm.
func TestLostResponsesToLockRequests(t *testing.T) {
	for name, effect := range map[string]bool{"it took effect": true, "it did not": false} {
		t.Run(name, func(t *testing.T) {
			s := &gitlab.Server{Intercept: losing("POST lock", 1, effect)}
			target := openTarget(t, startGitLab(t, s))
			w := writerOf(t, target, "net")
			lease, err := lockwait.Acquire(t.Context(), w, lockwait.Options{})
			if err != nil || w.LostRequests() != 1 {
				t.Fatalf("%v, %d lost", err, w.LostRequests())
			}
			if got := s.State(group, "net").LockID; got != w.latch.info.ID {
				t.Errorf("it is locked by %q", got)
			}
			s.Intercept = losing("DELETE lock", 1, effect)
			if err := lease.Release(t.Context()); err != nil || s.State(group, "net").LockID != "" {
				t.Errorf("released: %v, it is locked by %q", err, s.State(group, "net").LockID)
			}
		})
	}
}

// After a lost response to a write, GitLab refuses the second one because the first arrived.
func TestLostResponsesToWrites(t *testing.T) {
	for name, effect := range map[string]bool{"it took effect": true, "it did not": false} {
		t.Run(name, func(t *testing.T) {
			s := &gitlab.Server{Intercept: losing("POST", 1, effect)}
			w := locked(t, openTarget(t, startGitLab(t, s)), "net")
			if _, err := w.Write(t.Context(), toWrite(7, stateText(7))); backend.CodeOf(err) != backend.Ambiguous {
				t.Errorf("the first: %v", err)
			}
			v, err := w.Write(t.Context(), toWrite(7, stateText(7)))
			if err != nil || v.Serial != 7 || string(s.Current(group, "net")) != stateText(7) {
				t.Errorf("the second: %+v, %v", v, err)
			}
		})
	}
	t.Run("another user stored the serial", func(t *testing.T) {
		s := &gitlab.Server{Intercept: losing("POST", 1, false)}
		w := locked(t, openTarget(t, startGitLab(t, s)), "net")
		if _, err := w.Write(t.Context(), toWrite(7, stateText(7))); backend.CodeOf(err) != backend.Ambiguous {
			t.Errorf("the first: %v", err)
		}
		s.Put(group, "net", 7, []byte(stateText(7)+" "))
		if _, err := w.Write(t.Context(), toWrite(7, stateText(7))); backend.CodeOf(err) != backend.Diverged {
			t.Errorf("the second: %v", err)
		}
	})
}

// A process of the same haul recognizes the lock that a killed one has left, and so does one
// that finds a probe of it.
func TestALockThatAKilledProcessLeft(t *testing.T) {
	for _, f := range forms[:2] {
		t.Run(f.name, func(t *testing.T) {
			s := f.server()
			target := openTarget(t, startPlain(t, s, f.query))
			first := locked(t, target, "net")
			later := writerOf(t, target, "net")
			if err := later.Lock(t.Context(), always); err != nil {
				t.Fatalf("it is not recognized: %v", err)
			}
			if err := later.Unlock(t.Context(), always); err != nil || s.LockOf("/states/net") != nil {
				t.Errorf("unlocked: %v", err)
			}
			s.Lock("/states/net", first.latch.probe.Marshal())
			if err := later.Lock(t.Context(), always); err != nil || infoID(s.LockOf("/states/net")) != first.latch.info.ID {
				t.Errorf("a probe: %v, locked by %q", err, infoID(s.LockOf("/states/net")))
			}
		})
	}
}

// Without digests, the content itself shows that a state changed.
func TestChangesOnOtherServers(t *testing.T) {
	for _, f := range []form{forms[0], forms[2]} {
		t.Run(f.name, func(t *testing.T) {
			s := f.server()
			address := startPlain(t, s, "")
			s.Put("/states/net", []byte("as it was"))
			o := find(t, address+"net")
			_, v, err := read(t, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := o.Check(t.Context(), v); err != nil {
				t.Error(err)
			}
			for _, text := range []string{"AS IT WAS", "longer than it was", ""} {
				s.Put("/states/net", []byte(text))
				if text == "" {
					s.Put("/states/net", nil)
				}
				var changed *backend.ChangedError
				if err := o.Check(t.Context(), v); !errors.As(err, &changed) || changed.Gone != (text == "") {
					t.Errorf("%q: %v", text, err)
				}
				if _, _, err := read(t, o, &v); !errors.As(err, &changed) {
					t.Errorf("reading the version while it is %q: %v", text, err)
				}
			}
		})
	}
}

// The lock cannot be seen, and a source without a lock address cannot be locked.
func TestLocksThatCannotBeSeen(t *testing.T) {
	s := &gitlab.Plain{}
	address := startPlain(t, s, "")
	s.Put("/states/net", []byte("{}"))
	s.Lock("/states/net", []byte(`{"ID":"bobs"}`))
	o := find(t, address+"net")
	if lock, err := o.Holder(t.Context()); lock != nil || err != nil {
		t.Errorf("%+v, %v", lock, err)
	}
	if _, ok := o.(backend.Lockable); ok || o.Traits().Locks != backend.LocksNone {
		t.Error("it can be locked without an address")
	}
	if _, ok := find(t, address+"net?lock-address=net").(backend.Lockable); !ok {
		t.Error("it cannot be locked")
	}
}

// The serial is found wherever a document has it, and only at its top level.
func TestTheSerialOfADocument(t *testing.T) {
	for text, want := range map[string]int64{
		`{"version":4,"serial":12,"lineage":"x"`:         12,
		`{"serial":12`:                                   -1, // perhaps 123
		`{"serial":12}`:                                  12,
		`{"a":{"serial":1},"b":["serial",2],"serial":3,`: 3,
		`{"a":"serial","b":4}`:                           -1,
		`{"serial":"x"}`:                                 -1,
		`["serial",1]`:                                   -1,
		`not JSON`:                                       -1,
		``:                                               -1,
	} {
		if got := serialIn([]byte(text)); got != want {
			t.Errorf("%s has the serial %d, want %d", text, got, want)
		}
	}
}

// A state whose serial is far behind its beginning is read whole.
func TestASerialAtTheEnd(t *testing.T) {
	for name, padding := range map[string]int{"near": 3000, "too far": 2 << 20} {
		t.Run(name, func(t *testing.T) {
			s := &gitlab.Server{}
			o := find(t, startGitLab(t, s)+"net")
			text := `{"version":4,"x":"` + strings.Repeat("x", padding) + `","serial":9}`
			s.Put(group, "net", 9, []byte(text))
			got, v, err := read(t, o, nil)
			if err != nil || got != text {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if err := o.Check(t.Context(), v); err != nil {
				t.Error(err)
			}
		})
	}
}
