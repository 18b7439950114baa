package migrate

import (
	"context"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// Verify compares a workspace's state with the source's. The outcome is AlreadyThere if they
// are identical, Refused otherwise. It writes nothing to either side.
func (e *Engine) Verify(ctx context.Context, m Move) Result {
	return e.verify(ctx, m, (*execution).check)
}

// verify runs a check that writes nothing and returns its result.
func (e *Engine) verify(ctx context.Context, m Move, check func(*execution, context.Context) error) Result {
	start := time.Now()
	ctx, meter := backend.WithMeter(ctx)
	reader := *e
	reader.DryRun, reader.Create, reader.IncludeEmpty, reader.Journal = true, false, true, nil
	m.Own, m.FromManifest = nil, false // the move's own settings are about writing
	x := reader.execution(m)
	x.comparing = true
	x.conclude(ctx, check(x, ctx))
	x.result.APICalls = meter.Calls()
	x.result.Seconds = time.Since(start).Seconds()
	return x.result
}

// check compares without deciding what to do.
func (x *execution) check(ctx context.Context) error {
	if err := x.readSnapshot(ctx); err != nil {
		return err
	}
	if err := x.readWorkspace(ctx); err != nil {
		return err
	}
	x.verdict = x.relate(x.held)
	x.result.Relation = x.verdict.Relation
	if x.verdict.Note != "" {
		x.note("%s", plainwords.Sentence(x.verdict.Note))
	}
	switch x.verdict.Relation {
	case Identical:
		x.alreadyThere()
		x.result.Message = x.sayf("The workspace holds the identical state (serial %d, %s).", x.held.snapshot.Serial, x.held.version.ID)
		return nil
	case Fresh:
		return x.stopf(CodeAbsent, "The workspace holds no state.")
	case Newer:
		return x.stopf(CodeOutdated, "The workspace holds serial %d of this state. The source has the newer serial %d, which has not been moved.",
			x.held.serial(), x.read.snapshot.Serial)
	case Stale:
		difference := "which is older"
		if x.differsInSerial(ctx) {
			difference = "and only the serial differs"
		}
		return x.stopf(CodeStale, "The workspace holds serial %d of this state. The source has serial %d, %s.",
			x.held.serial(), x.read.snapshot.Serial, difference)
	case Diverged:
		return x.diverged(ctx, "")
	default:
		return x.stopf(CodeUnrelated, "The workspace holds a different state (lineage %s, serial %d; the source's lineage is %s). Check that this is the right workspace and the right source.",
			orNone(x.held.snapshot.Lineage), x.held.snapshot.Serial, orNone(x.read.snapshot.Lineage))
	}
}
