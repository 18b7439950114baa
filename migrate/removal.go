package migrate

import (
	"context"
	"fmt"
	"strings"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// made reports whether the haul made the workspace, object or file. Objects and files exist
// while they hold a state.
func (w *Written) made(t backend.Traits) bool {
	if t.Workspaces {
		return w.createdID != "" && w.createdID == w.WorkspaceID
	}
	return w.recorded && w.Was == nil
}

// removable reports whether the haul made the target of a rollback, and states of its kind
// can be removed.
func (x *execution) removable() bool {
	w := x.Undo
	if w == nil || w.Was != nil || !w.recorded || w.StateVersionID == "" || w.sending != nil || !w.made(x.Target.Traits()) {
		return false
	}
	_, ok := x.Target.Writer(&backend.Standing{ID: w.WorkspaceID, Name: x.Move.Workspace}, backend.WriterOptions{}).(backend.Remover)
	return ok
}

// deletes reports whether the move is to remove what the haul made.
func (x *execution) deletes() bool { return x.DeleteCreated && x.removable() }

// removalSteps are the steps of a move that removes what the haul made.
func (x *execution) removalSteps(ctx context.Context) error {
	x.result.Snapshot = &x.Undo.Sent
	return x.inOrder(ctx,
		x.lookToRemove,
		x.lock,
		x.underLock(
			x.lookAgainToRemove,
			x.checkNothingElse,
			x.backUpHeld,
			x.remove,
		),
	)
}

// lookToRemove reads the target and decides whether to remove it.
func (x *execution) lookToRemove(ctx context.Context) error {
	if err := x.readCreated(ctx); err != nil || x.hasOutcome() {
		return err
	}
	return x.freeInherited(ctx, x.decideRemoval(ctx))
}

// readCreated reads what the haul made, and what it holds.
func (x *execution) readCreated(ctx context.Context) error {
	planned := x.seen != nil && x.seen.workspace != nil
	if planned {
		x.workspace, x.held = x.seen.workspace, x.seen.held
	} else {
		ws, err := x.lookUp(ctx)
		if backend.CodeOf(err) == backend.ForbiddenOrMissing && x.Target.Traits().Workspaces {
			return x.missingToRemove(ctx, err)
		}
		if err != nil {
			return err
		}
		x.workspace = ws
	}
	x.useName(x.workspace.Name)
	if err := x.claim(); err != nil {
		return err
	}
	if err := x.checkPermissions(); err != nil || planned {
		return err
	}
	version, err := x.currentVersion(ctx, x.workspace)
	if err != nil || version == nil {
		return err
	}
	x.held, err = x.inspect(ctx, version)
	return err
}

// missingToRemove handles a workspace that was not found by its name.
func (x *execution) missingToRemove(ctx context.Context, missing error) error {
	now, err := backend.Retry(ctx, x.Target.Down, func() (*backend.Standing, error) {
		return x.Target.LookByID(ctx, x.Undo.WorkspaceID)
	})
	switch {
	case err == nil && strings.EqualFold(now.Name, x.Move.Workspace):
		return missing // and not so by its ID
	case err == nil:
		return x.stopf(CodeRenamed, "The workspace that the haul created is called %s now, so someone uses it. Nothing was deleted.", now.Name)
	case backend.CodeOf(err) != backend.ForbiddenOrMissing:
		return err
	case x.past().deleting:
		x.alreadyDeleted()
		return nil
	}
	_, err = x.missingWorkspace(ctx, missing)
	return err
}

// alreadyDeleted sets the outcome for what an earlier run of the rollback has removed.
func (x *execution) alreadyDeleted() {
	x.result.Outcome, x.result.Deleted = AlreadyThere, true
	x.result.Message = x.sayf("An earlier run of this rollback deleted the workspace. It no longer exists.")
}

// decideRemoval decides a removal: the target must hold exactly what the haul wrote.
func (x *execution) decideRemoval(ctx context.Context) error {
	w, h := x.Undo, x.held
	switch {
	case w.WorkspaceID != "" && x.workspace.ID != w.WorkspaceID:
		return x.stopf(CodeAdvanced, "The workspace is not the one that the haul created: it was deleted and created again, or another one has its name now. Nothing was deleted.")
	case h == nil && x.past().deleting && !x.Target.Traits().Workspaces:
		x.alreadyDeleted()
		return nil
	case h == nil:
		return x.stopf(CodeAdvanced, "The workspace holds no state now, but the haul wrote serial %d. Someone removed it since. Nothing was deleted.", w.Sent.Serial)
	case h.snapshot.MD5 != w.Sent.MD5, h.snapshot.Size != w.Sent.Size, x.Target.Traits().Workspaces && h.version.ID != w.StateVersionID:
		return x.stopf(CodeAdvanced, "The workspace has advanced since the haul: it holds %s, but the haul wrote serial %d (%s). Deleting it would lose that. Nothing was deleted.",
			x.holds(), w.Sent.Serial, w.StateVersionID)
	case !x.DryRun:
		return nil
	}
	if err := x.plan(); err != nil {
		return err
	}
	if err := x.checkNothingElse(ctx); err != nil {
		x.result.Outcome = ""
		return err
	}
	x.result.Deleted = true
	x.result.Message = x.sayf("The workspace, which the haul created, would be deleted, after a backup of serial %d (%s).", h.serial(), h.version.ID)
	return nil
}

// lookAgainToRemove compares again under the lock.
func (x *execution) lookAgainToRemove(ctx context.Context) error {
	now := x.writer.Seen()
	if err := x.sameName(now); err != nil {
		return err
	}
	version, err := x.currentUnderLock(ctx, now)
	if err != nil {
		return err
	}
	x.held = nil
	if version != nil {
		if x.held, err = x.inspect(ctx, version); err != nil {
			return err
		}
	}
	return x.decideRemoval(ctx)
}

// checkNothingElse refuses to remove what has more than the haul gave it.
func (x *execution) checkNothingElse(ctx context.Context) error {
	other, err := backend.Retry(ctx, x.Target.Down, func() (*backend.Version, error) {
		for version, err := range x.Target.Versions(ctx, x.workspace) {
			if err != nil || !x.Undo.versions[version.ID] && version.ID != x.held.version.ID {
				return version, err
			}
		}
		return nil, nil
	})
	switch {
	case err != nil:
		return err
	case other != nil:
		return x.stopf(CodeNotRemovable, "The workspace has a version that the haul did not write, %s, so it was not deleted. See its history: %s", x.called(other), x.historyCommand())
	}
	w := x.writer
	if w == nil {
		w = x.newWriter(backend.WriterOptions{}) // for a dry run
	}
	_, err = backend.Retry(ctx, x.Target.Down, func() (struct{}, error) { return struct{}{}, w.(backend.Remover).CheckRemoval(ctx) })
	return err
}

// remove removes the target.
func (x *execution) remove(ctx context.Context) error {
	e := Event{Event: EventDeleting, WorkspaceID: x.workspace.ID, StateVersionID: x.held.version.ID}
	if err := x.announce(e); err != nil {
		return err
	}
	err := x.writer.(backend.Remover).Remove(ctx, x.write())
	if backend.CodeOf(err) == backend.Ambiguous {
		return &stop{code: CodeUnproven, unproven: true, message: x.sayf("tfhaul asked to delete the workspace, and cannot find out whether that happened: %s", plainwords.Ended(err.Error())) +
			fmt.Sprintf(" The state is in %s. Run the rollback again.", x.result.Backup)}
	}
	if err != nil {
		return err
	}
	x.result.Notes = append(x.result.Notes, x.writer.Notes()...)
	e.Event = EventDeleted
	x.record(e)
	x.result.Outcome, x.result.Deleted = Moved, true
	x.result.Message = x.sayf("The workspace, which the haul created, was deleted. Its state (serial %d, %d bytes) is in the backup.", x.held.serial(), x.held.snapshot.Size)
	return nil
}
