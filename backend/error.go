package backend

import (
	"errors"
	"fmt"
)

// A Code says why a backend did not do what was asked, the same for every kind.
type Code string

// The codes of an Error.
const (
	NoContainer        Code = "no-container" // no such bucket
	NoState            Code = "no-state"
	AccessDenied       Code = "access-denied"       // the credentials are valid and do not suffice
	NoCredentials      Code = "no-credentials"      // none found, or they could not be had
	BadCredentials     Code = "bad-credentials"     // unknown or wrong to the server
	ExpiredCredentials Code = "expired-credentials" // valid once
	KeyDenied          Code = "key-denied"          // the state's encryption key may not be used, or is another
	Archived           Code = "archived"            // in a storage class that has to be restored first
	WrongRegion        Code = "wrong-region"
	Unreachable        Code = "unreachable" // the server did not answer
	Failed             Code = "failed"      // anything else
)

// An Error is a backend's failure to do what was asked. Its text is a sentence for a
// person and holds neither credentials nor signed URLs. Unwrap gives the library's
// error, which may.
type Error struct {
	Address string // of the state, bucket or table that it is about
	Code    Code
	Message string
	Err     error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the error of the library that spoke with the server.
func (e *Error) Unwrap() error { return e.Err }

// Everywhere reports whether every other request with the same credentials to the same
// backend is bound to fail alike, so that the rest need not be tried.
func (e *Error) Everywhere() bool {
	switch e.Code {
	case NoContainer, NoCredentials, BadCredentials, ExpiredCredentials, WrongRegion:
		return true
	}
	return false
}

// Down reports whether the failure is the server's and not that of one state.
func (e *Error) Down() bool { return e.Code == Unreachable || e.Code == Failed || e.Everywhere() }

// CodeOf returns the code of an Error; "" of any other error.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// A ChangedError says that a version is no longer the current one, or cannot be read any
// more. What was read of it is not the present state.
type ChangedError struct {
	Address string
	Gone    bool   // the state does not exist any more
	How     string // what differs: "size 100, was 90"; no content
}

func (e *ChangedError) Error() string {
	if e.Gone {
		return fmt.Sprintf("%q is gone since it was read: someone removed or moved it; look for its successor and start again from there", e.Address)
	}
	return fmt.Sprintf("%q changed since it was read (%s): someone is still writing to it; stop them, then start again", e.Address, e.How)
}

// An UnsupportedError says that an address is of no known kind.
type UnsupportedError struct {
	Scheme string // lower case; the rest is not repeated, because it may hold a secret
	Known  string // how the addresses of known kinds are written
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("cannot read state from %s://: a source is %s", e.Scheme, e.Known)
}
