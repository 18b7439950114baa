package prove

import (
	"context"
	"io"

	"tfhaul/backend/tfe"
	"tfhaul/plainwords"
)

// upgrade has the state rewritten by an empty apply. It is planned again for that,
// and judged again: only a plan of no changes is applied.
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
		return stopf(CodeUpgradeFailed, "Nothing changes, but the server does not let the run %s be applied (%s): does it know empty applies?", r.ID, r.Status)
	}
	if err := x.judgeRun(ctx, r); err != nil {
		return x.notUpgraded(proven, err)
	}
	if x.result.Verdict != Proven {
		// The run is discarded by whoever sees this error.
		return stopf(CodeUpgradeFailed, "The proof showed no changes, but the plan of the run %s does: %s It was not applied.", r.ID, x.result.Message)
	}
	if err := x.checkSameState(ctx); err != nil {
		return x.notUpgraded(proven, err)
	}
	if err := x.Target.ApplyRun(ctx, r.ID, "Proven to change nothing (tfhaul)"); err != nil {
		return x.notUpgraded(proven, err)
	}
	x.ours = "" // from here on it is brought to its end, not canceled
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mostApply)
	defer cancel()
	if r, err = x.await(ctx, r, func(r *tfe.Run) bool { return r.Status == "applied" }); err != nil {
		return x.notUpgraded(proven, err)
	}
	return x.readUpgraded(ctx, r, before, proven)
}

// mostApply bounds the wait for an empty apply, which nothing interrupts.
const mostApply = 10 * mostPatience

// notUpgraded says that the proof holds, and the rest does not.
func (x *proof) notUpgraded(proven Result, err error) error {
	proven.Notes = x.result.Notes
	x.result = proven
	return stopf(CodeUpgradeFailed, "%s But the state was not rewritten, as far as is known: %s", proven.Message, plainwords.Sentence(err.Error()))
}

// readUpgraded compares what the workspace holds now with what it held.
func (x *proof) readUpgraded(ctx context.Context, r *tfe.Run, before held, proven Result) error {
	// Which one is current has just changed: what was read of the workspace before
	// says nothing of it.
	ws := *x.workspace
	ws.Current = tfe.CurrentRef{}
	version, err := x.Target.Current(ctx, &ws)
	if err != nil || version == nil {
		return stopf(CodeUpgradeFailed, "The run %s was applied, but what the workspace holds now cannot be read.", r.ID)
	}
	if version.ID == before.version {
		x.note("The state is written by Terraform " + before.terraform + " already: the empty apply left it as it was.")
		return nil
	}
	now, err := x.readVersion(ctx, version, io.Discard)
	if err != nil {
		return err
	}
	if now.instances != before.instances || now.lineage != before.lineage || now.serial <= before.serial {
		return stopf(CodeUpgradeFailed, "The run %s was applied, and the state is not the one it was in another version: serial %d → %d, %d → %d resource instances. Look at it before anything else is done.",
			r.ID, before.serial, now.serial, before.instances, now.instances)
	}
	x.result.Upgraded = &Upgrade{FromTerraform: before.terraform, ToTerraform: now.terraform, FromSerial: before.serial, ToSerial: now.serial,
		StateVersionID: version.ID, RunID: r.ID}
	x.result.RunID, x.result.RunURL = proven.RunID, proven.RunURL
	x.result.StateVersionID, x.result.Serial = version.ID, now.serial
	x.result.Message = proven.Message + " The state was rewritten by Terraform " + now.terraform + " as serial " + itoa(int(now.serial)) + "."
	return nil
}
