package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

// transport carries every request of a Client: those of go-tfe and our own.
// It spends the rate limit, waits where the server says 429, ends requests that
// stall, counts, and remembers what the server answered, because go-tfe drops
// the status and the error objects of most answers.
type transport struct {
	base    http.RoundTripper
	api     *url.URL // everything below it is the API; all else is a blob store
	budget  *budget
	stall   time.Duration
	patient time.Duration // how long in all one request waits for the rate limit
	agent   string
	log     *slog.Logger
	about   atomic.Pointer[About]
}

// About is what a server says of itself in the headers of its answers.
type About struct {
	// Product is "HCP Terraform" or "Terraform Enterprise", or "" when not said.
	Product string
	// Release is the release of a Terraform Enterprise, such as "v202406-1".
	Release string
	// API is the version of the API, such as "2.6".
	API string
}

// The bounds of what is read of an answer into memory: a hostile or broken
// server must not fill it. A page of 100 workspaces is a few hundred KB.
const (
	mostDocument  = 32 << 20
	mostErrorBody = 64 << 10
)

// An exchange is what one call learnt from the wire. It travels in the context
// of a request, through go-tfe.
type exchange struct {
	status int
	header http.Header
	body   bytes.Buffer // of a document or an error, not of a blob
}

type exchangeKey struct{}

// withExchange returns a context whose next request fills the exchange.
func withExchange(ctx context.Context) (context.Context, *exchange) {
	x := new(exchange)
	return context.WithValue(ctx, exchangeKey{}, x), x
}

// A Meter counts the requests made to the API, not to blob stores, under the
// contexts that carry it. Every attempt counts: it is what the rate limit sees.
type Meter struct{ calls atomic.Int64 }

// Calls tells how many requests there were.
func (m *Meter) Calls() int { return int(m.calls.Load()) }

type meterKey struct{}

// WithMeter returns a context whose requests the meter counts.
func WithMeter(ctx context.Context) (context.Context, *Meter) {
	m := new(Meter)
	return context.WithValue(ctx, meterKey{}, m), m
}

// The headers in which servers announce and count down their rate limit.
var rateHeaders = []string{"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Retry-After"}

// RoundTrip sends the request, again for as long as the server says 429 (such a
// request took no effect), and records the answer.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	isAPI := t.isAPI(req.URL)
	if isAPI && strings.HasSuffix(req.URL.Path, "/ping") {
		return t.answerPing(req), nil
	}
	var waited time.Duration
	for {
		resp, err := t.send(req, isAPI)
		if err != nil || resp.StatusCode != http.StatusTooManyRequests {
			if err == nil {
				t.record(req, resp)
			}
			return resp, err
		}
		pause := t.budget.exceeded(resp.Header, time.Now())
		t.log.Debug("rate limited", "method", req.Method, "path", t.show(req.URL), "wait", pause)
		if waited += pause; waited > t.patient || req.Body != nil && req.GetBody == nil {
			t.record(req, resp)
			// An error, because go-tfe would repeat a 429 thirty times.
			return nil, discard(resp, &Error{Code: RateLimited, Status: resp.StatusCode})
		}
		discard(resp, nil)
		if req, err = again(req); err != nil {
			return nil, err
		}
	}
}

// answerPing answers the request that go-tfe's NewClient makes: it has no
// context, ignores the status, and would cost a call of every command. What it
// is made for, the rate limit and the version, every answer tells.
func (t *transport) answerPing(req *http.Request) *http.Response {
	return &http.Response{
		StatusCode: http.StatusNoContent, Status: "204 No Content", Request: req,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody,
	}
}

// again makes a copy of the request with its body from the start.
func again(req *http.Request) (*http.Request, error) {
	next := req.Clone(req.Context())
	if req.GetBody == nil {
		return next, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	next.Body = body
	return next, nil
}

// discard ends an answer that nobody reads, so that its connection can serve
// the next request.
func discard(resp *http.Response, err error) error {
	_, drained := io.CopyN(io.Discard, resp.Body, mostErrorBody)
	if closed := resp.Body.Close(); err == nil && closed != nil && drained == nil {
		return closed
	}
	return err
}

// send makes one attempt within the rate limit, under a watch that ends it when
// nothing moves.
func (t *transport) send(req *http.Request, isAPI bool) (*http.Response, error) {
	ctx := req.Context()
	if isAPI {
		if err := t.budget.wait(ctx); err != nil {
			return nil, err
		}
		if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
			m.calls.Add(1)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	watch := &watchdog{after: t.stall}
	watch.timer = time.AfterFunc(t.stall, func() {
		cancel(&stalledError{after: t.stall})
	})
	attempt := req.Clone(ctx)
	attempt.Header.Set("User-Agent", t.agent)
	if req.Body != nil && req.Body != http.NoBody {
		attempt.Body = &watchedBody{ReadCloser: req.Body, watch: watch}
	}
	start := time.Now()
	resp, err := t.base.RoundTrip(attempt)
	if err != nil {
		watch.timer.Stop()
		err = cause(ctx, err)
		cancel(nil)
		t.log.Debug("request failed", "method", req.Method, "path", t.show(req.URL), "seconds", time.Since(start).Seconds(), "error", redact(err))
		return nil, err
	}
	t.log.Debug("request", "method", req.Method, "path", t.show(req.URL), "status", resp.StatusCode, "seconds", time.Since(start).Seconds())
	watch.moved()
	resp.Body = &watchedBody{ReadCloser: resp.Body, watch: watch, ctx: ctx, done: func() {
		watch.timer.Stop()
		cancel(nil)
	}}
	if isAPI {
		t.learn(resp.Header)
	}
	return resp, nil
}

// learn takes the rate limit and the server's name from an answer, and hides
// the limit's headers from go-tfe: its own limiter would use two thirds of the
// limit, and a Reset that is no number would end the process.
func (t *transport) learn(h http.Header) {
	t.budget.observe(h)
	if t.about.Load() == nil && h.Get("Tfp-Api-Version") != "" {
		t.about.Store(&About{Product: clean(h.Get("Tfp-Appname")), Release: clean(h.Get("X-Tfe-Version")), API: clean(h.Get("Tfp-Api-Version"))})
	}
}

// record fills the exchange that the request's context carries, if any, and
// bounds what its reader can be made to hold.
func (t *transport) record(req *http.Request, resp *http.Response) {
	x, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if ok {
		x.status, x.header = resp.StatusCode, resp.Header.Clone()
		x.body.Reset()
	}
	for _, name := range rateHeaders {
		if resp.StatusCode != http.StatusTooManyRequests {
			resp.Header.Del(name)
		}
	}
	if !ok {
		return
	}
	body := resp.Body
	if resp.StatusCode >= 300 {
		// go-tfe reads the bodies of some errors and drops those of others. One
		// that breaks off is as good as none.
		_, _ = io.Copy(&x.body, io.LimitReader(body, mostErrorBody))
		resp.Body = readCloser{bytes.NewReader(x.body.Bytes()), body}
		return
	}
	resp.Body = readCloser{io.TeeReader(io.LimitReader(body, mostDocument), &x.body), body}
}

type readCloser struct {
	io.Reader
	io.Closer
}

// isAPI tells whether a URL is the API's, and not a blob store's.
func (t *transport) isAPI(u *url.URL) bool {
	return sameHost(u, t.api) && strings.HasPrefix(u.Path, t.api.Path)
}

// show gives as much of a URL as may be logged: signed URLs are secrets.
func (t *transport) show(u *url.URL) string {
	if t.isAPI(u) {
		return strings.TrimPrefix(u.Path, t.api.Path)
	}
	return "(blob on " + u.Host + ")"
}

func sameHost(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
}

// A stalledError ends a request on whose connection nothing moved for too long.
type stalledError struct{ after time.Duration }

func (e *stalledError) Error() string {
	return fmt.Sprintf("nothing was heard for %s (--timeout)", e.after)
}

// Timeout makes a stalledError one of net.Error's time-outs.
func (e *stalledError) Timeout() bool { return true }

// Temporary completes net.Error.
func (e *stalledError) Temporary() bool { return true }

var _ net.Error = (*stalledError)(nil)

// cause replaces the bare "context canceled" of a request that the watchdog ended.
func cause(ctx context.Context, err error) error {
	if stalled, ok := errors.AsType[*stalledError](context.Cause(ctx)); ok {
		return stalled
	}
	return err
}

// A watchdog ends a request when neither its body nor its answer moves. A bound
// on the whole request would either cut a large state short or let a small
// request hang.
type watchdog struct {
	after time.Duration
	timer *time.Timer
}

func (w *watchdog) moved() { w.timer.Reset(w.after) }

// A watchedBody tells the watchdog of every read.
type watchedBody struct {
	io.ReadCloser
	watch *watchdog
	ctx   context.Context // of an answer's body
	done  func()
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.watch.moved()
	}
	if err != nil && err != io.EOF && b.ctx != nil {
		err = cause(b.ctx, err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	if b.done != nil {
		b.done()
	}
	return err
}

// userinfo matches the name and password of a URL inside a text.
var userinfo = regexp.MustCompile(`//[^/@\s"]*@`)

// redact gives the text of a connection's failure without the URL that net/http
// puts into it (it may be a signed one) and without the password of a proxy.
func redact(err error) string {
	for {
		var u *url.Error
		if !errors.As(err, &u) {
			break
		}
		err = u.Err
	}
	return clean(userinfo.ReplaceAllString(err.Error(), "//…@"))
}
