package prove

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/plainwords"
)

// startRun starts a run. If the reply is lost, it looks for the run by its message:
// otherwise an unknown run would stay in the queue.
func (x *proof) startRun(ctx context.Context, o tfe.RunOptions) (*tfe.Run, error) {
	var mark [4]byte
	rand.Read(mark[:]) // never fails
	what := "Proof that nothing changes"
	if o.AllowEmptyApply {
		what = "Rewriting the state without changing resources"
	}
	o.Message = what + " (tfhaul " + hex.EncodeToString(mark[:]) + ")"
	r, err := x.Target.CreateRun(ctx, x.workspace, o)
	if backend.CodeOf(err) == backend.Ambiguous {
		r, err = x.lookForRun(ctx, o.Message, err)
	}
	if err != nil {
		return nil, refusedRun(err)
	}
	x.ours = r.ID
	x.identify(r)
	return r, nil
}

// refusedRun explains why the server did not start a run.
func refusedRun(err error) error {
	e, ok := errors.AsType[*tfe.Error](err)
	if ok && e.Code == backend.Malformed {
		return stopf(CodeServerRefused, "%s", plainwords.Sentence("the server refused to start a run: "+e.Error()))
	}
	return err
}

// lookForRun looks for a run whose reply was lost among the newest ones.
func (x *proof) lookForRun(ctx context.Context, message string, lost error) (*tfe.Run, error) {
	const newest = 50
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxPatience)
	defer cancel()
	n := 0
	for r, err := range x.Target.Runs(ctx, x.workspace) {
		switch n++; {
		case err != nil:
			return nil, errors.Join(lost, err)
		case r.Message == message:
			return r, nil
		case n == newest:
			return nil, lost
		}
	}
	return nil, lost
}

// identify records the run in the result.
func (x *proof) identify(r *tfe.Run) {
	x.result.RunID = r.ID
	x.result.RunURL = x.Target.RunURL(x.workspace, r)
	x.result.TerraformVersion = r.TerraformVersion
}

// awaitPlan waits until a run's plan is finished or can no longer finish.
func (x *proof) awaitPlan(ctx context.Context, r *tfe.Run) (*tfe.Run, error) {
	x.identify(r)
	return x.await(ctx, r, (*tfe.Run).Planned)
}

// await polls a run until wanted is true. If the run ends before that, it returns the
// reason.
func (x *proof) await(ctx context.Context, r *tfe.Run, wanted func(*tfe.Run) bool) (*tfe.Run, error) {
	deadline := time.Now().Add(cmp.Or(x.Timeout, DefaultTimeout))
	log := logTail{proof: x}
	for wait := newPacing(); ; {
		x.report(Event{Stage: stageOf(r), Run: r.ID, Status: r.Status, Position: r.Position})
		log.follow(ctx, r)
		switch {
		case wanted(r):
			if r.Over() {
				x.ours = ""
			}
			return r, nil
		case r.Over():
			x.ours = ""
			return nil, x.explainEnd(ctx, r)
		case time.Now().After(deadline):
			return nil, stopf(CodeTimeout, "Run %s is still %s after %s%s.", r.ID, r.Status, cmp.Or(x.Timeout, DefaultTimeout), x.whatHolds(r))
		}
		if err := wait.pause(ctx); err != nil {
			return nil, err
		}
		next, err := x.Target.Run(ctx, r.ID)
		switch code := backend.CodeOf(err); {
		case err == nil:
			r = next
		case (code == backend.Unreachable || code == backend.Ambiguous) && ctx.Err() == nil && wait.spent < maxPatience:
			// Polling can be retried.
		default:
			return nil, err
		}
	}
}

// whatHolds returns what a run may be waiting for.
func (x *proof) whatHolds(r *tfe.Run) string {
	switch {
	case r.Status == "pending" && r.Position > 0:
		return ", with " + plainwords.Counted(r.Position, "run") + " ahead of it"
	case x.workspace.ExecutionMode == "agent":
		return ": the workspace's runs are executed by agents, and none may be available"
	}
	return ""
}

func stageOf(r *tfe.Run) Stage {
	switch r.Status {
	case "pending", "plan_queued", "fetching", "fetching_completed", "queuing":
		return StageQueued
	case "confirmed", "queuing_apply", "apply_queued", "pre_apply_running", "pre_apply_completed", "applying", "post_apply_running", "post_apply_completed", "applied":
		return StageApplying
	}
	return StagePlanning
}

// cancelGrace limits how long canceling our run may take after everything else has ended.
const cancelGrace = 30 * time.Second

// cancelOurs ends the run that we started, even after ctx has ended. A canceled or
// discarded run does not block the queue.
func (x *proof) cancelOurs(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer cancel()
	const why = "tfhaul ended before the run did"
	err := x.Target.CancelRun(ctx, x.ours, why)
	if backend.CodeOf(err) == tfe.Rejected {
		err = x.Target.DiscardRun(ctx, x.ours, why)
	}
	if backend.CodeOf(err) == tfe.Rejected {
		if r, asked := x.Target.Run(ctx, x.ours); asked == nil && r.Over() {
			return // it ended on its own
		}
	}
	if err != nil {
		x.note("Run " + x.ours + " could not be canceled, and may still be under way: " + err.Error() + ".")
		return
	}
	x.note("Run " + x.ours + " was canceled.")
}

func (x *proof) note(text string) { x.result.Notes = append(x.result.Notes, text) }

// A logTail copies the log of a run's plan as it grows.
type logTail struct {
	*proof
	plan   *tfe.Plan
	offset int64
}

// follow copies what is new. A log that cannot be read does not fail the proof.
func (l *logTail) follow(ctx context.Context, r *tfe.Run) {
	if l.Logs == nil || r.Plan == "" || stageOf(r) == StageQueued {
		return
	}
	if l.plan == nil {
		plan, err := l.Target.Plan(ctx, r.Plan)
		if err != nil {
			return
		}
		l.plan = plan
	}
	for {
		part, err := l.Target.PlanLog(ctx, l.plan, l.offset)
		if err != nil || len(part) == 0 {
			return
		}
		l.offset += int64(len(part))
		// A failing log writer is not worth failing the proof.
		_, _ = l.Logs.Write(bytes.Trim(part, "\x02\x03"))
	}
}
