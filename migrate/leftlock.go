package migrate

import (
	"context"
	"errors"
	"fmt"

	"tfhaul/backend"
)

// freeLeftLock releases the locks that an earlier run of this haul has left, where this
// run's steps did not come to them: because the source cannot be read any more, is
// another, or collides with one; or because the workspace was renamed, and another or
// none has its name.
func (x *execution) freeLeftLock(ctx context.Context) {
	if x.Past == nil || x.DryRun || x.result.Locked {
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

// freeLeft releases one of these locks. It stays, and the result says so, where the
// earlier run may have sent a state that nobody has looked at since, and where it cannot
// be released.
func (x *execution) freeLeft(ctx context.Context, lock HeldLock) {
	what, elsewhere := "the workspace", x.workspace == nil || !lock.is(x.workspace.ID)
	if elsewhere && lock.WorkspaceID != "" {
		now, err := backend.Retry(ctx, x.Target.Down, func() (*backend.Standing, error) {
			return x.Target.LookByID(ctx, lock.WorkspaceID)
		})
		switch {
		case err == nil:
			lock.Target = fmt.Sprintf("%s/%s/%s", x.Target.Host(), x.Target.Container(), now.Name)
			what = fmt.Sprintf("the workspace that is called %s now", now.Name)
		case backend.CodeOf(err) == backend.ForbiddenOrMissing && x.workspace != nil:
			x.note("The workspace that an earlier run of this haul locked (%s) no longer exists, or this token cannot see it any more. Another workspace has its name.", lock.WorkspaceID)
			return
		}
	}
	was := "An earlier run of this haul was cut off while " + what + " was locked by it"
	if x.past().sending && (elsewhere || x.result.Relation == "") && x.OnFailure != ClearLock {
		x.stays(lock, was+", and may have sent its state. The workspace may still be locked: what it holds was not looked at. See tfhaul history, then free it: "+lock.UnlockCommand())
		return
	}
	freed, err := x.unlockLeft(ctx, x.Move.Workspace, lock.WorkspaceID, func(id string) bool {
		_, ours := x.claims.take(id, x.key())
		return ours
	})
	switch {
	case errors.Is(err, ErrNotOurs):
		// It was given back, or taken from us, and another user's is left alone. So is
		// that of another move of this run.
	case err != nil:
		x.stays(lock, fmt.Sprintf("%s, and it could not be unlocked: %v. To free it: %s", was, err, lock.UnlockCommand()))
	default:
		x.record(Event{Event: EventUnlocked, WorkspaceID: lock.WorkspaceID})
		if freed.Freed {
			x.note("%s. %s", was, freed.Message)
		}
	}
}

// stays reports a lock that stays after the move's own steps have ended.
func (x *execution) stays(lock HeldLock, message string) {
	x.result.Locked, x.result.UnlockCommand = true, lock.UnlockCommand()
	x.failLater(CodeLockLeft, message)
}

// failLater makes a failure of a move that had succeeded until then.
func (x *execution) failLater(code Code, message string) {
	if x.result.Outcome == Moved || x.result.Outcome == AlreadyThere {
		x.result.Outcome, x.result.Code, x.result.Message = Failed, code, x.result.Message+" "+message
		return
	}
	x.note("%s", message)
}
