package tfe

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

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
	// Project is the name of its project; "" if the response did not include it.
	Project string

	current                  *StateVersion // nil if the response did not include it
	vcsRepository, vcsBranch string
	tags                     []string
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

// asSource requests what reading a workspace's state needs: who holds its lock, whether a run
// is in progress, and where the current state version is. The documentation spells the last
// one current_state_version; this is go-tfe's spelling, which current servers know, too.
var asSource = url.Values{"include": {strings.Join([]string{
	string(gotfe.WSLockedBy), string(gotfe.WSCurrentRun), string(gotfe.WSProject), "current-state-version",
}, ",")}}

// sourceWorkspace reads a workspace whose state is to be read.
func (c *Client) sourceWorkspace(ctx context.Context, organization, name string) (*Workspace, error) {
	op := fmt.Sprintf("read workspace %s/%s", organization, name)
	path := workspacesOf(organization) + "/" + url.PathEscape(name) + "?" + asSource.Encode()
	return send(ctx, c, op, http.MethodGet, path, nil, workspaceIs(organization, name, "", nil))
}

// sourceWorkspaces lists the workspaces of an organization whose states are to be read, 100
// with each request. It lists them again if some were created or deleted meanwhile: that
// shifts the others between pages, so that the listing can lack one or have it twice. It
// returns the number of pages.
func (c *Client) sourceWorkspaces(ctx context.Context, organization string) (found []*Workspace, numPages int, err error) {
	const attempts = 5
	op := "list the workspaces of " + organization
	read := pageReader(ctx, c, op, workspacesOf(organization), maps.Clone(asSource), func(d *workspaceData, others []namedResource) (*Workspace, error) {
		return d.workspace(organization, others)
	})
	for range attempts {
		found, numPages = nil, 0
		total, shifted := 0, false
		for ws, err := range pages(op, func(number int) (page[*Workspace], error) {
			p, err := read(number)
			if number == 1 {
				total = p.total
			}
			shifted = shifted || p.total != total
			numPages = number
			return p, err
		}) {
			if err != nil {
				return nil, 0, err
			}
			found = append(found, ws)
		}
		if !shifted {
			return found, numPages, nil
		}
	}
	return nil, 0, &Error{Op: op, Code: Rejected, Err: fmt.Errorf("workspaces were created or deleted during each of %d listings: try again later", attempts)}
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
