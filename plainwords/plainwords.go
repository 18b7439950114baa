// Package plainwords words what people read: why connections failed, without the words that
// only Go programmers know; errors as sentences; numbers with their nouns.
package plainwords

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Describe explains why a connection failed, in one line. Where Explain has no words, it
// returns the text of the innermost error without Go's prefixes, URLs and passwords.
func Describe(err error) string {
	if words := Explain(err); words != "" {
		return words
	}
	return Plain(innermost(err).Error())
}

// Explain says why a connection failed and what to check. It returns "" where it has no
// better words than the error's own.
func Explain(err error) string {
	words := explain(err)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" && words != "" {
		return "the proxy of the environment (HTTPS_PROXY or HTTP_PROXY) cannot be reached: " + words
	}
	return words
}

func explain(err error) string {
	if words := ofTLS(err); words != "" {
		return words
	}
	if words := ofName(err); words != "" {
		return words
	}
	where := ""
	op, ok := errors.AsType[*net.OpError](err)
	if ok && op.Addr == nil { // the step to a proxy, around that of the connection
		op, ok = errors.AsType[*net.OpError](op.Err)
	}
	if ok && op.Addr != nil {
		where = " at " + op.Addr.String()
	}
	for _, f := range networkFailures {
		if errors.Is(err, f.err) {
			return fmt.Sprintf(f.words, where)
		}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Sprintf("there was no answer in time%s: does a firewall or a proxy stand between?", where)
	}
	return ofText(err.Error())
}

// ofText explains the failures that net/http tells by their text alone.
func ofText(text string) string {
	switch {
	case strings.Contains(text, "malformed HTTP "):
		return "it does not speak HTTP: is this the right port?"
	case strings.Contains(text, "server closed idle connection"), strings.Contains(text, "server sent GOAWAY"):
		return "the connection was closed without an answer"
	case strings.Contains(text, "use of closed network connection"):
		return "the connection was closed"
	}
	return ""
}

// networkFailures are what the system says of connections. Windows has numbers of
// its own, which the syscall package makes equal to these.
var networkFailures = []struct {
	err   error
	words string // with the place
}{
	{syscall.ECONNREFUSED, "nothing listens%s (connection refused): are host and port right?"},
	{syscall.ECONNRESET, "the connection was reset%s"},
	{syscall.EPIPE, "the connection was closed%s"},
	{syscall.EHOSTUNREACH, "no route to the host%s: is the network or the VPN up?"},
	{syscall.ENETUNREACH, "no route to the network%s: is the network or the VPN up?"},
	{syscall.ETIMEDOUT, "there was no answer%s: does a firewall or a proxy stand between?"},
	{context.DeadlineExceeded, "there was no answer in time%s: does a firewall or a proxy stand between?"},
	{io.ErrUnexpectedEOF, "the answer broke off in the middle%s"},
	{io.EOF, "the connection was closed without an answer%s"},
}

// ofTLS explains why a connection could not be encrypted.
func ofTLS(err error) string {
	if words := ofCertificate(err); words != "" {
		return words
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "it does not answer with TLS: is this the right port, and does it speak https?"
	}
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate cannot be verified (" + Plain(verify.Err.Error()) + ")"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil && (op.Op == "remote error" || op.Op == "local error") {
		return "the TLS handshake failed (" + Plain(op.Err.Error()) + "): does the server require a client certificate or another version of TLS?"
	}
	return ""
}

// ofCertificate says what is wrong with a server's certificate.
func ofCertificate(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its certificate is from an authority that is not trusted here; if it is your own, name its file with --ca-file"
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		whose := "nobody"
		if name.Certificate != nil {
			names := append([]string{}, name.Certificate.DNSNames...)
			for _, ip := range name.Certificate.IPAddresses {
				names = append(names, ip.String())
			}
			if len(names) > 0 {
				whose = Clean(strings.Join(names, ", "))
			}
		}
		return fmt.Sprintf("its certificate is for %s, and not for %s: name the host as the certificate does", whose, name.Host)
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case !ok:
		return ""
	case invalid.Reason == x509.Expired && invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore):
		return fmt.Sprintf("its certificate is valid from %s on only: is this machine's clock right?", invalid.Cert.NotBefore.UTC().Format(time.DateOnly))
	case invalid.Reason == x509.Expired && invalid.Cert != nil:
		return fmt.Sprintf("its certificate expired on %s: its operator has to renew it, unless this machine's clock is wrong", invalid.Cert.NotAfter.UTC().Format(time.DateOnly))
	}
	return "its certificate is not valid (" + Plain(invalid.Error()) + ")"
}

// ofName says why a host's name has no address.
func ofName(err error) string {
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return ""
	case dns.IsNotFound:
		return fmt.Sprintf("there is no host called %q: look for a typo, or check whether this network knows the name", dns.Name)
	default:
		return fmt.Sprintf("the name %q could not be looked up: the name server does not answer as it should", dns.Name)
	}
}

var (
	// goPrefix matches what Go's packages write before a reason.
	goPrefix = regexp.MustCompile(`\b(?:(?:dial|read|write) (?:tcp|udp|unix)[46]?(?: [^ ]+)?: |(?:connect|tls|x509|http2?|net/http|net|remote error|local error): )`)
	// query matches a URL up to its query, which may be a signature, and userinfo the name
	// and password of a URL.
	query    = regexp.MustCompile(`(?i)\b(https?://[^\s"'<>?]*\?)[^\s"'<>]*`)
	userinfo = regexp.MustCompile(`//[^\s"]*@`)
	endOfIt  = regexp.MustCompile(`\b(?:unexpected )?EOF\b`)
)

// Plain takes what only a Go programmer reads out of the text of an error: the prefixes
// of packages, and "EOF". It hides the secrets that URLs hold.
func Plain(text string) string {
	text = userinfo.ReplaceAllString(query.ReplaceAllString(text, "${1}…"), "//…@")
	text = goPrefix.ReplaceAllString(text, "")
	text = endOfIt.ReplaceAllString(text, "the connection was closed")
	return Clean(strings.ReplaceAll(text, context.DeadlineExceeded.Error(), "there was no answer in time"))
}

// innermost returns the error at the bottom of a chain, without the layers that repeat
// the request.
func innermost(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	for {
		next := errors.Unwrap(err)
		if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 0 {
			next = joined.Unwrap()[0] // what failed comes before what followed
		}
		if next == nil {
			return err
		}
		err = next
	}
}

// Clean bounds a text that a server sent and strips what a terminal would obey and what
// nobody would see.
func Clean(s string) string {
	const most = 500
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
