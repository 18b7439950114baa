package prove

import (
	"context"
	"io"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/plainwords"
)

// upgrade rewrites the state with an empty apply. It plans and judges again for that, and
// applies only a plan without changes.
func (x *proof) upgrade(ctx context.Context) error {
	before, proven := x.held, x.result
	r, err := x.startRun(ctx, tfe.RunOptions{ConfigurationVersion: x.result.ConfigurationVersion, AllowEmptyApply: true})
	if err != nil {
		return x.notUpgraded(proven, err)
	}
	if r, err = x.await(ctx, r, func(r *tfe.Run) bool { return r.Confirmable || r.Over() && r.Planned() }); err != nil {
		return x.notUpgraded(proven, err)
	}
	if !r.Confirmable {
		return stopf(CodeUpgradeFailed, "Nothing changes, but the server does not allow run %s to be applied (%s): check whether it supports empty applies.", r.ID, r.Status)
	}
	if err := x.judgeRun(ctx, r); err != nil {
		return x.notUpgraded(proven, err)
	}
	if x.result.Verdict != Proven {
		// The caller discards the run.
		return stopf(CodeUpgradeFailed, "The proof showed no changes, but the plan of run %s does: %s It was not applied.", r.ID, x.result.Message)
	}
	if err := x.checkSameState(ctx); err != nil {
		return x.notUpgraded(proven, err)
	}
	if err := x.Target.ApplyRun(ctx, r.ID, "Proven to change nothing (tfhaul)"); err != nil {
		return x.notUpgraded(proven, err)
	}
	x.ours = "" // from here on the run is finished, not canceled
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxApply)
	defer cancel()
	if r, err = x.await(ctx, r, func(r *tfe.Run) bool { return r.Status == "applied" }); err != nil {
		return x.notUpgraded(proven, err)
	}
	return x.readUpgraded(ctx, r, before, proven)
}

// maxApply limits the wait for an empty apply, which nothing interrupts.
const maxApply = 10 * maxPatience

// notUpgraded adds to a proven result that the state was not rewritten.
func (x *proof) notUpgraded(proven Result, err error) error {
	proven.Notes = x.result.Notes
	x.result = proven
	return stopf(CodeUpgradeFailed, "%s The state was probably not rewritten: %s", proven.Message, plainwords.Sentence(err.Error()))
}

// readUpgraded compares what the workspace holds now with what it held before.
func (x *proof) readUpgraded(ctx context.Context, r *tfe.Run, before held, proven Result) error {
	// The current version has just changed, so what was read of the workspace before is
	// outdated.
	ws := *x.workspace
	ws.Current = backend.Ref{}
	version, err := x.Target.Current(ctx, &ws)
	if err != nil || version == nil {
		return stopf(CodeUpgradeFailed, "Run %s was applied, but the workspace's state cannot be read now.", r.ID)
	}
	if version.ID == before.version {
		x.note("Terraform " + before.terraform + " already wrote this state: the empty apply left it unchanged.")
		return nil
	}
	now, err := x.readVersion(ctx, version, io.Discard)
	if err != nil {
		return err
	}
	if now.instances != before.instances || now.lineage != before.lineage || now.serial <= before.serial {
		return stopf(CodeUpgradeFailed, "Run %s was applied, and changed more than the state's Terraform version: serial %d → %d, %d → %d resource instances. Check the state before you do anything else.",
			r.ID, before.serial, now.serial, before.instances, now.instances)
	}
	x.result.Upgraded = &Upgrade{FromTerraform: before.terraform, ToTerraform: now.terraform, FromSerial: before.serial, ToSerial: now.serial,
		StateVersionID: version.ID, RunID: r.ID}
	x.result.RunID, x.result.RunURL = proven.RunID, proven.RunURL
	x.result.StateVersionID, x.result.Serial = version.ID, now.serial
	x.result.Message = proven.Message + " The state was rewritten by Terraform " + now.terraform + " as serial " + itoa(int(now.serial)) + "."
	return nil
}
