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
	AccessDenied       Code = "access-denied"       // valid credentials that lack a permission
	NoCredentials      Code = "no-credentials"      // none found, or they could not be loaded
	BadCredentials     Code = "bad-credentials"     // rejected by the server
	ExpiredCredentials Code = "expired-credentials" // T
	KeyDenied          Code = "key-denied"          // the state's encryption key cannot be used, or is a different one
	Archived           Code = "archived"            // in a storage class that must be restored first
	WrongRegion        Code = "wrong-region"
	Unreachable        Code = "unreachable" // the server did not respond
	Failed             Code = "failed"      // anything else
)

// An Error is a failure of a backend. Its text is a sentence for the user, without
// credentials and signed URLs. Unwrap returns the library's error, which may contain them.
type Error struct {
	Address string // of the state, bucket or table concerned
	Code    Code
	Message string
	Err     error
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
	return fmt.Sprintf("cannot read state from %s://: a source is %s", e.Scheme, e.Known)
}
