package migrate

import (
	"context"
	"errors"
	"strings"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// ownSourceLock reports whether a source's lock is this haul's.
func (x *execution) ownSourceLock(l *backend.Lock) bool {
	_, haul, ours := l.Move()
	return ours && haul == x.Haul
}

// lockSource takes the source's own lock, if requested, before anything is read, so that nobody
// applies against the old backend during the move.
func (x *execution) lockSource(ctx context.Context) (backend.Lease, error) {
	if x.DryRun || !x.LockSource && !x.FreezeSource {
		return nil, nil
	}
	lockable, ok := x.Object.(backend.Lockable)
	if !ok {
		var asked []string
		if x.LockSource {
			asked = append(asked, x.setting("lock-source", ""))
		}
		if x.FreezeSource {
			asked = append(asked, x.setting("freeze-source", ""))
		}
		if x.Object.Traits().Locks == backend.LocksSession {
			return nil, x.stopf(CodeNotLockable, "tfhaul does not lock this source: its locks end with their connection, so none would protect it between two runs of a haul, or after one. Make sure that nobody changes it, then move without %s.", strings.Join(asked, " and "))
		}
		return nil, x.stopf(CodeNotLockable, "tfhaul cannot lock this source: only S3 objects and workspaces can be locked. Make sure that nobody changes it, then move without %s.", strings.Join(asked, " and "))
	}
	if err := x.freeEarlierLock(ctx, lockable); err != nil {
		return nil, err
	}
	lease, err := lockable.TakeLock(ctx, backend.LockRequest{Operation: backend.MigrateOperation, Info: backend.MoveInfo(x.result.Target, x.Haul)})
	var locked *backend.LockedError
	var left *backend.LockLeftError
	switch {
	case errors.As(err, &locked):
		return nil, &stop{code: CodeSourceLocked, message: sourceLockedMessage(&locked.Lock)}
	case errors.As(err, &left):
		return nil, &stop{code: CodeUnreadable, message: plainwords.Sentence(left.Error())}
	case err != nil:
		return nil, unreadable(err)
	}
	x.record(Event{Event: EventSourceLocked, SourceLockID: lease.Lock().ID})
	return lease, nil
}

// freeEarlierLock frees the source's lock when an earlier run of this haul has
// left it.
func (x *execution) freeEarlierLock(ctx context.Context, lockable backend.Lockable) error {
	lock, err := x.Object.Holder(ctx)
	if err != nil {
		return unreadable(err)
	}
	if lock == nil || !x.ownSourceLock(lock) {
		return nil
	}
	if err := lockable.FreeLock(ctx, lock.ID); err != nil {
		return unreadable(err)
	}
	return nil
}

// releaseSource releases the source's lock, or leaves it if the source is to be frozen and the
// state has arrived. It returns the error that the move ended with.
func (x *execution) releaseSource(ctx context.Context, lease backend.Lease, moved error) error {
	if lease == nil {
		return moved
	}
	if x.FreezeSource && moved == nil && x.result.Outcome != Skipped {
		x.result.SourceFrozen = lease.Lock().ID
		x.note("%s", lease.Leave())
		return nil
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	if err := lease.Release(ctx); err != nil {
		x.note("%s", plainwords.Sentence(err.Error()))
	} else {
		x.record(Event{Event: EventSourceFreed, SourceLockID: lease.Lock().ID})
	}
	if moved != nil || x.hasOutcome() || !x.releaseShows() {
		return moved
	}
	if v := *x.read.version(); !x.lockShows(v) {
		return x.compareSource(ctx, v)
	}
	return nil
}
