package plainwords

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"some reason": fmt.Errorf("asking: %w", errors.New("tls: some reason")),
		"the listing ended: the connection was closed": errors.New("the listing ended: unexpected EOF"),
		"it ended: there was no response in time":      errors.New("it ended: context deadline exceeded"),
		"odd socket":                                   errors.New("dial tcp 127.0.0.1:1: connect: odd socket"),
		"an odd reason at https://h/a?…":               errors.New("an odd reason at https://h/a?X-Amz-Signature=hunter2"),
		"an odd reason at https://…@h/":                errors.New("an odd reason at https://ann:hunter2@h/"),
		"what failed":                                  fmt.Errorf("twice: %w", errors.Join(errors.New("what failed"), errors.New("failed to get rate limit token"))),
		"a reason without its request":                 &url.Error{Op: "Get", URL: "https://h/?sig=hunter2", Err: errors.New("a reason without its request")},
		"the connection was closed without a response": errors.Join(fmt.Errorf("request send failed, %w", io.EOF), errors.New("failed to get rate limit token")),
		"an escape is not obeyed":                      errors.New("an escape\x1b is not\nobeyed"),
		"no response in time: check whether a firewall or proxy blocks the connection": fmt.Errorf("x: %w", context.DeadlineExceeded),
	} {
		if got := Describe(err); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got := Describe(errors.New(strings.Repeat("x", 5000))); len(got) > 600 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestExplainNamesTheProxy(t *testing.T) {
	t.Parallel()
	err := &net.OpError{Op: "proxyconnect", Net: "tcp", Err: &net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 3128}, Err: syscall.ECONNREFUSED}}
	const want = "cannot connect to the proxy set in HTTPS_PROXY or HTTP_PROXY: connection refused at 10.0.0.1:3128: check the host and port"
	if got := Explain(err); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := Explain(errors.New("anything else")); got != "" {
		t.Errorf("got %q for an error that it cannot explain", got)
	}
}
