// Package source finds state files where they live today and reads them: a file, a directory tree,
// standard input, a bucket. It knows the layout in which Terraform's backends keep states, who holds a
// source's own lock, and whether an object changed since it was read; it refuses to know what is
// inside a state (package statefile does) and writes nothing but, when asked to, that lock. Bytes go
// from here to statefile and migrate.
package source

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"time"
)

// Object is one state file at a source. Its methods may be called by several goroutines at once.
type Object interface {
	// Name is what a user would type to name this one alone, a path or a URL. It never holds a
	// secret. It is as found: a view has to neutralise control characters.
	Name() string
	// Place holds the parts that workspace naming uses.
	Place() Place
	// Open reads the object as it is now (pin nil) or exactly the version that pin names. The Pin
	// it returns names what is being read; the caller fills its MD5 after reading. A
	// *ChangedError says that what pin names is gone.
	Open(ctx context.Context, pin *Pin) (io.ReadCloser, Pin, error)
	// Check says whether the object still is what pin names: nil, a *ChangedError, or an error of
	// reading, after which nothing is known.
	Check(ctx context.Context, pin Pin) error
	// Lock reports who holds the source's own lock; nil, nil when nobody does.
	Lock(ctx context.Context) (*Lock, error)
}

// DefaultWorkspace is the name Terraform gives the workspace that always exists.
const DefaultWorkspace = "default"

// Place says where an object stands within its source. Separators are slashes on every system.
type Place struct {
	// Dir is the directory of the configuration the state belongs to, relative to what was
	// searched, empty when it is that itself: "network" for network/terraform.tfstate and for
	// network/terraform.tfstate.d/prod/terraform.tfstate alike.
	Dir string
	// Base is the file's name without its directory and without ".tfstate": "terraform".
	Base string
	// Key is the whole path relative to what was searched, or the key in the bucket, unchanged:
	// "network/terraform.tfstate.d/prod/terraform.tfstate".
	Key string
	// Bucket is the bucket's name; empty for files.
	Bucket string
	// Workspace is the Terraform workspace the state belongs to, DefaultWorkspace when its place
	// names none.
	Workspace string
	// Root is the name of the directory that Dir is relative to, without its parents. The default
	// naming rule falls back to it where a state lies in the searched directory itself. Empty
	// where there is none, as for standard input.
	Root string
}

// Pin names one version of an object. Each kind of source fills what it has; a Pin is only
// meaningful to the object (or an object of the same name) that made it.
type Pin struct {
	// VersionID is the object store's version, where the bucket is versioned.
	VersionID string `json:"version_id,omitempty"`
	// ETag is the object store's entity tag.
	ETag string `json:"etag,omitempty"`
	// Size in bytes.
	Size int64 `json:"size"`
	// ModTime is when the object was last written, as the source says it.
	ModTime time.Time `json:"mod_time,omitzero"`
	// Opened is when the object was opened, by this machine's clock. A ModTime close to it does
	// not prove sameness, because a write in the same tick of the file system's clock would
	// leave it as it is.
	Opened time.Time `json:"opened,omitzero"`
	// Identity is which file it is, where it is one.
	Identity
	// MD5 is the lower-case hex digest of the bytes, filled by the caller after reading them.
	MD5 string `json:"md5,omitempty"`
}

// Lock is what is known of a lock at the source, as Terraform wrote it (statemgr.LockInfo). A lock
// whose description is unreadable is still a lock: then only Path and Info are set.
type Lock struct {
	ID        string    `json:"id"`
	Who       string    `json:"who"`
	Operation string    `json:"operation"`
	Info      string    `json:"info"`
	Path      string    `json:"path"` // where the lock itself is: a file or a URL
	Created   time.Time `json:"created,omitzero"`
}

// The codes of a Skip. They are part of the JSON output.
const (
	SkipErrored      = "errored"          // errored.tfstate: likely newer than what the backend holds
	SkipTerraformDir = "terraform-dir"    // .terraform: backend pointers and downloaded copies, not state
	SkipTerragrunt   = "terragrunt-cache" // .terragrunt-cache: working copies that Terragrunt makes
	SkipBackup       = "backup"           // *.backup: the state before the last write
	SkipLockFile     = "lock-file"        // a lock's description
	SkipNotRegular   = "not-regular"      // a pipe, device or socket; never opened in a search
	SkipUnreadable   = "unreadable"       // the system refused to list or stat it
	SkipBrokenLink   = "broken-link"      // a symbolic link to nowhere, or to itself
	SkipDuplicate    = "duplicate"        // a symbolic link to what was found under its own name
)

// Skip is something that was found and not taken.
type Skip struct {
	Name   string `json:"name"` // as Object.Name; a directory ends in a separator
	Code   string `json:"code"`
	Reason string `json:"reason"` // a sentence: why, and what to do where something can be done
}

// Listing is what a source holds.
type Listing struct {
	Objects []Object // sorted by Place.Key
	Skipped []Skip   // sorted by Name
}

// FindOptions narrows what Find finds. The zero value means: every *.tfstate.
type FindOptions struct {
	// Include holds doublestar globs over slash-separated paths relative to the searched
	// directory; an object is taken when any matches. None means DefaultInclude.
	Include []string
	// Exclude holds globs of what is left out, files and whole directories; it wins over Include.
	Exclude []string
	// Stdin is read for "-"; nil means os.Stdin.
	Stdin io.Reader
	// StreamLimit is how many bytes are held of a source that can be read only once; 0 means
	// DefaultStreamLimit.
	StreamLimit int64
	// TLS holds the authorities that servers are trusted by; nil means the system's.
	TLS *tls.Config
	// Timeout ends a request to a server that sends nothing for so long; 0 means a minute.
	Timeout time.Duration
	// Connections is what several calls share where sources are servers; nil means that this call
	// makes its own.
	Connections *Connections
}

// defaultTimeout is how long a server may send nothing, without FindOptions.Timeout.
const defaultTimeout = time.Minute

func (o FindOptions) timeout() time.Duration {
	if o.Timeout <= 0 {
		return defaultTimeout
	}
	return o.Timeout
}

// DefaultInclude is what a search takes when nothing else was asked for.
const DefaultInclude = "**/*.tfstate"

// DefaultStreamLimit bounds what is held in memory of standard input or a named pipe: 256 MiB.
const DefaultStreamLimit = 256 << 20

// Find lists the state files that ref names, as the command line writes a SOURCE: a file, a
// directory (searched), "-" (standard input), an s3:// URL of an object or of a prefix (searched), or
// an atlas:// URL of a state on a server of Atlas's first API. It
// reads no state. What could not be looked at is in Listing.Skipped and does not end the search. The errors are *UnsupportedError, *NoMatchError (then
// the Listing is not nil, as it says what was skipped), ctx's, or one about ref itself.
func Find(ctx context.Context, ref string, o FindOptions) (*Listing, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	switch scheme := schemeOf(ref); {
	case ref == "":
		return nil, fmt.Errorf(`the source is empty: name a file, a directory, s3://BUCKET/KEY or "-" for standard input`)
	case ref == "-":
		return &Listing{Objects: []Object{newStdin(o)}}, nil
	case scheme == "s3":
		return findS3(ctx, ref, o)
	case scheme == "atlas":
		return findAtlas(ctx, ref, o)
	case scheme != "":
		return nil, &UnsupportedError{Scheme: scheme}
	default:
		return findLocal(ctx, ref, o)
	}
}

// schemeOf returns the lower-case scheme of a URL and "" for a path. A scheme has two letters or more,
// so that a Windows drive is none.
func schemeOf(ref string) string {
	scheme, _, ok := strings.Cut(ref, "://")
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

// Near is what an Object is too whose bytes lie on this machine: to read them once more costs less
// than a digest of them.
type Near interface{ Near() }

// ChangedError says that an object no longer is what a Pin named. Nothing that was read of it may be
// taken for its present state.
type ChangedError struct {
	Name string // the object's name
	Gone bool   // it does not exist any more
	How  string // what differs: "size 100, was 90"; no content
}

func (e *ChangedError) Error() string {
	if e.Gone {
		return fmt.Sprintf("%q is gone since it was read: someone removed or moved it; look for its successor and start again from there", e.Name)
	}
	return fmt.Sprintf("%q changed since it was read (%s): someone is still writing to it; stop them, then start again", e.Name, e.How)
}

// UnsupportedError says that no source of this kind can be read.
type UnsupportedError struct {
	Scheme string // of the URL, lower case; the rest is not repeated, because it may hold a secret
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf(`cannot read state from %s://: a source is a file, a directory, s3://BUCKET/KEY or "-" (standard input)`, e.Scheme)
}

// NoMatchError says that a search found nothing to take.
type NoMatchError struct {
	Ref     string
	Include []string // the globs that were tried
	Exclude []string
	Skipped int // how many were found and not taken
}

func (e *NoMatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no state found in %q: nothing matches %s", e.Ref, quoted(e.Include))
	if len(e.Exclude) > 0 {
		fmt.Fprintf(&b, " that is not excluded by %s", quoted(e.Exclude))
	}
	if e.Skipped > 0 {
		fmt.Fprintf(&b, "; %d found and not taken", e.Skipped)
	}
	b.WriteString(`; globs are matched against the path below it, so "**/" is needed to look into directories`)
	return b.String()
}

func quoted(globs []string) string {
	q := make([]string, len(globs))
	for i, g := range globs {
		q[i] = fmt.Sprintf("%q", g)
	}
	return strings.Join(q, ", ")
}
