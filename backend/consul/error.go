package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// A refusal is a response that is not a success.
type refusal struct {
	status int
	said   string // the server's text; "" if it does not explain itself
}

func (e *refusal) Error() string { return fmt.Sprintf("status %d", e.status) }

// An unreadableAnswer is a response in an unknown form.
type unreadableAnswer struct{ why string }

func (e *unreadableAnswer) Error() string { return e.why }

// maxRefusal limits how much is read of a response that is not a success.
const maxRefusal = 64 << 10

// said returns the text of a response. Consul explains itself in plain text, or in JSON for a
// transaction. Anything else, such as a proxy's page, is ignored.
func said(a *answer) string {
	text := strings.TrimSpace(string(a.text))
	if strings.HasPrefix(text, "<") {
		return ""
	}
	return text
}

// statusOf returns the status of the response behind err, or 0.
func statusOf(err error) int {
	if e, ok := errors.AsType[*refusal](err); ok {
		return e.status
	}
	return 0
}

// isThrottled reports whether the server refused a request only because of its load.
func isThrottled(err error) bool { return backend.CodeOf(err) == backend.RateLimited }

// isTooLarge reports whether the server refused a request because of its size.
func isTooLarge(err error) bool { return statusOf(err) == http.StatusRequestEntityTooLarge }

// mayHaveHappened reports whether a failed request may have taken effect: the server did not
// clearly refuse it, and it was not stopped on this side.
func mayHaveHappened(err error) bool {
	e, known := errors.AsType[*backend.Error](err)
	_, withheld := errors.AsType[*backend.UnsentError](err)
	_, undone := errors.AsType[*rollback](err)
	if err == nil || withheld || undone || known && e.Everywhere() || isThrottled(err) || backend.Untrusted(err) {
		return false
	}
	status := statusOf(err)
	return status < 300 || status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented
}

// explain turns the error of a request into a sentence.
func (s *server) explain(ctx context.Context, r request, err error) error {
	if source, ours := errors.AsType[*backend.SourceError](err); ours {
		return source
	}
	if ctx.Err() != nil {
		return fmt.Errorf("cannot %s %q: %w", r.doing, r.address, context.Cause(ctx))
	}
	code, why := s.reason(r, err)
	return &backend.Error{Address: r.address, Code: code, Answer: why, Message: fmt.Sprintf("cannot %s %q: %s", r.doing, r.address, why), Err: err}
}

// reason returns the code of an error, and the part of the sentence that says why and what to
// do.
func (s *server) reason(r request, err error) (code backend.Code, why string) {
	if e, ok := errors.AsType[*refusal](err); ok {
		return s.reasonForRefusal(r, e)
	}
	if e, ok := errors.AsType[*unreadableAnswer](err); ok {
		return backend.Failed, e.why
	}
	return backend.Unreachable, plainwords.Describe(err)
}

func (s *server) reasonForRefusal(r request, e *refusal) (code backend.Code, why string) {
	lower := strings.ToLower(e.said)
	switch {
	case e.status == http.StatusTooManyRequests:
		return backend.RateLimited, "the server still asks to slow down after several attempts: try again with a lower --parallelism"
	case e.status == http.StatusNotFound:
		return backend.NoState, `the key does not exist (to search a prefix, end it in "/")`
	case strings.Contains(lower, "acl not found"), strings.Contains(lower, "token does not exist"):
		return backend.BadCredentials, fmt.Sprintf("the server does not know the token in %s: it is wrong, expired or deleted", cmp.Or(s.tokenFrom, tokenVariable))
	case isDenied(e.said):
		return s.denied(r, e)
	case e.status == http.StatusUnauthorized:
		return backend.BadCredentials, fmt.Sprintf("the server, or a proxy before it, requires other credentials: check %s and %s%s", authVariable, tokenVariable, quoted(e.said))
	case e.status == http.StatusForbidden:
		return s.denied(r, e)
	case e.status == http.StatusRequestEntityTooLarge:
		return backend.Malformed, "the server refuses values of this size: raise kv_max_value_size in its configuration" + quoted(e.said)
	case strings.Contains(lower, "no cluster leader"):
		return backend.Unreachable, "the cluster has no leader now: try again later"
	case strings.Contains(lower, "no path to datacenter"), strings.Contains(lower, "datacenter") && e.status < 500:
		return backend.NoContainer, fmt.Sprintf("the datacenter does not exist: check ?%s=NAME%s", paramDatacenter, quoted(e.said))
	case e.status >= 300 && e.status < 400:
		return backend.Failed, fmt.Sprintf("the server answered %d and redirects to another address, which tfhaul does not follow because it would send the token there: check the address", e.status)
	case strings.Contains(lower, "http request to an https server"):
		return backend.Failed, fmt.Sprintf("the server expects https: add %s=https to the address, or set %s=true", paramScheme, sslVariable)
	}
	return backend.Failed, fmt.Sprintf("the server answered %d%s", e.status, quoted(e.said))
}

// permission matches the permission that the server names.
var permission = regexp.MustCompile(`lacks permission '([a-z]+:[a-z]+)'(?: on "([^"]*)")?`)

// isDenied reports whether the server's text is about a missing permission.
func isDenied(text string) bool { return strings.Contains(strings.ToLower(text), "permission denied") }

// denied explains a missing permission.
func (s *server) denied(r request, e *refusal) (code backend.Code, why string) {
	needed := r.needs
	if named := permission.FindStringSubmatch(e.said); named != nil {
		needed = named[1]
		if named[2] != "" {
			needed += fmt.Sprintf(" on %q", plainwords.Clean(named[2]))
		}
	}
	switch {
	case s.withheld != "":
		return backend.NoCredentials, fmt.Sprintf("the server requires a token with the permission %s; %s", needed, s.withheld)
	case s.tokenFrom == "":
		return backend.NoCredentials, fmt.Sprintf("the server requires a token with the permission %s: set %s or %s", needed, tokenVariable, tokenFileVariable)
	}
	return backend.AccessDenied, fmt.Sprintf("access denied: the policies of the token in %s lack %s", s.tokenFrom, needed)
}

// secretText matches what looks like a token or a key: a UUID, or text that is too long and
// mixed to be a word or a part of a name.
var secretText = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F-]{22}|[A-Za-z0-9+/=%_-]{48,}`)

// quoted returns the server's text for appending to a sentence. Tokens are removed, because a
// careless server repeats those of the request.
func quoted(said string) string { return plainwords.Quoted(said, secretText) }
