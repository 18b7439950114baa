package s3

import (
	"context"
	"errors"
	"fmt"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A writer locks one object and writes to it, for one move. Its lock is where Terraform
// looks for one, in one or two places.
type writer struct {
	target *target
	state  *object
	name   string
	places []lockPlace
	backend.WriterOptions

	heir    bool   // earlier processes of the haul have, or may have, left a lock
	id      string // of our lock; "" until we have tried to take it, or have recognized it
	text    []byte // the description of our lock
	wanted  bool   // the lock is to be held: a place without it gets it, until all have had it
	held    bool   // it was in all places
	granted bool
	seen    *backend.Standing
	// sent means that a write may have taken effect, and doubtful that the table's digest
	// may not be that of the object.
	sent, doubtful bool
	notes          []string
}

func (w *writer) Seen() *backend.Standing { return w.seen }
func (w *writer) LastName() string        { return w.name }
func (w *writer) LostRequests() int       { return w.Lost }
func (w *writer) Granted() bool           { return w.granted }
func (w *writer) Notes() []string         { return w.notes }

// Lock tries once to take the lock in all places. An interrupt does not end a request that
// was sent: canceling it would not undo it.
func (w *writer) Lock(ctx context.Context, sending lockwait.Sending) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	interrupted := ctx
	ctx, cancel := backend.Landing(backend.WithStop(ctx, backend.Stop{Interrupted: ctx, Unsent: true}))
	defer cancel()
	w.describe()
	w.wanted, w.held = true, false
	for i, place := range w.places {
		if err := w.take(backend.WithSending(ctx, sending), place); err != nil {
			err = w.giveUp(ctx, w.places[:i], err)
			if interrupted.Err() != nil && errors.Is(err, interrupted.Err()) && !errors.Is(err, lockwait.ErrUnsure) {
				return interrupted.Err() // before anything was sent
			}
			return err
		}
	}
	if err := w.checkConditions(ctx); err != nil {
		return w.giveUp(ctx, w.places, err)
	}
	w.held, w.granted = true, true
	seen, err := w.target.standing(ctx, w.state, w.name)
	if err != nil { // the lock is ours; the caller reads again
		seen = &backend.Standing{ID: w.state.key, Name: w.name, CanRead: true, CanWrite: true, CanLock: true}
	}
	w.seen = seen
	return nil
}

// describe makes the description of our lock. Every attempt of this writer has the same ID,
// so that one that takes effect late is recognized.
func (w *writer) describe() {
	if w.id != "" {
		return
	}
	doc := backend.NewLockInfo(backend.LockRequest{Operation: backend.MigrateOperation, Info: w.Reason}, w.state.lockID())
	w.id, w.text = doc.ID, doc.Marshal()
}

// take creates our lock in one place.
func (w *writer) take(ctx context.Context, place lockPlace) error {
	for range lockAttempts {
		maybe, err := place.write(ctx, w.text)
		switch {
		case err == nil:
			return nil
		case isThrottled(err): // nothing was stored
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		case !errors.Is(err, errLockHeld) && maybe:
			if w.Lost++; w.OnLost != nil {
				w.OnLost()
			}
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		case !errors.Is(err, errLockHeld):
			return unconditional(w.state, err)
		}
		switch held, err := readWhole(ctx, place); {
		case err != nil:
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		case held != nil && w.isOurs(held):
			return nil
		case held != nil:
			return lockwait.ErrHeld
		} // released in between
	}
	return w.state.uncreatable(place)
}

// giveUp removes the lock from the places where it was taken. If that fails, the error is
// lockwait.ErrUnsure, and Holder tries again.
func (w *writer) giveUp(ctx context.Context, taken []lockPlace, cause error) error {
	if errors.Is(cause, lockwait.ErrUnsure) {
		return cause
	}
	if err := w.withdraw(ctx, taken); err != nil {
		return fmt.Errorf("%w: %w, and the lock taken so far cannot be removed: %w", lockwait.ErrUnsure, cause, err)
	}
	return cause
}

// withdraw removes our lock from some places, even if other users hold the others.
func (w *writer) withdraw(ctx context.Context, places []lockPlace) error {
	var failed error
	for _, place := range places {
		_, _, err := freeOne(ctx, place, w.id)
		failed = errors.Join(failed, err)
	}
	return failed
}

// isOurs reports whether a lock is ours: it has our reason and our ID. A lock that an
// earlier process of the haul has left, or may have left, has an ID that we learn from it.
func (w *writer) isOurs(held *heldLock) bool {
	l := held.lock
	if l.Info != w.Reason || l.ID == "" {
		return false
	}
	if l.ID != w.id && w.heir {
		w.id, w.text, w.doubtful = l.ID, held.text, true
	}
	return l.ID == w.id
}

// A finding is what the places of the lock hold.
type finding struct {
	held        []*heldLock // by place; nil where it is free
	ours, other int         // places
	stranger    backend.Lock
}

func (w *writer) find(ctx context.Context) (*finding, error) {
	f := &finding{held: make([]*heldLock, len(w.places))}
	for i, place := range w.places {
		held, err := readWhole(ctx, place)
		switch {
		case err != nil:
			return nil, err
		case held == nil:
			continue
		case w.isOurs(held):
			f.ours++
		default:
			f.other++
			f.stranger = held.lock
		}
		f.held[i] = held
	}
	return f, nil
}

// Holder reads who holds the lock. A lock that is being taken is completed where it is
// missing, and withdrawn where another user holds the rest of it.
func (w *writer) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	ctx = backend.WithSending(ctx, sending)
	f, err := w.find(ctx)
	if err != nil {
		return lockwait.Holder{}, w.unsure(err)
	}
	switch {
	case f.ours == len(w.places):
		w.held = true
	case w.wanted && f.ours > 0 && f.other == 0 && !w.held:
		return w.complete(ctx, f)
	case w.wanted && f.ours > 0: // another user removed a part of it
		if err := w.withdraw(ctx, w.places); err != nil {
			return lockwait.Holder{}, w.unsure(err)
		}
		f.ours = 0
	}
	switch {
	case f.ours > 0:
		return lockwait.Holder{Name: "this haul", Reason: w.Reason, Ours: true}, nil
	case f.other > 0:
		return f.stranger.Other(), nil
	}
	return lockwait.Holder{}, nil
}

// complete takes our lock in the places where it is missing.
func (w *writer) complete(ctx context.Context, f *finding) (lockwait.Holder, error) {
	for i, place := range w.places {
		if f.held[i] != nil {
			continue
		}
		if err := w.take(ctx, place); err != nil {
			return lockwait.Holder{}, w.unsure(err)
		}
	}
	w.held = true
	return lockwait.Holder{Name: "this haul", Reason: w.Reason, Ours: true}, nil
}

// unsure marks the failure of a request that may be repeated.
func (w *writer) unsure(err error) error {
	switch code := backend.CodeOf(err); {
	case w.Impatient && w.target.Down():
		return fmt.Errorf("%w: %w", lockwait.ErrGone, err)
	case code == backend.Unreachable, code == backend.Ambiguous, mayHaveHappened(err):
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	return err
}

// Unlock removes our lock from all places, once, and no other. Before that it repairs the
// table's digest, if the object may have been written without it.
func (w *writer) Unlock(ctx context.Context, sending lockwait.Sending) error {
	w.wanted = false
	f, err := w.find(ctx)
	if err == nil && w.held && f.ours < len(w.places) { // or the response came from a cache
		f, err = w.find(ctx)
	}
	switch {
	case err != nil:
		return w.unsure(err)
	case f.ours == 0:
		return lockwait.ErrNotHeld
	}
	sent := backend.WithSending(ctx, sending)
	if err := w.repairDigest(sent); err != nil {
		return w.unsure(err)
	}
	whole := w.held
	w.held = false
	for i := len(w.places) - 1; i >= 0; i-- {
		if f.held[i] == nil || !w.isOurs(f.held[i]) {
			continue
		}
		if err := w.remove(sent, w.places[i], f.held[i].tag); err != nil {
			return err
		}
	}
	if whole && f.ours < len(w.places) {
		return lockwait.ErrNotHeld
	}
	return nil
}

// remove removes our lock from one place.
func (w *writer) remove(ctx context.Context, place lockPlace, tag string) error {
	err := place.remove(ctx, tag)
	if !errors.Is(err, errLockHeld) {
		if err != nil {
			return w.unsure(err)
		}
		return nil
	}
	switch held, err := readWhole(ctx, place); {
	case err != nil:
		return w.unsure(err)
	case held != nil && w.isOurs(held):
		return fmt.Errorf("%w: the lock changed while it was being removed", lockwait.ErrUnsure)
	case held != nil:
		return lockwait.ErrNotHeld
	}
	return nil
}
