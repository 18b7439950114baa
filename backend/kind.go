package backend

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"time"
)

// A Kind is one kind of backend.
type Kind struct {
	// Scheme is what addresses of this kind begin with, before "://"; "" for paths.
	Scheme string
	// Example shows how an address is written.
	Example string
	// Traits are those of every backend of this kind.
	Traits Traits
	// Open returns the backend that an address names: all of it, a part, or one state. It
	// may look whether a path exists, and asks no server.
	Open func(ctx context.Context, address string) (Backend, error)
	// Canonical returns the one form of an address that stands for all ways to write it;
	// nil where there is only one way.
	Canonical func(address string) string
}

// A Backend is a place that keeps states, or the part of one that an address names.
type Backend interface {
	// States lists what is stored. It reads no state. What could not be looked at is in
	// Listing.Skipped and does not end the listing. A *NoMatchError comes with a Listing,
	// which tells what was skipped.
	States(ctx context.Context, f Filter) (*Listing, error)
}

// Connection is how backends are reached. The zero value is ready.
type Connection struct {
	// TLS holds the authorities that servers are trusted by; nil means the system's.
	TLS *tls.Config
	// Timeout ends a request to a server that sends nothing for so long; 0 means a minute.
	Timeout time.Duration
	// Stdin is read for "-"; nil means os.Stdin.
	Stdin io.Reader
	// StreamLimit is how many bytes are held of a state that can be read only once, or
	// that cannot be pinned; 0 means DefaultStreamLimit.
	StreamLimit int64
}

// DefaultStreamLimit bounds what is held in memory of standard input or a named pipe:
// 256 MiB.
const DefaultStreamLimit = 256 << 20

// WithDefaults returns the connection with its zero values filled in.
func (c Connection) WithDefaults() Connection {
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	if c.StreamLimit == 0 {
		c.StreamLimit = DefaultStreamLimit
	}
	return c
}

// Kinds are the kinds that a program knows. Backends of one kind share connections and
// credentials for as long as the Kinds are used.
type Kinds []Kind

// Find lists the states that an address names. The errors are *UnsupportedError,
// *NoMatchError (then the Listing is not nil), *Error, ctx's, or one about the address
// itself.
func (k Kinds) Find(ctx context.Context, address string, f Filter) (*Listing, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	if address == "" {
		return nil, fmt.Errorf("the source is empty: name %s", k.examples())
	}
	kind, ok := k.of(address)
	if !ok {
		return nil, &UnsupportedError{Scheme: Scheme(address), Known: k.examples()}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := kind.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	return b.States(ctx, f)
}

// Canonical returns the one form of an address that stands for all ways to write it.
func (k Kinds) Canonical(address string) string {
	if kind, ok := k.of(address); ok && kind.Canonical != nil {
		return kind.Canonical(address)
	}
	return address
}

// of finds the kind of an address.
func (k Kinds) of(address string) (Kind, bool) {
	scheme := Scheme(address)
	for _, kind := range k {
		if kind.Scheme == scheme {
			return kind, true
		}
	}
	return Kind{}, false
}

// examples shows how the addresses of all kinds are written.
func (k Kinds) examples() string {
	all := make([]string, len(k))
	for i, kind := range k {
		all[i] = kind.Example
	}
	if n := len(all) - 1; n > 0 {
		return strings.Join(all[:n], ", ") + " or " + all[n]
	}
	return strings.Join(all, "")
}

// Scheme returns the lower-case scheme of a URL and "" for a path. A scheme has two
// letters or more, so that a Windows drive is none.
func Scheme(address string) string {
	scheme, _, ok := strings.Cut(address, "://")
	if !ok || len(scheme) < 2 {
		return ""
	}
	scheme = strings.ToLower(scheme)
	for i, c := range scheme {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", c)) {
			return ""
		}
	}
	return scheme
}
