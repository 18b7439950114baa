package tfe

import (
	"context"
	"io"
)

// OffersJSONState says whether the server has the state version in Terraform's
// documented JSON, too. HCP Terraform makes it when a run of Terraform 1.3 or later
// wrote the state, so that states that were uploaded otherwise have none.
func (v *StateVersion) OffersJSONState() bool { return v.jsonDownload != "" }

// OpenJSONState downloads the state version in Terraform's documented JSON
// (https://developer.hashicorp.com/terraform/internals/json-format), as Open does its bytes.
func (c *Client) OpenJSONState(ctx context.Context, sv *StateVersion) (io.ReadCloser, error) {
	json := *sv
	json.download, json.Size = sv.jsonDownload, 0 // the size is that of the state
	return c.Open(ctx, &json)
}
