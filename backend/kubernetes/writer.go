package kubernetes

import (
	"context"
	"errors"
	"fmt"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A writer locks one state and writes to it, for one move.
type writer struct {
	target *target
	state  *state
	backend.WriterOptions

	heir    bool   // earlier processes of the haul have, or may have, left a lock
	id      string // of our lock; "" until we have tried to take it, or have recognized it
	text    []byte // its description
	held    bool
	granted bool
	seen    *backend.Standing
	ours    map[int]string // pins of the parts that this writer wrote
	notes   []string
}

func (w *writer) Seen() *backend.Standing { return w.seen }
func (w *writer) LastName() string        { return w.state.at.name() }
func (w *writer) LostRequests() int       { return w.Lost }
func (w *writer) Granted() bool           { return w.granted }
func (w *writer) Notes() []string         { return w.notes }

// Lock tries once to take the lock. An interrupt does not end a request that was sent:
// canceling it would not undo it.
func (w *writer) Lock(ctx context.Context, sending lockwait.Sending) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	interrupted := ctx
	ctx, cancel := backend.Landing(backend.WithStop(ctx, backend.Stop{Interrupted: ctx, Unsent: true}))
	defer cancel()
	if w.id == "" {
		// Every attempt of this writer has the same ID, so that one that takes effect late is
		// recognized.
		doc := backend.NewLockInfo(backend.LockRequest{Operation: backend.MigrateOperation, Info: w.Reason}, "")
		w.id, w.text = doc.ID, doc.Marshal()
	}
	w.held = false
	if err := w.take(backend.WithSending(ctx, sending)); err != nil {
		if interrupted.Err() != nil && errors.Is(err, interrupted.Err()) && !errors.Is(err, lockwait.ErrUnsure) {
			return interrupted.Err() // before anything was sent
		}
		return err
	}
	w.held, w.granted = true, true
	seen, err := w.state.standing(ctx)
	if err != nil { // the lock is ours; the caller reads again
		seen = w.state.unknown()
	}
	w.seen = seen
	return nil
}

// take takes the lock if it is free.
func (w *writer) take(ctx context.Context) error {
	for range lockAttempts {
		o, err := w.state.readLease(ctx)
		switch {
		case err != nil:
			return w.unsure(err)
		case o.held() && w.isOurs(o):
			return nil
		case o.held():
			return lockwait.ErrHeld
		}
		err = w.state.writeLease(ctx, o, w.id, w.text)
		switch {
		case err == nil:
			return nil
		case isThrottled(err): // nothing was stored
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		case errors.Is(err, errLockHeld): // another program was faster
		case mayHaveHappened(err):
			if w.Lost++; w.OnLost != nil {
				w.OnLost()
			}
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		default:
			return err
		}
	}
	return w.state.untakable()
}

// isOurs reports whether a held lock is ours: it has our reason and our ID. A lock that an earlier
// process of the haul has left, or may have left, has an ID that we learn from it.
func (w *writer) isOurs(o *leaseObject) bool {
	lock := w.state.lock(o)
	if lock.Info != w.Reason || lock.ID == "" {
		return false
	}
	if lock.ID != w.id && w.heir {
		w.id, w.text = lock.ID, []byte(o.metadata.Annotations[lockAnnotation])
	}
	return lock.ID == w.id
}

// Holder reads who holds the lock.
func (w *writer) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	o, err := w.state.readLease(backend.WithSending(ctx, sending))
	switch {
	case err != nil:
		return lockwait.Holder{}, w.unsure(err)
	case !o.held():
		return lockwait.Holder{}, nil
	case w.isOurs(o):
		w.held = true
		return lockwait.Holder{Name: "this haul", Reason: w.Reason, Ours: true}, nil
	}
	return w.state.lock(o).Other(), nil
}

// unsure marks the failure of a request that may be repeated.
func (w *writer) unsure(err error) error {
	switch code := backend.CodeOf(err); {
	case w.Impatient && w.target.Down():
		return fmt.Errorf("%w: %w", lockwait.ErrGone, err)
	case code == backend.Unreachable, code == backend.Ambiguous, isThrottled(err), mayHaveHappened(err):
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	return err
}

// Unlock releases our lock, once, and no other.
func (w *writer) Unlock(ctx context.Context, sending lockwait.Sending) error {
	ctx = backend.WithSending(ctx, sending)
	o, err := w.state.readLease(ctx)
	switch {
	case err != nil:
		return w.unsure(err)
	case !o.held(), !w.isOurs(o):
		return lockwait.ErrNotHeld
	}
	w.held = false
	err = w.state.freeLease(ctx, o)
	switch {
	case errors.Is(err, errLockHeld): // the Lease changed: ask again whose it is
		return fmt.Errorf("%w: %w", lockwait.ErrPending, err)
	case err != nil:
		return w.unsure(err)
	}
	return nil
}
