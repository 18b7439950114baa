// Package tfe talks to HCP Terraform and Terraform Enterprise: workspaces, their locks,
// state versions, configurations and runs. It has an error code for every answer that a
// caller must handle. go-tfe sends the requests about runs, plans, configurations and
// Terraform versions (viaGoTFE). The requests of every move are sent without it (send),
// because it holds several copies of a state in memory. The package makes no decisions:
// what to overwrite, and when to wait or give up, is up to its callers.
package tfe

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tfhaul/backend"
)

// Options configure a client.
type Options struct {
	// API is the URL of the API, such as https://app.terraform.io/api/v2/.
	API *url.URL
	// Host is how the user names the server, such as tfe.example.com; the API may be on
	// another host. "" means the API's host.
	Host string
	// Token is sent only to the API's own host.
	Token string
	// TokenFrom is where the token came from, for the error of a server that rejects it;
	// may be empty.
	TokenFrom string
	// TLS holds the trusted authorities; nil means the system's.
	TLS *tls.Config
	// Rate limits the requests per second, if not 0; the server's limit still applies.
	Rate float64
	// Timeout ends a request after this long without progress; 0 means 60 s.
	Timeout time.Duration
	// Connections is how many connections are kept open for concurrent requests; 0 means
	// 16.
	Connections int
	// UserAgent identifies the program to the server.
	UserAgent string
	// Logger receives one line per request at level Debug, without secrets; nil discards
	// them.
	Logger *slog.Logger
	// Transport replaces the network in tests; nil means TCP with the proxies from the
	// environment.
	Transport http.RoundTripper
}

// A Client talks to one host with one token. It is safe for concurrent use; all callers
// share one rate limit.
type Client struct {
	host   string
	api    *url.URL
	base   string // ends in a slash
	token  string
	bearer []string     // the Authorization header; read-only
	http   *http.Client // for the API
	blobs  *http.Client // for signed URLs
	wire   *transport
	goTFE  lazyGoTFE
}

const (
	defaultTimeout     = 60 * time.Second
	defaultConnections = 16
	// patience is how long one request waits in total for the rate limit, however often the
	// server answers 429.
	patience = 5 * time.Minute
)

// New returns a client. It sends no requests: a wrong address or token shows up in the
// first one.
func New(o Options) (*Client, error) {
	if o.API == nil || o.API.Host == "" {
		return nil, errors.New("the API address is missing")
	}
	if o.API.Scheme != "https" && o.API.Scheme != "http" {
		return nil, fmt.Errorf("the API address has the scheme %q: use https", o.API.Scheme)
	}
	if o.API.Scheme != "https" && !backend.IsLoopback(o.API.Hostname()) {
		return nil, errors.New("the token would be sent unencrypted to " + o.API.Host + ": use https")
	}
	if strings.TrimSpace(o.Token) == "" {
		return nil, errors.New("the token is missing")
	}
	if strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token contains spaces or other invalid characters: was more than the token copied?")
	}
	o = o.withDefaults()
	c := &Client{host: o.Host, api: o.API, base: o.API.String(), token: o.Token, bearer: []string{"Bearer " + o.Token}}
	c.wire = &transport{
		base: o.Transport, api: o.API, budget: newBudget(o.Rate), stall: o.Timeout, tokenFrom: o.TokenFrom,
		patient: patience, agent: o.UserAgent, log: o.Logger,
	}
	c.http = &http.Client{Transport: c.wire, CheckRedirect: c.sameHostReadsOnly}
	c.blobs = &http.Client{Transport: c.wire, CheckRedirect: withoutDowngrade}
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
			// A dead connection must not be reused for the next request.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
			// States are sent and compared as they are.
			DisableCompression: true,
			// No genuine header comes close to this.
			MaxResponseHeaderBytes: 1 << 20,
		}
	}
	return o
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Host returns the server as the user names it.
func (c *Client) Host() string { return c.host }

// Product returns what the server calls itself: "HCP Terraform" or "Terraform Enterprise", or
// "" if it does not say so or has not responded yet.
func (c *Client) Product() string {
	if name := c.wire.product.Load(); name != nil {
		return *name
	}
	return ""
}

// sameHostReadsOnly follows a redirect of the API only for a read on the same host: the token must
// not reach another host, and a write must not be repeated.
func (c *Client) sameHostReadsOnly(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 || via[0].Method != http.MethodGet || !sameHost(req.URL, c.api) {
		return http.ErrUseLastResponse
	}
	return nil
}

// withoutDowngrade follows the redirects of downloads, but not to an unencrypted host, and
// without the token: net/http would keep it for another port of the same host.
func withoutDowngrade(req *http.Request, via []*http.Request) error {
	downgraded := req.URL.Scheme != "https" && (via[0].URL.Scheme == "https" || !backend.IsLoopback(req.URL.Hostname()))
	if len(via) >= 10 || via[0].Method != http.MethodGet || downgraded {
		return http.ErrUseLastResponse
	}
	if !sameHost(req.URL, via[0].URL) {
		req.Header.Del("Authorization")
		// Wherever it redirected from, it responds as a blob store.
		x := exchangeOf(req.Context())
		x.signed, x.host = true, req.URL.Host
	}
	return nil
}
