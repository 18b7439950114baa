package tfe

import (
	"context"
	"iter"
	"net/http"
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
	// Confirmable means that it waits for confirmation to be applied.
	Confirmable bool
	// Position is how many runs of the workspace come before it while it waits.
	Position int
	// TerraformVersion is the version that executes it.
	TerraformVersion string
	CreatedAt        time.Time
	// IDs of related objects; "" if the server does not report them.
	Plan, ConfigurationVersion, Workspace string
}

// Statuses of runs that are over, and of those with a finished plan.
var (
	runsOver = []string{"applied", "planned_and_finished", "policy_soft_failed", "discarded", "errored", "canceled", "force_canceled"}
	// A run that was discarded after its plan has a plan; one that was discarded before has
	// none.
	runsPlanned = []string{"planned", "cost_estimating", "cost_estimated", "policy_checking", "policy_checked", "policy_override",
		"policy_soft_failed", "post_plan_running", "post_plan_completed", "post_plan_awaiting_decision", "planned_and_finished", "planned_and_saved",
		"confirmed", "queuing_apply", "apply_queued", "pre_apply_running", "pre_apply_completed", "applying", "post_apply_running",
		"post_apply_completed", "applied"}
)

// Over reports whether the run is finished for good.
func (r *Run) Over() bool { return slices.Contains(runsOver, r.Status) }

// Planned reports whether the run's plan is finished, whatever follows.
func (r *Run) Planned() bool { return slices.Contains(runsPlanned, r.Status) }

func newRun(r *gotfe.Run) *Run {
	run := &Run{
		ID: clean(r.ID), Status: clean(string(r.Status)), Message: clean(r.Message),
		Position: r.PositionInQueue, TerraformVersion: clean(r.TerraformVersion), CreatedAt: r.CreatedAt,
	}
	if r.Actions != nil {
		run.Confirmable = r.Actions.IsConfirmable
	}
	if r.Plan != nil {
		run.Plan = clean(r.Plan.ID)
	}
	if r.ConfigurationVersion != nil {
		run.ConfigurationVersion = clean(r.ConfigurationVersion.ID)
	}
	if r.Workspace != nil {
		run.Workspace = clean(r.Workspace.ID)
	}
	return run
}

// RunOptions describe a new run.
type RunOptions struct {
	// ConfigurationVersion is the ID of the configuration to use; "" means the workspace's
	// newest.
	ConfigurationVersion string
	// PlanOnly runs can never be applied, and do not wait for the lock.
	PlanOnly bool
	// AllowEmptyApply allows applying a plan without changes, which rewrites the state with
	// the workspace's Terraform version.
	AllowEmptyApply bool
	// Message is shown with the run, so it must not be secret.
	Message string
}

// CreateRun creates a run. It never applies automatically.
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
	return c.run(ctx, "create a run in "+ws.String(), func(ctx context.Context, api *gotfe.Client) (*gotfe.Run, error) {
		return api.Runs.Create(ctx, options)
	})
}

// Run reads a run by its ID.
func (c *Client) Run(ctx context.Context, id string) (*Run, error) {
	return c.run(ctx, "read run "+id, func(ctx context.Context, api *gotfe.Client) (*gotfe.Run, error) {
		return api.Runs.Read(ctx, id)
	})
}

func (c *Client) run(ctx context.Context, op string, do func(context.Context, *gotfe.Client) (*gotfe.Run, error)) (*Run, error) {
	r, err := viaGoTFE(ctx, c, op, do)
	if err != nil {
		return nil, err
	}
	return newRun(r), nil
}

// RunURL returns the web page of a run. It is not secret.
func (c *Client) RunURL(ws *Workspace, r *Run) string {
	at := url.URL{Scheme: c.api.Scheme, Host: c.api.Host}
	return at.JoinPath("app", ws.Organization, "workspaces", ws.Name, "runs", r.ID).String()
}

// Runs lists the workspace's runs, newest first, fetching pages as they are consumed.
func (c *Client) Runs(ctx context.Context, ws *Workspace) iter.Seq2[*Run, error] {
	return listViaGoTFE(ctx, c, "list the runs of "+ws.String(), newRun,
		func(ctx context.Context, api *gotfe.Client, page gotfe.ListOptions) ([]*gotfe.Run, *gotfe.Pagination, error) {
			found, err := api.Runs.List(ctx, ws.ID, &gotfe.RunListOptions{ListOptions: page})
			if err != nil {
				return nil, nil, err
			}
			return found.Items, found.Pagination, nil
		})
}

// ApplyRun confirms a run that waits to be applied.
func (c *Client) ApplyRun(ctx context.Context, id, comment string) error {
	return c.act(ctx, "apply run "+id, func(ctx context.Context, api *gotfe.Client) error {
		return api.Runs.Apply(ctx, id, gotfe.RunApplyOptions{Comment: &comment})
	})
}

// CancelRun cancels a run that is waiting or executing. The server takes a moment to do so.
func (c *Client) CancelRun(ctx context.Context, id, comment string) error {
	return c.act(ctx, "cancel run "+id, func(ctx context.Context, api *gotfe.Client) error {
		return api.Runs.Cancel(ctx, id, gotfe.RunCancelOptions{Comment: &comment})
	})
}

// DiscardRun discards a run that waits to be applied.
func (c *Client) DiscardRun(ctx context.Context, id, comment string) error {
	return c.act(ctx, "discard run "+id, func(ctx context.Context, api *gotfe.Client) error {
		return api.Runs.Discard(ctx, id, gotfe.RunDiscardOptions{Comment: &comment})
	})
}

// act performs an action on a run. A conflict means that the run's status does not allow
// it, and that nothing was done.
func (c *Client) act(ctx context.Context, op string, do func(context.Context, *gotfe.Client) error) error {
	_, err := viaGoTFE(ctx, c, op, func(ctx context.Context, api *gotfe.Client) (struct{}, error) { return struct{}{}, do(ctx, api) })
	if e, ok := err.(*Error); ok && e.Status == http.StatusConflict {
		e.Code = Rejected
	}
	return err
}
