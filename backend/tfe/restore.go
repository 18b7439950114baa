package tfe

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"tfhaul/backend"
)

// Restore implements backend.Restorer with the endpoint that rolls a workspace back to an
// earlier state version. Terraform Enterprise has it since 2023.
func (w *writer) Restore(ctx context.Context, p backend.Write, id string) (*backend.Version, error) {
	landed, cancel := backend.Landing(backend.WithSending(ctx, p.Sending))
	defer cancel()
	sv, err := w.target.rollBack(landed, w.workspace, id)
	switch backend.CodeOf(err) {
	case backend.ForbiddenOrMissing, backend.Malformed, Rejected:
		// Without the endpoint, the answer is a 404 or 405. A version that cannot be restored
		// is a 404 or 422. Nothing was stored.
		return nil, &backend.Error{Code: backend.Unsupported, Message: err.Error(), Err: err}
	}
	return versionOf(sv, err)
}

// rollBack makes a copy of a state version the workspace's newest one.
func (c *Client) rollBack(ctx context.Context, ws *Workspace, id string) (*StateVersion, error) {
	type resource struct {
		Type string `json:"type"`
		ID   string `json:"id,omitempty"`
	}
	var doc struct {
		Data struct {
			resource
			Relationships struct {
				Version struct {
					Data resource `json:"data"`
				} `json:"rollback-state-version"`
			} `json:"relationships"`
		} `json:"data"`
	}
	doc.Data.Type = "state-versions"
	doc.Data.Relationships.Version.Data = resource{Type: "state-versions", ID: id}
	document, err := json.Marshal(&doc)
	if err != nil {
		return nil, err
	}
	sv, err := send(ctx, c, "roll back "+ws.String(), http.MethodPatch, ws.path("/state-versions"), written(document), stateVersionOf(ws.ID, ""))
	if err == nil && sv.ID == id {
		// Not a new version, so another response, or a server that works differently.
		err = &Error{Op: "roll back " + ws.String(), Code: backend.Ambiguous, Status: http.StatusCreated, Err: errors.New("the response describes the earlier state version")}
		sv = nil
	}
	return sv, err
}
