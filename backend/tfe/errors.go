package tfe

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"tfhaul/backend"
)

// Code says what an answer of the API means for us. The rows are those of the
// API's own status tables, but a code is found from the text of an answer as
// well as from its status: compatible servers answer conflicts with 500, and
// titles drift between releases.
type Code = backend.Code

// The codes, from the API's answers to state versions, locks and everything else.
const (
	// Unauthorized: the token is missing, wrong or expired (401).
	Unauthorized = backend.Unauthorized
	// ForbiddenOrMissing: 403, or 404, which TFE answers alike for what does not
	// exist, what the token may not see, organization tokens where they are not
	// allowed, and missing entitlements.
	ForbiddenOrMissing = backend.ForbiddenOrMissing
	// NotLocked: the workspace is not locked, and takes states only when it is.
	NotLocked = backend.NotLocked
	// LockedByOther: somebody else holds the workspace's lock.
	LockedByOther = backend.LockedByOther
	// Diverged: the server holds other bytes under the same serial.
	Diverged = backend.Diverged
	// Unrelated: the server holds a state of another lineage.
	Unrelated = backend.Unrelated
	// Stale: the server holds a higher serial.
	Stale = backend.Stale
	// MD5Mismatch: what the server received is not what the MD5 announced.
	MD5Mismatch Code = "md5-mismatch"
	// NoSignedUpload: an old server that takes states only inside the POST.
	NoSignedUpload Code = "no-signed-upload"
	// Malformed: the server could not make sense of the request (422).
	Malformed Code = "malformed"
	// TooLarge: something on the way bounds the size of a request body (413).
	TooLarge Code = "too-large"
	// RateLimited: the rate limit was still exceeded after long waiting (429).
	RateLimited = backend.RateLimited
	// StillPending: the workspace cannot be unlocked while its newest state
	// version is still being processed.
	StillPending = backend.StillPending
	// NoBytesYet: the server has no address for a state version's bytes yet.
	NoBytesYet = backend.NoBytesYet
	// Unreachable: no connection was made, so the request took no effect.
	Unreachable = backend.Unreachable
	// Ambiguous: the request may or may not have taken effect: its reply was
	// lost, late, or not one the API gives. Read before doing anything again.
	Ambiguous = backend.Ambiguous
	// Withheld: the request was not sent, because the check that WithSending set for
	// it failed.
	Withheld Code = "withheld"
	// Rejected: any other refusal. The request took no effect.
	Rejected Code = "rejected"
)

// Error is an answer of the API other than success, or the lack of an answer.
// Its text never holds a token, a signed URL or anything of a state.
type Error struct {
	// Op is what was being done to what, such as "lock workspace acme/network".
	Op string
	// Code is what the answer means.
	Code Code
	// Status is the HTTP status, or 0 when there was no answer.
	Status int
	// Details are the texts of the answer's error objects.
	Details []string
	// TokenFrom is where the token came from that was sent; "" where that is not known.
	TokenFrom string
	// Err is the failure of the connection when there was no answer, or what is
	// wrong with the answer. Print the Error, not this: it may name a proxy.
	Err error
}

// Error says what failed and what the server said of it.
func (e *Error) Error() string {
	var text string
	switch {
	case e.Code == Unauthorized:
		from := ""
		if e.TokenFrom != "" {
			from = " from " + e.TokenFrom
		}
		text = "the server does not accept the token" + from + " (401): it is wrong, has expired or was revoked"
	case e.Code == RateLimited:
		text = "the server's rate limit was still exceeded after long waiting (429)"
	case e.Err != nil:
		text = redact(e.Err)
	case e.Code == ForbiddenOrMissing:
		text = fmt.Sprintf("the server answered %d, which may mean that it does not exist, that the token may not see or do this, "+
			"that it is an organization's token (which cannot write states), or that the organization lacks the entitlement", e.Status)
	case len(e.Details) > 0:
		text = fmt.Sprintf("the server answered %d: %s", e.Status, strings.Join(e.Details, "; "))
	default:
		text = strings.TrimSpace(fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status)))
	}
	return e.Op + ": " + text
}

// Unwrap gives what Err holds: among others the context's error, if that ended
// the request, and a *backend.SourceError, if the bytes to send could not be read.
func (e *Error) Unwrap() error { return e.Err }

// As makes a *backend.Error of it, for those who know no kind.
func (e *Error) As(target any) bool {
	as, ok := target.(**backend.Error)
	if ok {
		text := e.Error()
		*as = &backend.Error{Code: e.Code, Message: text, Answer: strings.TrimPrefix(text, e.Op+": "),
			Unworded: e.Status == http.StatusNotFound && len(e.Details) == 0 && e.Err == nil, Err: e}
	}
	return ok
}

// CodeOf tells what an error of this package means, or "" for any other error.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// The texts by which the API names its refusals, folded as fold does. They are
// matched before the status: a lax server sends them with a 500.
var refusals = []struct {
	text string
	code Code
}{
	{"not locked and will only accept state uploads when locked", NotLocked},
	{"will only accept state uploads from them while locked", LockedByOther},
	{"does not match what is currently known for the same serial number", Diverged},
	{"lineage provided in the state file does not match", Unrelated},
	{"serial provided in the state file is not greater than", Stale},
	{"md5 parameter passed does not match the md5 of the provided state", MD5Mismatch},
	{"param is missing or the value is empty: state", NoSignedUpload},
	{"latest state version is still pending", StillPending},
	{"may not be unlocked except by them", LockedByOther},
	{"workspace is already locked", LockedByOther},
	{"workspace already locked", LockedByOther},
	{"workspace already unlocked", NotLocked},
	{"exceeded the api's rate limit", RateLimited},
}

// classify tells what an answer with this status and these texts means.
func classify(status int, details []string) Code {
	if code := codeOfTexts(details); code != "" {
		return code
	}
	switch {
	case status == http.StatusUnauthorized:
		return Unauthorized
	case status == http.StatusForbidden, status == http.StatusNotFound:
		return ForbiddenOrMissing
	case status == http.StatusPreconditionFailed:
		return Stale
	case status == http.StatusRequestEntityTooLarge:
		return TooLarge
	case status == http.StatusUnprocessableEntity:
		return Malformed
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status == http.StatusConflict, status == http.StatusRequestTimeout, status >= 500:
		// A conflict that names none of the known reasons, a proxy's page, a
		// gateway that gave up: it may have been done.
		return Ambiguous
	case status >= 300:
		return Rejected
	}
	// A success that could not be read.
	return Ambiguous
}

// classifySigned tells what the answer to a signed URL means: its host knows
// neither tokens nor serials, so the API's statuses do not hold there.
func classifySigned(status int, details []string) Code {
	switch code := classify(status, details); code {
	case Unauthorized, ForbiddenOrMissing, Stale, Malformed:
		if codeOfTexts(details) == "" {
			return Rejected
		}
		return code
	default:
		return code
	}
}

// codeOfTexts finds a refusal by the texts of an answer, or returns "".
func codeOfTexts(details []string) Code {
	code, _ := refusalIn(details)
	return code
}

// refusalIn finds a refusal and the text that it is known by.
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

// fold makes texts comparable: lower case, white space and newlines collapsed.
func fold(s string) string {
	return strings.ToLower(strings.Join(strings.Fields(s), " "))
}

// mostDetails is how many texts of one answer are kept.
const mostDetails = 5

// detailsOf reads the texts of an error body: JSON:API error objects, or the
// plain strings of the first API. Anything else, such as a proxy's HTML page,
// has none: its text is not the API's word. The type that the header names is
// not looked at; lax servers send errors as text/plain. The bearer is what must
// not be repeated.
func detailsOf(body []byte, bearer string) []string {
	var doc struct {
		Errors []json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return nil
	}
	var details []string
	for _, raw := range doc.Errors[:min(len(doc.Errors), mostDetails)] {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			// Only the texts: the status is a string in most bodies and a number in
			// that of a 429. A member of another type does not spoil the others.
			var object struct{ Title, Detail string }
			_ = json.Unmarshal(raw, &object)
			if text = object.Detail; text == "" {
				text = object.Title
			}
		}
		if text = tame(text, bearer); text != "" {
			details = append(details, text)
		}
	}
	return details
}
