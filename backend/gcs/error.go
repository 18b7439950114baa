package gcs

import (
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
	status       int
	reason, said string // the server's code and text; "" if it does not explain itself
}

func (a *answer) Error() string { return fmt.Sprintf("status %d %s", a.status, a.reason) }

// maxRefusal limits how much is read of a response that is not a success.
const maxRefusal = 64 << 10

func readAnswer(resp *http.Response) *answer {
	reason, said := refusal(resp)
	return &answer{resp.StatusCode, reason, said}
}

// refusal reads why a server refuses a request. It is called with a document of Google's APIs
// (https://cloud.google.com/storage/docs/json_api/v1/status-codes), or with plain text from
// downloads. Anything else, such as a proxy's page, is ignored.
func refusal(resp *http.Response) (reason, said string) {
	text, _ := io.ReadAll(io.LimitReader(plain(resp), maxRefusal)) // what arrived is enough
	var document struct {
		Error struct {
			Message string `json:"message"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	if json.Unmarshal(text, &document) == nil {
		if len(document.Error.Errors) > 0 {
			reason = document.Error.Errors[0].Reason
		}
		return reason, strings.TrimSpace(document.Error.Message)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		said = strings.TrimSpace(string(text))
	}
	return "", said
}

// statusOf returns the status of the response behind err, or 0.
func statusOf(err error) int {
	if a, ok := errors.AsType[*answer](err); ok {
		return a.status
	}
	return 0
}

// isThrottled reports whether the server refused a request only because of its load.
func isThrottled(err error) bool { return backend.CodeOf(err) == backend.RateLimited }

// isUnmet reports whether the condition of a request was not met.
func isUnmet(err error) bool {
	status := statusOf(err)
	return status == http.StatusPreconditionFailed || status == http.StatusNotModified
}

// mayHaveHappened reports whether a failed request may have taken effect: the server did not
// clearly refuse it, and it was not stopped on this side.
func mayHaveHappened(err error) bool {
	e, known := errors.AsType[*backend.Error](err)
	_, withheld := errors.AsType[*backend.UnsentError](err)
	if err == nil || withheld || known && e.Everywhere() || isThrottled(err) {
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
	code, why := s.reasonFor(r, err)
	return &backend.Error{Address: r.address, Code: code, Message: fmt.Sprintf("cannot %s %q: %s", r.doing, r.address, why), Err: err}
}

// reasonFor returns the code of err, and the part of the sentence that says why and what to
// do.
func (s *server) reasonFor(r request, err error) (code backend.Code, why string) {
	if a, ok := errors.AsType[*answer](err); ok {
		return s.reasonForAnswer(r, a)
	}
	if c, ok := errors.AsType[*credentialsError](err); ok {
		return c.code, c.why
	}
	if u, ok := errors.AsType[*unreadableAnswer](err); ok {
		return backend.Failed, u.why
	}
	return backend.Unreachable, plainwords.Describe(err)
}

func (s *server) reasonForAnswer(r request, a *answer) (code backend.Code, why string) {
	lower := strings.ToLower(a.reason + " " + a.said)
	switch {
	case a.status == http.StatusTooManyRequests, a.status == http.StatusForbidden && strings.Contains(lower, "ratelimitexceeded"):
		return backend.RateLimited, "the server still asks to slow down after several attempts: try again with a lower --parallelism"
	case a.status == http.StatusNotFound && strings.Contains(lower, "bucket does not exist"):
		return backend.NoContainer, fmt.Sprintf("the bucket does not exist: check its name%s", quotedText(a.said))
	case a.status == http.StatusNotFound:
		return backend.NoState, `the object does not exist (to search a prefix, end it in "/")`
	case a.status == http.StatusUnauthorized:
		return s.unauthorized(r, a)
	case strings.Contains(lower, "customer-supplied"), strings.Contains(lower, "customerencryption"), strings.Contains(lower, "encryption key"):
		if r.key != nil {
			return backend.KeyDenied, fmt.Sprintf("the key in %s is not the one that encrypted it: set it to the key that Terraform uses%s", keyVariable, quotedText(a.said))
		}
		return backend.KeyDenied, fmt.Sprintf("it is encrypted with a customer-supplied key: set %s to the key that Terraform uses%s", keyVariable, quotedText(a.said))
	case a.status == http.StatusForbidden:
		return forbidden(r, a, lower)
	case a.status == http.StatusPreconditionFailed:
		return backend.Failed, "it changed meanwhile"
	case a.status >= 300 && a.status < 400:
		return backend.Failed, fmt.Sprintf("the server answered %d and redirects to another address, which tfhaul does not follow because it would send the access token there: check the endpoint", a.status)
	case a.said != "":
		return backend.Failed, fmt.Sprintf("the server answered %d%s", a.status, quotedText(a.said))
	}
	return backend.Failed, fmt.Sprintf("the server answered %d without a readable reason: is the endpoint the JSON API of Cloud Storage?", a.status)
}

// unauthorized explains a token that was rejected or missing.
func (s *server) unauthorized(r request, a *answer) (code backend.Code, why string) {
	if s.credentials.none {
		return backend.BadCredentials, fmt.Sprintf("%s is set, so no credentials were sent, and the server requires some%s", emulatorVariable, quotedText(a.said))
	}
	if s.credentials.getenv(tokenVariable) != "" {
		return backend.ExpiredCredentials, fmt.Sprintf("the server rejects the access token in %s, which is valid for an hour: set it to the output of: gcloud auth print-access-token%s", tokenVariable, quotedText(a.said))
	}
	return backend.BadCredentials, fmt.Sprintf("the server rejects the access token: log in again with: gcloud auth application-default login; or check that %s holds a valid key%s", credentialsVariable, quotedText(a.said))
}

// permission matches the name of a permission in the server's text.
var permission = regexp.MustCompile(`\bstorage\.[a-zA-Z]+\.[a-zA-Z]+\b`)

// forbidden distinguishes a missing permission from an unusable key and a rule of the
// bucket, all of which have the same status.
func forbidden(r request, a *answer, lower string) (code backend.Code, why string) {
	switch {
	case strings.Contains(lower, "kms"):
		return backend.KeyDenied, "its KMS key cannot be used: the bucket's service agent needs the role Cloud KMS CryptoKey Encrypter/Decrypter for the key" + quotedText(a.said)
	case strings.Contains(lower, "retention"), strings.Contains(lower, "hold"):
		return backend.AccessDenied, "a retention policy or a hold prevents it from being replaced or deleted" + quotedText(a.said)
	case strings.Contains(lower, "billing"), strings.Contains(lower, "disabled"):
		return backend.AccessDenied, "the project or its billing is disabled" + quotedText(a.said)
	}
	needed := r.action
	if named := permission.FindString(a.said); named != "" {
		needed = named
	}
	hint := ""
	if r.method == http.MethodGet && strings.HasPrefix(needed, "storage.objects.get") {
		hint = " (or it does not exist, which the server reveals only with storage.objects.list)"
	}
	return backend.AccessDenied, fmt.Sprintf("access denied: the credentials need %s%s%s", needed, hint, quotedText(a.said))
}

// credentialText matches what looks like an access token or a key: known prefixes, or too long
// and mixed to be a word or a part of a name.
var credentialText = regexp.MustCompile(`\bya29\.[^\s"]+|\beyJ[^\s"]+|[A-Za-z0-9+/=%_-]{48,}`)

// quotedText returns the server's text for appending to a sentence. Credentials are removed,
// because a careless server repeats those of the request.
func quotedText(said string) string { return plainwords.Quoted(said, credentialText) }
