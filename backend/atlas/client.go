// Package atlas reads states by the first API of Atlas, which HashiCorp turned off in 2018
// and some private servers still offer: states by user and name, and configuration
// versions with metadata and variables. Today's API is package tfe's.
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

	"tfhaul/plainwords"
)

// DefaultAddress is where Atlas was.
const DefaultAddress = "https://atlas.hashicorp.com"

// Options say how to reach a server.
type Options struct {
	// Address is the server's, without a path in most cases; "" means DefaultAddress.
	Address string
	// Token authenticates; it goes to the server's own host and to no other.
	Token string
	// TLS holds the authorities to trust; nil means the system's.
	TLS *tls.Config
	// Timeout ends a request whose answer does not begin for so long; 0 means a minute.
	Timeout time.Duration
}

// A Client speaks with one server. It is safe for use by many goroutines.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client

	timeout time.Duration
}

// New prepares a client. It makes no request.
func New(o Options) (*Client, error) {
	if o.Address == "" {
		o.Address = DefaultAddress
	}
	base, err := url.Parse(o.Address)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, errors.New("the address of the Atlas server is none: write https://HOST")
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("the address of the Atlas server is to be https://HOST and nothing more")
	}
	if base.Scheme == "http" && !isLoopback(base.Hostname()) {
		return nil, fmt.Errorf("the token would travel unencrypted to %s: use https", base.Host)
	}
	if o.Token == "" || strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token of the Atlas server is missing, or is none: set ATLAS_TOKEN")
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

// stay follows no redirect to another host: net/http would send our header along.
func stay(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme || via[0].Method != http.MethodGet {
		return http.ErrUseLastResponse
	}
	return nil
}

// Close ends the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Host is the server's host, with its port if it is not the scheme's own.
func (c *Client) Host() string { return c.base.Host }

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// An Error is an answer other than success.
type Error struct {
	Op     string
	Status int
	// Details are the server's words.
	Details []string
}

func (e *Error) Error() string {
	text := strconv.Itoa(e.Status) + " " + http.StatusText(e.Status)
	switch {
	case len(e.Details) > 0:
		text = strconv.Itoa(e.Status) + ": " + strings.Join(e.Details, "; ")
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		text += ": it does not accept the token (ATLAS_TOKEN)"
	case e.Status == http.StatusNotFound:
		text += ": it does not exist, or the token may not see it"
	}
	return e.Op + ": the server answered " + text
}

// ErrNoState says that there is no state of that name.
var ErrNoState = errors.New("there is no state of that name")

// A State is one that is being read.
type State struct {
	io.ReadCloser
	// MD5 is what the server says of the bytes, in lower-case hex; "" when it says nothing.
	MD5 string
	// Size in bytes; -1 when the server does not say.
	Size int64
}

// State starts reading the state of that user and name. ErrNoState says that there
// is none.
func (c *Client) State(ctx context.Context, user, name string) (*State, error) {
	op := "read the state " + user + "/" + name
	// The body is read after State returned: its context ends with the body, or with ctx.
	ctx, stop := context.WithCancel(ctx)
	kept := false
	defer func() {
		if !kept {
			stop()
		}
	}()
	resp, err := c.do(ctx, op, http.MethodGet, c.at("state", user, name), nil, "")
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
		return nil, fmt.Errorf("%s: %w, or the token may not see it", op, ErrNoState)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusNoContent {
		_ = resp.Body.Close() // there is nothing in it
		return nil, fmt.Errorf("%s: %w", op, ErrNoState)
	}
	kept = true
	s := &State{ReadCloser: &body{ReadCloser: resp.Body, stop: stop, timeout: c.timeout}, Size: resp.ContentLength}
	if sum, err := base64.StdEncoding.DecodeString(resp.Header.Get("Content-MD5")); err == nil && len(sum) == 16 {
		s.MD5 = hex.EncodeToString(sum)
	}
	return s, nil
}

// A Configuration is what is sent as a new configuration version.
type Configuration struct {
	Metadata, Variables map[string]string
	// Open starts reading the tar.gz; Size is how many bytes it has.
	Open func(context.Context) (io.ReadCloser, error)
	Size int64
	// Progress, if not nil, is told how many bytes were sent.
	Progress func(sent int64)
}

// A Pushed is what became of a configuration.
type Pushed struct {
	// Version is the number that the server gave it.
	Version int
	// Received is how many bytes the server says it has; -1 when it does not say.
	Received int64
}

// Push creates a configuration version and uploads its archive.
func (c *Client) Push(ctx context.Context, user, name string, v Configuration) (Pushed, error) {
	op := "create a configuration version of " + user + "/" + name
	pushed := Pushed{Received: -1}
	document, err := json.Marshal(map[string]any{"version": map[string]any{"metadata": orEmpty(v.Metadata), "variables": orEmpty(v.Variables)}})
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
		return pushed, fmt.Errorf("%s: the server's answer cannot be used", op)
	}
	pushed.Version = answer.Version
	to, err := c.base.Parse(answer.UploadPath)
	if err != nil || answer.UploadPath == "" || to.Scheme != "https" && !(to.Scheme == "http" && isLoopback(to.Hostname())) {
		return pushed, fmt.Errorf("%s: the server gave no address to upload to that can be used", op)
	}
	if err := c.upload(ctx, to, v); err != nil {
		return pushed, err
	}
	token := answer.Token
	if token == "" { // early servers told it as the end of the path alone
		token = to.Path[strings.LastIndexByte(to.Path, '/')+1:]
	}
	pushed.Received = c.received(ctx, user, name, token)
	return pushed, nil
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// upload sends the archive to the address that the server gave, which is a secret of
// its own: no token goes along.
func (c *Client) upload(ctx context.Context, to *url.URL, v Configuration) error {
	const op = "upload the configuration"
	body, err := v.Open(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	// The transport closes it, also when it was not read to its end.
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, to.String(), &counted{ReadCloser: body, tell: v.Progress})
	if err != nil {
		return errors.Join(errors.New(op+": the address cannot be used"), body.Close())
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

// A counted body tells how much was read of it.
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

// received asks how much of an upload has arrived; -1 when the server does not say.
func (c *Client) received(ctx context.Context, user, name, token string) int64 {
	resp, err := c.do(ctx, "ask how far the upload is", http.MethodGet, c.at("configurations", user, name, "versions", "progress", token), nil, "")
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

// at is an address of the API.
func (c *Client) at(parts ...string) *url.URL {
	escaped := []string{"api", "v1", "terraform"}
	for _, p := range parts {
		escaped = append(escaped, url.PathEscape(p))
	}
	return c.base.JoinPath(escaped...)
}

// mostDocument bounds what is read of an answer that is no state.
const mostDocument = 1 << 20

// do makes a request; an answer other than success is an *Error.
func (c *Client) do(ctx context.Context, op, method string, at *url.URL, body io.Reader, contentType string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, withoutURL(err))
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
	// What is no document has no details.
	_ = readJSON(resp, &answer)
	e := &Error{Op: op, Status: resp.StatusCode}
	for _, d := range answer.Errors[:min(len(answer.Errors), 5)] {
		e.Details = append(e.Details, plainwords.Clean(d))
	}
	return nil, e
}

// readJSON reads an answer to its end.
func readJSON(resp *http.Response, into any) error {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, mostDocument))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// A connectionError says in plain words why there was no answer.
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

// A body gives up when nothing arrives for a while, and explains why its connection
// broke.
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
		return n, fmt.Errorf("the download broke off: nothing arrived for %s (--timeout)", b.timeout)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, errors.New("the download broke off: the connection was closed")
	}
	return n, &connectionError{"the download broke off", err}
}

func (b *body) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}

// withoutURL takes the URL off an error, which may be a secret one.
func withoutURL(err error) error {
	for {
		u, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = u.Err
	}
}
