package backend

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Kind is one kind of backend.
type Kind struct {
	// Name is what its users call it: "Google Cloud Storage".
	Name string
	// Scheme is the part of an address before "://"; "" for paths.
	Scheme string
	// Aliases are other schemes with the same meaning.
	Aliases []string
	// Example shows how an address is written.
	Example string
	// Environment names the variables that are looked at first for credentials, separated by
	// ", ", and ends with "…" if there are others; "" if there are none, or if help describes
	// them with a flag.
	Environment string
	// Traits are the traits of every backend of this kind.
	Traits Traits
	// Open returns the backend that an address names: all of it, a part, or one state. It
	// may check whether a path exists, but sends no requests.
	Open func(ctx context.Context, address string) (Backend, error)
	// Canonical returns the same address for every way to write it; nil if there is only
	// one way. It takes the addresses of sources and of targets.
	Canonical func(address string) string
	// Expect announces the address of a source before it is opened; nil if that makes no
	// difference.
	Expect func(address string)
	// CutPassword returns an address without the password in it, and the password. It is nil if
	// addresses of this kind cannot have one. The program cuts passwords out of its arguments,
	// because they are shown and recorded.
	CutPassword func(address string) (without, password string)
	// Backends are the names of Terraform's backends of this kind; empty if Terraform has
	// none. Configured returns where a configuration with one of them keeps its states. It sends
	// no requests, and its errors show no values.
	Backends   []string
	Configured func(s *Settings) (*Configured, error)
	// Target is how states of this kind are written; nil if they cannot be. ReadOnly then
	// says why, as the end of a sentence.
	Target   *TargetRole
	ReadOnly string
}

// A Backend is a place that keeps states, or the part of one that an address names.
type Backend interface {
	// States lists the stored states without reading them. Anything that cannot be examined
	// is added to Listing.Skipped and does not stop the listing. A *NoMatchError is
	// returned together with the Listing, which has the skipped files.
	States(ctx context.Context, f Filter) (*Listing, error)
}

// A Connection configures how backends are reached. The zero value is ready to use.
type Connection struct {
	// TLS holds the trusted authorities; nil means the system's.
	TLS *tls.Config
	// Timeout ends a request when the server has sent nothing for this long; 0 means one
	// minute.
	Timeout time.Duration
	// Stdin is read for "-"; nil means os.Stdin.
	Stdin io.Reader
	// Environ holds the environment as NAME=VALUE; nil means os.Environ().
	Environ []string
	// TokenFile contains the API token, for kinds that have one; "" for where the kind
	// usually looks.
	TokenFile string
	// Passwords holds the passwords that addresses had, by the address without it. They are
	// never shown.
	Passwords map[string]string
	// Doubts returns why a host must receive only a token that is stored for it, because
	// another user may have chosen the host; "" otherwise. If it is nil, no host is in doubt.
	Doubts func(host string) string
	// Rate limits the requests a second to a server that has a limit; 0 means the server's.
	Rate float64
	// Parallelism is how many states are read or written at a time; 0 means one.
	Parallelism int
	// UserAgent names this program to servers.
	UserAgent string
	// Logger receives warnings and details; nil discards them.
	Logger *slog.Logger
	// StreamLimit is how many bytes are held in memory of a state that can be read only
	// once, or has no version to open again; 0 means DefaultStreamLimit.
	StreamLimit int64
}

// DefaultStreamLimit limits how much of standard input or a named pipe is held in memory:
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
	if c.Environ == nil {
		c.Environ = os.Environ()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Parallelism = max(c.Parallelism, 1)
	return c
}

// Getenv is os.Getenv for an environment in the form NAME=VALUE. The last value counts, as in
// package exec.
func Getenv(environ []string) func(name string) string {
	return func(name string) string {
		for _, variable := range slices.Backward(environ) {
			key, value, _ := strings.Cut(variable, "=")
			if key == name || runtime.GOOS == "windows" && strings.EqualFold(key, name) {
				return value
			}
		}
		return ""
	}
}

// Kinds are the kinds that a program supports. Backends of one kind share connections and
// credentials for the lifetime of the Kinds.
type Kinds []Kind

// Find lists the states that an address names. Its error is an *UnsupportedError, a
// *NoMatchError (with a non-nil Listing), an *Error, the error of ctx, or describes the
// address itself.
func (k Kinds) Find(ctx context.Context, address string, f Filter) (*Listing, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	if address == "" {
		return nil, fmt.Errorf("the source is empty: name %s", k.SourceForms())
	}
	kind, ok := k.of(address)
	if !ok || kind.Open == nil {
		return nil, &UnsupportedError{Scheme: Scheme(address), Known: k.SourceForms()}
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

// Expect announces sources that Find will be called with. A kind can then take all of them
// into account before it sends the first request: a token of one server goes to no other.
func (k Kinds) Expect(addresses []string) {
	for _, address := range addresses {
		if kind, ok := k.of(address); ok && kind.Expect != nil {
			kind.Expect(address)
		}
	}
}

// Canonical returns the same address for every way to write it.
func (k Kinds) Canonical(address string) string {
	if kind, ok := k.of(address); ok && kind.Canonical != nil {
		return kind.Canonical(address)
	}
	return address
}

// Workspaces reports whether the states that the address of a source names are workspaces.
func (k Kinds) Workspaces(source string) bool {
	kind, ok := k.of(source)
	return ok && kind.Traits.Workspaces
}

// Names reports whether addresses of this kind have the scheme.
func (k Kind) Names(scheme string) bool {
	return k.Scheme == scheme || slices.Contains(k.Aliases, scheme)
}

// of returns the kind of an address.
func (k Kinds) of(address string) (Kind, bool) {
	scheme := Scheme(address)
	for _, kind := range k {
		if kind.Names(scheme) {
			return kind, true
		}
	}
	return Kind{}, false
}

// SourceForms lists what a source can be: "a file, a directory or a URL that starts with
// s3:// or tfe://".
func (k Kinds) SourceForms() string { return k.forms(readable) }

// forms lists the addresses that example returns. Of a URL, only the scheme is listed.
func (k Kinds) forms(example func(Kind) string) string {
	var forms, schemes []string
	for _, kind := range k {
		switch e := example(kind); {
		case Scheme(e) != "":
			schemes = append(schemes, kind.Scheme+"://")
		case e != "":
			forms = append(forms, e)
		}
	}
	if len(schemes) > 0 {
		forms = append(forms, "a URL that starts with "+alternatives(schemes))
	}
	return alternatives(forms)
}

// alternatives joins texts: "a, b or c".
func alternatives(texts []string) string {
	if n := len(texts) - 1; n > 0 {
		return strings.Join(texts[:n], ", ") + " or " + texts[n]
	}
	return strings.Join(texts, "")
}

// readable returns how the addresses of a kind are written; "" if it cannot be a source.
func readable(k Kind) string {
	if k.Open == nil {
		return ""
	}
	return k.Example
}

// CheckHistory returns an error unless states of the source's kind have older versions that
// the target's kind can store.
func (k Kinds) CheckHistory(source, target string) error {
	if from, ok := k.of(source); ok && !from.Traits.Versions {
		return fmt.Errorf("%s has no older versions: the source must be %s", source, examples(k, func(kind Kind) string {
			if !kind.Traits.Versions {
				return ""
			}
			return readable(kind)
		}))
	}
	into, err := k.Target(target)
	if err == nil && !into.Target.History {
		err = fmt.Errorf("%s cannot store older versions: the target must be %s", target, examples(k, func(kind Kind) string {
			if kind.Target == nil || !kind.Target.History {
				return ""
			}
			return kind.Target.State
		}))
	}
	return err
}

// examples lists how the addresses of all kinds are written, without those for which example
// returns "".
func examples(kinds Kinds, example func(Kind) string) string {
	var all []string
	for _, kind := range kinds {
		if e := example(kind); e != "" {
			all = append(all, e)
		}
	}
	return alternatives(all)
}

// ConfigScheme is the scheme of addresses of configurations, config:DIR. They have no slashes
// after it, because a path follows.
const ConfigScheme = "config"

// Scheme returns the lower-case scheme of a URL or of config:DIR, and "" for a path. A scheme
// has at least two letters, so a Windows drive is not one.
func Scheme(address string) string {
	if strings.HasPrefix(address, ConfigScheme+":") {
		return ConfigScheme
	}
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
