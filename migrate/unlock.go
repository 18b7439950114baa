package migrate

import (
	"context"
	"errors"
	"fmt"

	"tfhaul/lockwait"
	"tfhaul/target"
)

// An Unlocking is what became of the lock of one workspace.
type Unlocking struct {
	Target string `json:"target"`
	// Freed says that the lock was ours and is no more.
	Freed bool `json:"freed"`
	// Message is the sentence for a person.
	Message string `json:"message"`
}

// ErrNotOurs says that a workspace's lock is not the haul's, and stays.
var ErrNotOurs = errors.New("the lock is not this haul's")

// Unlock frees a workspace that the engine's haul left locked. A lock of anybody
// else's is left alone, with ErrNotOurs; a workspace that is not locked is fine.
func (e *Engine) Unlock(ctx context.Context, organization, workspace string) (Unlocking, error) {
	u := Unlocking{Target: fmt.Sprintf("%s/%s/%s", e.Target.Host(), organization, workspace)}
	ws, err := patiently(ctx, func() (*target.Workspace, error) { return e.Target.Workspace(ctx, organization, workspace) })
	if err != nil {
		return u, err
	}
	lock := &workspaceLock{client: e.Target, workspace: ws, reason: lockReason(e.Haul)}
	switch {
	case !ws.Locked:
		u.Message = "The workspace is not locked."
		return u, nil
	case ws.Holder.ReasonKnown && ws.Holder.Reason != lock.reason:
		return u, fmt.Errorf("%w: it is held by %s (%q); only they, or an administrator of the workspace, may lift it", ErrNotOurs, ws.Holder, ws.Holder.Reason)
	}
	// Where the server does not tell the reason, it still lets only the holder unlock.
	if err := lockwait.Resume(lock).Release(ctx); err != nil {
		switch {
		case errors.Is(err, lockwait.ErrNotHeld):
			err = fmt.Errorf("%w: %w", ErrNotOurs, err)
		case errors.Is(err, lockwait.ErrPending):
			err = fmt.Errorf("%w. A state was announced whose bytes never arrived: run the move again with its --journal, which sends them and unlocks; or have an administrator of the workspace force the lock", err)
		}
		return u, err
	}
	u.Freed, u.Message = true, "The workspace is unlocked."
	return u, nil
}
