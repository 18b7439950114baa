package tfe

import (
	"context"
	"io"
)

// OffersJSONState reports whether the server also has the state version in Terraform's
// documented JSON. HCP Terraform creates it when a run of Terraform 1.3 or later writes the
// state, so uploaded states have none.
func (v *StateVersion) OffersJSONState() bool { return v.jsonDownload != "" }

// OpenJSONState downloads the state version in Terraform's documented JSON
// (https://developer.hashicorp.com/terraform/internals/json-format), as Open does for the
// state itself.
func (c *Client) OpenJSONState(ctx context.Context, sv *StateVersion) (io.ReadCloser, error) {
	json := *sv
	json.download, json.Size = sv.jsonDownload, 0 // the size is that of the state
	return c.Open(ctx, &json)
}
