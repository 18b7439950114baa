package tfe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"

	gotfe "github.com/hashicorp/go-tfe"
	"github.com/hashicorp/jsonapi"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// An outgoing is the document of a request: its size in bytes, and a reader for each
// attempt.
type outgoing struct {
	size int64
	open func(context.Context) io.ReadCloser
}

// written returns a document that is already in memory.
func written(document []byte) *outgoing {
	return &outgoing{int64(len(document)), func(context.Context) io.ReadCloser {
		return io.NopCloser(bytes.NewReader(document))
	}}
}

// jsonAPIOnly is the content type that is sent and accepted. It must not be modified.
var jsonAPIOnly = []string{jsonapi.MediaType}

// send sends a request to the API without go-tfe, whose layers take as much time as
// net/http itself, and decodes the response with read. The path may have a query; doc is
// nil for a request without a body.
func send[T any](ctx context.Context, c *Client, op, method, path string, doc *outgoing, read func([]byte) (T, error)) (T, error) {
	return call(ctx, op, func(ctx context.Context) (T, error) {
		var none T
		req, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
		if err != nil {
			return none, err
		}
		if doc != nil {
			req.ContentLength, req.Body = doc.size, doc.open(ctx)
			req.GetBody = func() (io.ReadCloser, error) { return doc.open(ctx), nil }
		}
		req.Header["Authorization"] = c.bearer
		req.Header["Content-Type"], req.Header["Accept"] = jsonAPIOnly, jsonAPIOnly
		resp, err := c.http.Do(req)
		if err != nil {
			return none, err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return none, err // an incomplete response
		}
		done := resp.StatusCode == http.StatusNoContent && method != http.MethodGet
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated && !done {
			return none, errors.New(resp.Status)
		}
		return read(exchangeOf(ctx).body)
	})
}

// viaGoTFE runs one call of go-tfe.
func viaGoTFE[T any](ctx context.Context, c *Client, op string, do func(context.Context, *gotfe.Client) (T, error)) (T, error) {
	return call(ctx, op, func(ctx context.Context) (T, error) {
		client, err := c.goTFE.get(ctx, c)
		if err != nil {
			var none T
			return none, err
		}
		return do(ctx, client)
	})
}

// A lazyGoTFE makes the go-tfe client when it is first used, because making it costs a
// request: most commands need only send.
type lazyGoTFE struct {
	mu     sync.Mutex
	client *gotfe.Client
}

// get returns the client. The request that makes it has no context and sets a limit of two
// thirds of the announced rate. Here it gets ctx, and no limit: the transport has one.
func (l *lazyGoTFE) get(ctx context.Context, c *Client) (*gotfe.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client != nil {
		return l.client, nil
	}
	hc := *c.http
	hc.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := c.wire.RoundTrip(req.WithContext(new(exchange).with(ctx)))
		if err == nil {
			resp.Header.Del("X-Ratelimit-Limit")
		}
		return resp, err
	})
	client, err := gotfe.NewClient(&gotfe.Config{
		Address: c.api.Scheme + "://" + c.api.Host, BasePath: c.api.Path, Token: c.token, HTTPClient: &hc,
	})
	if err != nil {
		return nil, err
	}
	hc.Transport = c.wire
	l.client = client
	return client, nil
}

// A roundTripper is a function that sends requests.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// blob sends a request to an address that the server gave: for bytes, or with them if there
// is a body. The token is sent only with a GET to the API's own host: servers that serve
// downloads themselves need it, but blob stores must not see it. The caller closes the
// response's body, and reports its failures with the exchange.
func (c *Client) blob(ctx context.Context, op, address string, body *Body) (*http.Response, *exchange, error) {
	at, err := c.blobURL(address)
	if err != nil {
		return nil, nil, &Error{Op: op, Code: Rejected, Err: err}
	}
	x := &exchange{blob: true, signed: body != nil || !sameHost(at, c.api), host: at.Host}
	ctx = x.with(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, nil, &Error{Op: op, Code: Rejected, Err: plainwords.WithoutURL(err)}
	}
	if body != nil {
		req.Method, req.Body, req.ContentLength = http.MethodPut, body.reader(ctx), body.Size
		req.GetBody = func() (io.ReadCloser, error) { return body.reader(ctx), nil }
		req.Header.Set("Content-Type", "application/octet-stream")
	} else {
		req.Header.Set("Accept", "*/*")
		// Otherwise net/http would request gzip and silently unpack it.
		req.Header.Set("Accept-Encoding", "identity")
	}
	if !x.signed {
		req.Header["Authorization"] = c.bearer
	}
	resp, err := c.blobs.Do(req)
	if err == nil && resp.StatusCode >= 300 {
		discard(resp)
		err = errors.New(resp.Status)
	}
	if err != nil {
		return nil, nil, x.failure(op, err)
	}
	return resp, x, nil
}

// blobURL resolves a URL for bytes: signed URLs are absolute, but some servers send a path
// of their own.
func (c *Client) blobURL(address string) (*url.URL, error) {
	if address == "" {
		return nil, errors.New("the server sent no URL for the bytes")
	}
	u, err := c.api.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errors.New("the server sent an invalid URL for the bytes")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && backend.IsLoopback(u.Hostname())) {
		return nil, errors.New("the server sent an unencrypted URL for the bytes")
	}
	return u, nil
}

// call runs one call and turns its failure, as seen on the wire, into an *Error. do gets
// the response from exchangeOf. A panic while decoding it is a failure, too: the JSON:API
// library assumes the shape of some parts of a document.
func call[T any](ctx context.Context, op string, do func(context.Context) (T, error)) (result T, err error) {
	x := new(exchange)
	defer func() {
		if x.status != 0 && recover() != nil {
			err = x.failure(op, errNoDocument)
		}
	}()
	result, err = do(x.with(ctx))
	if err == nil && x.status >= 300 { // go-tfe treats a redirect as success
		err = errRedirected
	}
	return result, x.failure(op, err)
}

var errRedirected = errors.New("the server redirects this request, and tfhaul does not follow: " +
	"the token must not go to another host, and a write must be sent only once")

// failure returns an *Error for what went wrong, or nil.
func (x *exchange) failure(op string, err error) error {
	if err == nil {
		return nil
	}
	if unsent, ok := errors.AsType[*unsentError](err); ok {
		return &Error{Op: op, Code: Withheld, Err: unsent.err}
	}
	if known, ok := errors.AsType[*Error](err); ok { // made by the transport
		known.Op = op
		return known
	}
	if source, ok := errors.AsType[*backend.SourceError](err); ok {
		// The end of the body was withheld, so the request took no effect.
		return &Error{Op: op, Code: backend.Unreachable, Err: source}
	}
	if x.status == 0 { // no response
		e := &Error{Op: op, Code: backend.Ambiguous, Err: plainwords.WithoutURL(err)}
		if op, ok := errors.AsType[*net.OpError](err); !x.left.Load() || ok && op.Op == "dial" {
			e.Code = backend.Unreachable
		}
		return e
	}
	e := &Error{Op: op, Status: x.status, Details: detailsOf(x.body, x.bearer), TokenFrom: x.tokenFrom}
	code, known := refusalIn(e.Details)
	if e.Code = code; code == "" {
		e.Code = codeOf(x.status)
	}
	if code == "" && x.signed {
		// The host of a signed URL knows neither tokens nor serials.
		switch e.Code {
		case backend.Unauthorized, backend.ForbiddenOrMissing, backend.Stale, backend.Malformed:
			e.Code = Rejected
		}
	}
	if x.blob {
		// It was sent a state or a secret URL and may repeat either, so show only known
		// texts.
		e.Details = nil
		if known != "" {
			e.Details = []string{known}
		}
	}
	switch {
	case x.status < 300:
		e.Err = &unusableError{x.status, plainwords.WithoutURL(err)}
	case x.status < 400:
		e.Err = errRedirected
	case x.signed && isPage(x.body):
		e.Err = fmt.Errorf("%s answered %d with a web page, probably from a proxy or firewall that blocks the request", clean(x.host), x.status)
	case x.signed && e.Code == Rejected && len(e.Details) == 0:
		e.Err = fmt.Errorf("the host of the signed URL answered %d: the URL has expired or was already used", x.status)
	}
	return e
}

// isPage reports whether a response is a web page rather than a blob store's XML.
func isPage(body []byte) bool {
	body = bytes.ToLower(bytes.TrimSpace(body))
	return bytes.HasPrefix(body, []byte("<!doctype html")) || bytes.HasPrefix(body, []byte("<html"))
}
