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

// A StateVersion describes one state version. The server reports neither its lineage nor
// its MD5: both need the bytes, see Client.Open.
type StateVersion struct {
	// Version.Detail is the StateVersion.
	backend.Version
	// Status is "pending", "finalized", "discarded", or "" if the server does not report
	// it.
	Status string
	// TerraformVersion is the version that wrote the state; empty until the server has
	// processed it.
	TerraformVersion string

	workspace    string // the ID of its workspace; "" if the server does not report it
	download     string // a signed URL: never printed
	jsonDownload string // a signed URL: never printed
	upload       string // a signed URL: never printed
}

// Discarded reports whether the server has discarded the state version.
func (v *StateVersion) Discarded() bool { return v.Status == string(gotfe.StateVersionDiscarded) }

// Current reads the workspace's current state version, or returns nil without one. The
// API answers 404 both for that and for a missing permission, and so does a misrouted
// proxy. Current therefore returns nil only if the response has the API's own text, the
// token may read the workspace's states, and the workspace was not just reported to have a
// state version.
func (c *Client) Current(ctx context.Context, ws *Workspace) (*StateVersion, error) {
	op := "read the current state version of " + ws.String()
	sv, err := send(ctx, c, op, http.MethodGet, ws.path("/current-state-version"), nil, stateVersionOf(ws.ID, ""))
	hasOne := ws.Current.Known && ws.Current.ID != ""
	if e, ok := err.(*Error); ok && e.Status == 404 && len(e.Details) > 0 && ws.CanRead && !hasOne {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return sv, nil
}

// StateVersion reads a state version by its ID.
func (c *Client) StateVersion(ctx context.Context, id string) (*StateVersion, error) {
	return send(ctx, c, "read state version "+id, http.MethodGet, "state-versions/"+url.PathEscape(id), nil, stateVersionOf("", id))
}

// History lists the workspace's state versions, newest first, fetching pages as they are
// consumed.
func (c *Client) History(ctx context.Context, organization, workspace string) iter.Seq2[*StateVersion, error] {
	of := url.Values{"filter[organization][name]": {organization}, "filter[workspace][name]": {workspace}}
	return list(ctx, c, fmt.Sprintf("list the state versions of %s/%s", organization, workspace), "state-versions", of,
		func(d *stateVersionData, _ []namedResource) (*StateVersion, error) { return d.stateVersion() })
}
