package migrate

import (
	"context"
	"errors"
	"fmt"

	"tfhaul/backend"
)

// freeLeftLock releases locks that an earlier run of this haul left and that this run's steps
// did not reach: because the source can no longer be read, has changed or collides with
// another, or because the workspace was renamed.
func (x *execution) freeLeftLock(ctx context.Context) {
	gone := x.result.Deleted && x.workspace == nil // with its lock
	if x.Past == nil || x.DryRun || x.result.Locked || gone {
		return
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	for _, lock := range x.Past.left(x.result.Target) {
		if x.writer == nil || !lock.is(x.workspace.ID) {
			x.freeLeft(ctx, lock)
		}
	}
}

// freeLeft releases one of these locks. The lock stays, and the result reports it, if the
// earlier run may have sent a state that was not checked since, or if unlocking fails.
func (x *execution) freeLeft(ctx context.Context, lock HeldLock) {
	name, elsewhere := x.sayf("the workspace"), x.workspace == nil || !lock.is(x.workspace.ID)
	if elsewhere && lock.WorkspaceID != "" {
		now, err := backend.Retry(ctx, x.Target.Down, func() (*backend.Standing, error) {
			return x.Target.LookByID(ctx, lock.WorkspaceID)
		})
		switch {
		case err == nil:
			lock.Target = x.Target.Address(now.Name)
			name = fmt.Sprintf("the workspace that is now called %s", now.Name)
		case backend.CodeOf(err) == backend.ForbiddenOrMissing && x.workspace != nil:
			x.note("The workspace that an earlier run of this haul locked (%s) no longer exists, or this token can no longer see it. Another workspace has its name now.", lock.WorkspaceID)
			return
		}
	}
	left := "An earlier run of this haul was interrupted while it held the lock on " + name
	if x.past().sending && (elsewhere || x.result.Relation == "") && x.OnFailure != ClearLock {
		x.staysLocked(lock, left+x.sayf(", and may have sent the state. The workspace may still be locked, and its state was not checked. See tfhaul history, then unlock it: %s", lock.UnlockCommand()))
		return
	}
	freed, err := x.unlockLeft(ctx, x.Move.Workspace, lock.WorkspaceID, func(id string) bool {
		_, ours := x.claims.take(id, x.key())
		return ours
	})
	switch {
	case errors.Is(err, ErrNotOurs):
		// It was released, or taken from us, and another user's is left alone. So is
		// that of another move of this run.
	case err != nil:
		x.staysLocked(lock, fmt.Sprintf("%s, and unlocking it failed: %v. To unlock it: %s", left, err, lock.UnlockCommand()))
	default:
		x.record(Event{Event: EventUnlocked, WorkspaceID: lock.WorkspaceID})
		if freed.Freed {
			x.note("%s. %s", left, freed.Message)
		}
	}
}

// staysLocked puts into the result that a lock remains after the move's own steps.
func (x *execution) staysLocked(lock HeldLock, message string) {
	x.result.Locked, x.result.UnlockCommand = true, lock.UnlockCommand()
	x.failLater(CodeLockLeft, message)
}

// failLater turns the result of a successful move into a failure.
func (x *execution) failLater(code Code, message string) {
	if x.result.Outcome == Moved || x.result.Outcome == AlreadyThere {
		x.result.Outcome, x.result.Code, x.result.Message = Failed, code, x.result.Message+" "+message
		return
	}
	x.note("%s", message)
}
