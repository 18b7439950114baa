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

// A Lock is what is known of a lock on a state, as Terraform writes it
// (statemgr.LockInfo). A lock whose description is unreadable is still a lock: then only
// Path and Info are set.
type Lock struct {
	ID        string    `json:"id"`
	Who       string    `json:"who"`
	Operation string    `json:"operation"`
	Info      string    `json:"info"`
	Path      string    `json:"path"` // where the lock itself is: a file or a URL
	Created   time.Time `json:"created,omitzero"`
}

// MaxLockInfo bounds what is read of a lock's description, in bytes. Terraform's own are
// under 1 KiB.
const MaxLockInfo = 64 << 10

// Describe takes over what Terraform's JSON description of a lock says, field by field,
// so that one odd field does not hide the others.
func (l *Lock) Describe(text []byte) {
	var said map[string]json.RawMessage
	if err := json.Unmarshal(text, &said); err != nil {
		l.Info = "its description is not the JSON that Terraform writes"
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

// MoveInfo is the Info of the lock that tfhaul holds on a source while a haul moves its
// state to target, and leaves there to freeze the source.
func MoveInfo(target, haul string) string {
	return fmt.Sprintf("tfhaul moves this state to %s (haul %s)", target, haul)
}

var moveInfo = regexp.MustCompile(`^tfhaul moves this state to (\S+) \(haul (\S+)\)$`)

// Move reports whether tfhaul holds the lock, where it moves the state, and by which
// haul. A lock does not say whether its haul is still running or has left it to freeze
// the source.
func (l *Lock) Move() (target, haul string, ours bool) {
	parts := moveInfo.FindStringSubmatch(l.Info)
	if parts == nil {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// Lift tells how to remove the lock by hand.
func (l *Lock) Lift() string {
	// What others wrote may be anything, and stays on its line.
	if id := strings.Join(strings.Fields(l.ID), " "); id != "" {
		return "terraform force-unlock " + id + " in its configuration"
	}
	return "remove " + l.Path
}

// holder is who holds the lock and since when, with a blank in front.
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

// Lockable is a State whose lock can be taken, so that a terraform apply against it is
// stopped.
type Lockable interface {
	State
	// TakeLock takes the lock without waiting. A *LockedError says who holds it already.
	// Where it stays unknown whether it was taken, and it could not be released, a
	// *LockLeftError names it. The state has to be read after TakeLock, not before. While
	// the lease is held, Holder reports it as it does any other: compare its ID.
	TakeLock(ctx context.Context, r LockRequest) (Lease, error)
	// FreeLock releases the lock that has this ID, as a lease's Release does, for one that
	// was taken by a process that is no more. It does nothing, and returns nil, where
	// nobody holds the lock; a *LockLostError says that it is another's now.
	FreeLock(ctx context.Context, id string) error
}

// A Lease is a lock that this process holds.
type Lease interface {
	// Lock is the lock as others see it.
	Lock() Lock
	// Release releases the lock if it is still ours. A *LockLostError says that it was
	// taken away meanwhile. Give it a context that an interrupt does not end.
	Release(ctx context.Context) error
	// Leave ends the lease without releasing the lock and returns the sentence for a
	// person: what it stops and how to lift it.
	Leave() string
}

// A LockRequest is what others read of a lock that we take. It holds no secret.
type LockRequest struct {
	Operation string // "OperationTypeMigrate", as Terraform shows it
	Info      string // why, in a sentence: the haul's ID and where the state goes
	Who       string // user@host; empty: this process's
	Version   string // of this program
}

// A LockedError says that the state is locked.
type LockedError struct {
	Address string // the state's
	Lock    Lock   // only Path is set where its description could not be read
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%q is locked at its source%s: wait for that to end, or lift the lock if nobody works there any more", e.Address, e.Lock.holder())
}

// A LockLostError says that a lock that we took is no longer ours.
type LockLostError struct {
	Address string // the state's
	Lock    *Lock  // whose it is now; nil when nobody's
}

func (e *LockLostError) Error() string {
	if e.Lock == nil {
		return fmt.Sprintf("another user lifted the lock of %q while we held it", e.Address)
	}
	return fmt.Sprintf("another user lifted the lock of %q while we held it; it is held%s now", e.Address, e.Lock.holder())
}

// IsLockLost reports whether an error says that a lock is no longer ours.
func IsLockLost(err error) bool {
	_, lost := errors.AsType[*LockLostError](err)
	return lost
}

// A LockLeftError says that a lock of ours may still be there.
type LockLeftError struct {
	Address string // the state's
	Lock    Lock   // ours
	Lift    string // the commands that lift it, each for one of its places
	Err     error  // why it is unknown, or could not be lifted
}

func (e *LockLeftError) Error() string {
	return fmt.Sprintf("our lock of %q may be left there (%v): look at it and lift it with: %s", e.Address, e.Err, e.Lift)
}

func (e *LockLeftError) Unwrap() error { return e.Err }

// Digested is a State whose backend may keep a digest beside it.
type Digested interface {
	// Digest returns the MD5 that the backend noted when it last wrote the state, in
	// lower-case hex; "" when none is kept. Where it is not the MD5 of the bytes that are
	// there, something wrote one without the other: Terraform refuses such a state ("state
	// data in S3 does not have the expected content") until either is mended.
	Digest(ctx context.Context) (string, error)
}

// Aliased is a State that has other names than its address.
type Aliased interface{ Aliases() []string }
