package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// An answer is a response that is not a success.
type answer struct {
	status int
	header http.Header
	text   []byte // at most maxRefusal bytes
}

func (a *answer) Error() string { return fmt.Sprintf("status %d", a.status) }

// maxRefusal limits how much is read of a response that is not a success. The description of a
// lock can be one.
const maxRefusal = backend.MaxLockInfo

func readAnswer(resp *http.Response) *answer {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what arrived is enough
	return &answer{resp.StatusCode, resp.Header, text}
}

// said returns why the server refuses a request, in its own words; "" if it does not explain
// itself. Anything but a JSON document with a message, or plain text, is ignored: a proxy's
// page.
func (a *answer) said() string {
	var document struct {
		Message json.RawMessage `json:"message"`
		Error   json.RawMessage `json:"error"`
		Errors  []struct{ Message string }
	}
	if json.Unmarshal(a.text, &document) == nil {
		for _, text := range []json.RawMessage{document.Message, document.Error} {
			var words string
			if json.Unmarshal(text, &words) == nil && words != "" {
				return words
			}
		}
		if len(document.Errors) > 0 {
			return document.Errors[0].Message
		}
		return ""
	}
	if strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		return strings.TrimSpace(string(a.text))
	}
	return ""
}

func answerOf(err error) (*answer, bool) { return errors.AsType[*answer](err) }

// statusOf returns the status of the response behind err, or 0.
func statusOf(err error) int {
	if a, ok := answerOf(err); ok {
		return a.status
	}
	return 0
}

// A lostAnswer is a response that broke off, and an unreadableAnswer one in an unknown form.
type (
	lostAnswer       struct{ error }
	unreadableAnswer struct{ why string }
)

func (e *lostAnswer) Unwrap() error       { return e.error }
func (e *unreadableAnswer) Error() string { return e.why }

// isThrottled reports whether the server refused a request only because of its load.
func isThrottled(err error) bool { return backend.CodeOf(err) == backend.RateLimited }

// isHeld reports whether a lock request was refused because the lock is held, or an unlock
// request because another lock is held or none.
func isHeld(err error) bool {
	status := statusOf(err)
	return status == http.StatusConflict || status == http.StatusLocked
}

// mayPass reports whether a read may succeed if it is repeated.
func mayPass(err error) bool {
	status := statusOf(err)
	return status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented ||
		status == 0 && backend.CodeOf(err) == backend.Unreachable && !backend.Untrusted(err)
}

// mayHaveHappened reports whether a failed request may have taken effect: the server did not
// clearly refuse it, and it was not stopped on this side.
func mayHaveHappened(err error) bool {
	e, known := errors.AsType[*backend.Error](err)
	_, withheld := errors.AsType[*backend.UnsentError](err)
	_, source := errors.AsType[*backend.SourceError](err)
	if err == nil || withheld || source || known && e.Everywhere() || isThrottled(err) {
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

// reason returns the code of err, and the part of the sentence that says why and what to do.
func (s *server) reason(r request, err error) (code backend.Code, why string) {
	if u, ok := errors.AsType[*unreadableAnswer](err); ok {
		return backend.Failed, u.why
	}
	a, ok := answerOf(err)
	if !ok {
		return backend.Unreachable, plainwords.Describe(err)
	}
	said := quotedText(a.said())
	switch {
	case a.status == http.StatusTooManyRequests:
		return backend.RateLimited, "the server still asks to slow down after several attempts: try again with a lower --parallelism"
	case a.status == http.StatusUnauthorized:
		return s.unauthorized(said)
	case a.status == http.StatusForbidden:
		return s.forbidden(r, said)
	case a.status == http.StatusNotFound && s.gitLab && strings.Contains(a.said(), "Project"):
		return backend.NoContainer, "GitLab has no such project, or the token cannot see it: check the name, and that the token's user is a member"
	case a.status == http.StatusNotFound:
		return backend.NoState, "there is no state"
	case a.status == http.StatusRequestEntityTooLarge:
		return backend.Malformed, "the server accepts no state of this size: raise its limit" + s.sizeHint() + said
	case a.status == http.StatusUnprocessableEntity && s.gitLab:
		return unprocessable(r, a.said())
	case a.status == http.StatusConflict, a.status == http.StatusLocked:
		return backend.NotLocked, "the server says that it is locked by another process, or no longer by this one" + said
	case a.status >= 300 && a.status < 400:
		return backend.Failed, fmt.Sprintf("the server answered %d and redirects to another address, which tfhaul does not follow because it would send credentials there: use the address that it redirects to", a.status)
	case a.status == http.StatusMethodNotAllowed || a.status == http.StatusNotImplemented:
		return backend.Failed, fmt.Sprintf("the server answered %d, so it does not know the method %s here: check the lock-method, unlock-method or update-method of the address", a.status, r.method)
	case said != "":
		return backend.Failed, fmt.Sprintf("the server answered %d%s", a.status, said)
	}
	return backend.Failed, fmt.Sprintf("the server answered %d without a readable reason", a.status)
}

func (s *server) sizeHint() string {
	if s.gitLab {
		return " (max_terraform_state_size_bytes, which an administrator sets)"
	}
	return ""
}

// unauthorized explains credentials that were rejected or are missing.
func (s *server) unauthorized(said string) (backend.Code, string) {
	c := &s.credentials
	switch {
	case c.password == "" && s.gitLab:
		return backend.NoCredentials, fmt.Sprintf("no token was found for %s: set GITLAB_TOKEN, or TF_HTTP_USERNAME and TF_HTTP_PASSWORD, to an access token with the scope api%s", s.origin, said)
	case c.password == "" && c.user == "":
		return backend.NoCredentials, fmt.Sprintf("the server requires credentials, and there are none for %s: %s (and %s, if it names another server)%s", s.origin, instead, addressVariable, said)
	case c.job():
		return backend.BadCredentials, fmt.Sprintf("GitLab rejects the job token in %s: it is valid only while its job runs, and not for the listing and the locks of states, which need an access token in GITLAB_TOKEN%s", c.variable, said)
	case s.gitLab:
		return backend.BadCredentials, fmt.Sprintf("GitLab rejects the token in %s: it has expired, was revoked, or is for another server: create one with the scope api%s", c.variable, said)
	}
	return backend.BadCredentials, fmt.Sprintf("the server rejects the user name in %s or the password in %s%s", userVariable, passwordVariable, said)
}

// forbidden explains a missing permission. GitLab requires different roles for reading and
// writing (https://docs.gitlab.com/user/infrastructure/iac/terraform_state/).
func (s *server) forbidden(r request, said string) (backend.Code, string) {
	switch {
	case s.gitLab && r.writes:
		return backend.AccessDenied, "access denied: to lock and write states, the token's user needs at least the Maintainer role, and the token the scope api" + said
	case s.gitLab:
		return backend.AccessDenied, "access denied: to read states, the token's user needs at least the Developer role, and the token the scope api or read_api" + said
	}
	return backend.AccessDenied, "access denied: the credentials lack a permission" + said
}

// unprocessable explains what GitLab answers with 422.
func unprocessable(r request, said string) (backend.Code, string) {
	switch lower := strings.ToLower(said); {
	case strings.Contains(lower, "unique"), strings.Contains(lower, "duplicate"), strings.Contains(lower, "already"):
		return backend.Diverged, "GitLab already has a version with this serial, and stores no second one"
	case strings.Contains(lower, "deleted") && !r.writes:
		return backend.NoState, "the state was deleted"
	case strings.Contains(lower, "deleted"):
		return backend.Malformed, "the state was deleted, and GitLab has not destroyed it yet: wait a few minutes, or use another name"
	}
	return backend.Malformed, "GitLab cannot store it" + quotedText(said)
}

// credentialText matches what looks like a token or a key: known prefixes, or too long and
// mixed to be a word or a part of a name.
var credentialText = regexp.MustCompile(`\bgl[a-z]{2,6}-[^\s"]+|\beyJ[^\s"]+|[A-Za-z0-9+/=%_-]{48,}`)

// quotedText returns the server's text for appending to a sentence. Credentials are removed,
// because a careless server repeats those of the request.
func quotedText(said string) string { return plainwords.Quoted(said, credentialText) }

// bytesOf returns text as the content of a request.
func bytesOf(text []byte) func() io.ReadCloser {
	return func() io.ReadCloser { return io.NopCloser(bytes.NewReader(text)) }
}
