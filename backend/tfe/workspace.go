package tfe

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"

	gotfe "github.com/hashicorp/go-tfe"

	"tfhaul/backend"
)

// A Workspace describes one workspace.
type Workspace struct {
	// Standing.Run is the workspace's current run. Only a listing has its status. With
	// HYOK, the server returns neither states nor JSON plans.
	backend.Standing
	Organization string
	// WorkingDirectory is the directory in the configuration where runs are executed, with
	// slashes; "" means its root.
	WorkingDirectory string
}

// String returns the name for messages.
func (w *Workspace) String() string { return w.Organization + "/" + w.Name }

// path returns the path of the workspace's API.
func (w *Workspace) path(more string) string { return "workspaces/" + url.PathEscape(w.ID) + more }

// withHolder requests the name of the lock's holder.
const withHolder = "?include=" + string(gotfe.WSLockedBy)

// Workspace reads a workspace by its name. It returns a ForbiddenOrMissing error if the
// workspace does not exist or the token cannot see it; the server does not distinguish the
// two.
func (c *Client) Workspace(ctx context.Context, organization, name string) (*Workspace, error) {
	op := fmt.Sprintf("read workspace %s/%s", organization, name)
	path := workspacesOf(organization) + "/" + url.PathEscape(name) + withHolder
	return send(ctx, c, op, http.MethodGet, path, nil, workspaceIs(organization, name, "", nil))
}

// WorkspaceByID reads a workspace by the server's ID, which a rename does not change.
func (c *Client) WorkspaceByID(ctx context.Context, organization, id string) (*Workspace, error) {
	path := "workspaces/" + url.PathEscape(id) + withHolder
	return send(ctx, c, "read workspace "+id, http.MethodGet, path, nil, workspaceIs(organization, "", id, nil))
}

// Workspaces lists the organization's workspaces, fetching pages as they are consumed.
func (c *Client) Workspaces(ctx context.Context, organization string) iter.Seq2[*Workspace, error] {
	include := url.Values{"include": {string(gotfe.WSLockedBy) + "," + string(gotfe.WSCurrentRun)}}
	return list(ctx, c, "list the workspaces of "+organization, workspacesOf(organization), include,
		func(d *workspaceData, others []namedResource) (*Workspace, error) {
			return d.workspace(organization, others)
		})
}

func workspacesOf(organization string) string {
	return "organizations/" + url.PathEscape(organization) + "/workspaces"
}

// finalRuns are the statuses of finished runs.
var finalRuns = append([]string{"", "planned_and_saved"}, runsOver...)

// waitingRuns are the statuses of runs that wait for a user, unless they apply
// automatically.
var waitingRuns = []string{"planned", "cost_estimated", "policy_checked", "policy_override", "post_plan_completed", "post_plan_awaiting_decision"}

// newStandingRun returns a workspace's current run. The server reports in most responses
// whether it is confirmable, that is, waits for a user to confirm or discard it.
func newStandingRun(id, status string, confirmable *bool) *backend.Run {
	r := &backend.Run{ID: id, Status: status, Over: slices.Contains(finalRuns, status), Waits: slices.Contains(waitingRuns, status)}
	if status != "policy_override" && confirmable != nil {
		r.Waits = *confirmable
	}
	return r
}
