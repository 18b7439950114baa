package migrate

import (
	"context"
	"errors"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// lockRequestLost records that the response to a lock request was lost. The request may take
// effect much later, when the move has ended.
func (x *execution) lockRequestLost() { x.record(x.lockEvent(EventLockRequestLost)) }

// noteLostLock puts into the result that a lock request may still take effect.
func (x *execution) noteLostLock() {
	if x.result.Deleted && x.Target.Traits().Workspaces {
		return // the workspace is gone
	}
	earlier := x.Past != nil && len(x.Past.lost.of(x.result.Target)) > 0
	if earlier || x.writer != nil && x.lockOutstanding() {
		x.result.LockRequestLost = true
	}
}

// lockOutstanding reports whether a lock request may still take effect: its response was lost,
// and it is not the one that locked the workspace.
func (x *execution) lockOutstanding() bool {
	lost := x.writer.LostRequests()
	if x.lease != nil && !x.writer.Granted() {
		return lost > 1
	}
	return lost > 0
}

// checkLostRequest checks, after everything else, whether a lock request whose response was
// lost has taken effect, and releases that lock.
func (x *execution) checkLostRequest(ctx context.Context) {
	if !x.result.LockRequestLost || x.result.Locked || x.workspace == nil || x.DryRun {
		return
	}
	if x.writer == nil { // the request was an earlier run's
		x.writer = x.newWriter(backend.WriterOptions{Lost: 1})
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	lock := HeldLock{Target: x.result.Target, Haul: x.Haul}
	ours, err := x.releaseLate(ctx)
	switch {
	case err == nil && ours:
		x.result.LockRequestLost = x.writer.LostRequests() > 1
		x.note("A lock request whose response was lost took effect late. The workspace is unlocked again.")
	case err != nil:
		x.staysLocked(lock, x.sayf("A lock request whose response was lost may have locked the workspace, and unlocking it failed: %v. To unlock it: %s", err, lock.UnlockCommand()))
	default:
		x.note("The response to a lock request was lost. If the request takes effect later, the workspace stays locked by this haul. To check, and unlock it: %s", lock.UnlockCommand())
	}
}

// releaseLate releases the lock if it is ours, and reports whether it was.
func (x *execution) releaseLate(ctx context.Context) (ours bool, err error) {
	looked := x.Clock.Now()
	holder, err := x.writer.Holder(ctx, func(context.Context) error { looked = x.Clock.Now(); return nil })
	if err != nil || !holder.Ours {
		return false, err
	}
	lease := lockwait.Resume(x.writer, x.Clock, looked)
	err = lease.Release(ctx)
	if errors.Is(err, lockwait.ErrNotHeld) {
		return false, nil // another user was faster
	}
	if ending := lease.Ending(); ending.Late() {
		x.failLater(CodeUnproven, lateUnlock(ending))
	}
	return true, err
}
