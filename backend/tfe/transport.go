package tfe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// transport carries every request of a Client, both go-tfe's and our own. It applies the
// rate limit, waits after a 429, ends requests that stall, counts them, and records the
// responses, because go-tfe drops the status and the error objects of most.
type transport struct {
	base    http.RoundTripper
	api     *url.URL // URLs below it are the API's; all others are a blob store's
	budget  *budget
	stall   time.Duration
	patient time.Duration // how long one request waits in total for the rate limit
	agent   string
	// tokenFrom is where the token came from.
	tokenFrom string
	log       *slog.Logger
	product   atomic.Pointer[string]
	silence   silenceWatch
}

// Limits on how much of a response is read into memory, so that a malicious or broken
// server cannot fill it. A page of 100 workspaces is a few hundred KB.
const (
	maxDocument  = 32 << 20
	maxErrorBody = 64 << 10
)

// An exchange is what one call learned from the wire. It travels in the context of a
// request, through go-tfe.
type exchange struct {
	status int
	body   []byte // of a document or an error, not of a blob
	bearer string // the token sent: never shown
	// tokenFrom is where the token came from, which may be shown.
	tokenFrom string

	// blob means that the URL is secret and the response's body is a state.
	blob bool
	// signed means that the URL needs no token.
	signed bool
	// host is the host of a blob.
	host string
	// left means that a request may have reached the server.
	left atomic.Bool
}

type exchangeKey struct{}

// with returns a context whose next request fills in the exchange.
func (x *exchange) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

// exchangeOf returns the exchange in a request's context, or a new one.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return new(exchange)
}

// RoundTrip sends the request, repeats it as long as the server answers 429 (which means it
// took no effect), and records the response.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	isAPI := t.isAPI(req.URL)
	x := exchangeOf(req.Context())
	if sent := req.Header.Get("Authorization"); sent != "" {
		x.bearer, x.tokenFrom = strings.TrimPrefix(sent, "Bearer "), t.tokenFrom
	}
	waits, sent := untilSent(req.Context())
	defer sent()
	var limited time.Time // when the first 429 arrived
	for refusals := 0; ; refusals++ {
		resp, err := t.send(waits, req, isAPI, x)
		if isAPI {
			t.silence.observe(req, resp, err)
		}
		if err != nil {
			x.status = 0
			return nil, err
		}
		if resp.StatusCode != http.StatusTooManyRequests {
			t.record(resp, x)
			return resp, nil
		}
		now := time.Now()
		if limited.IsZero() {
			limited = now
		}
		pause := pauseOf(resp.Header, refusals)
		x.left.Store(false) // a request refused in this way took no effect
		t.note(req, x, "rate limited", "wait", pause)
		discard(resp)
		if now.Add(pause).Sub(limited) > t.patient || req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
			x.status = resp.StatusCode
			// Return an error, because go-tfe would repeat a 429 thirty times.
			return nil, &Error{Code: backend.RateLimited, Status: resp.StatusCode}
		}
		if isAPI {
			t.budget.holdBack(now.Add(pause))
		} else if lockwait.Sleep(waits, pause) != nil {
			return nil, context.Cause(waits)
		}
		if req, err = again(req); err != nil {
			return nil, err
		}
	}
}

// CloseIdleConnections closes idle connections of the underlying transport.
func (t *transport) CloseIdleConnections() {
	if network, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		network.CloseIdleConnections()
	}
}

// again returns a copy of the request with its body from the beginning.
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

// discard drains an unneeded response, so that its connection can be reused.
func discard(resp *http.Response) {
	// If it cannot be drained, closing it closes the connection.
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBody)
	_ = resp.Body.Close()
}

// send makes one attempt, within the rate limit and under a watchdog. It waits for the rate
// limit under waits.
func (t *transport) send(waits context.Context, req *http.Request, isAPI bool, x *exchange) (*http.Response, error) {
	ctx := req.Context()
	if err := t.ready(waits, ctx, isAPI); err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // nothing was read
		}
		return nil, err
	}
	if isAPI {
		backend.CountRequest(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	watch := startWatchdog(t.stall, func(stalled *stalledError) { cancel(stalled) })
	forget := watch.hurryAfterStop(ctx)
	attempt := req.WithContext(t.trace(ctx, x))
	attempt.Header = req.Header.Clone()
	attempt.Header.Set("User-Agent", t.agent)
	if req.Body != nil && req.Body != http.NoBody {
		attempt.Body = watchUpload(ctx, req.Body, watch)
	}
	if req.GetBody != nil {
		attempt.GetBody = func() (io.ReadCloser, error) {
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			return watchUpload(ctx, body, watch), nil
		}
	}
	start := time.Now()
	resp, err := t.base.RoundTrip(attempt)
	if err != nil {
		forget()
		watch.stop()
		err = cause(ctx, err)
		cancel(nil)
		t.note(req, x, "request failed", "seconds", time.Since(start).Seconds(), "error", redact(err))
		return nil, err
	}
	if t.log.Enabled(ctx, slog.LevelDebug) {
		t.note(req, x, "request", "status", resp.StatusCode, "seconds", time.Since(start).Seconds())
	}
	drips := func() bool { return false }
	if all := documentPatience * t.stall; !x.blob {
		drips = time.AfterFunc(all, func() { cancel(&stalledError{after: all, drips: true}) }).Stop
	}
	watch.moved()
	resp.Body = &watchedBody{ReadCloser: resp.Body, watch: watch, ctx: ctx, done: func() {
		drips()
		forget()
		watch.stop()
		cancel(nil)
	}}
	if isAPI {
		t.budget.observe(resp.Header)
		if name := clean(resp.Header.Get("Tfp-Appname")); name != "" && t.product.Load() == nil {
			t.product.Store(&name)
		}
	}
	return resp, nil
}

// ready waits for the rate limit under waits, and then calls the check in ctx.
func (t *transport) ready(waits, ctx context.Context, isAPI bool) error {
	if isAPI {
		if err := t.budget.wait(waits, t.patient, isUrgent(ctx)); err != nil {
			return err
		}
	}
	return checkSending(ctx)
}

// trace records in the exchange when a request gets a connection: before that it cannot
// have taken effect. Only net/http's own transport reports it.
func (t *transport) trace(ctx context.Context, x *exchange) context.Context {
	if _, ok := t.base.(*http.Transport); !ok {
		x.left.Store(true)
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { x.left.Store(true) },
	})
}

// record fills in the exchange, and limits how much a response can make its reader hold. It
// reads documents and errors completely: go-tfe reads neither the bodies of some errors nor
// what follows a document, so the connection could not be reused.
func (t *transport) record(resp *http.Response, x *exchange) {
	x.status, x.body = resp.StatusCode, nil
	most := int64(maxDocument)
	switch {
	case resp.StatusCode >= 300:
		most = maxErrorBody
	case x.blob:
		return
	}
	var read bytes.Buffer
	// A length that is announced saves growing the buffer; of a large one, only its beginning.
	read.Grow(int(min(max(resp.ContentLength, 0), maxErrorBody)) + bytes.MinRead)
	_, err := read.ReadFrom(io.LimitReader(resp.Body, most))
	body := read.Bytes()
	if err == nil && int64(len(body)) == most && resp.StatusCode < 300 {
		err = fmt.Errorf("the response is larger than %d MiB", most>>20)
	}
	_ = resp.Body.Close() // its error would be that of the last Read
	if err != nil {
		// An incomplete document is useless; of an incomplete error, the status has to do.
		resp.Body = io.NopCloser(failingReader{err})
		return
	}
	x.body = body
	resp.Body = io.NopCloser(bytes.NewReader(body))
}

// A failingReader returns an earlier read error.
type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// isAPI reports whether a URL is the API's rather than a blob store's. Some servers serve
// state below /api/state-versions, beside /api/v2, and count those requests, too.
func (t *transport) isAPI(u *url.URL) bool {
	return sameHost(u, t.api) && strings.HasPrefix(u.Path, strings.TrimSuffix(t.api.Path, "v2/"))
}

// note logs the result of a request.
func (t *transport) note(req *http.Request, x *exchange, what string, more ...any) {
	t.log.Debug(what, append([]any{"method", req.Method, "path", t.show(req.URL, x)}, more...)...)
}

// show returns the part of a URL that may be logged: signed URLs are secret.
func (t *transport) show(u *url.URL, x *exchange) string {
	if t.isAPI(u) && !x.blob {
		return strings.TrimPrefix(u.Path, t.api.Path)
	}
	return "(blob on " + u.Host + ")"
}

// sameHost reports whether two URLs have the same scheme, host name and port.
func sameHost(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// A stalledError ends a request that made no progress for too long, or whose response does
// not end.
type stalledError struct {
	after time.Duration
	drips bool // the response makes progress but does not end
}

func (e *stalledError) Error() string {
	if e.drips {
		return fmt.Sprintf("the response was not complete after %s", e.after)
	}
	return fmt.Sprintf("no data for %s (--timeout)", e.after)
}

// cause replaces the plain "context canceled" of a request that the watchdog ended.
func cause(ctx context.Context, err error) error {
	if stalled, ok := errors.AsType[*stalledError](context.Cause(ctx)); ok {
		return stalled
	}
	return err
}

// A watchdog ends a request when neither its body nor its response makes progress. A limit
// on the whole request would either cut off a large state or let a small request hang.
type watchdog struct {
	after atomic.Int64 // a time.Duration
	timer *time.Timer
	over  atomic.Bool
}

// documentPatience is how many times the watchdog's time a whole document may take: one
// that drips would hold a request forever. A state may take longer, over a slow link.
const documentPatience = 5

func startWatchdog(after time.Duration, end func(*stalledError)) *watchdog {
	w := new(watchdog)
	w.after.Store(int64(after))
	w.timer = time.AfterFunc(after, func() { end(&stalledError{after: time.Duration(w.after.Load())}) })
	return w
}

func (w *watchdog) moved() {
	if !w.over.Load() {
		w.timer.Reset(time.Duration(w.after.Load()))
	}
}

func (w *watchdog) stop() {
	w.over.Store(true)
	w.timer.Stop()
}

// watchUpload reports reads of a request's body to the watchdog, and closes the body when
// the request ends: net/http waits for a running Read, and one from a source that has
// stopped would not return.
func watchUpload(ctx context.Context, body io.ReadCloser, watch *watchdog) io.ReadCloser {
	if p, ok := body.(interface{ onProgress(moved func()) }); ok {
		p.onProgress(watch.moved)
	}
	forget := context.AfterFunc(ctx, func() {
		_ = body.Close() // for its effect on Read; net/http closes it, too
	})
	return &watchedBody{ReadCloser: body, watch: watch, done: func() { forget() }}
}

// A watchedBody reports every read to the watchdog.
type watchedBody struct {
	io.ReadCloser
	watch *watchdog
	ctx   context.Context // of a response's body
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
