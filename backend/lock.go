package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A Lock describes a lock on a state, as Terraform writes it (statemgr.LockInfo). A lock
// with an unreadable description is still a lock: then only Path and Info are set.
type Lock struct {
	ID        string    `json:"id"`
	Who       string    `json:"who"`
	Operation string    `json:"operation"`
	Info      string    `json:"info"`
	Path      string    `json:"path"` // where the lock itself is: a file or a URL
	Created   time.Time `json:"created,omitzero"`

	// IsFile is set where the lock is a file on this machine. terraform force-unlock does not remove it.
	IsFile bool `json:"-"`
	// Removal is how to remove the lock by hand, in the imperative; "" where terraform
	// force-unlock does it, or where the file at Path must be removed.
	Removal string `json:"-"`
}

// MaxLockInfo limits how many bytes of a lock's description are read. Terraform's own are
// under 1 KiB.
const MaxLockInfo = 64 << 10

// Describe fills in the lock from Terraform's JSON description, field by field, so that one
// malformed field does not hide the others.
func (l *Lock) Describe(text []byte) {
	var said map[string]json.RawMessage
	if err := json.Unmarshal(text, &said); err != nil {
		l.Info = "its description is not in the JSON format that Terraform writes"
		return
	}
	for name, into := range map[string]*string{"ID": &l.ID, "Who": &l.Who, "Operation": &l.Operation, "Info": &l.Info} {
		var value string
		if json.Unmarshal(said[name], &value) == nil {
			*into = value
		}
	}
	var created time.Time
	if json.Unmarshal(said["Created"], &created) == nil {
		l.Created = created
	}
}

// MoveInfo returns the Info of the lock that tfhaul takes on a source while a haul moves
// its state to target, and may leave there to freeze the source.
func MoveInfo(target, haul string) string {
	return fmt.Sprintf("tfhaul moves this state to %s (haul %s)", target, haul)
}

var moveInfo = regexp.MustCompile(`^tfhaul moves this state to (\S+) \(haul (\S+)\)$`)

// Move parses MoveInfo. It reports whether tfhaul took the lock, for which target, and in
// which haul. The lock does not show whether that haul is still running or left it to
// freeze the source.
func (l *Lock) Move() (target, haul string, ours bool) {
	parts := moveInfo.FindStringSubmatch(l.Info)
	if parts == nil {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// Lift returns how to remove the lock by hand.
func (l *Lock) Lift() string {
	if l.Removal != "" {
		return l.Removal
	}
	// Others wrote these fields, so they may contain anything: keep them on one line.
	if id := strings.Join(strings.Fields(l.ID), " "); id != "" && !l.IsFile {
		return "terraform force-unlock " + id + " in its configuration"
	}
	return "remove " + l.Path
}

// holder returns who holds the lock and since when, with a leading space.
func (l *Lock) holder() string {
	s := ""
	if l.Who != "" {
		s += " by " + l.Who
	}
	if !l.Created.IsZero() {
		s += " since " + l.Created.UTC().Format(time.RFC3339)
	}
	if l.Operation != "" {
		s += " (" + l.Operation + ")"
	}
	return s
}

// A Lockable is a State whose lock can be taken, which stops anyone else's terraform apply.
type Lockable interface {
	State
	// TakeLock tries once to take the lock. It returns a *LockedError if someone else holds
	// it, and a *LockLeftError if it is unknown whether the lock was taken and it could not
	// release it. Read the state after TakeLock, not before. While the lease is held,
	// Holder reports it like any other lock: compare the ID.
	TakeLock(ctx context.Context, r LockRequest) (Lease, error)
	// FreeLock releases the lock with this ID on behalf of a process that has ended. It
	// returns nil if there is no lock, and a *LockLostError if someone else holds it now.
	FreeLock(ctx context.Context, id string) error
}

// A Lease is a lock held by this process.
type Lease interface {
	// Lock returns the lock as others see it.
	Lock() Lock
	// Release releases the lock if it is still ours, and otherwise returns a
	// *LockLostError. Pass a context that an interrupt does not cancel.
	Release(ctx context.Context) error
	// Leave ends the lease without releasing the lock. It returns a sentence for the user:
	// what the lock prevents and how to remove it.
	Leave() string
}

// A LockRequest describes our lock to others. It holds no secret.
type LockRequest struct {
	Operation string // "OperationTypeMigrate", as Terraform shows it
	Info      string // a sentence: the haul's ID and where the state goes
	Who       string // user@host; "" means this process's
	Version   string // version of this program
}

// A LockedError is returned when the state is locked.
type LockedError struct {
	Address string // the state's
	Lock    Lock   // only Path is set if its description could not be read
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%q is locked at its source%s: wait for that to finish, or remove the lock if it is stale", e.Address, e.Lock.holder())
}

// A LockLostError is returned when a lock that we took is no longer ours.
type LockLostError struct {
	Address string // the state's
	Lock    *Lock  // the present lock, if any
}

func (e *LockLostError) Error() string {
	if e.Lock == nil {
		return fmt.Sprintf("another user removed the lock of %q while we held it", e.Address)
	}
	return fmt.Sprintf("another user removed the lock of %q while we held it; it is held%s now", e.Address, e.Lock.holder())
}

// IsLockLost reports whether err is, or wraps, a *LockLostError.
func IsLockLost(err error) bool {
	_, lost := errors.AsType[*LockLostError](err)
	return lost
}

// A LockLeftError is returned when a lock of ours may have been left behind.
type LockLeftError struct {
	Address string // the state's
	Lift    string // the commands that remove it, one for each place it is stored
	Err     error  // why its fate is unknown, or why it could not be removed
}

func (e *LockLeftError) Error() string {
	return fmt.Sprintf("our lock of %q may still be there (%v): check, and remove it with: %s", e.Address, e.Err, e.Lift)
}

func (e *LockLeftError) Unwrap() error { return e.Err }

// A Digested is a State whose backend may keep a digest beside it.
type Digested interface {
	// Digest returns the MD5 that the backend recorded when it last wrote the state, in
	// lower-case hex, or "" if it keeps none. If it does not match the stored bytes,
	// something wrote one without the other. Terraform refuses such a state ("state data in
	// S3 does not have the expected content") until one of them is fixed.
	Digest(ctx context.Context) (string, error)
}

// An Aliased is a State that has names other than its address.
type Aliased interface{ Aliases() []string }

// A Served state is kept on a server.
type Served interface {
	// Server returns what the states on one server have in common: if one fails, the others
	// probably fail, too.
	Server() string
}
