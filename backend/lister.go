package backend

import "context"

// A Listable state was found by a listing that can be repeated.
type Listable interface {
	State
	// Lister returns what lists the state again, or nil. States of one listing have equal
	// listers.
	Lister() Lister
}

// A Lister lists states again, to check many with few requests.
type Lister interface {
	// Requests returns how many requests the last listing took.
	Requests() int
	// Unchanged reports for each state whether the listing shows that its version is still
	// current. If it does not, State.Check decides.
	Unchanged(ctx context.Context, pinned []Pinned) ([]bool, error)
}

// A Pinned is a state and the version of it that was read.
type Pinned struct {
	State   State
	Version Version
}

// A Witness is a lease whose requests also report which version is current, which saves a
// Check.
type Witness interface {
	Lease
	// Shows reports whether, according to the response to the last request that took or
	// released the lock, v was current then.
	Shows(v Version) bool
}
