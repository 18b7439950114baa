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

// A Workspace is what a server says of one workspace.
type Workspace struct {
	// ID is the server's, such as "ws-…".
	ID string
	// Organization and Name are how people call it.
	Organization, Name string
	// TerraformVersion is the version that runs use; it may be a constraint or "latest".
	TerraformVersion string
	// ExecutionMode is "remote", "local" or "agent".
	ExecutionMode string
	// WorkingDirectory is the directory of the configuration in which runs are
	// executed, with slashes; "" is its root.
	WorkingDirectory string
	// Locked says whether anybody holds the lock, Holder who, as far as the
	// server told.
	Locked bool
	Holder backend.Holder
	// HYOK reports whether the organization holds the key of the workspace's states (hold your
	// own key): the server gives them and plans as JSON to nobody.
	HYOK bool
	// Current names the current state version. Not every server's answer carries
	// it: ask with Client.Current where it is not Known.
	Current CurrentRef
	// CanReadStates, CanWriteStates, CanLock and CanUnlock are the token's permissions. Servers
	// that do not tell are taken to allow it.
	CanReadStates, CanWriteStates, CanLock, CanUnlock bool
	// CurrentRun is the id of the run that stands first, or "". CurrentRunStatus
	// is its status, which only a listing tells. RunWaits reports
	// whether it waits for a person to confirm or discard it, where the server says so.
	CurrentRun, CurrentRunStatus string
	RunWaits                     *bool
}

// CurrentRef names a workspace's current state version.
type CurrentRef struct {
	// Known is false when the server's answer did not carry it.
	Known bool
	// ID is the state version's, or "" when the workspace has none.
	ID string
}

// withHolder asks for the name of whoever holds a workspace's lock.
var withHolder = &gotfe.WorkspaceReadOptions{Include: []gotfe.WSIncludeOpt{gotfe.WSLockedBy}}

// Workspace reads a workspace by its name. A ForbiddenOrMissing error is all
// that a server says of one that does not exist or that the token may not see.
func (c *Client) Workspace(ctx context.Context, organization, name string) (*Workspace, error) {
	op := fmt.Sprintf("read workspace %s/%s", organization, name)
	path := "organizations/" + url.PathEscape(organization) + "/workspaces/" + url.PathEscape(name)
	return ask(ctx, c, op, http.MethodGet, path, withHolder, workspaceBy(organization, name, ""))
}

// WorkspaceByID reads a workspace by the server's id, which outlives a rename.
func (c *Client) WorkspaceByID(ctx context.Context, organization, id string) (*Workspace, error) {
	op := "read workspace " + id
	return ask(ctx, c, op, http.MethodGet, "workspaces/"+url.PathEscape(id), withHolder, workspaceBy(organization, "", id))
}

// The API's bound of a page, and ours of a listing: a million workspaces.
const (
	mostPerPage = 100
	mostPages   = 10_000
)

// Workspaces lists the organization's workspaces, page by page as they are
// consumed.
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

// pages iterates over a paged listing. One that does not end, or that breaks off
// before its end, fails: a listing that is not complete is not given for one.
func pages[T any](ctx context.Context, op string, read func(context.Context, gotfe.ListOptions) ([]T, *gotfe.Pagination, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		page := gotfe.ListOptions{PageNumber: 1, PageSize: mostPerPage}
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
			if next.NextPage <= page.PageNumber || len(items) == 0 || next.NextPage > mostPages {
				var none T
				yield(none, &Error{Op: op, Code: Rejected, Err: fmt.Errorf("the server's pages do not end: after page %d it names page %d", page.PageNumber, next.NextPage)})
				return
			}
			page.PageNumber = next.NextPage
		}
	}
}
