package migrate

import (
	"context"
	"fmt"
	"time"

	"tfhaul/target"
)

// Verify says whether a workspace holds exactly what a source holds: outcome
// already-there if so, refused otherwise. It writes nothing, at neither side.
func (e *Engine) Verify(ctx context.Context, m Move) Result {
	start := time.Now()
	ctx, meter := target.WithMeter(ctx)
	reader := *e
	reader.DryRun, reader.Create, reader.IncludeEmpty, reader.Journal = true, false, true, nil
	x := reader.execution(m)
	x.conclude(ctx, x.check(ctx))
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
		x.note("%s", sentence(x.verdict.Note))
	}
	switch x.verdict.Relation {
	case Identical:
		x.alreadyThere()
		x.result.Message = fmt.Sprintf("The workspace holds these very bytes, as serial %d in %s.", x.held.snapshot.Serial, x.held.version.ID)
		return nil
	case Fresh:
		return &stop{code: CodeAbsent, message: "The workspace holds no state."}
	case Newer:
		return &stop{code: CodeOutdated, message: fmt.Sprintf("The workspace holds serial %d of this state, and the source is at serial %d: it is yet to be moved.",
			x.held.snapshot.Serial, x.read.snapshot.Serial)}
	default:
		return x.refuse()
	}
}
