// Package tfe is HCP Terraform and Terraform Enterprise as tfhaul uses them:
// workspaces, their locks and their state versions, with an error type for every
// answer that somebody has to decide on. It stands on go-tfe where go-tfe is
// good, and streams states itself, because go-tfe holds them in memory several
// times over. It does not decide anything: what may be overwritten, when to wait
// and when to give up is the business of its callers.
package tfe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	gotfe "github.com/hashicorp/go-tfe"

	"tfhaul/backend"
)

// Options say how to reach a target.
type Options struct {
	// API is the address of the API, such as https://app.terraform.io/api/v2/.
	API *url.URL
	// Host is how the user addresses the server, such as tfe.example.com: the API may
	// be on another host. "" means the API's own.
	Host string
	// Token authenticates; it goes to the API's own host and to no other.
	Token string
	// TokenFrom is where the token came from, for the error of a server that does not accept
	// it; may be empty.
	TokenFrom string
	// TLS holds the authorities to trust; nil means the system's.
	TLS *tls.Config
	// Rate bounds the requests a second, if not 0; the server's own limit holds besides.
	Rate float64
	// Timeout ends a request on which nothing moved for so long; 0 means 60 s.
	Timeout time.Duration
	// Connections is how many requests may run at once without a handshake each; 0 means 16.
	Connections int
	// UserAgent names the program to the server.
	UserAgent string
	// Logger receives a line a request at level Debug, without any secret; nil drops them.
	Logger *slog.Logger
	// Transport replaces the network underneath, for tests; nil means TCP with proxies from the environment.
	Transport http.RoundTripper
}

// A Client speaks with one host under one token. It is safe for use by many
// goroutines, which share its rate limit.
type Client struct {
	host   string
	api    *url.URL
	base   string // api, with a slash at its end
	token  string
	bearer []string     // the token as a header has it; not to be changed
	http   *http.Client // for the API
	blobs  *http.Client // for signed URLs
	wire   *transport
	tfe    *gotfe.Client
}

const (
	defaultTimeout     = 60 * time.Second
	defaultConnections = 16
	// patience is how long in all one request waits for the rate limit, however
	// often the server says 429.
	patience = 5 * time.Minute
)

// New prepares a client. It makes no request: a wrong address or token shows at
// the first.
func New(o Options) (*Client, error) {
	if o.API == nil || o.API.Host == "" {
		return nil, errors.New("the address of the API is missing")
	}
	if o.API.Scheme != "https" && o.API.Scheme != "http" {
		return nil, fmt.Errorf("the address of the API has the scheme %q: use https", o.API.Scheme)
	}
	if o.API.Scheme != "https" && !isLoopback(o.API.Hostname()) {
		return nil, errors.New("the token would travel unencrypted to " + o.API.Host + ": use https")
	}
	if strings.TrimSpace(o.Token) == "" {
		return nil, errors.New("the token is missing")
	}
	if strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token holds blanks or characters that no token has: was more copied than the token?")
	}
	o = o.withDefaults()
	c := &Client{host: o.Host, api: o.API, base: o.API.String(), token: o.Token, bearer: []string{"Bearer " + o.Token}}
	c.wire = &transport{
		base: o.Transport, api: o.API, budget: newBudget(o.Rate), stall: o.Timeout, tokenFrom: o.TokenFrom,
		patient: patience, agent: o.UserAgent, log: o.Logger,
	}
	c.http = &http.Client{Transport: c.wire, CheckRedirect: c.stayAtHome}
	c.blobs = &http.Client{Transport: c.wire, CheckRedirect: withoutDowngrade}
	var err error
	c.tfe, err = gotfe.NewClient(&gotfe.Config{
		Address:    o.API.Scheme + "://" + o.API.Host,
		BasePath:   o.API.Path,
		Token:      o.Token,
		HTTPClient: c.http,
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (o Options) withDefaults() Options {
	api := *o.API
	if !strings.HasSuffix(api.Path, "/") {
		api.Path += "/"
	}
	o.API = &api
	if o.Host == "" {
		o.Host = api.Host
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Connections <= 0 {
		o.Connections = defaultConnections
	}
	if o.UserAgent == "" {
		o.UserAgent = "tfhaul"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:       o.TLS,
			TLSHandshakeTimeout:   o.Timeout,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   o.Connections,
			IdleConnTimeout:       90 * time.Second,
			ExpectContinueTimeout: time.Second,
			// A connection that has died in silence must not get the next request, too.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
			// States are sent and compared as they are.
			DisableCompression: true,
			// No header of a real answer comes near it.
			MaxResponseHeaderBytes: 1 << 20,
		}
	}
	return o
}

// Close ends the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Host is the server as the user addresses it.
func (c *Client) Host() string { return c.host }

// About tells what the server said of itself so far; the zero value before the
// first answer.
func (c *Client) About() About {
	if a := c.wire.about.Load(); a != nil {
		return *a
	}
	return About{}
}

// stayAtHome follows a redirect of the API only when nothing is sent along but
// a question to the same host: the bearer must reach no other, and what writes
// is not done twice.
func (c *Client) stayAtHome(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 || via[0].Method != http.MethodGet || !sameHost(req.URL, c.api) {
		return http.ErrUseLastResponse
	}
	return nil
}

// withoutDowngrade follows the redirects of a blob store, never from https to
// http, and never with the bearer: net/http would keep it for another port of
// the same host.
func withoutDowngrade(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 || via[0].Method != http.MethodGet || via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return http.ErrUseLastResponse
	}
	if !sameHost(req.URL, via[0].URL) {
		req.Header.Del("Authorization")
		// It answers as a blob store, whatever sent us there.
		x := exchangeOf(req.Context())
		x.signed, x.host = true, req.URL.Host
	}
	return nil
}

// isLoopback tells whether a host name is this machine's own, so that plain http is safe.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// answers lends the memory that answers are read into.
var answers = sync.Pool{New: func() any { return new([]byte) }}

// mostKept bounds, in bytes, what memory of an answer is kept for the next.
const mostKept = 128 << 10

// call runs one call and turns what the wire saw of a failure into an *Error. The
// answer, which exchangeOf gives, is there until do returns, and no longer.
func call[T any](ctx context.Context, op string, do func(context.Context) (T, error)) (T, error) {
	lent := answers.Get().(*[]byte)
	x := &exchange{body: *bytes.NewBuffer((*lent)[:0])}
	defer func() {
		if x.body.Cap() <= mostKept {
			x.body.Reset()
			*lent = x.body.Bytes()
			answers.Put(lent)
		}
		x.body = bytes.Buffer{}
	}()
	result, err := readable(x, func() (T, error) { return do(x.with(ctx)) })
	if err == nil && x.status >= 300 { // go-tfe takes a redirect for success
		err = errRedirected
	}
	return result, x.failure(op, err)
}

// readable turns a panic over an answer into an error: the JSON:API library
// trusts the shape of some parts of a document.
func readable[T any](x *exchange, do func() (T, error)) (result T, err error) {
	defer func() {
		if x.status == 0 {
			return // no answer was at fault
		}
		if recover() != nil {
			err = errors.New("it is not a document as the API describes it")
		}
	}()
	return do()
}

var errRedirected = errors.New("the server redirects this request to another place, where it is not followed: " +
	"the token goes to no other host, and what writes is sent once")

// failure makes an *Error of what went wrong, or returns nil.
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
		// The end of the body was withheld, so that the request took no effect.
		return &Error{Op: op, Code: Unreachable, Err: source}
	}
	if x.status == 0 { // there was no answer
		e := &Error{Op: op, Code: Ambiguous, Err: withoutURL(err)}
		if op, ok := errors.AsType[*net.OpError](err); !x.left.Load() || ok && op.Op == "dial" {
			e.Code = Unreachable
		}
		return e
	}
	e := &Error{Op: op, Status: x.status, Details: detailsOf(x.body.Bytes(), x.bearer)}
	e.Code, e.TokenFrom = classify(x.status, e.Details), x.tokenFrom
	if x.signed {
		e.Code = classifySigned(x.status, e.Details)
	}
	if x.blob {
		// It was sent a state, or a secret address, and may repeat either: of its
		// texts, only those are shown that are known.
		_, known := refusalIn(e.Details)
		e.Details = nil
		if known != "" {
			e.Details = []string{known}
		}
	}
	switch {
	case x.status < 300:
		e.Err = &unusableError{x.status, withoutURL(err)}
	case x.status < 400:
		e.Err = errRedirected
	case x.signed && isPage(x.body.Bytes()):
		e.Err = fmt.Errorf("%s answered %d with a web page, as a proxy or a firewall does that blocks the request", clean(x.host), x.status)
	case x.signed && e.Code == Rejected && len(e.Details) == 0:
		e.Err = fmt.Errorf("the host of the signed address answered %d: the address has expired, or was used before", x.status)
	}
	return e
}
