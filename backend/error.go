package backend

import (
	"errors"
	"fmt"
)

// A Code classifies why a backend failed, the same way for every kind.
type Code string

// The codes of an Error.
const (
	NoContainer        Code = "no-container" // no such bucket
	NoState            Code = "no-state"
	AccessDenied       Code = "access-denied"   // valid credentials that lack a permission
	NoCredentials      Code = "no-credentials"  // none found, or they could not be loaded
	BadCredentials     Code = "bad-credentials" // rejected by the server
	ExpiredCredentials Code = "expired-credentials"
	KeyDenied          Code = "key-denied" // the state's encryption key cannot be used, or is a different one
	Archived           Code = "archived"   // in a storage class that must be restored first
	WrongRegion        Code = "wrong-region"
	Unreachable        Code = "unreachable" // the server did not respond
	Failed             Code = "failed"      // anything else
)

// Codes for a target's responses.
const (
	// Unauthorized: the credentials are missing, wrong or expired.
	Unauthorized Code = "unauthorized"
	// ForbiddenOrMissing: the state does not exist, or the credentials cannot see it.
	ForbiddenOrMissing Code = "forbidden-or-missing"
	// OrganizationToken: an organization token cannot write states.
	OrganizationToken Code = "organization-token"
	// NotCreatable: the state cannot be created as requested.
	NotCreatable Code = "not-creatable"
	// NotRemovable: the state cannot be removed safely, or has what would be lost with it.
	NotRemovable Code = "not-removable"
	// NotLocked: the state is not locked, and accepts writes only under a lock.
	NotLocked Code = "not-locked"
	// LockedByOther: someone else holds the lock.
	LockedByOther Code = "locked"
	// Diverged: the target has different bytes with the same serial.
	Diverged Code = "diverged"
	// Unrelated: the target has a state with another lineage.
	Unrelated Code = "unrelated"
	// Stale: the target has a higher serial.
	Stale Code = "stale"
	// Changed: the target no longer has the version that the write would have replaced.
	// Nothing was stored.
	Changed Code = "changed"
	// RateLimited: the rate limit was still exceeded after a long wait.
	RateLimited Code = "rate-limited"
	// Malformed: the target rejects the request as invalid.
	Malformed Code = "malformed"
	// StillPending: the last write is still being processed.
	StillPending Code = "still-pending"
	// Stuck: no command of ours can release the lock.
	Stuck Code = "stuck"
	// NoHistory: older versions must not be written to the state.
	NoHistory Code = "no-history"
	// Unsupported: the target has no such operation. Nothing was stored.
	Unsupported Code = "unsupported"
	// NoBytesYet: the version cannot be read yet.
	NoBytesYet Code = "no-bytes-yet"
	// Ambiguous: the request may have taken effect: its response was lost, late, or not one
	// of the target's. Read before doing anything else.
	Ambiguous Code = "ambiguous"
)

// An Error is a failure of a backend. Its text is a sentence for the user, without
// credentials and signed URLs. Unwrap returns the library's error, which may contain them.
type Error struct {
	Address string // of the state, bucket or table concerned
	Code    Code
	Message string
	// Answer is the message without the names of the things requested, so that it is the
	// same for every state; it may be "".
	Answer string
	// Unworded reports that the response is not in the words of the target's API, so
	// something else may have sent it.
	Unworded bool
	Err      error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the error of the library that talked to the server.
func (e *Error) Unwrap() error { return e.Err }

// Everywhere reports whether every other request with the same credentials to the same
// backend would fail the same way, so that the rest need not be tried.
func (e *Error) Everywhere() bool {
	switch e.Code {
	case NoContainer, NoCredentials, BadCredentials, ExpiredCredentials, WrongRegion:
		return true
	}
	return false
}

// Down reports whether the server failed, rather than a request for one state.
func (e *Error) Down() bool { return e.Code == Unreachable || e.Code == Failed || e.Everywhere() }

// CodeOf returns the code of an *Error, and "" for any other error.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// A ChangedError is returned when a version is no longer current, or can no longer be read.
// What was read of it is outdated.
type ChangedError struct {
	Address string
	Gone    bool   // the state no longer exists
	How     string // what differs, without content: "size 100, was 90"
}

func (e *ChangedError) Error() string {
	if e.Gone {
		return fmt.Sprintf("%q no longer exists: someone removed or moved it since it was read; find where it is now and start again from there", e.Address)
	}
	return fmt.Sprintf("%q changed since it was read (%s): someone is still writing to it; stop them, then start again", e.Address, e.How)
}

// An UnsupportedError is returned for an address of an unknown kind.
type UnsupportedError struct {
	Scheme string // lower case; the rest is left out because it may hold a secret
	Known  string // how addresses of the known kinds are written
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("cannot read state from %s:// URLs; a source is %s", e.Scheme, e.Known)
}

// A SourceError is returned when the bytes to write cannot be read, or are not the
// announced ones. Nothing was stored.
type SourceError struct {
	// Changed means that the bytes are not the announced ones.
	Changed bool
	// Err is the error of reading; nil if Changed.
	Err error
}

func (e *SourceError) Error() string {
	if e.Changed {
		return "the source changed while it was being sent; nothing was stored"
	}
	return "reading the source: " + e.Err.Error()
}

// Unwrap returns the error of reading.
func (e *SourceError) Unwrap() error { return e.Err }
