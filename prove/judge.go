package prove

import (
	"context"
	"io"
	"strings"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/plainwords"
)

// judgeRun reads a run's plan and decides.
func (x *proof) judgeRun(ctx context.Context, r *tfe.Run) error {
	x.report(Event{Stage: StageJudging, Run: r.ID, Status: r.Status})
	if r.Plan == "" {
		return stopf(CodeNoPlanJSON, "The server does not report which plan belongs to run %s.", r.ID)
	}
	body, err := x.openPlan(ctx, r)
	if backend.CodeOf(err) == backend.ForbiddenOrMissing {
		return x.judgeCounters(ctx, r)
	}
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // read only
	return x.result.judge(body, x.held.instances)
}

// openPlan starts the download of a plan's JSON. Servers need a moment to provide it
// after the plan has finished.
func (x *proof) openPlan(ctx context.Context, r *tfe.Run) (io.ReadCloser, error) {
	for wait := newPacing(); ; {
		body, err := x.Target.OpenPlanJSON(ctx, r.Plan)
		if err != nil || body != nil {
			return body, err
		}
		if wait.spent > maxPatience {
			return nil, stopf(CodeNoPlanJSON, "The server did not provide the JSON of run %s's plan within %s after it finished.", r.ID, maxPatience)
		}
		if err := wait.pause(ctx); err != nil {
			return nil, err
		}
	}
}

// judgeCounters decides by the run's counters when the plan itself cannot be read. They
// can show that something changes, but not that nothing does: they do not include moves
// and outputs, and do not show which state was planned.
func (x *proof) judgeCounters(ctx context.Context, r *tfe.Run) error {
	plan, err := x.Target.Plan(ctx, r.Plan)
	if err != nil {
		return err
	}
	res := &x.result
	res.Counters = &Counters{plan.Additions, plan.Changes, plan.Destructions, plan.Imports}
	counted := "The server counts " + itoa(plan.Additions) + " to add, " + itoa(plan.Changes) + " to change, " +
		itoa(plan.Destructions) + " to destroy, " + itoa(plan.Imports) + " to import"
	const admins = "Only administrators of the workspace can read the plan itself, and this token lacks admin access."
	if plan.HasChanges || *res.Counters != (Counters{}) {
		res.Verdict = Changes
		res.Message = counted + ". " + admins
		return nil
	}
	return stopf(CodeNoPlanJSON, "%s. %s Counters cannot prove that nothing changes: they do not include moves and outputs, and do not show whether the plan used the state's resources.", counted, admins)
}

// judge reads a plan's JSON and decides. instances is the number of managed instances
// that the state holds and the plan should have started from.
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
		r.Notes = append(r.Notes, "Checks that did not pass in this plan: "+itoa(f.failing)+".")
	}
	switch {
	case f.errored:
		return stopf(CodeRunErrored, "The plan failed.")
	case len(f.changes) > 0:
		r.Verdict = Changes
		r.Message = "Terraform would change " + plainwords.Counted(len(f.changes), "object") + ": " + named(f.changes) + "."
	case len(f.deferred) > 0:
		return stopf(CodeIncomplete, "The plan defers %s: %s. It is unknown whether they would change.", plainwords.Counted(len(f.deferred), "object"), named(f.deferred))
	case !f.complete:
		return stopf(CodeIncomplete, "The plan is incomplete, so it proves nothing about the rest.")
	case f.seen+f.vanished != instances:
		return stopf(CodeVacuous, "No changes, but the plan started from %s while the state holds %d: the plan did not use this state.", plainwords.Counted(f.seen, "resource instance"), instances)
	default:
		r.Verdict = Proven
		r.Message = "No changes: Terraform " + r.TerraformVersion + " planned all " + plainwords.Counted(instances, "resource instance") + " and would leave them unchanged."
		if instances == 1 {
			r.Message = "No changes: Terraform " + r.TerraformVersion + " planned the only resource instance and would leave it unchanged."
		}
		if instances == 0 {
			r.Message = "No changes, but this proves little because the state holds no resources."
		}
	}
	return nil
}

// named lists the first changes.
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
