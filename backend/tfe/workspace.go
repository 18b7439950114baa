package tfe

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	gotfe "github.com/hashicorp/go-tfe"

	"tfhaul/backend"
)

// A Workspace describes one workspace.
type Workspace struct {
	// ID is the server's, such as "ws-…".
	ID string
	// Organization and Name identify it for users.
	Organization, Name string
	// TerraformVersion is the version for runs, which may be a constraint or "latest".
	TerraformVersion string
	// ExecutionMode is "remote", "local" or "agent".
	ExecutionMode string
	// WorkingDirectory is the directory in the configuration where runs are executed, with
	// slashes; "" means its root.
	WorkingDirectory string
	// Locked reports whether the workspace is locked, and Holder by whom, as far as the
	// server reports it.
	Locked bool
	Holder backend.Holder
	// HYOK reports whether the organization holds the encryption key of the workspace's
	// states (hold your own key). The server then returns neither states nor JSON plans.
	HYOK bool
	// Current is the current state version. Not every server's response has it: use
	// Client.Current if it is not Known.
	Current CurrentRef
	// CanReadStates, CanWriteStates, CanLock and CanUnlock are the token's permissions.
	// They are true if the server does not report them.
	CanReadStates, CanWriteStates, CanLock, CanUnlock bool
	// CurrentRun is the ID of the workspace's current run, or "". CurrentRunStatus is its
	// status, which only a listing has. RunWaits reports whether it waits for a user to
	// confirm or discard it, if the server reports that.
	CurrentRun, CurrentRunStatus string
	RunWaits                     *bool
}

// CurrentRef identifies a workspace's current state version.
type CurrentRef struct {
	// Known is false if the server's response did not have it.
	Known bool
	// ID is the state version's ID, or "" for an empty workspace.
	ID string
}

// withHolder requests the name of the lock's holder.
var withHolder = &gotfe.WorkspaceReadOptions{Include: []gotfe.WSIncludeOpt{gotfe.WSLockedBy}}

// Workspace reads a workspace by its name. It returns a ForbiddenOrMissing error if the
// workspace does not exist or the token cannot see it; the server does not distinguish the
// two.
func (c *Client) Workspace(ctx context.Context, organization, name string) (*Workspace, error) {
	op := fmt.Sprintf("read workspace %s/%s", organization, name)
	path := "organizations/" + url.PathEscape(organization) + "/workspaces/" + url.PathEscape(name)
	return ask(ctx, c, op, http.MethodGet, path, withHolder, workspaceBy(organization, name, ""))
}

// WorkspaceByID reads a workspace by the server's ID, which a rename does not change.
func (c *Client) WorkspaceByID(ctx context.Context, organization, id string) (*Workspace, error) {
	op := "read workspace " + id
	return ask(ctx, c, op, http.MethodGet, "workspaces/"+url.PathEscape(id), withHolder, workspaceBy(organization, "", id))
}

// The API's limit for a page, and ours for a listing: a million workspaces.
const (
	maxPerPage = 100
	maxPages   = 10_000
)

// Workspaces lists the organization's workspaces, fetching pages as they are consumed.
func (c *Client) Workspaces(ctx context.Context, organization string) iter.Seq2[*Workspace, error] {
	op := "list the workspaces of " + organization
	return pages(ctx, op, func(ctx context.Context, page gotfe.ListOptions) ([]*Workspace, *gotfe.Pagination, error) {
		list, err := ask(ctx, c, op, http.MethodGet, "organizations/"+url.PathEscape(organization)+"/workspaces",
			&gotfe.WorkspaceListOptions{ListOptions: page, Include: []gotfe.WSIncludeOpt{gotfe.WSLockedBy, gotfe.WSCurrentRun}},
			pageOf(func(d *workspaceData, others []namedResource) (*Workspace, error) {
				return d.workspace(organization, others)
			}))
		return list.items, list.next, err
	})
}

// pages iterates over a paged listing. It fails if the listing does not end, or is cut
// short, so that an incomplete listing is never taken for a complete one.
func pages[T any](ctx context.Context, op string, read func(context.Context, gotfe.ListOptions) ([]T, *gotfe.Pagination, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		page := gotfe.ListOptions{PageNumber: 1, PageSize: maxPerPage}
		for {
			items, next, err := read(ctx, page)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == nil || next.NextPage == 0 {
				return
			}
			if next.NextPage <= page.PageNumber || len(items) == 0 || next.NextPage > maxPages {
				var none T
				yield(none, &Error{Op: op, Code: Rejected, Err: fmt.Errorf("the listing does not end: page %d is followed by page %d", page.PageNumber, next.NextPage)})
				return
			}
			page.PageNumber = next.NextPage
		}
	}
}
