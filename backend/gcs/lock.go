package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// lockExt is the extension of a lock's object, instead of a state's
// (internal/backend/remote-state/gcs, Backend.lockFile).
const lockExt = ".tflock"

// lockKey returns the key of the lock of the state at key.
func lockKey(key string) string { return strings.TrimSuffix(key, backend.StateExt) + lockExt }

// listedLockFresh is how long to rely on the locks that a search listed: long enough to plan
// hundreds of states without a request for each, too short for a haul's later moves.
const listedLockFresh = time.Minute

// lockAttempts is how often to try to create a lock that vanished when it was read.
const lockAttempts = 3

// A heldLock is a lock that was found. Its ID is the object's generation, as in Terraform.
type heldLock struct {
	lock       backend.Lock
	own        string // the ID in its description
	generation int64
	text       []byte // as stored
	// unread is why the description could not be read.
	unread error
}

// lockPath returns the URL of the lock, which Terraform writes into it.
func (o *object) lockPath() string { return "gs://" + o.bucket.url.bucket + "/" + lockKey(o.key) }

func (o *object) lockRequest(doing, action string) request {
	return request{doing: doing, address: o.lockPath(), action: action}
}

// Holder implements backend.State. Within a minute of the search that found this state, it
// uses the search's listing if that has no lock.
func (o *object) Holder(ctx context.Context) (*backend.Lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !o.lockListed && !o.listed.IsZero() && time.Since(o.listed) <= listedLockFresh {
		return nil, nil
	}
	held, err := o.readLock(ctx)
	if held == nil || err != nil {
		return nil, err
	}
	return &held.lock, nil
}

// readLock returns nil if the state is not locked. Locks are not encrypted with the customer's key.
func (o *object) readLock(ctx context.Context) (*heldLock, error) {
	open := *o.bucket.server
	open.key = nil
	in, m, err := (&bucket{server: &open, url: o.bucket.url}).download(ctx, o.lockRequest("read the lock", "storage.objects.get"), lockKey(o.key), 0)
	if backend.CodeOf(err) == backend.NoState {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether the state is locked: %w", err)
	}
	held := &heldLock{generation: m.Generation, lock: backend.Lock{Path: o.lockPath()}}
	held.text, err = io.ReadAll(io.LimitReader(in, backend.MaxLockInfo))
	_ = in.Close() // only read
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("cannot read the lock %q: %w", o.lockPath(), context.Cause(ctx))
		}
		held.unread = err
		held.lock.Info = "its description cannot be read: " + plainwords.Describe(err)
	} else {
		held.lock.Describe(held.text)
	}
	held.own, held.lock.ID = held.lock.ID, strconv.FormatInt(m.Generation, 10)
	return held, nil
}

// readWholeLock is readLock, but fails if the description of a lock cannot be read: the lock
// may be ours.
func (o *object) readWholeLock(ctx context.Context) (*heldLock, error) {
	held, err := o.readLock(ctx)
	if err == nil && held != nil && held.unread != nil {
		return nil, fmt.Errorf("cannot read the lock %q: %w", held.lock.Path, held.unread)
	}
	return held, err
}

// errLockHeld is returned when a lock exists, or is not the one to be removed.
var errLockHeld = errors.New("the lock already exists, or is a different one")

// writeLock creates the lock, unless one exists, and returns its generation.
func (o *object) writeLock(ctx context.Context, text []byte) (generation int64, err error) {
	r := o.lockRequest("write the lock", "storage.objects.create")
	m, err := o.bucket.create(ctx, r, upload{key: lockKey(o.key), size: int64(len(text)), md5: md5Of(text), open: bytesOf(text)})
	switch {
	case isUnmet(err):
		return 0, errLockHeld
	case err != nil:
		return 0, err
	}
	return m.Generation, nil
}

// removeLock deletes the lock if it has this generation.
func (o *object) removeLock(ctx context.Context, generation int64) error {
	err := o.bucket.remove(ctx, o.lockRequest("delete the lock", "storage.objects.delete"), lockKey(o.key), generation)
	switch {
	case isUnmet(err):
		return errLockHeld
	case statusOf(err) == http.StatusNotFound && backend.CodeOf(err) == backend.NoState:
		return nil
	}
	return err
}

// lease is a lock that we hold on a state in a bucket.
type lease struct {
	state *object
	lock  backend.Lock
}

func (l *lease) Lock() backend.Lock { return l.lock }

// TakeLock implements backend.Lockable.
func (o *object) TakeLock(ctx context.Context, r backend.LockRequest) (backend.Lease, error) {
	doc := backend.NewLockInfo(r, o.lockPath())
	held := &lease{state: o, lock: backend.Lock{Who: doc.Who, Operation: doc.Operation, Info: doc.Info, Created: doc.Created, Path: o.lockPath()}}
	for range lockAttempts {
		generation, err := o.writeLock(ctx, doc.Marshal())
		if err == nil {
			held.lock.ID = strconv.FormatInt(generation, 10)
			return held, nil
		}
		if !errors.Is(err, errLockHeld) && !mayHaveHappened(err) {
			return nil, err
		}
		// Find out whose lock it is, even after an interrupt.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockCleanup)
		defer cancel()
		there, unread := o.readWholeLock(after)
		switch {
		case unread != nil && errors.Is(err, errLockHeld):
			return nil, unread
		case unread != nil:
			return nil, &backend.LockLeftError{Address: o.address, Lift: o.liftCommand(), Err: err}
		case there != nil && there.own == doc.ID:
			held.lock.ID = there.lock.ID
			if ctx.Err() == nil {
				return held, nil
			}
			if left := held.Release(after); left != nil && !backend.IsLockLost(left) {
				return nil, left
			}
			return nil, err
		case there != nil:
			return nil, &backend.LockedError{Address: o.address, Lock: there.lock}
		case !errors.Is(err, errLockHeld):
			return nil, err
		} // released in between
	}
	return nil, o.uncreatable()
}

// lockCleanup is how long TakeLock tries to find out what became of its lock.
const lockCleanup = 30 * time.Second

// uncreatable returns the error for a lock that the server does not let us create.
func (o *object) uncreatable() error {
	return fmt.Errorf("cannot lock %q: the server refuses to create the lock %s, although it does not exist; another program may be taking and releasing it: try again", o.address, o.lockPath())
}

// FreeLock implements backend.Lockable.
func (o *object) FreeLock(ctx context.Context, id string) error {
	err := o.free(ctx, id)
	if lost, ok := errors.AsType[*backend.LockLostError](err); ok && lost.Lock == nil {
		return nil
	}
	return err
}

// Release implements backend.Lease.
func (l *lease) Release(ctx context.Context) error {
	err := l.state.free(ctx, l.lock.ID)
	if err != nil && !backend.IsLockLost(err) {
		return &backend.LockLeftError{Address: l.state.address, Lift: l.state.liftCommand(), Err: err}
	}
	return err
}

// free removes the lock with this ID. Whether it still is that one is checked both here and
// by the server.
func (o *object) free(ctx context.Context, id string) error {
	held, err := o.readLock(ctx)
	if err == nil && held != nil && held.lock.ID == id {
		if err = o.removeLock(ctx, held.generation); !errors.Is(err, errLockHeld) && !mayHaveHappened(err) {
			return err
		}
		unclear := err
		held, err = o.readLock(ctx)
		switch {
		case err == nil && held == nil:
			return nil
		case err == nil && held.lock.ID == id:
			return unclear
		}
	}
	switch {
	case err != nil:
		return err
	case held == nil:
		return &backend.LockLostError{Address: o.address}
	}
	return &backend.LockLostError{Address: o.address, Lock: &held.lock}
}

// Leave implements backend.Lease.
func (l *lease) Leave() string {
	return fmt.Sprintf("The lock %s was left on %q: it stops every terraform that would write there. To remove it: terraform force-unlock %[1]s in the old configuration, or %[3]s.",
		l.lock.ID, l.state.address, l.state.liftCommand())
}

// liftCommand returns the command that removes the lock by hand.
func (o *object) liftCommand() string {
	return "gcloud storage rm " + plainwords.ShellWord(o.lockPath())
}
