package migrate

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// carryHistory moves the older versions, oldest first, each by the steps of a move. Between
// two of them, the target is unlocked.
func (x *execution) carryHistory(ctx context.Context) error {
	if x.history == nil || len(x.history.versions) == 0 {
		return nil
	}
	if x.follows = x.newFollowing(); x.follows.apart {
		x.result.History.Moved = 0 // each is compared
	}
	for i := x.result.History.Moved; i < len(x.history.versions); i++ {
		if err := x.carry(ctx, &x.history.versions[i]); err != nil {
			return err
		}
	}
	if !x.follows.apart {
		x.verdict = x.relate(x.held)
	}
	return nil
}

// A following is the order in which versions are written: each is written only on top of the
// one before.
type following struct {
	version *olderVersion // that is written; nil for the current version
	apart   bool
	// run is the run that was queued last when the first version was written, if that is
	// known.
	run      string
	runKnown bool
}

func (x *execution) newFollowing() *following {
	return &following{apart: x.apart(x.Target.(backend.HistoryTarget)), run: x.workspace.NewestRun(), runKnown: x.workspace.RunsKnown}
}

// carry moves one older version.
func (x *execution) carry(ctx context.Context, v *olderVersion) error {
	if ctx.Err() != nil {
		return x.cutHistory(v, CodeInterrupted, "tfhaul was interrupted")
	}
	o, err := x.olderExecution(v)
	if err != nil {
		return err
	}
	o.conclude(ctx, o.unlockedLate(o.steps(ctx)))
	x.takeOver(o)
	switch r := o.result; {
	case r.Outcome == Moved || r.Outcome == AlreadyThere:
	case r.Code == CodeInterrupted, r.Code == CodeNotAttempted:
		return x.cutHistory(v, CodeInterrupted, "tfhaul was interrupted")
	default:
		return x.cutHistory(v, r.Code, plainwords.Ended(r.Message))
	}
	target := ""
	if o.follows.apart {
		target = o.result.Target
	}
	c := v.carried(o.result.StateVersionID, target)
	x.result.History.Moved++
	x.result.History.Carried = append(x.result.History.Carried, c)
	x.record(Event{Event: EventCarried, WorkspaceID: x.workspace.ID, StateVersionID: c.ID, Carried: &c, Index: x.result.History.Moved})
	return nil
}

// cutHistory returns the stop for a history whose next version could not be moved.
func (x *execution) cutHistory(v *olderVersion, code Code, why string) error {
	h := x.result.History
	return &stop{code: code, message: fmt.Sprintf("tfhaul moved %d of %s. The next one, with serial %d (%s), was not moved. %s To continue, run the same command with the same journal.",
		h.Moved, plainwords.Counted(h.Versions, "older version"), v.snapshot.Serial, v.version.ID, plainwords.Sentence(why))}
}

// olderExecution prepares the move of an older version. Its source and its target are those of
// x, which holds the version before.
func (x *execution) olderExecution(v *olderVersion) (*execution, error) {
	name, err := x.Target.(backend.HistoryTarget).OlderName(x.Move.Workspace, v.snapshot.Serial, v.version.ID)
	if err != nil {
		return nil, err // which decideHistory has found before
	}
	engine := *x.Engine
	engine.Create, engine.UpdateSettings, engine.CreateOptions = false, false, backend.CreateOptions{}
	engine.IncludeEmpty, engine.LockSource, engine.FreezeSource = true, false, false
	o := engine.execution(Move{Object: older{x.Object, &v.version}, Workspace: name, Allow: []Code{CodeUnusable, CodeErrored}})
	o.follows = &following{version: v, apart: x.follows.apart, run: x.follows.run, runKnown: x.follows.runKnown}
	o.seen = &seen{read: reading{snapshot: &v.snapshot, id: v.version.ID}}
	o.lostBefore = x.lostBefore
	if !o.follows.apart {
		o.seen.workspace, o.seen.held = x.workspace, x.held
	}
	return o, nil
}

// takeOver adds the outcome of an older version to the move.
func (x *execution) takeOver(o *execution) {
	for _, note := range o.result.Notes {
		if !slices.Contains(x.result.Notes, note) {
			x.result.Notes = append(x.result.Notes, note)
		}
	}
	x.result.cause, x.result.advised, x.result.answered = o.result.cause, o.result.advised, x.result.answered || o.result.answered
	x.result.Locked, x.result.UnlockCommand = o.result.Locked, o.result.UnlockCommand
	x.result.Backup = cmp.Or(x.result.Backup, o.result.Backup)
	if o.writer != nil && o.lockOutstanding() {
		x.lostBefore, x.result.LockRequestLost = o.writer.LostRequests(), true
	}
	written := o.sent
	if written == nil && o.result.Outcome == AlreadyThere {
		written = o.held.version
	}
	if written == nil || o.follows.apart {
		return
	}
	now := *x.workspace
	now.Locked, now.Holder, now.Current = false, backend.Holder{}, backend.Ref{Known: true, ID: written.ID}
	x.workspace, x.held = &now, &holding{version: written, snapshot: o.read.snapshot}
}

// stillFollows checks, under the lock, that the target holds what this haul wrote last, and
// that no run was queued meanwhile.
func (x *execution) stillFollows(ctx context.Context, now *backend.Standing) error {
	if now != nil && now.Automatic != backend.NoAutomation {
		return x.stopf(CodeTargetChanged, "The workspace now %s. Nothing was sent.", now.Automatic)
	}
	if now != nil && now.RunsKnown && x.follows.runKnown && now.NewestRun() != x.follows.run {
		return x.stopf(CodeTargetChanged, "Run %s was queued in the workspace while older versions were written to it. Nothing was sent. Discard or cancel the run, then continue.", now.NewestRun())
	}
	if x.unchanged(now) {
		return nil
	}
	// Only servers with workspaces have replicas that lag.
	lags := x.Target.Traits().Workspaces
	held, err := x.readCurrent(ctx, x.workspace, func(v *backend.Version) bool { return !lags || x.before(v) })
	switch {
	case err != nil:
		return err
	case x.before(held):
		return nil
	case held == nil:
		return x.stopf(CodeTargetChanged, "The workspace no longer holds the version that this haul wrote to it last. Nothing was sent.")
	}
	return x.foreignVersion(held)
}

// alreadyThereWithHistory ends a move whose current version is there. Older versions that have
// places of their own can still be added. Otherwise, earlier runs of the haul have moved them
// before it, or nothing can.
func (x *execution) alreadyThereWithHistory(ctx context.Context) error {
	if !x.wantsHistory() {
		x.alreadyThere()
		return nil
	}
	carried := x.past().carried()
	target, ok := x.Target.(backend.HistoryTarget)
	if err := x.readHistory(ctx); err != nil && len(carried) == 0 {
		return err
	}
	switch {
	case ok && x.history != nil && len(x.history.versions) > 0 && x.apart(target):
		return x.addOlder(ctx, target)
	case len(carried) > 0:
		x.result.History = &History{Versions: len(carried), Moved: len(carried), Carried: carried}
	case x.history != nil && len(x.history.versions) > 0:
		x.note("Older versions were not moved, because they can only be written before the current one.")
	}
	x.alreadyThere()
	return nil
}

// olderApart reports whether this is the move of an older version into a place of its own.
func (x *execution) olderApart() bool {
	return x.follows != nil && x.follows.version != nil && x.follows.apart
}

// refuseOther refuses to replace what is in the place of an older version, even if the version
// would continue it: no older version comes from anything but this one version of the source.
func (x *execution) refuseOther() error {
	code := CodeDiverged
	switch x.verdict.Relation {
	case Stale:
		code = CodeStale
	case Unrelated:
		code = CodeUnrelated
	}
	return x.stopf(code, "The file %s holds other bytes, and files of older versions are not replaced. Move it away, or move into another directory.", x.Move.Workspace)
}

// addOlder moves the older versions of a state that is there already. If none is missing, a
// plan compares them, because the haul keeps its result.
func (x *execution) addOlder(ctx context.Context, target backend.HistoryTarget) error {
	if err := x.decideHistory(ctx); err != nil {
		return err
	}
	missing := x.history.missing
	switch {
	case !x.DryRun:
		if err := x.carryHistory(ctx); err != nil {
			return err
		}
	case missing > 0:
		x.result.Outcome = WouldMove
		x.result.Message = x.sayf("The workspace already holds the current state. %s would be added.", plainwords.Counted(missing, "older version"))
		return nil
	default:
		if err := x.compareOlder(ctx, target); err != nil {
			return err
		}
	}
	x.alreadyThere()
	if missing > 0 {
		x.result.Outcome, x.result.Message = Moved, x.sayf("The workspace already holds the current state. tfhaul added %s and read back each.", plainwords.Counted(missing, "older version"))
	}
	return nil
}
