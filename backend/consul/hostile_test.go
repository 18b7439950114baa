package consul

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tfhaul/backend"
	"tfhaul/fixtures/consul"
)

// atHandler returns the state net on a server with this handler.
func atHandler(t *testing.T, h http.HandlerFunc, more ...string) *state {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return find(t, "consul://"+strings.TrimPrefix(server.URL, "http://")+"/net", more...)
}

func TestRefusalsAreExplained(t *testing.T) {
	const denied = `Permission denied: token with AccessorID '2a8f4c5e-9f7d-4f25-9d80-0b6c2f6f7a11' lacks permission 'key:read' on "net"`
	for _, tt := range []struct {
		status      int
		said, token string
		want        string
		code        backend.Code
	}{
		{403, denied, "hunter2", `the policies of the token in CONSUL_HTTP_TOKEN lack key:read on "net"`, backend.AccessDenied},
		{403, denied, "", `the server requires a token with the permission key:read on "net"`, backend.NoCredentials},
		{403, "rpc error making call: ACL not found", "hunter2", "does not know the token in CONSUL_HTTP_TOKEN: it is wrong, expired or deleted", backend.BadCredentials},
		{401, "login, hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-hunter2", "", "requires other credentials: check CONSUL_HTTP_AUTH and CONSUL_HTTP_TOKEN", backend.BadCredentials},
		{404, "", "", "the key does not exist", backend.NoState},
		{400, "Client sent an HTTP request to an HTTPS server.", "", "the server expects https: add scheme=https", backend.Failed},
		{418, "short and stout 2a8f4c5e-9f7d-4f25-9d80-0b6c2f6f7a11", "", `the server answered 418 ("short and stout [hidden]")`, backend.Failed},
		{418, "<html>hunter2</html>", "", "the server answered 418", backend.Failed},
	} {
		t.Run(tt.want, func(t *testing.T) {
			s := atHandler(t, func(w http.ResponseWriter, _ *http.Request) { consul.Refuse(w, tt.status, tt.said) }, "CONSUL_HTTP_TOKEN="+tt.token)
			if _, _, err := s.Open(t.Context(), nil); err == nil || !strings.Contains(err.Error(), tt.want) || backend.CodeOf(err) != tt.code || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v (%s)\nwant  %s", err, backend.CodeOf(err), tt.want)
			}
		})
	}
}

// Consul denies a session, a key, or a part of a transaction. The message names the permission.
func TestMissingPermissionsOfATarget(t *testing.T) {
	for _, tt := range []struct {
		op, document string
		status       int
		want         string
	}{
		{"PUT session", `Permission denied: token with AccessorID 'x' lacks permission 'session:write' on "node-1"`, 403, `lack session:write on "node-1"`},
		{"PUT txn", `{"Results":null,"Errors":[{"OpIndex":0,"What":"Permission denied: token with AccessorID 'x' lacks permission 'key:write' on \"net/.lock\""}]}`, 409, `lack key:write on "net/.lock"`},
		{"PUT txn", `Permission denied`, 403, `lack key:write`},
	} {
		s := &consul.Server{}
		address := start(t, s)
		s.Intercept = func(w http.ResponseWriter, r *http.Request, op string, answer func() *httptest.ResponseRecorder) {
			if op == tt.op && !strings.Contains(r.URL.Path, "destroy") {
				consul.Refuse(w, tt.status, tt.document)
				return
			}
			consul.Give(w, answer())
		}
		target := openTarget(t, address, "CONSUL_HTTP_TOKEN=hunter2")
		w := target.Writer(&backend.Standing{ID: "net", Name: "net"}, backend.WriterOptions{Reason: "one"})
		if err := w.Lock(t.Context(), always); backend.CodeOf(err) != backend.AccessDenied || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.op, err, tt.want)
		}
		s.Intercept = nil
		if s.Sessions("") != 0 {
			t.Errorf("%s: a session is left", tt.op)
		}
	}
}

// A read is repeated while the server is overloaded or fails, a refusal is not.
func TestReadsAreRepeated(t *testing.T) {
	for status, want := range map[int]int64{429: maxAttempts, 500: maxAttempts, 408: maxAttempts, 403: 1, 404: 1} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int64
			s := &servers{connection: backend.Connection{Environ: environ()}.WithDefaults(), target: true}
			l, err := s.parse("consul:///net")
			if err != nil {
				t.Fatal(err)
			}
			server, err := s.server(l)
			if err != nil {
				t.Fatal(err)
			}
			server.client.Transport = handlerTransport{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				consul.Refuse(w, status, "refused by the test")
			})}
			if _, _, err := newState(server, l, "net").Open(t.Context(), nil); err == nil || status != 404 && statusOf(err) != status {
				t.Errorf("%d: %v", status, err)
			}
			if asked.Load() != want {
				t.Errorf("%d: %d attempts, want %d", status, asked.Load(), want)
			}
		})
	}
}

// handlerTransport reaches a server without a network.
type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestARedirectToAnotherHostIsNotFollowed(t *testing.T) {
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer elsewhere.Close()
	s := atHandler(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	if _, _, err := s.Open(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "tfhaul does not follow") || followed {
		t.Errorf("%v, followed: %t", err, followed)
	}
}

// Values that no Terraform wrote are refused, and nothing else than the state's keys is read.
func TestHostileValues(t *testing.T) {
	text := bytes.Repeat([]byte("state "), 200_000)
	hash := md5Of(text)
	list := func(hash string, chunks ...string) []byte {
		document, err := json.Marshal(map[string]any{"current-hash": hash, "chunks": chunks})
		if err != nil {
			t.Fatal(err)
		}
		return document
	}
	endless := make([]string, maxChunks+1)
	for i := range endless {
		endless[i] = chunkName("net", hash, i)
	}
	damaged := packed([]byte("state"))
	damaged[len(damaged)-5] ^= 1
	for name, tt := range map[string]struct {
		value []byte
		want  string
	}{
		"parts of another key":   {list(hash, "secret/of/others"), `names "secret/of/others" instead of`},
		"parts above":            {list(hash, "net/tfstate."+hash+"/../../secret"), "instead of"},
		"parts in another order": {list(hash, chunkName("net", hash, 1), chunkName("net", hash, 0)), "instead of"},
		"parts twice":            {list(hash, chunkName("net", hash, 0), chunkName("net", hash, 0)), "instead of"},
		"no parts":               {list(hash), "not like Terraform's"},
		"a hash that is none":    {list("../../secret", "net/tfstate.../../secret/0"), "not like Terraform's"},
		"a hash that is no text": {[]byte(`{"current-hash":7,"chunks":["a"]}`), "not like Terraform's"},
		"too many parts":         {list(hash, endless...), "16 385 parts"},
		"missing parts":          {list(hash, chunkName("net", hash, 0)), "does not exist, so Terraform cannot read it either"},
		"damaged gzip":           {damaged, "cannot be decompressed"},
		"not gzip":               {[]byte("\x1f is not gzip"), "cannot be decompressed"},
		"half of gzip":           {packed(text)[:20], "cannot be decompressed"},
		"rest after gzip":        {append(packed(text), "more"...), "cannot be decompressed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &consul.Server{}
			address := start(t, s)
			s.Put("net", tt.value)
			s.Put("secret/of/others", []byte("hunter2"))
			_, _, err := read(t, find(t, address+"net"))
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), ",", " "), strings.ReplaceAll(tt.want, ",", " ")) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v\nwant %s", err, tt.want)
			}
			if tt.want == "" {
				return
			}
			if r := moveInto(t, address, "net", stateOf(4, 0)); r.Outcome == "moved" {
				t.Errorf("it was replaced: %+v", r)
			}
		})
	}
}

// A small value that decompresses to an endless state is refused.
func TestGzipBombs(t *testing.T) {
	s := &consul.Server{}
	address := start(t, s)
	s.Put("net", packed(make([]byte, 8<<20)))
	found := find(t, address+"net")
	found.server.maxState = 1 << 20
	text, _, err := read(t, found)
	if err == nil || !strings.Contains(err.Error(), "larger than") || len(text) > 2<<20 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// Parts that are not those of the hash are noticed.
func TestSpoiledParts(t *testing.T) {
	s := &consul.Server{}
	address := start(t, s)
	plant(s, "net", bytes.Repeat([]byte("state "), 200_000), false)
	part := s.Keys("net/tfstate.")[1]
	s.Put(part, bytes.ToUpper(s.Get(part).Value))
	if _, _, err := read(t, find(t, address+"net")); err == nil || !strings.Contains(err.Error(), "does not match the MD5") {
		t.Errorf("error %v", err)
	}
}

// A state in parts is replaced while it is read: between two requests before the first byte, it
// is read again; later, the read fails as for every changed state.
func TestAStateIsReplacedWhileItIsRead(t *testing.T) {
	old, text := bytes.Repeat([]byte("old "), 300_000), bytes.Repeat([]byte("new "), 400_000)
	for number := range 5 {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			s := &consul.Server{}
			address := start(t, s)
			plant(s, "net", old, false)
			var seen atomic.Int64
			s.Intercept = func(w http.ResponseWriter, r *http.Request, op string, answer func() *httptest.ResponseRecorder) {
				if int(seen.Add(1))-1 == number {
					unplant(s, "net")
					plant(s, "net", text, false)
				}
				consul.Give(w, answer())
			}
			got, _, err := read(t, find(t, address+"net"))
			switch {
			case err == nil && got != string(text):
				t.Errorf("%d bytes of neither state", len(got))
			case err != nil && (!isChanged(err) || number < 2):
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestUnreliableAnswersAreErrors(t *testing.T) {
	const entry = `{"Key":"net","Value":"e30=","ModifyIndex":7}`
	for name, tt := range map[string]struct{ document, want string }{
		"a page of a proxy":  {`<html>hunter2</html>`, "is the address that of its HTTP API?"},
		"null":               {`null`, "about another key"},
		"a null entry":       {`[null]`, "about another key"},
		"another key":        {`[{"Key":"other","ModifyIndex":7}]`, "about another key"},
		"two keys":           {`[` + entry + `,` + entry + `]`, "about another key"},
		"no index":           {`[{"Key":"net"}]`, "about another key"},
		"an index of text":   {`[{"Key":"net","ModifyIndex":"x"}]`, "is the address that of its HTTP API?"},
		"a value not base64": {`[{"Key":"net","ModifyIndex":7,"Value":"!"}]`, "is the address that of its HTTP API?"},
	} {
		t.Run(name, func(t *testing.T) {
			s := atHandler(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.document) })
			if _, _, err := s.Open(t.Context(), nil); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	for name, tt := range map[string]struct{ document, want string }{
		"names in any order":  {`["b","a"]`, "not in order"},
		"the same name twice": {`["a","a"]`, "not in order"},
		"a page of a proxy":   {`<html>hunter2</html>`, "is the address that of its HTTP API?"},
	} {
		t.Run("listing: "+name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.document) }))
			defer server.Close()
			_, err := backend.Kinds{kind()}.Find(t.Context(), "consul://"+strings.TrimPrefix(server.URL, "http://")+"/", backend.Filter{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// A listing from which the server has left out keys is not taken for a complete one.
func TestAFilteredListing(t *testing.T) {
	s := &consul.Server{}
	address := start(t, s)
	s.Put("net", []byte("{}"))
	s.Intercept = func(w http.ResponseWriter, _ *http.Request, _ string, answer func() *httptest.ResponseRecorder) {
		out := answer()
		out.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
		consul.Give(w, out)
	}
	listing, err := backend.Kinds{kind()}.Find(t.Context(), address, backend.Filter{})
	if err != nil || len(listing.States) != 1 || len(listing.Skipped) != 1 || listing.Skipped[0].Code != backend.SkipNoPermission {
		t.Errorf("%+v, %v", listing, err)
	}
}

// A server that sends 5 GB does not fill the memory.
func TestEndlessResponsesAreNotHeld(t *testing.T) {
	for name, status := range map[string]int{"a value": 200, "a refusal": 403} {
		t.Run(name, func(t *testing.T) {
			s := atHandler(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				piece := bytes.Repeat([]byte(" "), 1<<20)
				for range 5 << 10 {
					if _, err := w.Write(piece); err != nil {
						return
					}
				}
			})
			_, _, err := s.Open(t.Context(), nil)
			if err == nil || len(err.Error()) > 1000 {
				t.Errorf("error %v", err)
			}
			runtime.GC()
			var after runtime.MemStats
			runtime.ReadMemStats(&after)
			if after.HeapAlloc > 48<<20 {
				t.Errorf("%d MiB are held", after.HeapAlloc>>20)
			}
		})
	}
}

func TestALockThatIsNotJSON(t *testing.T) {
	s := &consul.Server{}
	address := start(t, s)
	s.Put("net", []byte("{}"))
	for _, description := range [][]byte{[]byte("<html>"), bytes.Repeat([]byte("x"), 1<<19), nil} {
		s.Lock("net", "c0ffee", description)
		if lock, err := find(t, address+"net").Holder(t.Context()); err != nil || lock == nil || lock.ID != "c0ffee" {
			t.Errorf("%+v, %v", lock, err)
		}
	}
}
