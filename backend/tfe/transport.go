package tfe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
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
	// tokenFrom is where the token came from.
	tokenFrom string
	log       *slog.Logger
	about     atomic.Pointer[About]
	silence   silenceWatch
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
	// mostBelieved is up to which announced length memory is taken at once.
	mostBelieved = 1 << 20
)

// An exchange is what one call learnt from the wire. It travels in the context
// of a request, through go-tfe.
type exchange struct {
	status int
	body   bytes.Buffer // of a document or an error, not of a blob
	bearer string       // that was sent: never shown
	// tokenFrom is where the bearer came from, which may be shown.
	tokenFrom string

	// blob says that the address is a secret and the answer's body a state's bytes.
	blob bool
	// signed says that the address is all that is needed, without a token.
	signed bool
	// host is where a blob is.
	host string
	// left says that a request may have reached the server.
	left atomic.Bool
}

type exchangeKey struct{}

// with returns a context whose next request fills the exchange.
func (x *exchange) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

// exchangeOf gives the exchange that a request's context carries, or one that
// nobody reads.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return new(exchange)
}

// The headers in which servers announce and count down their rate limit.
var rateHeaders = []string{"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Retry-After"}

// RoundTrip sends the request, again for as long as the server says 429 (such a
// request took no effect), and records the answer.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	isAPI := t.isAPI(req.URL)
	if isAPI && req.URL.Path == t.api.Path+"ping" {
		return t.answerPing(req), nil
	}
	x := exchangeOf(req.Context())
	if sent := req.Header.Get("Authorization"); sent != "" {
		x.bearer, x.tokenFrom = strings.TrimPrefix(sent, "Bearer "), t.tokenFrom
	}
	waits, sent := untilSent(req.Context())
	defer sent()
	var limited time.Time // since when the server says 429
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
		x.left.Store(false) // a request that is refused so took no effect
		t.note(req, x, "rate limited", "wait", pause)
		discard(resp)
		if now.Add(pause).Sub(limited) > t.patient || req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
			x.status = resp.StatusCode
			// An error, because go-tfe would repeat a 429 thirty times.
			return nil, &Error{Code: RateLimited, Status: resp.StatusCode}
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

// CloseIdleConnections has the network underneath close what nobody uses.
func (t *transport) CloseIdleConnections() {
	if network, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		network.CloseIdleConnections()
	}
}

// answerPing answers the request that go-tfe's NewClient makes: that has no
// context, ignores the status, and would cost every command a call. What it is
// made for, the rate limit and the version, every answer tells.
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
func discard(resp *http.Response) {
	// What cannot be drained is closed with its connection.
	_, _ = io.CopyN(io.Discard, resp.Body, mostErrorBody)
	_ = resp.Body.Close()
}

// send makes one attempt within the rate limit, under a watch that ends it when
// nothing moves. It waits for the rate limit under waits.
func (t *transport) send(waits context.Context, req *http.Request, isAPI bool, x *exchange) (*http.Response, error) {
	ctx := req.Context()
	if err := t.ready(waits, ctx, isAPI); err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // nothing was read of it
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
	if !x.blob {
		watch.bound(documentPatience * t.stall)
	}
	watch.moved()
	resp.Body = &watchedBody{ReadCloser: resp.Body, watch: watch, ctx: ctx, done: func() {
		forget()
		watch.stop()
		cancel(nil)
	}}
	if isAPI {
		t.learn(resp.Header)
	}
	return resp, nil
}

// ready waits for the rate limit under waits, and then makes the check that ctx carries.
func (t *transport) ready(waits, ctx context.Context, isAPI bool) error {
	if isAPI {
		if err := t.budget.wait(waits, t.patient, isUrgent(ctx)); err != nil {
			return err
		}
	}
	return checkSending(ctx)
}

// trace notes in the exchange when a request gets a connection: before that it
// cannot have taken effect. A transport that is not net/http's own tells nothing.
func (t *transport) trace(ctx context.Context, x *exchange) context.Context {
	if _, ok := t.base.(*http.Transport); !ok {
		x.left.Store(true)
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { x.left.Store(true) },
	})
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

// record fills the exchange, and bounds what its reader can be made to hold. It
// reads documents and errors to their ends: go-tfe reads neither the bodies of
// some errors nor what follows a document, and then the connection could not
// serve the next request.
func (t *transport) record(resp *http.Response, x *exchange) {
	x.status = resp.StatusCode
	x.body.Reset()
	for _, name := range rateHeaders {
		resp.Header.Del(name)
	}
	most := int64(mostDocument)
	switch {
	case resp.StatusCode >= 300:
		most = mostErrorBody
	case x.blob:
		return
	}
	if known := resp.ContentLength; known > 0 && known <= mostBelieved {
		x.body.Grow(int(known) + bytes.MinRead)
	}
	n, err := io.Copy(&x.body, io.LimitReader(resp.Body, most))
	if err == nil && n == most && resp.StatusCode < 300 {
		err = fmt.Errorf("the answer is larger than %d MiB", most>>20)
	}
	if err != nil {
		// Half a document is none; of an error, the status has to do.
		x.body.Reset()
		resp.Body = readCloser{failingReader{err}, resp.Body}
		return
	}
	resp.Body = readCloser{bytes.NewReader(x.body.Bytes()), resp.Body}
}

type readCloser struct {
	io.Reader
	io.Closer
}

// A failingReader gives the error that ended the reading before.
type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// isAPI tells whether a URL is the API's, and not a blob store's. Some servers give state at
// /api/state-versions, beside /api/v2, and count that, too.
func (t *transport) isAPI(u *url.URL) bool {
	return sameHost(u, t.api) && strings.HasPrefix(u.Path, strings.TrimSuffix(t.api.Path, "v2/"))
}

// note logs what became of a request.
func (t *transport) note(req *http.Request, x *exchange, what string, more ...any) {
	t.log.Debug(what, append([]any{"method", req.Method, "path", t.show(req.URL, x)}, more...)...)
}

// show gives as much of a URL as may be logged: signed URLs are secrets.
func (t *transport) show(u *url.URL, x *exchange) string {
	if t.isAPI(u) && !x.blob {
		return strings.TrimPrefix(u.Path, t.api.Path)
	}
	return "(blob on " + u.Host + ")"
}

// sameHost tells whether two URLs lead to the same server, by scheme, name and port.
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

// A stalledError ends a request on whose connection nothing moved for too long, or
// whose answer does not come to an end.
type stalledError struct {
	after time.Duration
	drips bool // the answer comes, and does not end
}

func (e *stalledError) Error() string {
	if e.drips {
		return fmt.Sprintf("the answer was not complete after %s", e.after)
	}
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
	after atomic.Int64 // a time.Duration
	timer *time.Timer
	over  atomic.Bool
	most  atomic.Pointer[deadline] // nil: for as long as it moves
}

// A deadline is when something has to be over, and how long that is.
type deadline struct {
	at  time.Time
	all time.Duration
}

// documentPatience is within how many times the watchdog's time a document has to
// be there whole: one that drips would hold a request for ever. A state may, over a
// slow link.
const documentPatience = 5

func startWatchdog(after time.Duration, end func(*stalledError)) *watchdog {
	w := new(watchdog)
	w.after.Store(int64(after))
	w.timer = time.AfterFunc(after, func() {
		if d := w.most.Load(); d != nil && !time.Now().Before(d.at) {
			end(&stalledError{after: d.all, drips: true})
			return
		}
		end(&stalledError{after: time.Duration(w.after.Load())})
	})
	return w
}

// bound has all be over after some time, whether it moves or not.
func (w *watchdog) bound(all time.Duration) {
	w.most.Store(&deadline{time.Now().Add(all), all})
}

func (w *watchdog) moved() {
	if w.over.Load() {
		return
	}
	after := time.Duration(w.after.Load())
	if d := w.most.Load(); d != nil {
		after = min(after, time.Until(d.at))
	}
	w.timer.Reset(after)
}

func (w *watchdog) stop() {
	w.over.Store(true)
	w.timer.Stop()
}

// watchUpload tells the watchdog of what is read of a request's body, and closes
// it when the request ends: net/http waits for a Read that is under way, and one
// of a source that has stopped would not return.
func watchUpload(ctx context.Context, body io.ReadCloser, watch *watchdog) io.ReadCloser {
	if p, ok := body.(interface{ onProgress(moved func()) }); ok {
		p.onProgress(watch.moved)
	}
	forget := context.AfterFunc(ctx, func() {
		_ = body.Close() // for its effect on Read; net/http closes it, too
	})
	return &watchedBody{ReadCloser: body, watch: watch, done: func() { forget() }}
}

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
