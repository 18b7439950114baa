// Package atlas reads states from servers with the original Atlas API, which HashiCorp
// turned off in 2018 but some private servers still offer. The API has states by user and
// name, and configuration versions with metadata and variables. Package tfe speaks the
// present API.
package atlas

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// DefaultAddress is where HashiCorp ran Atlas.
const DefaultAddress = "https://atlas.hashicorp.com"

// Options configure a client.
type Options struct {
	// Address is the server's URL, usually without a path; "" means DefaultAddress.
	Address string
	// Token is sent only to the server's own host.
	Token string
	// TLS holds the trusted authorities; nil means the system's.
	TLS *tls.Config
	// Timeout ends a request when the server has sent nothing for this long; 0 means one
	// minute.
	Timeout time.Duration
}

// A Client talks to one server. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client

	timeout time.Duration
}

// New returns a client. It sends no requests.
func New(o Options) (*Client, error) {
	if o.Address == "" {
		o.Address = DefaultAddress
	}
	base, err := url.Parse(o.Address)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, errors.New("the address of the Atlas server is not a URL: write https://HOST")
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("the address of the Atlas server must be https://HOST and nothing else")
	}
	if base.Scheme == "http" && !backend.IsLoopback(base.Hostname()) {
		return nil, fmt.Errorf("the token would be sent unencrypted to %s: use https", base.Host)
	}
	if o.Token == "" || strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token of the Atlas server is missing or malformed: set ATLAS_TOKEN")
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	network := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, DisableCompression: true,
		TLSHandshakeTimeout: o.Timeout, ResponseHeaderTimeout: o.Timeout, DialContext: (&net.Dialer{Timeout: o.Timeout}).DialContext,
	}
	return &Client{base: base, token: o.Token, http: &http.Client{Transport: network, CheckRedirect: stay}, timeout: o.Timeout}, nil
}

// stay refuses redirects to another host, because net/http would send our header there.
func stay(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme || via[0].Method != http.MethodGet {
		return http.ErrUseLastResponse
	}
	return nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Host returns the server's host, with its port unless it is the default.
func (c *Client) Host() string { return c.base.Host }

// An Error is an unsuccessful response.
type Error struct {
	Op     string
	Status int
	// Details is the server's own text.
	Details []string
}

func (e *Error) Error() string {
	text := strconv.Itoa(e.Status) + " " + http.StatusText(e.Status)
	switch {
	case len(e.Details) > 0:
		text = strconv.Itoa(e.Status) + ": " + strings.Join(e.Details, "; ")
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		text += ": the token is not accepted (ATLAS_TOKEN)"
	case e.Status == http.StatusNotFound:
		text += ": it does not exist, or this token cannot see it"
	}
	return e.Op + ": the server answered " + text
}

// ErrNoState is returned when no state has this name.
var ErrNoState = errors.New("no state has this name")

// A State is a state being read.
type State struct {
	io.ReadCloser
	// MD5 is the digest that the server reports, in lower-case hex, or "".
	MD5 string
	// Size is in bytes; -1 if the server does not report it.
	Size int64
}

// State starts reading the state of this user and name. It returns ErrNoState if there is
// none.
func (c *Client) State(ctx context.Context, user, name string) (*State, error) {
	op := "read the state " + user + "/" + name
	// The body is read after State returns, so its context ends with the body or with ctx.
	ctx, stop := context.WithCancel(ctx)
	kept := false
	defer func() {
		if !kept {
			stop()
		}
	}()
	resp, err := c.do(ctx, op, http.MethodGet, c.at("state", user, name), nil, "")
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
		return nil, fmt.Errorf("%s: %w, or this token cannot see it", op, ErrNoState)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusNoContent {
		_ = resp.Body.Close() // nothing to read
		return nil, fmt.Errorf("%s: %w", op, ErrNoState)
	}
	kept = true
	s := &State{ReadCloser: &body{ReadCloser: resp.Body, stop: stop, timeout: c.timeout}, Size: resp.ContentLength}
	if sum, err := base64.StdEncoding.DecodeString(resp.Header.Get("Content-MD5")); err == nil && len(sum) == 16 {
		s.MD5 = hex.EncodeToString(sum)
	}
	return s, nil
}

// A Configuration is uploaded as a new configuration version.
type Configuration struct {
	Metadata, Variables map[string]string // not nil
	// Open starts reading the tar.gz file; Size is its length in bytes.
	Open func(context.Context) (io.ReadCloser, error)
	Size int64
	// Progress, if not nil, is called with the number of bytes sent.
	Progress func(sent int64)
}

// A Pushed is the result of Push.
type Pushed struct {
	// Version is the number assigned by the server.
	Version int
	// Received is how many bytes the server has received; -1 if it does not report that.
	Received int64
}

// Push creates a configuration version and uploads its archive.
func (c *Client) Push(ctx context.Context, user, name string, v Configuration) (Pushed, error) {
	op := "create a configuration version of " + user + "/" + name
	pushed := Pushed{Received: -1}
	document, err := json.Marshal(map[string]any{"version": map[string]any{"metadata": v.Metadata, "variables": v.Variables}})
	if err != nil {
		return pushed, err
	}
	resp, err := c.do(ctx, op, http.MethodPost, c.at("configurations", user, name, "versions"), bytes.NewReader(document), "application/json")
	if err != nil {
		return pushed, err
	}
	var answer struct {
		UploadPath string `json:"upload_path"`
		Token      string `json:"token"`
		Version    int    `json:"version"`
	}
	if err := readJSON(resp, &answer); err != nil {
		return pushed, fmt.Errorf("%s: the server sent an unexpected response", op)
	}
	pushed.Version = answer.Version
	to, err := c.base.Parse(answer.UploadPath)
	if err != nil || answer.UploadPath == "" || to.Scheme != "https" && !(to.Scheme == "http" && backend.IsLoopback(to.Hostname())) {
		return pushed, fmt.Errorf("%s: the server sent no valid upload URL", op)
	}
	if err := c.upload(ctx, to, v); err != nil {
		return pushed, err
	}
	token := answer.Token
	if token == "" { // early servers sent only the end of the path
		token = to.Path[strings.LastIndexByte(to.Path, '/')+1:]
	}
	pushed.Received = c.received(ctx, user, name, token)
	return pushed, nil
}

// upload sends the archive to the URL from the server. The URL is itself a secret, so the
// token is not sent.
func (c *Client) upload(ctx context.Context, to *url.URL, v Configuration) error {
	const op = "upload the configuration"
	body, err := v.Open(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	// The transport closes it, even if it was not read completely.
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, to.String(), &counted{ReadCloser: body, tell: v.Progress})
	if err != nil {
		return errors.Join(errors.New(op+": invalid upload URL"), body.Close())
	}
	req.ContentLength = v.Size
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := c.http.Do(req)
	if err != nil {
		return &connectionError{op, err}
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return &Error{Op: op, Status: resp.StatusCode}
	}
	return nil
}

// A counted body reports how much of it has been read.
type counted struct {
	io.ReadCloser
	sent int64
	tell func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.sent += int64(n); n > 0 && c.tell != nil {
		c.tell(c.sent)
	}
	return n, err
}

// received asks how much of an upload has arrived; -1 if the server does not report it.
func (c *Client) received(ctx context.Context, user, name, token string) int64 {
	resp, err := c.do(ctx, "check the progress of the upload", http.MethodGet, c.at("configurations", user, name, "versions", "progress", token), nil, "")
	if err != nil {
		return -1
	}
	var answer struct {
		Progress *json.Number `json:"progress"`
	}
	if readJSON(resp, &answer) != nil || answer.Progress == nil {
		return -1
	}
	n, err := answer.Progress.Int64()
	if err != nil {
		return -1
	}
	return n
}

// at returns a URL of the API.
func (c *Client) at(parts ...string) *url.URL {
	escaped := []string{"api", "v1", "terraform"}
	for _, p := range parts {
		escaped = append(escaped, url.PathEscape(p))
	}
	return c.base.JoinPath(escaped...)
}

// maxDocument limits how much is read of a response other than a state.
const maxDocument = 1 << 20

// do sends a request and returns an *Error for an unsuccessful response.
func (c *Client) do(ctx context.Context, op, method string, at *url.URL, body io.Reader, contentType string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, plainwords.WithoutURL(err))
	}
	req.Header.Set("X-Atlas-Token", c.token)
	req.Header.Set("Accept", "*/*")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &connectionError{op, err}
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	var answer struct {
		Errors []string `json:"errors"`
	}
	// Details stay empty if the body is not a JSON document.
	_ = readJSON(resp, &answer)
	e := &Error{Op: op, Status: resp.StatusCode}
	for _, d := range answer.Errors[:min(len(answer.Errors), 5)] {
		e.Details = append(e.Details, plainwords.Clean(d))
	}
	return nil, e
}

// readJSON decodes a response and reads it to the end.
func readJSON(resp *http.Response, into any) error {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// A connectionError explains in plain words why there was no response.
type connectionError struct {
	op  string
	err error
}

func (e *connectionError) Error() string {
	if errors.Is(e.err, context.Canceled) {
		return e.op + ": interrupted"
	}
	return e.op + ": " + plainwords.Describe(e.err)
}

func (e *connectionError) Unwrap() error { return e.err }

// A body fails if nothing arrives for too long, and explains why the connection was lost.
type body struct {
	io.ReadCloser
	stop    context.CancelFunc
	timeout time.Duration
	stalled atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	stall := time.AfterFunc(b.timeout, func() {
		b.stalled.Store(true)
		b.stop()
	})
	n, err := b.ReadCloser.Read(p)
	stall.Stop()
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case b.stalled.Load():
		return n, fmt.Errorf("the download stopped: nothing arrived for %s (--timeout)", b.timeout)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, errors.New("the download stopped: the connection was closed")
	}
	return n, &connectionError{"the download stopped", err}
}

func (b *body) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}
