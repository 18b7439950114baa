package consul

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A request is one call of the HTTP API.
type request struct {
	doing   string // "read", "list", "lock", for error messages
	address string // the URL concerned, for error messages
	needs   string // the required permission, as in an ACL policy: "key:read"

	method string
	path   string // below /v1, not escaped
	query  url.Values
	body   []byte
}

// A request that the server has refused because of its load is sent again, and so is a read
// without a clear response. The first pause is firstPause; each later one is twice as long.
const (
	maxAttempts = 5
	firstPause  = 250 * time.Millisecond
)

// maxAnswer limits how many bytes are read of a response. Consul stores values of 512 KiB,
// unless its settings allow more, and sends them in base64. It sends all keys below a prefix at
// once.
const maxAnswer = 64 << 20

// An answer is a response that was received completely.
type answer struct {
	status int
	header http.Header
	text   []byte
}

// ask sends a request and returns the response if it is a success. A request that changes
// something is never repeated unless the server has refused it: the caller has to find out
// what the first one did.
func (s *server) ask(ctx context.Context, r request) (*answer, error) {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		a, err := s.askOnce(ctx, r)
		if err == nil || attempt == maxAttempts || ctx.Err() != nil || !isThrottled(err) && !(r.method == http.MethodGet && mayPass(err)) || s.wire.Down() {
			return a, err
		}
		if err := lockwait.Sleep(ctx, pause); err != nil {
			return nil, s.explain(ctx, r, err)
		}
		pause *= 2
	}
}

// mayPass reports whether a read may succeed if it is repeated.
func mayPass(err error) bool {
	status := statusOf(err)
	return status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented ||
		status == 0 && backend.CodeOf(err) == backend.Unreachable && !backend.Untrusted(err)
}

func (s *server) askOnce(ctx context.Context, r request) (*answer, error) {
	watched, progress, stop := backend.Watched(ctx, 2*s.timeout)
	defer stop()
	h, err := s.newRequest(watched, r)
	if err != nil {
		return nil, s.explain(ctx, r, err)
	}
	if err := s.wire.Sending(ctx); err != nil {
		return nil, err
	}
	resp, err := s.client.Do(h)
	if err != nil {
		s.wire.Observe(ctx, err)
		return nil, s.explain(ctx, r, stalled(watched, err))
	}
	defer func() { _ = resp.Body.Close() }() // only read
	limit := int64(maxAnswer)
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusConflict {
		limit = maxRefusal
	}
	text, err := io.ReadAll(io.LimitReader(&paced{resp.Body, progress}, limit+1))
	s.wire.Observe(ctx, err)
	a := &answer{resp.StatusCode, resp.Header, text}
	switch {
	case resp.StatusCode >= 300: // what arrived is enough
		return nil, s.explain(ctx, r, &refusal{a.status, said(a)})
	case err != nil:
		return nil, s.explain(ctx, r, stalled(watched, err))
	case int64(len(text)) > limit:
		return nil, s.explain(ctx, r, &unreadableAnswer{fmt.Sprintf("the response is longer than %d MiB", limit>>20)})
	}
	return a, nil
}

// stalled returns why a request ended.
func stalled(ctx context.Context, err error) error {
	if stall, ok := errors.AsType[*backend.StallError](context.Cause(ctx)); ok {
		return stall
	}
	return err
}

// A paced reader reports progress.
type paced struct {
	io.Reader
	progress func()
}

func (p *paced) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.progress()
	return n, err
}

func (s *server) newRequest(ctx context.Context, r request) (*http.Request, error) {
	at, err := url.Parse(s.base)
	if err != nil {
		return nil, err
	}
	at.Path = "/v1" + r.path
	query := url.Values{}
	for _, values := range []url.Values{s.query, r.query} {
		for name := range values {
			query.Set(name, values.Get(name))
		}
	}
	at.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	h, err := http.NewRequestWithContext(ctx, r.method, at.String(), body)
	if err != nil {
		return nil, err
	}
	if r.body != nil {
		h.Header.Set("Content-Type", "application/octet-stream")
	}
	if s.token != "" {
		h.Header.Set("X-Consul-Token", s.token)
	}
	if s.auth != nil {
		password, _ := s.auth.Password()
		h.SetBasicAuth(s.auth.Username(), password)
	}
	if s.userAgent != "" {
		h.Header.Set("User-Agent", s.userAgent)
	}
	return h, nil
}

// decode decodes the JSON of a response.
func (s *server) decode(ctx context.Context, r request, a *answer, out any) error {
	if err := json.Unmarshal(a.text, out); err != nil {
		return s.explain(ctx, r, &unreadableAnswer{"the response is not that of Consul: is the address that of its HTTP API?"})
	}
	return nil
}

// An entry is a key of the store.
type entry struct {
	Key         string
	Value       []byte // in base64 on the wire
	Flags       uint64
	ModifyIndex uint64
	Session     string // that has locked the key; "" for none
}

// consistent makes the server verify that it still is the leader, so that no reply is stale.
func consistent() url.Values { return url.Values{"consistent": {""}} }

// get returns a key, or nil if it does not exist.
func (s *server) get(ctx context.Context, r request, key string) (*entry, error) {
	r.method, r.path, r.query = http.MethodGet, "/kv/"+key, consistent()
	var found []*entry
	a, err := s.ask(ctx, r)
	switch {
	case statusOf(err) == http.StatusNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	if err := s.decode(ctx, r, a, &found); err != nil {
		return nil, err
	}
	if len(found) != 1 || found[0] == nil || found[0].Key != key || found[0].ModifyIndex == 0 {
		return nil, s.explain(ctx, r, &unreadableAnswer{"the response is about another key: is the address that of Consul's HTTP API?"})
	}
	return found[0], nil
}

// withPrefix returns the keys that begin with a prefix, with their values. There must be few.
func (s *server) withPrefix(ctx context.Context, r request, start string) (map[string]*entry, error) {
	r.method, r.path, r.query = http.MethodGet, "/kv/"+start, consistent()
	r.query.Set("recurse", "")
	a, err := s.ask(ctx, r)
	switch {
	case statusOf(err) == http.StatusNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	var found []*entry
	if err := s.decode(ctx, r, a, &found); err != nil {
		return nil, err
	}
	all := map[string]*entry{}
	for _, e := range found {
		if e == nil || !strings.HasPrefix(e.Key, start) {
			return nil, s.explain(ctx, r, &unreadableAnswer{"the response is about other keys: is the address that of Consul's HTTP API?"})
		}
		all[e.Key] = e
	}
	return all, nil
}

// keys returns the names of all keys that begin with a prefix, in order. complete is false if
// the server has left out some that the token must not read.
func (s *server) keys(ctx context.Context, r request, start string) (names []string, complete bool, err error) {
	r.method, r.path, r.query = http.MethodGet, "/kv/"+start, consistent()
	r.query.Set("keys", "")
	a, err := s.ask(ctx, r)
	switch {
	case statusOf(err) == http.StatusNotFound:
		return nil, true, nil
	case err != nil:
		return nil, false, err
	}
	if err := s.decode(ctx, r, a, &names); err != nil {
		return nil, false, err
	}
	for i, name := range names {
		if !strings.HasPrefix(name, start) || i > 0 && name <= names[i-1] {
			return nil, false, s.explain(ctx, r, &unreadableAnswer{"the listing is not in order, so it may be incomplete"})
		}
	}
	return names, a.header.Get("X-Consul-Results-Filtered-By-ACLs") != "true", nil
}

// An operation is a part of a transaction. The verbs are those of the HTTP API.
type operation struct {
	Verb    string
	Key     string
	Value   []byte `json:",omitempty"`
	Flags   uint64 `json:",omitempty"`
	Index   uint64 `json:",omitempty"`
	Session string `json:",omitempty"`
}

// A rollback is returned for a transaction of which nothing took effect.
type rollback struct {
	failed map[int]string // what the server says about the operations that failed
}

func (e *rollback) Error() string { return "the transaction was rolled back" }

// denied returns what the server says about a missing permission; "" if none is missing.
func (e *rollback) denied() string {
	for _, text := range e.failed {
		if isDenied(text) {
			return text
		}
	}
	return ""
}

// transact executes operations, all or none, and returns the keys that they stored. Its error
// is a *rollback if an operation failed and no permission is missing.
func (s *server) transact(ctx context.Context, r request, operations ...operation) ([]*entry, error) {
	type part struct{ KV operation }
	parts := make([]part, len(operations))
	for i, o := range operations {
		parts[i].KV = o
	}
	var err error
	if r.body, err = json.Marshal(parts); err != nil {
		return nil, err
	}
	r.method, r.path = http.MethodPut, "/txn"
	a, err := s.ask(ctx, r)
	if refused, ok := errors.AsType[*refusal](err); ok && refused.status == http.StatusConflict {
		return nil, s.rolledBack(ctx, r, refused, len(operations))
	}
	if err != nil {
		return nil, err
	}
	var done struct {
		Results []struct{ KV *entry }
	}
	if err := s.decode(ctx, r, a, &done); err != nil {
		return nil, err
	}
	var stored []*entry
	for _, result := range done.Results {
		if result.KV != nil {
			stored = append(stored, result.KV)
		}
	}
	return stored, nil
}

// rolledBack reads why a transaction had no effect.
func (s *server) rolledBack(ctx context.Context, r request, refused *refusal, operations int) error {
	var document struct {
		Errors []struct {
			OpIndex int
			What    string
		}
	}
	if json.Unmarshal([]byte(refused.said), &document) != nil || len(document.Errors) == 0 {
		return s.explain(ctx, r, &unreadableAnswer{"the response to a transaction is not that of Consul"})
	}
	e := &rollback{map[int]string{}}
	for _, failed := range document.Errors {
		if failed.OpIndex < 0 || failed.OpIndex >= operations {
			return s.explain(ctx, r, &unreadableAnswer{"the response to a transaction is not that of Consul"})
		}
		e.failed[failed.OpIndex] = failed.What
	}
	if text := e.denied(); text != "" {
		return s.explain(ctx, r, &refusal{http.StatusForbidden, text})
	}
	return e
}
