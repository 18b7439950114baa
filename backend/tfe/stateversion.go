package tfe

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	gotfe "github.com/hashicorp/go-tfe"
)

// A StateVersion is what a server says of one state version. The server tells
// neither its lineage nor its MD5: both need the bytes, see Client.Open.
type StateVersion struct {
	// ID is the server's, such as "sv-…".
	ID string
	// Serial is the serial that was announced with the state.
	Serial int64
	// Size in bytes; 0 on servers that do not tell.
	Size int64
	// Status is "pending", "finalized", "discarded", or "" on servers that do not tell.
	Status string
	// TerraformVersion that wrote the state; empty until the server has processed it.
	TerraformVersion string
	// CreatedAt is the server's time of creation.
	CreatedAt time.Time
	// Run is the id of the run that made it, or "".
	Run string

	workspace    string // the id of its workspace, or "" where the server does not say
	download     string // a signed URL: never printed
	jsonDownload string // a signed URL: never printed
	upload       string // a signed URL: never printed
}

// Pending says whether the state version's bytes have not arrived or are not
// processed yet.
func (v *StateVersion) Pending() bool { return v.Status == string(gotfe.StateVersionPending) }

// Discarded says whether the server has given the state version up.
func (v *StateVersion) Discarded() bool { return v.Status == string(gotfe.StateVersionDiscarded) }

// AwaitsUpload says whether the server gave an address to upload the bytes to.
func (v *StateVersion) AwaitsUpload() bool { return v.upload != "" }

// Current reads the workspace's current state version, or nil when it has none.
// The API answers 404 for none and for no permission alike, and so does a proxy
// that has lost its way: "none" is believed only in the API's own words, of a
// workspace whose states the token may read, and which was not just said to
// have one.
func (c *Client) Current(ctx context.Context, ws *Workspace) (*StateVersion, error) {
	op := fmt.Sprintf("read the current state version of %s/%s", ws.Organization, ws.Name)
	path := "workspaces/" + url.PathEscape(ws.ID) + "/current-state-version"
	sv, err := send(ctx, c, op, http.MethodGet, path, nil, stateVersionOf(ws.ID, ""))
	hasOne := ws.Current.Known && ws.Current.ID != ""
	if e, ok := err.(*Error); ok && e.Status == 404 && len(e.Details) > 0 && ws.CanReadStates && !hasOne {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return sv, nil
}

// StateVersion reads a state version by its id.
func (c *Client) StateVersion(ctx context.Context, id string) (*StateVersion, error) {
	return send(ctx, c, "read state version "+id, http.MethodGet, "state-versions/"+url.PathEscape(id), nil, stateVersionOf("", id))
}

// History lists the workspace's state versions, newest first, page by page as
// they are consumed.
func (c *Client) History(ctx context.Context, organization, workspace string) iter.Seq2[*StateVersion, error] {
	op := fmt.Sprintf("list the state versions of %s/%s", organization, workspace)
	return pages(ctx, op, func(ctx context.Context, page gotfe.ListOptions) ([]*StateVersion, *gotfe.Pagination, error) {
		list, err := ask(ctx, c, op, http.MethodGet, "state-versions", &gotfe.StateVersionListOptions{
			ListOptions: page, Organization: organization, Workspace: workspace,
		}, pageOf(func(d *stateVersionData, _ []namedResource) (*StateVersion, error) { return d.stateVersion() }))
		return list.items, list.next, err
	})
}
