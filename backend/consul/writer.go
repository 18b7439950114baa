package consul

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A writer locks one key and writes to it, for one move.
type writer struct {
	target *target
	state  *state
	name   string
	backend.WriterOptions

	session *session // that holds, or may hold, the lock; nil without one
	held    bool     // the lock was granted to the session
	delayed bool     // the last attempt failed because of the delay after another session
	granted bool
	seen    *backend.Standing
	sent    bool // a write may have taken effect
	notes   []string
}

func (w *writer) Seen() *backend.Standing { return w.seen }
func (w *writer) LastName() string        { return w.name }

// LostRequests returns 0: a lock request without an answer takes no effect after its session
// has ended.
func (w *writer) LostRequests() int { return 0 }

func (w *writer) Granted() bool   { return w.granted }
func (w *writer) Notes() []string { return w.notes }

// Lock implements lockwait.Locker. It creates a session, and takes the lock and describes it in
// one transaction. An interrupt does not end a request that was sent: canceling it would not
// undo it.
func (w *writer) Lock(ctx context.Context, sending lockwait.Sending) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	interrupted := ctx
	ctx, cancel := backend.Landing(backend.WithStop(ctx, backend.Stop{Interrupted: ctx, Unsent: true}))
	defer cancel()
	w.drop() // of an attempt without an answer: it must not take effect later
	if err := w.take(ctx, sending); err != nil {
		if interrupted.Err() != nil && errors.Is(err, interrupted.Err()) && !errors.Is(err, lockwait.ErrUnsure) {
			return interrupted.Err() // before anything was sent
		}
		return err
	}
	w.held, w.granted = true, true
	seen, err := w.target.standing(ctx, w.state)
	if err != nil { // the lock is ours; the caller reads again
		seen = &backend.Standing{ID: w.state.at.key, Name: w.name, CanRead: true, CanWrite: true, CanLock: true}
	}
	w.seen = seen
	return nil
}

func (w *writer) lockRequest(doing string) request {
	return request{doing: doing, address: w.state.address, needs: "key:write"}
}

// take creates a session and takes the lock.
func (w *writer) take(ctx context.Context, sending lockwait.Sending) error {
	r := w.lockRequest("lock")
	s, err := w.target.server.newSession(backend.WithSending(ctx, sending), r)
	if err != nil {
		return w.unsure(err)
	}
	w.session = s
	w.target.keep(s)
	doc := backend.NewLockInfo(backend.LockRequest{Operation: backend.MigrateOperation, Info: w.Reason}, w.state.at.key)
	doc.ID = s.id // as in Terraform, so that force-unlock ends the session
	lock := below(w.state.at.key) + lockSuffix
	_, err = w.target.server.transact(backend.WithSending(ctx, sending), r,
		operation{Verb: "lock", Key: lock, Session: s.id, Flags: lockFlags},
		operation{Verb: "set", Key: below(w.state.at.key) + infoSuffix, Value: doc.Marshal()})
	refused, ok := errors.AsType[*rollback](err)
	w.delayed = ok && strings.Contains(strings.ReplaceAll(refused.failed[0], "-", " "), "lock delay")
	switch {
	case err == nil:
		return nil
	case mayHaveHappened(err):
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err) // the caller asks who holds the lock
	}
	w.drop()
	if ok { // held by another session, or delayed after one
		return lockwait.ErrHeld
	}
	return w.unsure(err)
}

// drop ends the session, and with it the lock.
func (w *writer) drop() {
	if w.session != nil {
		_ = w.session.close() // it expires anyway
		w.target.forget(w.session)
	}
	w.session, w.held = nil, false
}

// errExpired is returned when the session with the lock ended.
var errExpired = fmt.Errorf("%w: its Consul session expired or was ended by another user", lockwait.ErrNotHeld)

// Holder implements lockwait.Locker.
func (w *writer) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	held, err := w.state.readLock(backend.WithSending(ctx, sending))
	switch {
	case err != nil:
		return lockwait.Holder{}, w.unsure(err)
	case w.session != nil && held != nil && held.session == w.session.id:
		w.held, w.granted = true, true
		return lockwait.Holder{Name: "this haul", Reason: w.Reason, Ours: true}, nil
	}
	had := w.held
	w.drop() // whatever is under way must not take effect later
	switch {
	case had:
		return lockwait.Holder{}, errExpired
	case held == nil && w.delayed:
		return lockwait.Holder{Name: "a session that has ended (Consul grants its lock again after a few seconds)", Other: true}, nil
	case held == nil:
		return lockwait.Holder{}, nil
	}
	return held.lock.Other(), nil
}

// unsure marks the failure of a request that may be repeated.
func (w *writer) unsure(err error) error {
	switch code := backend.CodeOf(err); {
	case err == nil:
		return nil
	case w.Impatient && w.target.Down():
		return fmt.Errorf("%w: %w", lockwait.ErrGone, err)
	case code == backend.Unreachable, code == backend.Ambiguous, isThrottled(err), mayHaveHappened(err) && code != "":
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	return err
}

// Unlock implements lockwait.Locker. One transaction removes the lock and its description if
// the lock still is ours.
func (w *writer) Unlock(ctx context.Context, sending lockwait.Sending) error {
	switch {
	case w.session == nil && w.Inherited:
		return w.foreign(ctx)
	case w.session == nil:
		return lockwait.ErrNotHeld
	}
	ctx = backend.WithSending(ctx, sending)
	s := w.session
	_, err := w.target.server.transact(ctx, w.lockRequest("unlock"), w.isLocked(s),
		operation{Verb: "delete", Key: below(w.state.at.key) + infoSuffix},
		operation{Verb: "delete", Key: below(w.state.at.key) + lockSuffix})
	_, refused := errors.AsType[*rollback](err)
	switch {
	case w.session == nil: // the check before sending found that it expired
		return errExpired
	case err == nil:
		w.drop()
		return nil
	case refused:
		w.drop()
		return errExpired
	}
	return w.unsure(err)
}

// isLocked is the part of a transaction that fails unless the session has the lock.
func (w *writer) isLocked(s *session) operation {
	return operation{Verb: "check-session", Key: below(w.state.at.key) + lockSuffix, Session: s.id}
}

// foreign returns the error for a lock of another process: only the end of its session releases
// it.
func (w *writer) foreign(ctx context.Context) error {
	held, err := w.state.readLock(ctx)
	switch {
	case err != nil:
		return w.unsure(err)
	case held == nil:
		return lockwait.ErrNotHeld
	}
	why := fmt.Sprintf("its lock belongs to the Consul session %[1]s, which ends at most 30 s after its process. To end it now: terraform force-unlock %[1]s in its configuration", held.session)
	return &backend.Error{Address: w.state.address, Code: backend.Stuck, Answer: why, Message: fmt.Sprintf("cannot unlock %q: %s", w.state.address, why)}
}
