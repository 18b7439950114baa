// Package plainwords formats what people read: connection errors without Go jargon,
// errors as sentences, and numbers with their nouns.
package plainwords

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Describe explains in one line why a connection failed. If Explain has no better words,
// it returns the innermost error's text without Go's prefixes, URLs and passwords.
func Describe(err error) string {
	if words := Explain(err); words != "" {
		return words
	}
	return Plain(innermost(err).Error())
}

// Explain returns why a connection failed and what to check, or "" if it has no better
// words than the error itself.
func Explain(err error) string {
	words := explain(err)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" && words != "" {
		return "cannot connect to the proxy set in HTTPS_PROXY or HTTP_PROXY: " + words
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
	if ok && op.Addr == nil { // the step to a proxy wraps that of the connection
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
		return fmt.Sprintf("no response in time%s: check whether a firewall or proxy blocks the connection", where)
	}
	return ofText(err.Error())
}

// ofText explains failures that net/http reports only as text.
func ofText(text string) string {
	switch {
	case strings.Contains(text, "malformed HTTP "):
		return "the server does not speak HTTP: check the port"
	case strings.Contains(text, "server closed idle connection"), strings.Contains(text, "server sent GOAWAY"):
		return "the connection was closed without a response"
	case strings.Contains(text, "use of closed network connection"):
		return "the connection was closed"
	}
	return ""
}

// networkFailures maps the operating system's errors to words. The syscall package makes
// Windows' own error numbers equal to these.
var networkFailures = []struct {
	err   error
	words string // %s is the place
}{
	{syscall.ECONNREFUSED, "connection refused%s: check the host and port"},
	{syscall.ECONNRESET, "the connection was reset%s"},
	{syscall.EPIPE, "the connection was closed%s"},
	{syscall.EHOSTUNREACH, "no route to host%s: check the network and VPN"},
	{syscall.ENETUNREACH, "network unreachable%s: check the network and VPN"},
	{syscall.ETIMEDOUT, "no response%s: check whether a firewall or proxy blocks the connection"},
	{context.DeadlineExceeded, "no response in time%s: check whether a firewall or proxy blocks the connection"},
	{io.ErrUnexpectedEOF, "the response was cut short%s"},
	{io.EOF, "the connection was closed without a response%s"},
}

// ofTLS explains why no encrypted connection could be made.
func ofTLS(err error) string {
	if words := ofCertificate(err); words != "" {
		return words
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "the server does not speak TLS: check the port, and that it serves https"
	}
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the server's certificate cannot be verified (" + Plain(verify.Err.Error()) + ")"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil && (op.Op == "remote error" || op.Op == "local error") {
		return "the TLS handshake failed (" + Plain(op.Err.Error()) + "): check whether the server requires a client certificate or another TLS version"
	}
	return ""
}

// ofCertificate explains what is wrong with a server's certificate.
func ofCertificate(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the server's certificate is signed by an authority that this machine does not trust; if it is your own, pass its file with --ca-file"
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		whose := "no host"
		if name.Certificate != nil {
			names := append([]string{}, name.Certificate.DNSNames...)
			for _, ip := range name.Certificate.IPAddresses {
				names = append(names, ip.String())
			}
			if len(names) > 0 {
				whose = Clean(strings.Join(names, ", "))
			}
		}
		return fmt.Sprintf("the server's certificate is for %s, not for %s: use the host name in the certificate", whose, name.Host)
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case !ok:
		return ""
	case invalid.Reason == x509.Expired && invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore):
		return fmt.Sprintf("the server's certificate is not valid before %s: check this machine's clock", invalid.Cert.NotBefore.UTC().Format(time.DateOnly))
	case invalid.Reason == x509.Expired && invalid.Cert != nil:
		return fmt.Sprintf("the server's certificate expired on %s: its operator must renew it, or this machine's clock is wrong", invalid.Cert.NotAfter.UTC().Format(time.DateOnly))
	}
	return "the server's certificate is not valid (" + Plain(invalid.Error()) + ")"
}

// ofName explains why a host name did not resolve.
func ofName(err error) string {
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return ""
	case dns.IsNotFound:
		return fmt.Sprintf("host %q not found: check the spelling, and that this network can resolve the name", dns.Name)
	default:
		return fmt.Sprintf("cannot resolve %q: the DNS server does not answer correctly", dns.Name)
	}
}

var (
	// goPrefix matches what Go's packages put before a reason.
	goPrefix = regexp.MustCompile(`\b(?:(?:dial|read|write) (?:tcp|udp|unix)[46]?(?: [^ ]+)?: |(?:connect|tls|x509|http2?|net/http|net|remote error|local error): )`)
	// query matches a URL up to its query, which may hold a signature. userinfo matches
	// the user name and password of a URL.
	query    = regexp.MustCompile(`(?i)\b(https?://[^\s"'<>?]*\?)[^\s"'<>]*`)
	userinfo = regexp.MustCompile(`//[^\s"]*@`)
	endOfIt  = regexp.MustCompile(`\b(?:unexpected )?EOF\b`)
)

// Plain removes Go jargon, such as package prefixes and "EOF", from an error's text. It
// also hides the secrets in URLs.
func Plain(text string) string {
	text = userinfo.ReplaceAllString(query.ReplaceAllString(text, "${1}…"), "//…@")
	text = goPrefix.ReplaceAllString(text, "")
	text = endOfIt.ReplaceAllString(text, "the connection was closed")
	return Clean(strings.ReplaceAll(text, context.DeadlineExceeded.Error(), "there was no response in time"))
}

// WithoutPath returns the system's error without the file's path, which the message around
// it already names.
func WithoutPath(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	if link, ok := errors.AsType[*os.LinkError](err); ok {
		return link.Err
	}
	return err
}

// WithoutURL removes the URL that net/http adds to an error, because it may be a signed one.
func WithoutURL(err error) error {
	for {
		u, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = u.Err
	}
}

// innermost returns the error at the bottom of a chain. The outer layers repeat the
// request.
func innermost(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	for {
		next := errors.Unwrap(err)
		if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 0 {
			next = joined.Unwrap()[0] // the first error is the cause, the others followed from it
		}
		if next == nil {
			return err
		}
		err = next
	}
}

// Clean shortens a text from a server and removes control and invisible characters.
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

// Quoted returns a server's text, in brackets and quotation marks, for appending to a
// sentence; "" for an empty one. It is shortened, because a proxy may send anything. What
// looks like a credential is removed.
func Quoted(said string, credentials *regexp.Regexp) string {
	const most = 300
	said = strings.TrimSpace(Clean(credentials.ReplaceAllString(said, "[hidden]")))
	if said == "" {
		return ""
	}
	if len(said) > most {
		said = strings.ToValidUTF8(said[:most], "") + "…"
	}
	return fmt.Sprintf(" (%q)", said)
}
