package tfe

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"tfhaul/backend"
)

// secretToken is the token used in every test: it must not show up anywhere.
const secretToken = "s3cr3t-bearer-token"

// raceDetector reports whether the tests run under the race detector.
var raceDetector bool

// acme is a workspace that has been read.
var acme = &Workspace{Organization: "acme", Standing: backend.Standing{ID: "ws-1", Name: "network", CanRead: true, CanLock: true}}

// serve runs a handler over TLS on loopback and returns a client for it.
func serve(t *testing.T, h http.Handler, change ...func(*Options)) *Client {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	return clientOf(t, server, change...)
}

// clientOf returns a client for a running server.
func clientOf(t *testing.T, server *httptest.Server, change ...func(*Options)) *Client {
	t.Helper()
	api, err := url.Parse(server.URL + "/api/v2/")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{API: api, Token: secretToken, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig}
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// answer returns a handler that always sends the same response.
func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const jsonAPI = "application/vnd.api+json"

// A wire is an in-memory network with one server, for tests in virtual time.
type wire struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error   { w.once.Do(func() { close(w.closed) }); return nil }
func (w *wire) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case w.conns <- theirs:
		return ours, nil
	case <-w.closed:
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serveInMemory is serve without sockets, for use inside synctest.Test. The returned
// function stops everything.
func serveInMemory(t *testing.T, h http.Handler, change ...func(*Options)) (*Client, func()) {
	t.Helper()
	w := &wire{conns: make(chan net.Conn), closed: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	server := &http.Server{Handler: h, BaseContext: func(net.Listener) context.Context { return ctx }}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(w) })
	network := &http.Transport{DialContext: w.dial, DisableCompression: true, MaxIdleConnsPerHost: 16}
	o := Options{API: &url.URL{Scheme: "http", Host: "127.0.0.1", Path: "/api/v2/"}, Token: secretToken, Transport: network}
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, func() {
		c.Close()
		cancel()
		network.CloseIdleConnections()
		_ = server.Close()
		running.Wait()
		time.Sleep(time.Second) // virtual time: net/http's server lingers on a connection that it closes
	}
}

// bodyOf returns a Body with a text.
func bodyOf(text string) Body {
	sum := md5.Sum([]byte(text))
	return Body{
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
		Size: int64(len(text)), MD5: hex.EncodeToString(sum[:]),
	}
}
