package migrate

import (
	"context"
	"errors"
)

// freeLeftLock gives back the lock that an earlier run of this haul has left on the
// workspace, where this run's steps did not come to it: because the source cannot
// be read any more, is another, or collides with one. A lock stays, and the result
// says so, where the earlier run may have sent a state that nobody has looked at
// since, and where it cannot be given back.
func (x *execution) freeLeftLock(ctx context.Context) {
	if x.Past == nil || x.DryRun || x.lock != nil || x.result.Locked {
		return
	}
	_, left := x.Past.locks[x.result.Target]
	if _, lost := x.Past.lost[x.result.Target]; !left && !lost {
		return
	}
	const was = "An earlier run of this haul was cut off while the workspace was locked by it"
	if x.past().sending && x.result.Relation == "" && x.OnFailure != ClearLock {
		x.leaveLocked()
		x.note("%s, and may have sent its state. The workspace may still be locked: what it holds was not looked at. See tfhaul history, then free it: %s", was, x.result.UnlockCommand)
		return
	}
	ctx, cancel := landing(ctx)
	defer cancel()
	freed, err := x.unlock(ctx, x.Organization, x.Move.Workspace, "", func(id string) bool {
		_, ours := x.claims.take(id, x.key())
		return ours
	})
	switch {
	case errors.Is(err, ErrNotOurs):
		// It was given back, or taken from us, and another user's is left alone. So is
		// that of another move of this run.
	case err != nil:
		x.leaveLocked()
		x.note("%s, and it could not be unlocked: %v. To free it: %s", was, err, x.result.UnlockCommand)
	case freed.Freed:
		x.note("%s; it is unlocked now.", was)
	}
}
