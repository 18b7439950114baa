// Package backend defines the vocabulary of the places that keep Terraform states: Kind,
// Backend, State, Version and Lock, and how an operation can fail. Each kind is a package
// below this one; only package command lists them. Source and target are roles: anything
// that can be read can be a source, and anything that can be written under a lock or by
// compare-and-set can be a target.
package backend

import (
	"context"
	"io"
	"time"
)

// A State is one state's home in a backend: a file, an object, a row, a workspace. Its
// methods are safe for concurrent use.
type State interface {
	// Address is what a user types to name this one state: a path or a URL. It never holds
	// a secret. It may contain control characters, which the caller must neutralize before
	// showing it.
	Address() string
	// Place returns the parts that workspace names are made from.
	Place() Place
	// Traits returns the traits of the state's backend.
	Traits() Traits
	// Open reads version v, or the current version if v is nil, and returns the version
	// that is being read. The caller fills in its MD5 after reading. Open returns a
	// *ChangedError if v can no longer be read.
	Open(ctx context.Context, v *Version) (io.ReadCloser, Version, error)
	// Check returns nil if v is still current and a *ChangedError if it is not. After any
	// other error, either may be true.
	Check(ctx context.Context, v Version) error
	// Holder returns the state's lock, or nil if the state is not locked.
	Holder(ctx context.Context) (*Lock, error)
}

// A Version identifies what was stored in a state at one moment.
type Version struct {
	// ID is opaque outside the kind of backend that made it.
	ID string `json:"id"`
	// Serial is what the backend reports, which may differ from the file's; 0 if it reports
	// none.
	Serial int64 `json:"serial,omitempty"`
	// Size is in bytes; 0 if the backend does not report it.
	Size int64 `json:"size,omitempty"`
	// MD5 is the lower-case hex digest of the bytes, filled in by the reader.
	MD5 string `json:"md5,omitempty"`
	// Created is when the version was stored; zero if the backend does not report it. It is
	// not journaled.
	Created time.Time `json:"-"`
	// Pending means that the bytes have not arrived or are still being processed, and
	// Announced that they were never sent.
	Pending, Announced bool `json:"-"`
	// Kept means that the version can still be read by its ID after another one was written,
	// and Gone that the backend still lists it but has lost its bytes.
	Kept, Gone bool `json:"-"`
	// Author and Run are the IDs of the user and of the run that stored the version; "" if
	// the backend does not report them. They are not journaled.
	Author string `json:"-"`
	Run    string `json:"-"`
	// Detail is for the kind's own use.
	Detail any `json:"-"`
}

// Traits describe what a kind of backend can do.
type Traits struct {
	// Local means that states are files on this machine.
	Local bool
	// Encoded means that states are stored in another form, such as gzip or chunks; "byte
	// for byte" then refers to the decoded bytes.
	Encoded bool
	// Workspaces means that states are workspaces: they have names, which are compared
	// without case, and no paths; a state must be created before it can be written; and
	// Terraform may run there.
	Workspaces bool
	// Versions means that older versions of a state can be listed and read, at least in some
	// backends of this kind.
	Versions bool
	// Rises means that the version with the highest serial is the current one, so that only a
	// higher serial replaces it. Workspaces are like this, too.
	Rises bool
	// Noun is what messages call the place of a state: "workspace", "object" or "file".
	Noun    string
	Pins    Pinning
	Locks   Locking
	Writes  Writing
	Current Moment
}

// Pinning is how Open treats the version that it is given.
type Pinning int

// The kinds of pinning.
const (
	PinsByContent  Pinning = iota // the bytes are read and compared
	PinsCondition                 // fails if the state has changed
	PinsAnyVersion                // opens any version that is still kept
)

// Locking is what kind of lock a backend has.
type Locking int

// The kinds of locks.
const (
	LocksNone    Locking = iota
	LocksVisible         // the holder can be seen, but the lock cannot be taken
	LocksSession         // ends with the connection, so it is never journaled as a lock to free later
	LocksDurable         // stays until it is released
)

// Writing is how a backend protects a write from other writers.
type Writing int

// The kinds of writing.
const (
	WritesNone      Writing = iota // cannot be a target
	WritesCondition                // compare-and-set
	WritesUnderLock
)

// A Moment is when a written version becomes the current one.
type Moment int

// The moments.
const (
	CurrentAtWrite Moment = iota
	CurrentAtUnlock
)

// DefaultWorkspace is the name of the workspace that Terraform always has.
const DefaultWorkspace = "default"

// A Place is where a state is within its backend. Naming templates use it. Separators are
// slashes on every system.
type Place struct {
	// Dir is the directory of the state's root module, relative to what was searched:
	// "network" for both network/terraform.tfstate and
	// network/terraform.tfstate.d/prod/terraform.tfstate. It is empty for the searched
	// directory itself.
	Dir string
	// Base is the file name without its directory and ".tfstate": "terraform".
	Base string
	// Key is the path relative to what was searched, or the unchanged key in the bucket:
	// "network/terraform.tfstate.d/prod/terraform.tfstate".
	Key string
	// Bucket is the bucket's name; empty for files.
	Bucket string
	// Workspace is the state's Terraform workspace, or DefaultWorkspace if its path names
	// none. In an organization, it is the name of the workspace.
	Workspace string
	// Organization and Project are those of a workspace; empty where states have paths.
	Organization, Project string
	// Root is the base name of the directory that Dir is relative to. The default naming
	// rule uses it for a state directly in the searched directory. It is empty where there
	// is no such directory, as for standard input.
	Root string
	// Searched is the name of the directory, prefix or bucket that was searched: the Root of
	// states whose path names no workspace. It is empty where Root is.
	Searched string
}
