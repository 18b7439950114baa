package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// A holding is a state version and the state in it.
type holding struct {
	version  *backend.Version
	snapshot *statefile.Snapshot
	// notState explains why the bytes are not a state; "" if they are.
	notState string
	// encrypted reports that only OpenTofu can read the state.
	encrypted bool
}

// serial returns the serial that a new state must exceed. The server compares with the serial
// that was announced, and Terraform continues from the one in the state. They differ if a
// tool announced the wrong one.
func (h *holding) serial() int64 { return max(h.snapshot.Serial, h.version.Serial) }

// serialMismatch reports whether the announced serial differs from the one in the state.
// Servers that do not report the serial return 0.
func (h *holding) serialMismatch() bool {
	return h.notState == "" && h.version.Serial != 0 && h.version.Serial != h.snapshot.Serial
}

// readWorkspace is the first half of step 2: read the workspace, creating it if requested,
// and its state.
func (x *execution) readWorkspace(ctx context.Context) (err error) {
	planned := x.seen != nil && x.seen.workspace != nil
	if planned {
		x.workspace, x.held = x.seen.workspace, x.seen.held
	} else if x.workspace, err = x.lookUp(ctx); backend.CodeOf(err) == backend.ForbiddenOrMissing {
		if done, err := x.missingWorkspace(ctx, err); done || err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	x.useName(x.workspace.Name)
	if err := x.claim(); err != nil {
		return err
	}
	x.adoptCreated()
	if past := x.past(); past.created && !past.configured {
		if err := x.takeSettings(ctx); err != nil {
			return err
		}
	}
	x.noteUnused()
	if err := x.checkUsable(); err != nil {
		return err
	}
	if err := x.checkPermissions(); err != nil || planned || x.doneBefore(x.workspace.Current.ID) {
		return err
	}
	version, err := x.currentVersion(ctx, x.workspace)
	if err != nil || version == nil || x.doneBefore(version.ID) {
		return err
	}
	x.held, err = x.inspect(ctx, version)
	return err
}

// lookUp finds the workspace, in the listing if there is one.
func (x *execution) lookUp(ctx context.Context) (*backend.Standing, error) {
	switch {
	case x.Known != nil:
		return x.Known, nil
	case x.Listed && !x.confirm && x.Target.Traits().Workspaces:
		return nil, &backend.Error{Code: backend.ForbiddenOrMissing, Unworded: true}
	}
	return backend.Retry(ctx, x.Target.Down, func() (*backend.Standing, error) {
		x.lookedAt = x.Clock.Now()
		return x.Target.Look(ctx, x.Move.Workspace)
	})
}

// missingWorkspace handles a workspace that does not exist, as far as the token can see. It
// returns true if the move has no workspace to work on.
func (x *execution) missingWorkspace(ctx context.Context, missing error) (bool, error) {
	name := x.Target.Container() + "/" + x.Move.Workspace
	if x.comparing || x.Undo != nil && x.Target.Traits().Workspaces {
		return true, x.stopf(CodeNoWorkspace, "Workspace %s not found on %s. Check the name and the token's permissions.%s", name, x.Target.Host(), hostHint(missing))
	}
	if !x.Target.Traits().Workspaces {
		return x.missingContainer(ctx, missing)
	}
	if !x.Create {
		return true, x.stopf(CodeNoWorkspace, "Workspace %s not found on %s. Either it does not exist (%s creates it), or this token cannot see it: check the name and the token's permissions.%s",
			name, x.Target.Host(), x.setting("create", ""), hostHint(missing))
	}
	if err := x.checkUsable(); err != nil {
		return true, err
	}
	if err := x.checkObjections(); err != nil {
		return true, err
	}
	if err := x.takeSettings(ctx); err != nil {
		return true, err
	}
	o := x.createRequest().Options
	if err := x.checkLegacyProviders(cmp.Or(o.TerraformVersion, backend.LatestTerraform), o.ExecutionMode); err != nil {
		return true, err
	}
	if x.DryRun {
		if err := x.canCreate(ctx); err != nil {
			return true, err
		}
		x.note("The workspace does not exist and would be created.")
		x.useName(x.Move.Workspace)
		return true, nil
	}
	return false, x.create(ctx)
}

// missingContainer handles a target that is missing what its states are kept in, such as a
// table. Like missingWorkspace, it returns true if the move has nothing to work on.
func (x *execution) missingContainer(ctx context.Context, missing error) (bool, error) {
	if _, ok := x.Target.(backend.Creator); !ok || !x.Create || x.Undo != nil || x.comparing {
		return true, missing
	}
	if x.DryRun {
		return true, x.canCreate(ctx)
	}
	return false, x.create(ctx)
}

// hostHint returns a hint if a 404 does not have the API's usual text.
func hostHint(missing error) string {
	if e, ok := errors.AsType[*backend.Error](missing); ok && e.Unworded {
		return " The response does not look like one from Terraform Enterprise. Check the host name."
	}
	return ""
}

// checkPermissions stops a move that the token could begin but not finish.
func (x *execution) checkPermissions() error {
	var lacking string
	switch {
	case !x.workspace.CanRead && x.comparing:
		lacking = "see workspace %s but cannot read its states. Use a token with permission to read them."
	case !x.workspace.CanRead:
		lacking = "see workspace %s but cannot read its states, so tfhaul cannot check what it would overwrite. Use a token with permission to read and write them."
	case x.comparing:
		return nil
	case !x.workspace.CanLock:
		lacking = "read workspace %s but cannot lock it. Use a token with permission to lock it and write states."
	case !x.workspace.CanWrite:
		lacking = "read workspace %s but cannot write states to it. Use a token with permission to lock it and write states."
	default:
		return nil
	}
	return x.stopf(CodeForbiddenOrMissing, "The token can "+lacking, x.Target.Container()+"/"+x.Move.Workspace)
}

// currentVersion reads the current state version; nil if there is none.
func (x *execution) currentVersion(ctx context.Context, ws *backend.Standing) (*backend.Version, error) {
	if ws.Current.Known && ws.Current.ID == "" {
		return nil, nil
	}
	return backend.Retry(ctx, x.Target.Down, func() (*backend.Version, error) { return x.Target.Current(ctx, ws) })
}

// inspect downloads a state version and reads the state in it.
func (x *execution) inspect(ctx context.Context, version *backend.Version) (*holding, error) {
	h := &holding{version: version}
	err := x.download(ctx, version, func(body io.Reader) error {
		snapshot, err := statefile.ReadWhole(body) // a backup is compared with it
		var refusal *statefile.Error
		if errors.As(err, &refusal) {
			h.snapshot, h.notState = snapshot, refusal.Error()
			h.encrypted = Code(refusal.Code()) == CodeEncrypted
			return nil
		}
		h.snapshot = snapshot
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// relate returns how the source's state relates to the workspace's.
func (x *execution) relate(h *holding) Verdict {
	if h == nil {
		return Relate(x.read.snapshot, nil)
	}
	verdict := relateTo(x.read.snapshot, h)
	if !x.Target.Traits().Workspaces {
		verdict.Note = withNoun(x.Target.Traits().Noun, verdict.Note)
	}
	return verdict
}

// relateTo returns how a state relates to a holding, using the higher of its serials.
func relateTo(snapshot *statefile.Snapshot, h *holding) Verdict {
	held := *h.snapshot
	held.Serial = h.serial()
	verdict := Relate(snapshot, &held)
	switch {
	case h.notState != "" && verdict.Relation != Identical:
		return Verdict{Relation: Unrelated, Note: "tfhaul cannot read the workspace's state: " + h.notState}
	case h.serialMismatch():
		note := fmt.Sprintf("the workspace's state version %s was uploaded as serial %d, but the state in it has serial %d",
			h.version.ID, h.version.Serial, h.snapshot.Serial)
		if h.version.Serial > h.snapshot.Serial {
			note += fmt.Sprintf(". The server would reject every apply, because Terraform would write serial %d", h.snapshot.Serial+1)
		}
		if verdict.Note != "" {
			note += "; " + verdict.Note
		}
		verdict.Note = note
	}
	return verdict
}

// decide is the second half of step 2: determine the relation and what to do.
func (x *execution) decide(ctx context.Context) error {
	x.verdict = x.relate(x.held)
	x.result.Relation = x.verdict.Relation
	if x.verdict.Note != "" {
		x.note("%s", plainwords.Sentence(x.verdict.Note))
	}
	if x.Undo != nil {
		return x.decideUndo(ctx)
	}
	there := x.verdict.Relation == Identical
	if !there && x.held != nil && x.olderApart() {
		return x.refuseOther()
	}
	if x.bumpedBefore() || x.Bump && x.differsInSerial(ctx) {
		there, x.result.BumpedTo = true, x.held.snapshot.Serial
	} else if there && x.Bump && x.held.serialMismatch() {
		there = false // raising the serial corrects the one that was announced
	}
	switch {
	case there && x.DryRun && x.lockedByUs():
		x.result.Outcome, x.result.Message = WouldMove, x.sayf("The workspace already holds the state. The lock that an earlier run of this haul left will be released.")
		return nil
	case there:
		return x.alreadyThereWithHistory(ctx)
	case x.verdict.Relation.writes():
	case x.Bump && (x.verdict.Relation != Unrelated || x.Replace) && x.payload.serial <= x.held.serial():
		if err := x.bump(ctx); err != nil {
			return err
		}
	case x.Replace:
	default:
		return x.refuse(ctx)
	}
	if w := x.workspace; w != nil && !x.result.Created {
		if err := x.checkLegacyProviders(w.Terraform, w.ExecutionMode); err != nil {
			return err
		}
	}
	if err := x.checkObjections(); err != nil {
		return err
	}
	if err := x.decideHistory(ctx); err != nil {
		return err
	}
	x.noteAllowed()
	x.noteFormat()
	if x.DryRun {
		return x.plan()
	}
	return nil
}

// replaces reports whether the move replaces a state that the source's does not continue.
func (x *execution) replaces() bool { return !x.verdict.Relation.writes() }

// alreadyThere sets the outcome of a move that has nothing to do.
func (x *execution) alreadyThere() {
	x.result.Outcome, x.result.Relation = AlreadyThere, Identical
	x.result.StateVersionID = x.held.version.ID
	x.result.Message = x.sayf("The workspace already holds the identical state (serial %d, %s). Nothing was written.", x.held.snapshot.Serial, x.held.version.ID)
	if x.result.BumpedTo != 0 {
		x.result.Message = x.sayf("The workspace already holds this state (serial %d, %s). Only the serial differs. Nothing was written.", x.held.snapshot.Serial, x.held.version.ID)
	}
	if x.held.version.Serial > x.held.snapshot.Serial && x.held.serialMismatch() {
		x.result.Message += fmt.Sprintf(" To correct its serial on the server, move again with %s.", x.permission("bump-serial"))
	}
}

// refuse returns the stop for a relation that forbids the move.
func (x *execution) refuse(ctx context.Context) error {
	ours, theirs := x.read.snapshot, x.held.snapshot
	switch x.verdict.Relation {
	case Stale:
		if x.differsInSerial(ctx) {
			return x.stopf(CodeStale, "The workspace already holds this state, with serial %d instead of %d. Nothing else differs, so there is nothing to move. To write the lower serial anyway, use %s.", theirs.Serial, ours.Serial, x.permission("replace"))
		}
		return x.stopf(CodeStale, "The source has serial %d, which is older than serial %d in the workspace. Find the newer copy. To put the older one back anyway, use %s, or %s to send it as serial %d.",
			ours.Serial, x.held.serial(), x.permission("replace"), x.permission("bump-serial"), x.held.serial()+1)
	case Diverged:
		return x.diverged(ctx, fmt.Sprintf(" To write the source's state anyway, use %s or %s.", x.permission("bump-serial"), x.permission("replace")))
	default:
		extra, instead := "", ""
		if x.held.serial() >= ours.Serial && x.rises() {
			instead = fmt.Sprintf(" If the server requires a higher serial, add %s.", x.permission("bump-serial"))
		}
		if theirs.Empty() && x.held.notState == "" {
			extra = " That state is empty (no resources, no outputs)."
		}
		return x.stopf(CodeUnrelated, "The workspace holds a different state (lineage %s, serial %d; the source's lineage is %s).%s Check that this is the right workspace. If it is, use %s, which keeps a backup.%s",
			orNone(theirs.Lineage), x.held.serial(), orNone(ours.Lineage), extra, x.permission("replace"), instead)
	}
}

// rises reports whether the target may require a higher serial than that of what it holds.
func (x *execution) rises() bool {
	traits := x.Target.Traits()
	return traits.Workspaces || traits.Rises
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// unlockAdvice returns how to get past another's lock. Waiting does not help with a run that
// needs confirmation or a haul that was killed.
func (x *execution) unlockAdvice(run bool, reason string) string {
	wait := x.setting("lock-timeout", "10m")
	haul := holdingHaul(reason)
	switch {
	case haul != "" && x.endsWithSession():
		return x.sayf(" Another haul locked it. If that haul is still running, wait for it to finish (%s). If it was interrupted, its lock ends when the server notices that.", wait)
	case haul != "":
		return x.sayf(" Another haul locked it. If that haul is still running, wait for it to finish (%s). If it was interrupted, resume it with its journal, or unlock the workspace: %s",
			wait, HeldLock{Target: x.result.Target, Haul: haul}.UnlockCommand())
	}
	if run {
		return fmt.Sprintf(" If the run waits for confirmation, confirm or discard it. Otherwise, wait for it to finish (%s).", wait)
	}
	return fmt.Sprintf(" Wait for the lock to be released (%s), or ask them to unlock it.", wait)
}

// plan sets the outcome of a dry run.
func (x *execution) plan() error {
	if x.workspace != nil && x.workspace.Locked && x.LockTimeout == 0 && !x.lockedByUs() && !x.lockedByOurRun() {
		return x.stopf(CodeLocked, "The workspace is locked by %s.%s", x.workspace.Holder, x.unlockAdvice(x.workspace.Holder.Kind == "run", x.workspace.Holder.Reason))
	}
	x.result.Outcome = WouldMove
	switch x.verdict.Relation {
	case Fresh:
		x.result.Message = x.sayf("The workspace holds no state. Serial %d would be moved.", x.payload.serial)
	case Newer:
		backup := ""
		if !x.held.version.Kept {
			backup = ", after a backup"
		}
		x.result.Message = x.sayf("The workspace holds serial %d of this state. Serial %d would be moved%s.", x.held.serial(), x.payload.serial, backup)
	default:
		x.result.Message = x.sayf("Serial %d would replace serial %d (%s), after a backup.", x.payload.serial, x.held.serial(), x.verdict.Relation)
	}
	if h := x.result.History; h != nil && h.Versions > 0 {
		x.result.Message += " " + h.forecast()
	}
	return nil
}

// lookAgain is step 4: read the workspace's state again under the lock. If the relation has
// changed, it stops the move, so that nothing unseen is overwritten.
func (x *execution) lookAgain(ctx context.Context) error {
	now := x.writer.Seen()
	if err := x.sameName(now); err != nil {
		return err
	}
	if x.follows != nil && !x.follows.apart {
		return x.stillFollows(ctx, now)
	}
	if x.unchanged(now) {
		return nil
	}
	before, seen := x.verdict.Relation, x.held
	version, err := x.currentUnderLock(ctx, now)
	if err != nil {
		return err
	}
	var held *holding
	if version != nil {
		if held, err = x.inspect(ctx, version); err != nil {
			return err
		}
	}
	x.held, x.verdict = held, x.relate(held)
	x.result.Relation = x.verdict.Relation
	switch {
	case x.Undo != nil:
		return x.decideUndo(ctx)
	case x.verdict.Relation == Identical && x.result.BumpedTo == 0:
		x.alreadyThere()
		return nil
	case x.verdict.Relation.writes() && x.result.BumpedTo != 0:
		return x.stopf(CodeStale, "The workspace received another state while tfhaul waited for its lock, and the serial no longer needs to be raised. Run the move again.")
	case x.verdict.Relation.writes():
		return nil
	case before != x.verdict.Relation || seen == nil || held.snapshot.MD5 != seen.snapshot.MD5 || held.serial() != seen.serial():
		// The permission to replace was for the state seen before, not for this one.
		return x.refuse(ctx)
	}
	return nil
}

// unchanged reports whether the response to the lock request proves that the workspace still
// holds the state that the relation was decided for.
func (x *execution) unchanged(now *backend.Standing) bool {
	if now == nil || !now.Current.Known {
		return false
	}
	if x.held == nil {
		return now.Current.ID == ""
	}
	return now.Current.ID == x.held.version.ID
}
