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
		"connection refused at 10.0.0.1:443: check the host and port":                               dial(syscall.ECONNREFUSED),
		"no route to host at 10.0.0.1:443: check the network and VPN":                               dial(syscall.EHOSTUNREACH),
		"no response in time: check whether a firewall or proxy blocks the connection":              fmt.Errorf("asking: %w", context.DeadlineExceeded),
		`host "tfe.acme" not found: check the spelling, and that this network can resolve the name`: &net.OpError{Op: "dial", Err: &net.DNSError{Name: "tfe.acme", IsNotFound: true}},
		`cannot resolve "tfe.acme": the DNS server does not answer correctly`:                       &net.DNSError{Name: "tfe.acme", IsTemporary: true},
		"the connection was closed without a response":                                              &url.Error{Op: "Get", Err: io.EOF},
		"the response was cut short":                                                                io.ErrUnexpectedEOF,
		"the connection was reset":                                                                  &net.OpError{Op: "read", Err: syscall.ECONNRESET},
		"the server's certificate is signed by an authority that this machine does not trust; if it is your own, pass its file with --ca-file": x509.UnknownAuthorityError{},
		"the server's certificate expired on 2001-02-03: its operator must renew it, or this machine's clock is wrong": x509.CertificateInvalidError{Reason: x509.Expired,
			Cert: &x509.Certificate{NotBefore: now.Add(-time.Hour), NotAfter: time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC)}},
		"the server's certificate is not valid before 2999-01-01: check this machine's clock": x509.CertificateInvalidError{Reason: x509.Expired,
			Cert: &x509.Certificate{NotBefore: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)}},
		"the server's certificate is for a.example, 10.0.0.2, not for b.example: use the host name in the certificate": x509.HostnameError{Host: "b.example",
			Certificate: &x509.Certificate{DNSNames: []string{"a.example"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 2)}}},
		"the server's certificate is for no host, not for b.example: use the host name in the certificate": x509.HostnameError{Host: "b.example", Certificate: &x509.Certificate{}},
		"the server does not speak TLS: check the port, and that it serves https":                          errors.New("http: server gave HTTP response to HTTPS client"),
		"cannot connect to the proxy set in HTTPS_PROXY or HTTP_PROXY: connection refused at 10.0.0.1:3128: check the host and port": &net.OpError{
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
