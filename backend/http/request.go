package http

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A server is a connection to a server.
type server struct {
	origin
	gitLab      bool
	client      http.Client
	credentials credentials
	retries     retries
	timeout     time.Duration
	userAgent   string
	logger      *slog.Logger
	wire        *backend.Wire // nil for a source
	paths       paths         // of GitLab's projects
}

// A request is one request for a state or its lock.
type request struct {
	doing   string // "read", "lock", for error messages
	address string // the state concerned, for error messages
	writes  bool   // it requires the permission to write

	method string
	url    *url.URL
	bearer bool // send the password as a bearer token
	// body returns the content to send, from its beginning; nil for none. md5 is its digest in
	// base64; "" for none.
	body func() io.ReadCloser
	size int64
	md5  string
}

// repeats reports whether a request that failed changes nothing if it is sent again.
func (r *request) repeats() bool { return r.method == http.MethodGet || r.bearer }

// send sends a request and returns the response if it is a success. A request that changes
// something is never repeated unless the server has refused it because of its load: the caller
// has to find out what the first one did.
func (s *server) send(ctx context.Context, r request) (*http.Response, error) {
	pause := s.retries.first
	for attempt := 1; ; attempt++ {
		resp, err := s.sendOnce(ctx, r)
		if err == nil || attempt >= s.retries.attempts || ctx.Err() != nil || !isThrottled(err) && !(r.repeats() && mayPass(err)) || s.wire.Down() {
			return resp, err
		}
		if err := lockwait.Sleep(ctx, max(pause, min(askedPause(err), s.retries.longest))); err != nil {
			return nil, s.explain(ctx, r, err)
		}
		pause = min(2*pause, s.retries.longest)
	}
}

func (s *server) sendOnce(ctx context.Context, r request) (*http.Response, error) {
	h, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), nil)
	if err != nil {
		return nil, s.explain(ctx, r, err)
	}
	if r.body != nil {
		h.Body, h.ContentLength = r.body(), r.size
		h.Header.Set("Content-Type", "application/json")
	}
	if r.md5 != "" {
		h.Header.Set("Content-MD5", r.md5)
	}
	switch c := &s.credentials; {
	case c.password == "" && c.user == "":
	case r.bearer:
		h.Header.Set("Authorization", "Bearer "+c.password)
	default:
		h.SetBasicAuth(c.user, c.password)
	}
	if s.userAgent != "" {
		h.Header.Set("User-Agent", s.userAgent)
	}
	if err := s.wire.Sending(ctx); err != nil {
		return nil, err
	}
	resp, err := s.client.Do(h)
	s.wire.Observe(ctx, err)
	if err != nil {
		return nil, s.explain(ctx, r, err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // only read
	return nil, s.explain(ctx, r, readAnswer(resp))
}

// askedPause returns how long the server asks to wait.
func askedPause(err error) time.Duration {
	a, ok := answerOf(err)
	if !ok {
		return 0
	}
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || seconds < 0 || seconds > int(time.Hour/time.Second) {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// maxAnswer limits how many bytes are read of a response other than a state. A page of a
// listing has at most 100 names of 255 characters.
const maxAnswer = 4 << 20

// ask sends a request and returns the response's content.
func (s *server) ask(ctx context.Context, r request) (status int, text []byte, err error) {
	resp, err := s.send(ctx, r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil && ctx.Err() == nil:
		err = &lostAnswer{err}
	case err == nil && len(text) > maxAnswer:
		err = &unreadableAnswer{fmt.Sprintf("the response is longer than %d MiB", maxAnswer>>20)}
	}
	if err != nil {
		return resp.StatusCode, nil, s.explain(ctx, r, err)
	}
	return resp.StatusCode, text, nil
}

// query sends a query to GitLab's GraphQL API and decodes the data of its response into out.
func (s *server) query(ctx context.Context, r request, text string, variables map[string]any, out any) error {
	body, err := json.Marshal(map[string]any{"query": text, "variables": variables})
	if err != nil {
		return err
	}
	r.method, r.url, r.bearer = http.MethodPost, &url.URL{Scheme: s.scheme, Host: s.host, Path: "/api/graphql"}, true
	r.body, r.size = bytesOf(body), int64(len(body))
	_, text2, err := s.ask(ctx, r)
	if err != nil {
		return err
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct{ Message string }
	}
	switch err := json.Unmarshal(text2, &answer); {
	case err != nil:
		return s.explain(ctx, r, &unreadableAnswer{"the response is not that of GitLab's GraphQL API: is it a GitLab server?"})
	case len(answer.Errors) > 0:
		return s.explain(ctx, r, &unreadableAnswer{"GitLab refuses the query" + quotedText(answer.Errors[0].Message)})
	case json.Unmarshal(answer.Data, out) != nil:
		return s.explain(ctx, r, &unreadableAnswer{"the response is not that of GitLab's GraphQL API: is it a GitLab server?"})
	}
	return nil
}
