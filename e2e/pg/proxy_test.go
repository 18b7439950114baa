package pg_test

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// A proxy stands between clients and the server, and knows where a request of PostgreSQL's
// protocol ends. It serves connections without TLS.
type proxy struct {
	t      testing.TB
	server string
	port   int

	mu       sync.Mutex
	requests int
	// before is called with the number and the text of each request. The answer decides what
	// happens to the connection.
	before func(number int, request []byte) fate
}

// A fate is what happens to a connection at a request.
type fate int

const (
	forwarded fate = iota
	cutBefore      // the request does not arrive
	cutAfter       // the request takes effect, and its answer is lost
)

// newProxy starts a proxy and makes the addresses of the database lead to it.
func (d *testDatabase) newProxy() *proxy {
	d.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	p := &proxy{t: d.t, server: net.JoinHostPort("127.0.0.1", strconv.Itoa(d.server.port)), port: l.Addr().(*net.TCPAddr).Port}
	d.port = p.port
	var served sync.WaitGroup
	served.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { p.serve(client) })
		}
	})
	d.t.Cleanup(func() { _ = l.Close() })
	return p
}

// aim counts requests from now on and sets what happens to them.
func (p *proxy) aim(before func(number int, request []byte) fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.before = 0, before
}

// count returns how many requests there were.
func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// next decides about a request.
func (p *proxy) next(request []byte) fate {
	p.mu.Lock()
	p.requests++
	number, before := p.requests, p.before
	p.mu.Unlock()
	if before == nil {
		return forwarded
	}
	return before(number, request)
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	answered := make(chan struct{}, 1) // something arrived after a cut
	var mu sync.Mutex
	cut := false
	go func() {
		defer func() { _ = client.Close() }()
		buffer := make([]byte, 32<<10)
		for {
			n, err := server.Read(buffer)
			mu.Lock()
			lost := cut
			mu.Unlock()
			if lost || err != nil {
				answered <- struct{}{}
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	for startup := true; ; startup = false {
		request, err := readRequest(client, startup)
		if err != nil {
			return
		}
		what := p.next(request)
		if what == cutBefore {
			return
		}
		if what == cutAfter {
			mu.Lock()
			cut = true
			mu.Unlock()
		}
		if _, err := server.Write(request); err != nil {
			return
		}
		if what == cutAfter {
			<-answered
			return
		}
	}
}

// readRequest reads the messages up to the one that the server answers.
func readRequest(r io.Reader, startup bool) (request []byte, err error) {
	for {
		header := make([]byte, 5)
		if startup {
			header = header[:4]
		}
		if _, err := io.ReadFull(r, header); err != nil {
			return nil, err
		}
		length := binary.BigEndian.Uint32(header[len(header)-4:])
		body := make([]byte, length-4)
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, err
		}
		request = append(append(request, header...), body...)
		if startup || header[0] != 'P' && header[0] != 'B' && header[0] != 'D' && header[0] != 'E' && header[0] != 'C' {
			return request, nil
		}
	}
}
