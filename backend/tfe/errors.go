package tfe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"tfhaul/backend"
)

// Code classifies a response of the API. The code is found from a response's text as well
// as its status: compatible servers report conflicts as 500, and titles change between
// releases.
type Code = backend.Code

// Codes that only this kind has. All other codes are those of package backend;
// ForbiddenOrMissing is a 403, or a 404, which TFE uses for what does not exist, what the
// token cannot see, organization tokens where they are not allowed, and missing
// entitlements.
const (
	// MD5Mismatch: what the server received does not match the announced MD5.
	MD5Mismatch Code = "md5-mismatch"
	// NoSignedUpload: an old server that accepts states only inside the POST.
	NoSignedUpload Code = "no-signed-upload"
	// TooLarge: something on the way limits the size of a request body (413).
	TooLarge Code = "too-large"
	// Withheld: the request was not sent because the check set by WithSending failed.
	Withheld Code = "withheld"
	// Rejected: any other refusal. The request took no effect.
	Rejected Code = "rejected"
)

// Error is an unsuccessful response of the API, or the lack of a response. Its text never
// contains a token, a signed URL or state content.
type Error struct {
	// Op is what was attempted, such as "lock workspace acme/network".
	Op string
	// Code classifies the response.
	Code Code
	// Status is the HTTP status, or 0 without a response.
	Status int
	// Details are the texts of the response's error objects.
	Details []string
	// TokenFrom is where the token came from; "" if unknown.
	TokenFrom string
	// Err is the failure of the connection if there was no response, or what is wrong with
	// the response. Print the Error rather than Err, which may name a proxy.
	Err error
}

// Error says what failed and how the server answered.
func (e *Error) Error() string {
	var text string
	switch {
	case e.Code == backend.Unauthorized:
		from := ""
		if e.TokenFrom != "" {
			from = " from " + e.TokenFrom
		}
		text = "the server rejects the token" + from + " (401): it is wrong, has expired or was revoked"
	case e.Code == backend.RateLimited:
		text = "the server's rate limit was still exceeded after a long wait (429)"
	case e.Err != nil:
		text = redact(e.Err)
	case e.Code == backend.ForbiddenOrMissing:
		text = e.inaccessible()
	case len(e.Details) > 0:
		text = fmt.Sprintf("the server answered %d: %s", e.Status, strings.Join(e.Details, "; "))
	default:
		text = strings.TrimSpace(fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status)))
	}
	return e.Op + ": " + text
}

// inaccessible explains a 403 or a 404. The server uses a 404 also for what it hides from the
// token, and for what the token is not permitted to do.
func (e *Error) inaccessible() string {
	verb, object, _ := strings.Cut(e.Op, " ")
	organization, isList := strings.CutPrefix(object, "the workspaces of ")
	what, _, _ := strings.Cut(object, " in ")
	created, isWorkspace := strings.CutPrefix(object, "workspace ")
	var why string
	switch {
	case e.Status == http.StatusForbidden:
		why = "this token does not have the permission"
	case verb == "list" && isList:
		why = fmt.Sprintf("organization %s does not exist, or this token cannot see it", organization)
	case verb == "create" && isWorkspace:
		organization, _, _ = strings.Cut(created, "/")
		why = fmt.Sprintf("organization %s does not exist, or this token cannot create workspaces in it", organization)
	case verb == "read":
		why = fmt.Sprintf("%s does not exist, or this token cannot see it", what)
	default:
		why = "this token does not have the permission, or what the request names no longer exists"
	}
	return fmt.Sprintf("the server answered %d: %s", e.Status, why)
}

// Unwrap returns Err, which may wrap the context's error, if that ended the request, or a
// *backend.SourceError, if the bytes to send could not be read.
func (e *Error) Unwrap() error { return e.Err }

// As converts it to a *backend.Error, for callers that are independent of the kind.
func (e *Error) As(target any) bool {
	as, ok := target.(**backend.Error)
	if ok {
		text := e.Error()
		*as = &backend.Error{Code: e.Code, Message: text, Answer: strings.TrimPrefix(text, e.Op+": "),
			Unworded: e.Status == http.StatusNotFound && len(e.Details) == 0 && e.Err == nil, Err: e}
	}
	return ok
}

// Texts that identify the API's refusals, folded by fold. They are matched before the
// status, because a lax server sends them with a 500.
var refusals = []struct {
	text string
	code Code
}{
	{"not locked and will only accept state uploads when locked", backend.NotLocked},
	{"will only accept state uploads from them while locked", backend.LockedByOther},
	{"does not match what is currently known for the same serial number", backend.Diverged},
	{"lineage provided in the state file does not match", backend.Unrelated},
	{"serial provided in the state file is not greater than", backend.Stale},
	{"md5 parameter passed does not match the md5 of the provided state", MD5Mismatch},
	{"param is missing or the value is empty: state", NoSignedUpload},
	{"latest state version is still pending", backend.StillPending},
	{"may not be unlocked except by them", backend.LockedByOther},
	{"workspace is already locked", backend.LockedByOther},
	{"workspace already locked", backend.LockedByOther},
	{"workspace already unlocked", backend.NotLocked},
	{"exceeded the api's rate limit", backend.RateLimited},
}

// codeOf returns the code for a status.
func codeOf(status int) Code {
	switch {
	case status == http.StatusUnauthorized:
		return backend.Unauthorized
	case status == http.StatusForbidden, status == http.StatusNotFound:
		return backend.ForbiddenOrMissing
	case status == http.StatusPreconditionFailed:
		return backend.Stale
	case status == http.StatusRequestEntityTooLarge:
		return TooLarge
	case status == http.StatusUnprocessableEntity:
		return backend.Malformed
	case status == http.StatusTooManyRequests:
		return backend.RateLimited
	case status == http.StatusConflict, status == http.StatusRequestTimeout, status >= 500:
		// A conflict without a known reason, a proxy's page or a gateway timeout: the
		// request may have taken effect.
		return backend.Ambiguous
	case status >= 300:
		return Rejected
	}
	// A successful response that could not be decoded.
	return backend.Ambiguous
}

// refusalIn finds a refusal, and the text that identifies it, in the texts of a response.
func refusalIn(details []string) (Code, string) {
	for _, d := range details {
		folded := fold(d)
		for _, r := range refusals {
			if strings.Contains(folded, r.text) {
				return r.code, r.text
			}
		}
	}
	return "", ""
}

// fold makes texts comparable: lower case, with white space collapsed.
func fold(s string) string {
	return strings.ToLower(strings.Join(strings.Fields(s), " "))
}

// maxDetails is how many texts of one response are kept.
const maxDetails = 5

// detailsOf returns the texts of an error body: JSON:API error objects, or the plain
// strings of the original API. Other bodies, such as a proxy's HTML page, have none,
// because their text is not the API's. The content type is ignored: lax servers send errors
// as text/plain. The texts must not repeat the bearer.
func detailsOf(body []byte, bearer string) []string {
	var doc struct {
		Errors []json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return nil
	}
	var details []string
	for _, raw := range doc.Errors[:min(len(doc.Errors), maxDetails)] {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			// Only the texts: the status is usually a string, but a number for a 429. A
			// member with an unexpected type does not spoil the others.
			var object struct{ Title, Detail string }
			_ = json.Unmarshal(raw, &object)
			if text = object.Detail; text == "" {
				text = object.Title
			}
		}
		if text = withoutSecretText(text, bearer); text != "" {
			details = append(details, text)
		}
	}
	return details
}
