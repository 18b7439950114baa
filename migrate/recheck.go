package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// A Recorded is what a journal recorded of one move.
type Recorded struct {
	Source, Target string
	// Result is how it ended last; nil where it was cut off.
	Result *Result
	// Arrived is what the workspace was left with; nil where nothing is known to have
	// arrived. Its serial, MD5 and size differ from the snapshot's where the serial was
	// raised.
	Arrived *Snapshot
	// WorkspaceID is the server's; "" where it was not found out.
	WorkspaceID string
	// Known is what a listing said of the workspace just now; nil asks for it.
	Known *backend.Standing
	// Version is the version of the source that was read; nil where none was.
	Version *backend.Version
	// Carried are the older versions that arrived, oldest first.
	Carried []Carried
}

// Recorded is what the ledger knows of all moves, in the order in which they began.
func (l *Ledger) Recorded() []Recorded {
	moves := l.current()
	all := make([]Recorded, len(moves))
	for i, m := range moves {
		r := Recorded{Source: m.source, Target: m.target, Result: m.result, WorkspaceID: m.workspaceID, Version: m.version, Carried: m.carried()}
		if m.result != nil && !m.result.Deleted && (m.result.Outcome == Moved || m.result.Outcome == AlreadyThere) {
			r.Arrived = m.result.Snapshot
			if m.result.BumpedTo != 0 {
				r.Arrived = m.sent
			}
		}
		all[i] = r
	}
	return all
}

// Recheck checks whether a workspace still holds the state that a journal recorded as moved. The
// outcome is AlreadyThere if so, Refused otherwise. A move that did not complete keeps its
// outcome. If object is not nil, a changed source is refused as source-changed. Recheck writes
// nothing.
func (e *Engine) Recheck(ctx context.Context, r Recorded, workspace string, object backend.State) Result {
	start := time.Now()
	ctx, meter := backend.WithMeter(ctx)
	reader := *e
	reader.DryRun, reader.Journal = true, nil
	x := &execution{Engine: &reader, Move: Move{Object: object, Workspace: workspace}}
	x.result.Source, x.result.Target = r.Source, r.Target
	switch {
	case r.Result == nil:
		x.conclude(ctx, &stop{code: CodeInterrupted, message: "The haul was interrupted during this move. Resume it."})
	case r.Arrived == nil:
		x.result = *r.Result
		x.result.Message = "Not checked. The journal recorded: " + x.result.Message
	default:
		x.result.Snapshot = r.Arrived
		x.conclude(ctx, x.recheck(ctx, r))
	}
	x.result.APICalls = meter.Calls()
	x.result.Seconds = time.Since(start).Seconds()
	return x.result
}

// recheck compares what arrived with what is there.
func (x *execution) recheck(ctx context.Context, r Recorded) error {
	x.payload = payload{serial: r.Arrived.Serial, lineage: r.Arrived.Lineage, md5: r.Arrived.MD5, size: r.Arrived.Size}
	version, err := x.currentOf(ctx, r)
	if err != nil {
		return err
	}
	if version == nil {
		return x.stopf(CodeAbsent, "The workspace no longer holds a state. Serial %d was moved to it.", r.Arrived.Serial)
	}
	if x.held, err = x.inspect(ctx, version); err != nil {
		return err
	}
	x.verdict = Relate(&statefile.Snapshot{Serial: r.Arrived.Serial, Lineage: r.Arrived.Lineage, MD5: r.Arrived.MD5, Size: r.Arrived.Size}, x.held.snapshot)
	x.result.Relation = x.verdict.Relation
	changed := x.sourceSince(ctx, r.Version)
	if x.verdict.Relation == Identical {
		if changed != nil {
			return changed
		}
		if err := x.recheckHistory(ctx, r.Carried); err != nil {
			return err
		}
		x.alreadyThere()
		x.result.Message = x.sayf("The workspace still holds the moved state (serial %d, %s).", x.held.snapshot.Serial, version.ID)
		if n := len(r.Carried); n > 0 {
			x.result.Message += fmt.Sprintf(" tfhaul also compared %s.", plainwords.Counted(n, "older version"))
		}
		return nil
	}
	if changed != nil {
		x.note("%s", changed.message)
	}
	if x.held.version.Kept {
		x.stillInHistory(ctx, r.Result.StateVersionID)
	}
	return x.changedSince(r.Arrived)
}

// currentOf reads which state version is current in the workspace of a recorded
// move; nil if the workspace holds no state. The workspace is looked up by the name that the
// journal reports, and must be the one that the state was moved to.
func (x *execution) currentOf(ctx context.Context, r Recorded) (*backend.Version, error) {
	x.Known = r.Known
	ws, err := x.lookUp(ctx)
	if backend.CodeOf(err) == backend.ForbiddenOrMissing && r.WorkspaceID != "" {
		if now, asked := x.Target.LookByID(ctx, r.WorkspaceID); asked == nil {
			return nil, x.renamed(now.Name)
		}
	}
	if err != nil {
		return nil, err
	}
	if r.WorkspaceID != "" && ws.ID != r.WorkspaceID {
		if now, err := x.Target.LookByID(ctx, r.WorkspaceID); err == nil {
			return nil, x.renamed(now.Name)
		}
		x.note("The workspace that the state was moved to no longer exists, and another one has its name.")
	}
	x.workspace = ws
	if err := x.checkPermissions(); err != nil {
		return nil, err
	}
	// A replica that lags may show another version than the workspace names.
	return x.readCurrent(ctx, ws, func(v *backend.Version) bool {
		return !ws.Current.Known || ws.Current.ID != r.Result.StateVersionID || v != nil && v.ID == ws.Current.ID
	})
}

// renamed refuses to report on a name that is not the workspace's any more.
func (x *execution) renamed(now string) error {
	return x.stopf(CodeRenamed, "The workspace was renamed from %s to %s after the move. Verify it under its new name: tfhaul verify SOURCE %s",
		x.Move.Workspace, now, x.Target.Address(now))
}

// sourceSince says that the source is another than when it was read. That it is
// gone, or cannot be asked, is only noted.
func (x *execution) sourceSince(ctx context.Context, version *backend.Version) *stop {
	if x.Object == nil || version == nil {
		return nil
	}
	err := x.Object.Check(ctx, *version)
	changed, isChange := errors.AsType[*backend.ChangedError](err)
	switch {
	case err == nil:
		return nil
	case isChange && changed.Gone:
		x.note("The source no longer exists.")
		return nil
	case isChange:
		return x.stopf(CodeSourceChanged, "The workspace received the state, but the source changed after the move (%s), so it is still in use. Make sure that nobody changes it, then run the move again.", changed.How)
	}
	x.note("Cannot check whether the source changed after the move: %s", plainwords.Ended(err.Error()))
	return nil
}

// stillInHistory notes whether the state version that was recorded still holds what
// arrived.
func (x *execution) stillInHistory(ctx context.Context, id string) {
	version, err := backend.Retry(ctx, x.Target.Down, func() (*backend.Version, error) { return x.Target.Version(ctx, id) })
	if err != nil {
		x.note("Cannot read the moved state version, %s: %s", id, plainwords.Ended(err.Error()))
		return
	}
	same, err := x.sameBytes(ctx, version)
	switch {
	case err != nil:
		x.note("Cannot read the moved state version, %s: %s", id, plainwords.Ended(err.Error()))
	case same:
		x.note("The moved state is still in the workspace's history, unchanged, as %s.", id)
	default:
		x.note("State version %s no longer holds the state that was moved.", id)
	}
}

// changedSince returns how the workspace's state differs from the one that was moved.
func (x *execution) changedSince(arrived *Snapshot) error {
	holds := fmt.Sprintf("(serial %d, %s) than the one that was moved (serial %d)", x.held.snapshot.Serial, x.held.version.ID, arrived.Serial)
	switch x.verdict.Relation {
	case Stale:
		return x.stopf(CodeStale, "The workspace holds a newer state %s, as expected after an apply.", holds)
	case Newer:
		return x.stopf(CodeOutdated, "The workspace holds an older state %s.", holds)
	case Diverged:
		return x.stopf(CodeDiverged, "The workspace holds a different state with the same serial %s.", holds)
	}
	return x.stopf(CodeUnrelated, "The workspace holds a state with a different lineage %s.", holds)
}
