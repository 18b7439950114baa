package target

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// inPlainWords says why a connection failed, for a person who does not know how
// Go words it, and what to look at. It returns "" for what it has no better words
// for.
func inPlainWords(err error) string {
	if words := ofCertificate(err); words != "" {
		return words
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "it does not answer with TLS: is this the right port, and does it speak https?"
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
		if _, ok := errors.AsType[*stalledError](err); ok {
			return "" // which says for how long
		}
		return fmt.Sprintf("there was no answer in time%s: does a firewall or a proxy stand between?", where)
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
	{syscall.EHOSTUNREACH, "no way leads to the host%s: is the network, the VPN up?"},
	{syscall.ENETUNREACH, "no way leads to the network%s: is the network, the VPN up?"},
	{syscall.ETIMEDOUT, "nobody answers%s: does a firewall or a proxy stand between?"},
	{context.DeadlineExceeded, "there was no answer in time%s: does a firewall or a proxy stand between?"},
	{io.ErrUnexpectedEOF, "the answer broke off in the middle%s"},
	{io.EOF, "the connection was closed without an answer%s"},
}

// ofCertificate says what is wrong with a server's certificate.
func ofCertificate(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its certificate comes of an authority that is not trusted here; if that is one of your own, name its file with --ca-file"
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		whose := "nobody"
		if name.Certificate != nil {
			names := append([]string{}, name.Certificate.DNSNames...)
			for _, ip := range name.Certificate.IPAddresses {
				names = append(names, ip.String())
			}
			if len(names) > 0 {
				whose = clean(strings.Join(names, ", "))
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
		return fmt.Sprintf("its certificate expired on %s: whoever runs the server has to renew it, unless this machine's clock is wrong", invalid.Cert.NotAfter.UTC().Format(time.DateOnly))
	}
	return "its certificate is not valid (" + clean(strings.TrimPrefix(invalid.Error(), "x509: ")) + ")"
}

// ofName says why a host's name has no address.
func ofName(err error) string {
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return ""
	case dns.IsNotFound:
		return fmt.Sprintf("there is no host called %q: look for a typing error, or ask whether this network knows the name", dns.Name)
	default:
		return fmt.Sprintf("the name %q could not be looked up: the name server does not answer as it should", dns.Name)
	}
}

// An unusableError says what is wrong with an answer that was a success.
type unusableError struct {
	status int
	err    error
}

func (e *unusableError) Error() string {
	return fmt.Sprintf("the server's answer (%d) cannot be used: %s", e.status, e.reason())
}

// Unwrap gives what the reader of the answer said.
func (e *unusableError) Unwrap() error { return e.err }

func (e *unusableError) reason() string {
	atStart, notJSON := notJSON(e.err)
	_, otherType := errors.AsType[*json.UnmarshalTypeError](e.err)
	text := redactText(e.err)
	switch {
	case errors.Is(e.err, io.ErrUnexpectedEOF):
		return "it broke off in the middle"
	case notJSON && atStart:
		return "it is not JSON: does a login page or a proxy answer in its place?"
	case notJSON:
		return "it is not valid JSON"
	case errors.Is(e.err, io.EOF):
		return "it is empty"
	case otherType, strings.HasPrefix(text, "Trying to Unmarshal"), strings.Contains(text, "unmarshal"):
		return "it is not a document as the API describes it"
	}
	if words := inPlainWords(e.err); words != "" {
		return words
	}
	return text
}

// notJSON says whether an error is that something does not follow the grammar of JSON,
// and whether not even its first byte does. It knows the errors of understand, and those
// of go-tfe.
func notJSON(err error) (atStart, is bool) {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntax.ByteOffset == 0, true
	}
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	return ok && syntax.Offset <= 1, ok
}
