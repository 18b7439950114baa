package tfe

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"time"

	gotfe "github.com/hashicorp/go-tfe"
)

// A Run is what a server says of one run.
type Run struct {
	// ID is the server's, such as "run-…".
	ID string
	// Status is the API's, such as "pending", "planning" or "planned_and_finished".
	Status  string
	Message string
	// PlanOnly runs can never be applied.
	PlanOnly bool
	// HasChanges is what the server says of its plan.
	HasChanges bool
	// Confirmable says that it waits for somebody to have it applied, Cancelable that
	// it can be canceled now.
	Confirmable, Cancelable bool
	// Position is how many runs of the workspace come before it, as long as it waits.
	Position int
	// TerraformVersion executes it.
	TerraformVersion string
	CreatedAt        time.Time
	// The ids of what belongs to it, "" where the server does not tell.
	Plan, Apply, ConfigurationVersion, Workspace string
}

// The statuses of runs that are over, and of those whose plan is finished.
var (
	runsOver = []string{"applied", "planned_and_finished", "policy_soft_failed", "discarded", "errored", "canceled", "force_canceled"}
	// A run that was discarded after its plan has a plan, too; one that was discarded
	// before has none.
	runsPlanned = []string{"planned", "cost_estimating", "cost_estimated", "policy_checking", "policy_checked", "policy_override",
		"policy_soft_failed", "post_plan_running", "post_plan_completed", "post_plan_awaiting_decision", "planned_and_finished", "planned_and_saved",
		"confirmed", "queuing_apply", "apply_queued", "pre_apply_running", "pre_apply_completed", "applying", "post_apply_running",
		"post_apply_completed", "applied"}
)

// Over says that nothing will become of the run any more.
func (r *Run) Over() bool { return slices.Contains(runsOver, r.Status) }

// Planned says that the run's plan is finished, whatever follows.
func (r *Run) Planned() bool { return slices.Contains(runsPlanned, r.Status) }

func newRun(r *gotfe.Run) *Run {
	run := &Run{
		ID: clean(r.ID), Status: clean(string(r.Status)), Message: clean(r.Message), PlanOnly: r.PlanOnly, HasChanges: r.HasChanges,
		Position: r.PositionInQueue, TerraformVersion: clean(r.TerraformVersion), CreatedAt: r.CreatedAt,
	}
	if r.Actions != nil {
		run.Confirmable, run.Cancelable = r.Actions.IsConfirmable, r.Actions.IsCancelable
	}
	if r.Plan != nil {
		run.Plan = clean(r.Plan.ID)
	}
	if r.Apply != nil {
		run.Apply = clean(r.Apply.ID)
	}
	if r.ConfigurationVersion != nil {
		run.ConfigurationVersion = clean(r.ConfigurationVersion.ID)
	}
	if r.Workspace != nil {
		run.Workspace = clean(r.Workspace.ID)
	}
	return run
}

// RunOptions say what a run does.
type RunOptions struct {
	// ConfigurationVersion is the id of the one to use; "" is the workspace's newest.
	ConfigurationVersion string
	// PlanOnly: it can never be applied, and waits for no lock.
	PlanOnly bool
	// AllowEmptyApply: it can be applied although it changes nothing, which rewrites
	// the state in the workspace's Terraform version.
	AllowEmptyApply bool
	// Message is shown with the run. It is no secret.
	Message string
}

// CreateRun makes a run. One that can be applied is never applied by itself.
func (c *Client) CreateRun(ctx context.Context, ws *Workspace, o RunOptions) (*Run, error) {
	never := false
	options := gotfe.RunCreateOptions{Workspace: &gotfe.Workspace{ID: ws.ID}, Message: &o.Message, AutoApply: &never}
	if o.ConfigurationVersion != "" {
		options.ConfigurationVersion = &gotfe.ConfigurationVersion{ID: o.ConfigurationVersion}
	}
	if o.PlanOnly {
		options.PlanOnly = &o.PlanOnly
	}
	if o.AllowEmptyApply {
		options.AllowEmptyApply = &o.AllowEmptyApply
	}
	op := fmt.Sprintf("create a run in %s/%s", ws.Organization, ws.Name)
	r, err := call(ctx, op, func(ctx context.Context) (*gotfe.Run, error) { return c.tfe.Runs.Create(ctx, options) })
	if err != nil {
		return nil, err
	}
	return newRun(r), nil
}

// Run reads a run by its id.
func (c *Client) Run(ctx context.Context, id string) (*Run, error) {
	r, err := call(ctx, "read run "+id, func(ctx context.Context) (*gotfe.Run, error) { return c.tfe.Runs.Read(ctx, id) })
	if err != nil {
		return nil, err
	}
	return newRun(r), nil
}

// RunURL is where a person can look at a run. It is no secret.
func (c *Client) RunURL(ws *Workspace, r *Run) string {
	at := url.URL{Scheme: c.api.Scheme, Host: c.api.Host}
	return at.JoinPath("app", ws.Organization, "workspaces", ws.Name, "runs", r.ID).String()
}

// Runs lists the workspace's runs, newest first, page by page as they are consumed.
func (c *Client) Runs(ctx context.Context, ws *Workspace) iter.Seq2[*Run, error] {
	op := fmt.Sprintf("list the runs of %s/%s", ws.Organization, ws.Name)
	return pages(ctx, op, func(ctx context.Context, page gotfe.ListOptions) ([]*Run, *gotfe.Pagination, error) {
		list, err := call(ctx, op, func(ctx context.Context) (*gotfe.RunList, error) {
			return c.tfe.Runs.List(ctx, ws.ID, &gotfe.RunListOptions{ListOptions: page})
		})
		if err != nil {
			return nil, nil, err
		}
		runs := make([]*Run, len(list.Items))
		for i, r := range list.Items {
			runs[i] = newRun(r)
		}
		return runs, list.Pagination, nil
	})
}

// ApplyRun has a run applied whose plan waits for that.
func (c *Client) ApplyRun(ctx context.Context, id, comment string) error {
	return act(ctx, "apply run "+id, func(ctx context.Context) error {
		return c.tfe.Runs.Apply(ctx, id, gotfe.RunApplyOptions{Comment: &comment})
	})
}

// CancelRun ends a run that waits or is under way. The server takes a moment for it.
func (c *Client) CancelRun(ctx context.Context, id, comment string) error {
	return act(ctx, "cancel run "+id, func(ctx context.Context) error {
		return c.tfe.Runs.Cancel(ctx, id, gotfe.RunCancelOptions{Comment: &comment})
	})
}

// DiscardRun ends a run that waits for its plan to be applied.
func (c *Client) DiscardRun(ctx context.Context, id, comment string) error {
	return act(ctx, "discard run "+id, func(ctx context.Context) error {
		return c.tfe.Runs.Discard(ctx, id, gotfe.RunDiscardOptions{Comment: &comment})
	})
}

// act runs an action on a run. A conflict means that the run is not in a status
// for it: nothing was done.
func act(ctx context.Context, op string, do func(context.Context) error) error {
	_, err := call(ctx, op, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) })
	if e, ok := errors.AsType[*Error](err); ok && e.Status == 409 {
		e.Code = Rejected
	}
	return err
}
