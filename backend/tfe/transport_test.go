package tfe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// transportOver returns a transport over a test's network.
func transportOver(base http.RoundTripper, ceiling float64) *transport {
	return &transport{
		base: base, api: &url.URL{Scheme: "http", Host: "127.0.0.1", Path: "/api/v2/"}, budget: newBudget(ceiling),
		stall: time.Minute, patient: patience, log: slog.New(slog.DiscardHandler),
	}
}

func apiRequest(ctx context.Context, t *testing.T, method string, body func() string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != nil {
		r = strings.NewReader(body())
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1/api/v2/things", r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// closeNoting records that it was closed.
type closeNoting struct {
	io.ReadCloser
	closed bool
}

func (c *closeNoting) Close() error { c.closed = true; return c.ReadCloser.Close() }

func TestA429IsRepeatedWithTheWholeBody(t *testing.T) {
	var bodies []string
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		if len(bodies) < 3 {
			w.Header().Set("X-RateLimit-Reset", "0")
			answer(http.StatusTooManyRequests, jsonAPI, `{"errors":[{"status":429,"detail":"You have exceeded the API's rate limit."}]}`)(w, r)
			return
		}
		answer(http.StatusCreated, jsonAPI, `{"data":{"id":"sv-1","type":"state-versions","attributes":{"serial":1,"status":"pending"}}}`)(w, r)
	}))
	opened := 0
	body := bodyOf("the state")
	open := body.Open
	body.Open = func(ctx context.Context) (io.ReadCloser, error) { opened++; return open(ctx) }
	ctx, meter := backend.WithMeter(t.Context())
	sv, err := c.CreateInline(ctx, acme, Attributes{Serial: 1, MD5: body.MD5}, body)
	if err != nil || sv.ID != "sv-1" {
		t.Fatalf("%+v, %v", sv, err)
	}
	if len(bodies) != 3 || bodies[0] != bodies[2] || bodies[0] == "" || opened != 3 || meter.Calls() != 3 {
		t.Errorf("%d requests, %d opened, %d counted", len(bodies), opened, meter.Calls())
	}
}

func TestBlobStore429DoesNotDelayTheAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var arrivals []time.Time
		c, end := serveInMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/api/") {
				answer(http.StatusOK, jsonAPI, `{"data":{"id":"user-1","type":"users"}}`)(w, r)
				return
			}
			arrivals = append(arrivals, time.Now())
			w.Header().Set("Retry-After", "20")
			answer(http.StatusTooManyRequests, "text/plain", "slow down")(w, r)
		}))
		defer end()
		done := make(chan error, 1)
		go func() {
			ctx, meter := backend.WithMeter(t.Context())
			err := c.Upload(ctx, &StateVersion{Version: backend.Version{ID: "sv-1"}, upload: "http://127.0.0.1/blob"}, bodyOf("state"))
			if meter.Calls() != 0 {
				t.Errorf("%d requests to the blob store are counted as the API's", meter.Calls())
			}
			done <- err
		}()
		time.Sleep(time.Second)
		start := time.Now()
		if _, err := c.Identity(t.Context()); err != nil || time.Since(start) != 0 {
			t.Errorf("the API had to wait %s (%v)", time.Since(start), err)
		}
		if err := <-done; backend.CodeOf(err) != backend.RateLimited {
			t.Error(err)
		}
		if len(arrivals) != 1+int(patience/(20*time.Second)) {
			t.Errorf("%d requests", len(arrivals))
		}
	})
}

func TestPingOfAWorkspaceIsAsked(t *testing.T) {
	asked := 0
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		answer(http.StatusOK, jsonAPI, `{"data":{"id":"ws-9","type":"workspaces","attributes":{"name":"ping"}}}`)(w, r)
	}))
	if asked != 0 {
		t.Error("New sends a request")
	}
	ws, err := c.Workspace(t.Context(), "acme", "ping")
	if err != nil || ws.ID != "ws-9" || asked != 1 {
		t.Fatalf("%+v, %v", ws, err)
	}
}

// A slowSource returns bytes with a pause before each piece, and then optionally blocks
// forever.
type slowSource struct {
	ctx    context.Context
	pieces int
	pause  time.Duration
	stops  bool
}

func (s *slowSource) Read(p []byte) (int, error) {
	if s.pieces == 0 {
		if s.stops {
			<-s.ctx.Done()
			return 0, s.ctx.Err()
		}
		return 0, io.EOF
	}
	if err := lockwait.Sleep(s.ctx, s.pause); err != nil {
		return 0, err
	}
	s.pieces--
	return copy(p, strings.Repeat("x", 1000)), nil
}

func (s *slowSource) Close() error { return nil }

func TestStalls(t *testing.T) {
	stateOf := func(n int) Body { return bodyOf(strings.Repeat("x", 1000*n)) }
	uploading := func(h http.HandlerFunc, source func(context.Context) io.ReadCloser, n int) func(*testing.T) (time.Duration, error) {
		return func(t *testing.T) (time.Duration, error) {
			c, end := serveInMemory(t, h)
			defer end()
			body := stateOf(n)
			if source != nil {
				body.Open = func(ctx context.Context) (io.ReadCloser, error) { return source(ctx), nil }
			}
			start := time.Now()
			err := c.Upload(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, upload: "http://127.0.0.1/blob?sig=hidden"}, body)
			return time.Since(start), err
		}
	}
	downloading := func(h http.HandlerFunc) func(*testing.T) (time.Duration, error) {
		return func(t *testing.T) (time.Duration, error) {
			c, end := serveInMemory(t, h)
			defer end()
			start := time.Now()
			r, err := c.Open(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, download: "/blob?sig=hidden"})
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				_ = r.Close()
			}
			return time.Since(start), err
		}
	}
	hang := func(r *http.Request) { <-r.Context().Done() }
	trickle := func(w http.ResponseWriter, r *http.Request, n int) {
		for range n {
			if lockwait.Sleep(r.Context(), 30*time.Second) != nil {
				return
			}
			_, _ = w.Write([]byte("x"))
			_ = http.NewResponseController(w).Flush()
		}
	}
	cases := []struct {
		name  string
		run   func(*testing.T) (time.Duration, error)
		stall bool
		took  time.Duration
	}{
		{"a slow upload that makes progress for more than ten minutes",
			uploading(answer(200, "", ""), func(ctx context.Context) io.ReadCloser {
				return &slowSource{ctx: ctx, pieces: 30, pause: 30 * time.Second}
			}, 30), false, 15 * time.Minute},
		{"a slow reader of an upload",
			uploading(func(w http.ResponseWriter, r *http.Request) {
				piece := make([]byte, 32<<10)
				for {
					if lockwait.Sleep(r.Context(), 20*time.Second) != nil {
						return
					}
					if _, err := io.ReadFull(r.Body, piece); err != nil {
						return
					}
				}
			}, nil, 1500), false, 0},
		{"a source that stops",
			uploading(answer(200, "", ""), func(ctx context.Context) io.ReadCloser {
				return &slowSource{ctx: ctx, pieces: 2, pause: 10 * time.Second, stops: true}
			}, 30), true, 80 * time.Second},
		{"a server that stops reading the upload",
			uploading(func(_ http.ResponseWriter, r *http.Request) { hang(r) }, nil, 1500), true, 60 * time.Second},
		{"a server that never answers the upload",
			uploading(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				hang(r)
			}, nil, 3), true, 60 * time.Second},
		{"a response that keeps trickling",
			downloading(func(w http.ResponseWriter, r *http.Request) { trickle(w, r, 30) }), false, 15 * time.Minute},
		{"a response that trickles and then stops",
			downloading(func(w http.ResponseWriter, r *http.Request) { trickle(w, r, 4); hang(r) }), true, 180 * time.Second},
		{"a download that never begins",
			downloading(func(_ http.ResponseWriter, r *http.Request) { hang(r) }), true, 60 * time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took, err := c.run(t)
				_, ok := errors.AsType[*stalledError](err)
				if ok != c.stall || !ok && err != nil {
					t.Fatalf("after %s: %v", took, err)
				}
				if c.took != 0 && took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
				if ok && (backend.CodeOf(err) != backend.Ambiguous || strings.Contains(err.Error(), "hidden")) {
					t.Errorf("code %s: %v", backend.CodeOf(err), err)
				}
			})
		})
	}
}

func TestHugeAnswersAreNotHeld(t *testing.T) {
	endless := func(w http.ResponseWriter, status int, head string) {
		w.Header().Set("Content-Type", jsonAPI)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, head)
		piece := bytes.Repeat([]byte("a"), 1<<20)
		for {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
	for status, want := range map[int]Code{200: backend.Ambiguous, 500: backend.Ambiguous, 422: backend.Malformed} {
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			endless(w, status, `{"data":{"id":"ws-1","type":"workspaces","attributes":{"name":"`)
		}))
		_, err := c.Workspace(t.Context(), "acme", "network")
		if backend.CodeOf(err) != want {
			t.Errorf("status %d: %v", status, err)
		}
		if status == 200 && !strings.Contains(err.Error(), "larger than 32 MiB") {
			t.Errorf("the text is %q", err)
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	// Responses without a length, which go-tfe does not read to the end.
	var conns atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", jsonAPI)
		_, _ = io.WriteString(w, `{"data":{"id":"user-1","type":"users"}}`)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, strings.Repeat("\n", 100))
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	api, err := url.Parse(server.URL + "/api/v2")
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{API: api, Token: secretToken})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 5 {
		if _, err := c.Identity(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for five calls", n)
	}
}

// logged collects the lines of a logger.
type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func TestSecretsShowNowhere(t *testing.T) {
	var lines logged
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case strings.Contains(r.URL.Path, "cut"):
			panic(http.ErrAbortHandler)
		case strings.Contains(r.URL.Path, "bad"):
			answer(http.StatusForbidden, "application/json",
				fmt.Sprintf(`{"errors":[{"detail":"the URL https://%s%s has expired"}]}`, r.Host, r.URL))(w, r)
		case strings.Contains(r.URL.Path, "away"):
			http.Redirect(w, r, "https://127.0.0.1:1/sig-hidden?sig=hidden", http.StatusFound)
		default:
			answer(http.StatusTeapot, "text/html", "<a href='https://x/hidden'>hidden</a>")(w, r)
		}
	})
	c := serve(t, h, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	var texts []string
	for _, base := range []string{"https://" + c.Host(), "https://" + c.Host() + "/api/v2", "https://127.0.0.1:1"} {
		for _, path := range []string{"/cut/hidden?sig=hidden", "/bad/hidden?sig=hidden", "/away/hidden?sig=hidden", "/other/hidden?sig=hidden", "/%zz/hidden"} {
			err := c.Upload(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, upload: base + path}, bodyOf("state-of-hidden-things"))
			if err == nil {
				t.Error("no error")
				continue
			}
			texts = append(texts, err.Error(), fmt.Sprintf("%v %+v", errors.Unwrap(err), errors.Unwrap(err)))
			_, err = c.Open(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, download: base + path})
			if err == nil {
				t.Error("no error")
				continue
			}
			texts = append(texts, err.Error(), fmt.Sprintf("%v %+v", errors.Unwrap(err), errors.Unwrap(err)))
		}
	}
	if _, err := c.Workspace(t.Context(), "acme", "cut"); err != nil {
		texts = append(texts, err.Error())
	}
	texts = append(texts, lines.String())
	for _, text := range texts {
		for _, secret := range []string{"hidden", secretToken} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is visible in %q", secret, text)
			}
		}
	}
	if !strings.Contains(lines.String(), "(blob on ") || !strings.Contains(lines.String(), "organizations/acme/workspaces/cut") {
		t.Errorf("the log lacks details: %s", lines.String())
	}
}

func TestProxyPasswordShowsNowhere(t *testing.T) {
	proxy := func(address string) error {
		u, err := url.Parse(address)
		if err != nil {
			return fmt.Errorf("invalid proxy address %q: %v", address, err) // as golang.org/x/net/http/httpproxy does
		}
		network := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return u, nil }}
		defer network.CloseIdleConnections()
		c, err := New(Options{API: &url.URL{Scheme: "https", Host: "tfe.example", Path: "/api/v2/"}, Token: secretToken, Transport: network})
		if err != nil {
			return err
		}
		_, err = c.Identity(t.Context())
		return err
	}
	for _, address := range []string{
		"http://user:pa55word@127.0.0.1:1", "ftp://user:pa55word@127.0.0.1:1", "http://user:pa55word%@127.0.0.1:1",
		"user:pa55word@proxy", "http://us er:pa55word@x", "http://user:pa55/word@127.0.0.1:1",
	} {
		text := redact(proxy(address))
		if strings.Contains(text, "pa55") {
			t.Errorf("%s: %s", address, text)
		}
	}
	if got, want := redact(errors.New(`proxyconnect to "http://user:pa55/w@rd@proxy:80" failed`)), `proxyconnect to "//…@proxy:80" failed`; !strings.HasSuffix(got, `//…@proxy:80" failed`) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTheTokenStaysAtHome(t *testing.T) {
	var strayed []string
	stranger := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		strayed = append(strayed, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		answer(200, jsonAPI, `{"data":{"id":"user-2","type":"users"}}`)(w, r)
	}))
	defer stranger.Close()
	var writes int
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			writes++
			http.Redirect(w, r, "/api/v2/elsewhere", http.StatusTemporaryRedirect)
		case r.URL.Path == "/api/v2/account/details":
			http.Redirect(w, r, stranger.URL+"/api/v2/account/details", http.StatusFound)
		case r.URL.Path == "/api/v2/organizations/acme/workspaces/network":
			http.Redirect(w, r, "/api/v2/workspaces/ws-1", http.StatusMovedPermanently)
		case r.URL.Path == "/download":
			http.Redirect(w, r, stranger.URL+"/object", http.StatusFound)
		case r.URL.Path == "/downgrade":
			http.Redirect(w, r, strings.Replace(stranger.URL, "https:", "http:", 1), http.StatusFound)
		default:
			if r.Header.Get("Authorization") != "Bearer "+secretToken {
				t.Errorf("%s without the token", r.URL.Path)
			}
			answer(200, jsonAPI, `{"data":{"id":"ws-1","type":"workspaces"}}`)(w, r)
		}
	}), func(o *Options) { o.TLS.RootCAs.AddCert(stranger.Certificate()) })

	if _, err := c.Identity(t.Context()); backend.CodeOf(err) != Rejected || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("an API call redirected to another port: %v", err)
	}
	if len(strayed) != 0 {
		t.Errorf("the API call reached the other server: %q", strayed)
	}
	if ws, err := c.Workspace(t.Context(), "acme", "network"); err != nil || ws.ID != "ws-1" {
		t.Errorf("a read redirected on the same host: %v", err)
	}
	for name, err := range map[string]error{
		"lock": func() error { _, err := c.Lock(t.Context(), acme, "r"); return err }(),
		"create": func() error {
			_, err := c.CreateInline(t.Context(), acme, Attributes{Serial: 1}, bodyOf("x"))
			return err
		}(),
	} {
		if backend.CodeOf(err) != Rejected || !strings.Contains(err.Error(), "redirects") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if writes != 2 {
		t.Errorf("%d writes arrived, want 2", writes)
	}
	r, err := c.Open(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, download: "/download"})
	if err != nil {
		t.Fatalf("a download redirected to a blob store: %v", err)
	}
	_ = r.Close()
	r, err = c.Open(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, download: stranger.URL + "/direct"})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	if err := c.Upload(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, upload: stranger.URL + "/put"}, bodyOf("x")); err != nil {
		t.Fatal(err)
	}
	if want := "GET /object |GET /direct |PUT /put "; strings.Join(strayed, "|") != want {
		t.Errorf("the other server saw %q, want %q: no token", strings.Join(strayed, "|"), want)
	}
	if _, err = c.Open(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, download: "/downgrade"}); backend.CodeOf(err) != Rejected {
		t.Errorf("a download redirected to http: %v", err)
	}
}

func TestUnencryptedAddressesAreRefused(t *testing.T) {
	c := serve(t, answer(200, "", ""))
	for _, address := range []string{"", "http://blobs.example/x?sig=hidden", "ftp://blobs.example/x", "https://", "http://127.0.0.1.example/", "%zz", "data:,x", "file:///etc/passwd"} {
		err := c.Upload(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, upload: address}, bodyOf("x"))
		if backend.CodeOf(err) != Rejected || strings.Contains(err.Error(), "hidden") {
			t.Errorf("upload to %q: %v", address, err)
		}
		_, err = c.Open(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, download: address})
		if backend.CodeOf(err) != Rejected && (address != "" || backend.CodeOf(err) != backend.NoBytesYet) {
			t.Errorf("download from %q: %v", address, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	parse := func(s string) *url.URL { u, _ := url.Parse(s); return u }
	for name, o := range map[string]Options{
		"no address":                      {Token: "t"},
		"plain http":                      {API: parse("http://tfe.example/api/v2/"), Token: "t"},
		"another scheme":                  {API: parse("ftp://127.0.0.1/api/v2/"), Token: "t"},
		"no token":                        {API: parse("https://tfe.example/api/v2/"), Token: " "},
		"a token in quotes":               {API: parse("https://tfe.example/api/v2/"), Token: "hid den\n"},
		"a token with invalid characters": {API: parse("https://tfe.example/api/v2/"), Token: "hidden\x00"},
	} {
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "hid") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWritesAreNotRepeatedOnALostConnection(t *testing.T) {
	for _, when := range []string{"before the response", "within the response", "502"} {
		t.Run(when, func(t *testing.T) {
			writes := map[string]int{}
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet { // fills the pool: net/http may repeat a request on a dead pooled connection
					answer(200, jsonAPI, `{"data":{"id":"user-1","type":"users"}}`)(w, r)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				writes[r.URL.Path]++
				switch when {
				case "within the response":
					w.Header().Set("Content-Length", "1000")
					_, _ = io.WriteString(w, `{"data":{"id"`)
					_ = http.NewResponseController(w).Flush()
				case "502":
					answer(502, "text/html", "<h1>Bad Gateway</h1>")(w, r)
					return
				}
				panic(http.ErrAbortHandler)
			}))
			do := map[string]func() error{
				"/api/v2/workspaces/ws-1/actions/lock":   func() error { _, err := c.Lock(t.Context(), acme, "r"); return err },
				"/api/v2/workspaces/ws-1/actions/unlock": func() error { _, err := c.Unlock(t.Context(), acme); return err },
				"/api/v2/workspaces/ws-1/state-versions": func() error {
					_, err := c.CreateInline(t.Context(), acme, Attributes{Serial: 1}, bodyOf("state"))
					return err
				},
				"/blob": func() error {
					return c.Upload(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, upload: "https://" + c.Host() + "/blob"}, bodyOf("state"))
				},
			}
			for path, f := range do {
				if _, err := c.Identity(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := f(); backend.CodeOf(err) != backend.Ambiguous {
					t.Errorf("%s: %v", path, err)
				}
				if writes[path] != 1 {
					t.Errorf("%s arrived %d times", path, writes[path])
				}
			}
		})
	}
}

func TestWhatNeverLeftIsUnreachable(t *testing.T) {
	server := httptest.NewUnstartedServer(answer(200, "", ""))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	strange, err := url.Parse(server.URL + "/api/v2/")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		api *url.URL
		ctx context.Context
	}{
		"nothing listens":               {&url.URL{Scheme: "https", Host: "127.0.0.1:1", Path: "/api/v2/"}, t.Context()},
		"an untrusted authority":        {strange, t.Context()},
		"the server does not speak TLS": {&url.URL{Scheme: "https", Host: plainListener(t), Path: "/"}, t.Context()},
		"a canceled context":            {strange, ended},
	} {
		client, err := New(Options{API: c.api, Token: secretToken})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Lock(c.ctx, acme, "r"); backend.CodeOf(err) != backend.Unreachable {
			t.Errorf("%s: code %s: %v", name, backend.CodeOf(err), err)
		}
		client.Close()
	}
	synctest.Test(t, func(t *testing.T) { // accepts nothing for longer than the watchdog waits
		network := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return nil, errors.Join(errors.New("no response"), lockwait.Sleep(ctx, 90*time.Second))
		}}
		c, err := New(Options{API: &url.URL{Scheme: "https", Host: "127.0.0.1", Path: "/"}, Token: secretToken, Transport: network})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Lock(t.Context(), acme, "r")
		if _, ok := errors.AsType[*stalledError](err); !ok || backend.CodeOf(err) != backend.Unreachable {
			t.Errorf("code %s: %v", backend.CodeOf(err), err)
		}
		time.Sleep(time.Minute) // virtual time: net/http leaves the dialer running
	})
}

// plainListener returns the address of a server without TLS.
func plainListener(t *testing.T) string {
	s := httptest.NewServer(answer(200, "", ""))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestProductIsWhatTheServerSays(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("TFP-AppName", "Terraform Enterprise")
		answer(200, jsonAPI, `{"data":{"id":"user-1","type":"users"}}`)(w, r)
	}))
	if c.Product() != "" {
		t.Errorf("before the first response: %q", c.Product())
	}
	if _, err := c.Identity(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.Product() != "Terraform Enterprise" {
		t.Errorf("got %q", c.Product())
	}
}
