package tfe

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestFailuresReadAsSentences covers failures of the network and of responses, as Go words
// them.
func TestFailuresReadAsSentences(t *testing.T) {
	t.Parallel()
	dial := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://h/?sig=hidden", Err: &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}, Err: os.NewSyscallError("connect", err)}}
	}
	now := time.Now()
	for want, err := range map[string]error{
		"nothing listens at 10.0.0.1:443 (connection refused): are host and port right?":                                 dial(syscall.ECONNREFUSED),
		"no route to the host at 10.0.0.1:443: is the network or the VPN up?":                                            dial(syscall.EHOSTUNREACH),
		"there was no answer in time: does a firewall or a proxy stand between?":                                         fmt.Errorf("asking: %w", context.DeadlineExceeded),
		`there is no host called "tfe.acme": look for a typo, or check whether this network knows the name`:              &net.OpError{Op: "dial", Err: &net.DNSError{Name: "tfe.acme", IsNotFound: true}},
		`the name "tfe.acme" could not be looked up: the name server does not answer as it should`:                       &net.DNSError{Name: "tfe.acme", IsTemporary: true},
		"the connection was closed without an answer":                                                                    &url.Error{Op: "Get", Err: io.EOF},
		"the answer broke off in the middle":                                                                             io.ErrUnexpectedEOF,
		"the connection was reset":                                                                                       &net.OpError{Op: "read", Err: syscall.ECONNRESET},
		"its certificate is from an authority that is not trusted here; if it is your own, name its file with --ca-file": x509.UnknownAuthorityError{},
		"its certificate expired on 2001-02-03: its operator has to renew it, unless this machine's clock is wrong": x509.CertificateInvalidError{Reason: x509.Expired,
			Cert: &x509.Certificate{NotBefore: now.Add(-time.Hour), NotAfter: time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC)}},
		"its certificate is valid from 2999-01-01 on only: is this machine's clock right?": x509.CertificateInvalidError{Reason: x509.Expired,
			Cert: &x509.Certificate{NotBefore: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)}},
		"its certificate is for a.example, 10.0.0.2, and not for b.example: name the host as the certificate does": x509.HostnameError{Host: "b.example",
			Certificate: &x509.Certificate{DNSNames: []string{"a.example"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 2)}}},
		"its certificate is for nobody, and not for b.example: name the host as the certificate does": x509.HostnameError{Host: "b.example", Certificate: &x509.Certificate{}},
		"it does not answer with TLS: is this the right port, and does it speak https?":               errors.New("http: server gave HTTP response to HTTPS client"),
		"the proxy of the environment (HTTPS_PROXY or HTTP_PROXY) cannot be reached: nothing listens at 10.0.0.1:3128 (connection refused): are host and port right?": &net.OpError{
			Op: "proxyconnect", Net: "tcp", Err: &net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 3128}, Err: syscall.ECONNREFUSED}},
		"no data for 1m0s (--timeout)": &stalledError{after: time.Minute},

		"the server's response (200) cannot be used: it is empty":                                                              &unusableError{200, io.EOF},
		"the server's response (201) cannot be used: it broke off in the middle":                                               &unusableError{201, io.ErrUnexpectedEOF},
		"the server's response (200) cannot be used: it is not JSON: is there a login page or a proxy in front of the server?": &unusableError{200, json.Unmarshal([]byte("<html>"), new(any))},
		"the server's response (200) cannot be used: it is not valid JSON":                                                     &unusableError{200, json.Unmarshal([]byte(`{"a":}`), new(any))},
		"the server's response (200) cannot be used: it does not match the API's format":                                       &unusableError{200, json.Unmarshal([]byte(`[]`), new(struct{}))},
		"the server's response (200) cannot be used: the connection was reset":                                                 &unusableError{200, &net.OpError{Op: "read", Err: syscall.ECONNRESET}},
		"the server's response (200) cannot be used: the response is larger than 32 MiB":                                       &unusableError{200, errors.New("the response is larger than 32 MiB")},
	} {
		if got := redact(err); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
