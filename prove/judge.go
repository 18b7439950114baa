package prove

import (
	"context"
	"io"
	"strings"

	"tfhaul/backend/tfe"
	"tfhaul/plainwords"
)

// judgeRun reads the plan of a run and decides.
func (x *proof) judgeRun(ctx context.Context, r *tfe.Run) error {
	x.tell(Event{Stage: StageJudging, Run: r.ID, Status: r.Status})
	if r.Plan == "" {
		return stopf(CodeNoPlanJSON, "The server does not say which plan belongs to the run %s.", r.ID)
	}
	body, err := x.openPlan(ctx, r)
	if tfe.CodeOf(err) == tfe.ForbiddenOrMissing {
		return x.judgeCounters(ctx, r)
	}
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was only read
	return x.result.judge(body, x.held.instances)
}

// openPlan starts the download of a plan's JSON, for which the server takes a
// moment after the plan is finished.
func (x *proof) openPlan(ctx context.Context, r *tfe.Run) (io.ReadCloser, error) {
	for wait := newPacing(); ; {
		body, err := x.Target.OpenPlanJSON(ctx, r.Plan)
		if err != nil || body != nil {
			return body, err
		}
		if wait.spent > mostPatience {
			return nil, stopf(CodeNoPlanJSON, "The server has no JSON of the plan of %s, %s after it was finished.", r.ID, mostPatience)
		}
		if err := wait.pause(ctx); err != nil {
			return nil, err
		}
	}
}

// judgeCounters decides by what is left when the plan itself may not be read. That
// something changes can be seen by it; that nothing does cannot: the counters know
// no moves and no outputs, and not which state was planned with.
func (x *proof) judgeCounters(ctx context.Context, r *tfe.Run) error {
	plan, err := x.Target.Plan(ctx, r.Plan)
	if err != nil {
		return err
	}
	res := &x.result
	res.Counters = &Counters{plan.Additions, plan.Changes, plan.Destructions, plan.Imports}
	counted := "The server counts " + itoa(plan.Additions) + " to add, " + itoa(plan.Changes) + " to change, " +
		itoa(plan.Destructions) + " to destroy, " + itoa(plan.Imports) + " to import"
	const admins = "The plan itself may be read by administrators of the workspace only, and this token is none."
	if plan.HasChanges || *res.Counters != (Counters{}) {
		res.Verdict = Changes
		res.Message = counted + ". " + admins
		return nil
	}
	return stopf(CodeNoPlanJSON, "%s. %s That nothing changes is not shown by counters: they know no moves and no outputs, and not whether the plan saw the state's resources.", counted, admins)
}

// judge reads a plan's JSON and decides. instances is how many managed instances the
// state holds that the plan should have started from.
func (r *Result) judge(plan io.Reader, instances int) error {
	f, err := readPlan(plan)
	if err != nil {
		return stopf(CodePlanFormat, "The plan's JSON cannot be read: %v.", err)
	}
	r.Changes, r.Drift, r.Seen = f.changes, f.drift, f.seen
	if f.terraform != "" {
		r.TerraformVersion = f.terraform
	}
	if f.failing > 0 {
		r.Notes = append(r.Notes, "Of the configuration's checks, "+itoa(f.failing)+" did not pass in this plan.")
	}
	switch {
	case f.errored:
		return stopf(CodeRunErrored, "The plan is one that failed.")
	case len(f.changes) > 0:
		r.Verdict = Changes
		r.Message = "Terraform would change " + plainwords.Counted(len(f.changes), "object") + ": " + named(f.changes) + "."
	case len(f.deferred) > 0:
		return stopf(CodeIncomplete, "The plan leaves %s for later: %s. What becomes of them is not known.", plainwords.Counted(len(f.deferred), "object"), named(f.deferred))
	case !f.complete:
		return stopf(CodeIncomplete, "The plan is not complete, so that it says nothing of the whole.")
	case f.seen+f.vanished != instances:
		return stopf(CodeVacuous, "No changes, but the plan started from %s, and the state holds %d: it was not made with this state.", plainwords.Counted(f.seen, "resource instance"), instances)
	default:
		r.Verdict = Proven
		r.Message = "No changes: Terraform " + r.TerraformVersion + " planned with all " + plainwords.Counted(instances, "resource instance") + " and leaves them as they are."
		if instances == 0 {
			r.Message = "No changes, but the state holds no resources, so that this says little."
		}
	}
	return nil
}

// named names the first of some changes.
func named(changes []Change) string {
	const most = 5
	var names []string
	for i, c := range changes {
		if i == most {
			names = append(names, "and "+itoa(len(changes)-i)+" more")
			break
		}
		names = append(names, c.Address+" ("+strings.Join(c.Actions, ", ")+")")
	}
	return strings.Join(names, ", ")
}
