package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A writer locks one workspace and writes to it, for one move, through one session.
type writer struct {
	target *target
	at     *location
	name   string
	backend.WriterOptions

	session *session // nil without the lock
	broken  bool     // a session with the lock ended, and with it the lock
	granted bool
	seen    *backend.Standing
}

func (w *writer) Seen() *backend.Standing { return w.seen }
func (w *writer) LastName() string        { return w.name }

// LostRequests returns 0: a lock request without an answer takes no effect later, because its
// connection is closed.
func (w *writer) LostRequests() int { return 0 }

func (w *writer) Granted() bool   { return w.granted }
func (w *writer) Notes() []string { return nil }

// Lock implements lockwait.Locker. If the connection breaks, so does the lock, but the server
// may need a moment to notice.
func (w *writer) Lock(ctx context.Context, sending lockwait.Sending) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if w.session != nil { // lost, as the caller has found
		w.lose()
	}
	sent := false
	s, err := w.target.database.lock(ctx, w.at, w.Reason, func(ctx context.Context) error {
		if err := sending(ctx); err != nil {
			return err
		}
		sent = true
		return nil
	})
	w.target.database.observe(ctx, err)
	switch {
	case err == nil:
	case errors.Is(err, lockwait.ErrHeld):
		return lockwait.ErrHeld
	case sent && isBroken(err) && ctx.Err() == nil:
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, w.explain(ctx, "lock", err))
	default:
		return w.explain(ctx, "lock", err)
	}
	w.session, w.broken, w.granted = s, false, true
	if w.seen, err = w.target.Look(context.WithoutCancel(ctx), w.name); err != nil { // the caller reads again
		w.seen = &backend.Standing{ID: w.name, Name: w.name, CanRead: true, CanWrite: true, CanLock: true}
	}
	return nil
}

func (w *writer) explain(ctx context.Context, doing string, err error) error {
	err = w.target.database.explain(ctx, doing, w.at, err)
	if backend.CodeOf(err) == backend.NoContainer {
		return w.target.withoutTable(err)
	}
	return err
}

// errBroken is returned when the session with the lock ended.
var errBroken = fmt.Errorf("%w: the connection that held it broke", lockwait.ErrNotHeld)

// lose records that the session with the lock ended.
func (w *writer) lose() {
	w.session.end()
	w.session, w.broken = nil, true
}

// Holder implements lockwait.Locker. The session with the lock answers itself.
func (w *writer) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	if err := sending(ctx); err != nil {
		return lockwait.Holder{}, err
	}
	if w.broken {
		return lockwait.Holder{}, errBroken
	}
	if w.session != nil {
		switch held, err := w.session.holds(ctx); {
		case err != nil && ctx.Err() != nil:
			w.lose() // lib/pq closes a connection whose request was canceled
			return lockwait.Holder{}, ctx.Err()
		case err != nil || !held:
			w.lose()
			return lockwait.Holder{}, errBroken
		}
		return lockwait.Holder{Name: "this haul", Reason: w.Reason, Ours: true}, nil
	}
	f, err := w.target.database.look(ctx, w.at)
	if err != nil {
		return lockwait.Holder{}, w.unsure(err)
	}
	if f.holder == nil {
		return lockwait.Holder{}, nil
	}
	return f.holder.lock(w.at).Other(), nil
}

// unsure marks the failure of a request that may be repeated.
func (w *writer) unsure(err error) error {
	switch {
	case backend.CodeOf(err) != backend.Unreachable:
		return err
	case w.Impatient && w.target.Down():
		return fmt.Errorf("%w: %w", lockwait.ErrGone, err)
	}
	return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
}

// Unlock implements lockwait.Locker. A lock that cannot be released ends with its connection.
func (w *writer) Unlock(ctx context.Context, sending lockwait.Sending) error {
	switch {
	case w.session == nil && w.Inherited:
		return w.foreign(ctx)
	case w.session == nil:
		return lockwait.ErrNotHeld
	}
	if err := sending(ctx); err != nil {
		return err
	}
	if w.session == nil { // the check has noticed it
		return errBroken
	}
	backend.CountRequest(ctx)
	err := w.session.unlock(ctx, w.session.keys...)
	w.session.end()
	w.session = nil
	switch {
	case errors.Is(err, lockwait.ErrNotHeld), isBroken(err):
		w.broken = true
		return errBroken
	}
	return nil // by the end of the session at the latest
}

// foreign returns the error for a lock of another process: only the end of its session
// releases it.
func (w *writer) foreign(ctx context.Context) error {
	f, err := w.target.database.look(ctx, w.at)
	switch {
	case err != nil:
		return w.unsure(err)
	case f.holder == nil:
		return lockwait.ErrNotHeld
	}
	why := fmt.Sprintf("its lock ends with the PostgreSQL session %[1]d. If that process no longer runs, the server notices when the connection times out. To end the session now: SELECT pg_terminate_backend(%[1]d)", f.holder.process)
	return &backend.Error{Address: w.at.String(), Code: backend.Stuck, Answer: why, Message: fmt.Sprintf("cannot unlock %q: %s", w.at, why)}
}

// relockTime limits how long a writer waits for the server to end a broken session, and
// relockPause the time between two looks.
const (
	relockTime  = 10 * time.Second
	relockPause = 200 * time.Millisecond
)

// relock takes the lock again after its connection broke during a write. Once it is ours, the
// former session has ended, so the write has taken effect or never will.
func (w *writer) relock(ctx context.Context) {
	w.lose()
	ctx, cancel := context.WithTimeout(ctx, relockTime)
	defer cancel()
	for {
		s, err := w.target.database.lock(ctx, w.at, w.Reason, func(context.Context) error { return nil })
		if err == nil {
			w.session, w.broken = s, false
			return
		}
		if lockwait.Sleep(ctx, relockPause) != nil {
			return
		}
	}
}
