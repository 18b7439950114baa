package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// An Unlocking is what became of the lock of one workspace.
type Unlocking struct {
	Target string `json:"target"`
	// Freed reports that the haul's lock was released.
	Freed bool `json:"freed"`
	// Message is the sentence for a person.
	Message string `json:"message"`
}

// ErrNotOurs is returned when the haul does not hold the workspace's lock, which stays.
var ErrNotOurs = errors.New("this haul does not hold the lock")

// UnlockByID unlocks a workspace that the engine's haul left locked. It returns ErrNotOurs
// if another user holds the lock, and no error if the workspace is not locked. The id
// outlives a rename; "" finds the workspace by its name.
func (e *Engine) UnlockByID(ctx context.Context, workspace, id string) (Unlocking, error) {
	return e.unlockLeft(ctx, workspace, id, func(string) bool { return true })
}

// unlockLeft is UnlockByID for a workspace whose id allowed accepts.
func (e *Engine) unlockLeft(ctx context.Context, workspace, id string, allowed func(id string) bool) (u Unlocking, err error) {
	u = Unlocking{Target: e.Target.Address(workspace)}
	read := e.Clock.Now()
	ws, err := backend.Retry(ctx, e.Target.Down, func() (*backend.Standing, error) {
		read = e.Clock.Now()
		if id != "" {
			return e.Target.LookByID(ctx, id)
		}
		return e.Target.Look(ctx, workspace)
	})
	if backend.CodeOf(err) == backend.ForbiddenOrMissing && id != "" {
		return u, fmt.Errorf("the workspace that was locked (%s) was not found. If it was deleted, its lock is gone; otherwise use a token that can see it", id)
	}
	if err != nil {
		return u, err
	}
	if !strings.EqualFold(ws.Name, workspace) && ws.Name != "" {
		u.Target = e.Target.Address(ws.Name)
		defer func() { u.Message += " It was called " + workspace + " when it was locked." }()
	}
	reason := lockReason(e.Haul)
	if holdingHaul(ws.Holder.Reason) == e.Haul {
		reason = ws.Holder.Reason // of a lock on a target, or on a source that was frozen
	}
	switch {
	case !ws.Locked && !ws.LockUnknown:
		u.Message = e.sayf("The workspace is not locked.")
		return u, nil
	case !allowed(ws.ID):
		return u, fmt.Errorf("%w: another move of the same run uses the workspace", ErrNotOurs)
	case ws.Holder.ReasonKnown && ws.Holder.Reason != reason:
		if haul := holdingHaul(ws.Holder.Reason); haul != "" {
			return u, fmt.Errorf("%w: haul %s locked the workspace. If that haul is no longer running: %s", ErrNotOurs, haul, HeldLock{Target: u.Target, Haul: haul}.UnlockCommand())
		}
		return u, fmt.Errorf("%w: %s", ErrNotOurs, e.sayf("%s holds it (%q). Only they or an administrator of the workspace can release it", ws.Holder, ws.Holder.Reason))
	}
	// If the server does not report the reason, it still lets only the holder unlock.
	lease := lockwait.Resume(e.Target.Writer(ws, backend.WriterOptions{Reason: reason, Inherited: true}), e.Clock, read)
	if err := lease.Release(ctx); err != nil {
		switch {
		case errors.Is(err, lockwait.ErrNotHeld):
			err = fmt.Errorf("%w: %w", ErrNotOurs, err)
		case errors.Is(err, lockwait.ErrPending):
			err = fmt.Errorf("%w. A state version was created, but its upload never completed. Run the move again with the same --journal to upload the state and unlock the workspace, or ask an administrator of the workspace to force the unlock", err)
		}
		return u, err
	}
	u.Freed, u.Message = true, e.sayf("The workspace is unlocked.")
	if ending := lease.Ending(); ending.Late() {
		u.Message += " " + lateUnlock(ending)
	}
	return u, nil
}
