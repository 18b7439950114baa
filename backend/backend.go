// Package backend is the vocabulary of the places that keep Terraform states: what a
// Kind of backend, a Backend, a State and a Version are, who may hold a lock, and how
// an operation can fail. The kinds themselves are the packages below this one; only
// package command knows which there are. Source and target are roles: whatever can be
// read is a source, and whatever can be written under a lock or by compare-and-set is
// a target.
package backend

import (
	"context"
	"io"
	"time"
)

// A State is one state's home in a backend: a file, an object, a row, a workspace. Its
// methods are safe for concurrent use.
type State interface {
	// Address is what a user would type for this state alone, a path or a URL. It never
	// holds a secret. It is as found: a view has to neutralise control characters.
	Address() string
	// Place returns the parts that workspace naming uses.
	Place() Place
	// Traits are those of the state's backend.
	Traits() Traits
	// Open reads the current version (v nil) or exactly v, and returns which version is
	// being read. The caller fills in its MD5 after reading. A *ChangedError says that v
	// cannot be read any more.
	Open(ctx context.Context, v *Version) (io.ReadCloser, Version, error)
	// Check reports whether v is still current: nil, a *ChangedError, or an error of
	// reading, after which nothing is known.
	Check(ctx context.Context, v Version) error
	// Holder returns who holds the state's lock; nil, nil when nobody does.
	Holder(ctx context.Context) (*Lock, error)
}

// A Version is what was stored in a state at one moment.
type Version struct {
	// ID names the version. Only the kind that made it knows what it means.
	ID string `json:"id"`
	// Serial as the backend announces it, which may differ from the file's; 0 where it
	// announces none.
	Serial int64 `json:"serial,omitempty"`
	// Size in bytes; 0 where the backend does not tell it.
	Size int64 `json:"size,omitempty"`
	// MD5 is the lower-case hex digest of the bytes, filled in by whoever read them.
	MD5 string `json:"md5,omitempty"`
	// Created is when the version was stored; zero where the backend does not tell it. It
	// is not journalled.
	Created time.Time `json:"-"`
}

// Traits say what a kind of backend can do, for callers that have to act differently.
type Traits struct {
	// Local states are files on this machine.
	Local bool
	// Encoded states are stored as something else, such as gzip or chunks: "byte for
	// byte" is about the decoded bytes.
	Encoded bool
	Pins    Pinning
	Locks   Locking
	Writes  Writing
	Current Moment
}

// Pinning says what Open with a version does.
type Pinning int

// The ways of pinning.
const (
	PinsByContent  Pinning = iota // the bytes are read and compared
	PinsCondition                 // fails if the state has changed
	PinsAnyVersion                // opens any version that still exists
)

// Locking says what locks a kind has.
type Locking int

// The kinds of locks.
const (
	LocksNone    Locking = iota
	LocksVisible         // who holds it can be seen; it cannot be taken
	LocksSession         // ends with the connection: never journalled as one that can be freed later
	LocksDurable         // stays until it is released
)

// Writing says how a kind keeps two writers apart.
type Writing int

// The ways of writing.
const (
	WritesNone      Writing = iota // it cannot be a target
	WritesCondition                // compare-and-set
	WritesUnderLock
)

// A Moment is when what was written becomes the current version.
type Moment int

// The moments.
const (
	CurrentAtWrite Moment = iota
	CurrentAtUnlock
)

// DefaultWorkspace is the name that Terraform gives the workspace that always exists.
const DefaultWorkspace = "default"

// A Place is where a state stands within its backend, as templates of names see it.
// Separators are slashes on every system.
type Place struct {
	// Dir is the directory of the root module that the state belongs to, relative to what
	// was searched, empty when it is that itself: "network" for network/terraform.tfstate
	// and for network/terraform.tfstate.d/prod/terraform.tfstate alike.
	Dir string
	// Base is the file's name without its directory and without ".tfstate": "terraform".
	Base string
	// Key is the whole path relative to what was searched, or the key in the bucket,
	// unchanged: "network/terraform.tfstate.d/prod/terraform.tfstate".
	Key string
	// Bucket is the bucket's name; empty for files.
	Bucket string
	// Workspace is the Terraform workspace that the state belongs to, DefaultWorkspace
	// when its place names none.
	Workspace string
	// Root is the name of the directory that Dir is relative to, without its parents. The
	// default naming rule falls back to it where a state lies in the searched directory
	// itself. Empty where there is none, as for standard input.
	Root string
}
