package tfe

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	gotfe "github.com/hashicorp/go-tfe"
)

// A Plan is the status and the counters of a run's plan.
type Plan struct {
	// ID is the server's, such as "plan-…".
	ID         string
	HasChanges bool
	// How many resources the plan would import, create, update and destroy.
	Additions, Changes, Destructions, Imports int
	// StartedAt is zero if the server does not report it.
	StartedAt time.Time

	log string // a signed URL: never printed
}

// Plan reads a plan by its ID.
func (c *Client) Plan(ctx context.Context, id string) (*Plan, error) {
	p, err := viaGoTFE(ctx, c, "read plan "+id, func(ctx context.Context, api *gotfe.Client) (*gotfe.Plan, error) {
		return api.Plans.Read(ctx, id)
	})
	if err != nil {
		return nil, err
	}
	plan := &Plan{
		ID: clean(p.ID), HasChanges: p.HasChanges,
		Additions: p.ResourceAdditions, Changes: p.ResourceChanges, Destructions: p.ResourceDestructions, Imports: p.ResourceImports,
		log: p.LogReadURL,
	}
	if at := p.StatusTimestamps; at != nil {
		plan.StartedAt = at.StartedAt
	}
	return plan, nil
}

// OpenPlanJSON starts downloading a plan as JSON. The JSON contains values, which must not
// be shown. It returns nil without an error while the server has no JSON. A
// ForbiddenOrMissing error usually means that the token lacks permission: it takes an
// administrator of the workspace. The API redirects to a URL that is valid for one minute.
func (c *Client) OpenPlanJSON(ctx context.Context, planID string) (io.ReadCloser, error) {
	at := c.api.JoinPath("plans", url.PathEscape(planID), "json-output")
	body, err := c.download(ctx, "download the JSON of "+planID, at.String(), 0)
	if e, ok := err.(*Error); ok && e.Status == http.StatusNoContent {
		return nil, nil
	}
	return body, err
}

// maxLogPart limits how much of a log is read at once.
const maxLogPart = 64 << 10

// PlanLog reads up to 64 KiB of a plan's log from an offset. The text is Terraform's,
// including control characters; some servers put it between the markers STX and ETX.
func (c *Client) PlanLog(ctx context.Context, p *Plan, offset int64) ([]byte, error) {
	op := "read the log of " + p.ID
	address, err := c.blobURL(p.log)
	if err != nil {
		return nil, &Error{Op: op, Code: Rejected, Err: err}
	}
	q := address.Query()
	q.Set("offset", fmt.Sprint(offset))
	q.Set("limit", fmt.Sprint(maxLogPart))
	address.RawQuery = q.Encode()
	resp, x, err := c.blob(ctx, op, address.String(), nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	part, err := io.ReadAll(io.LimitReader(resp.Body, maxLogPart))
	if err != nil {
		return nil, x.failure(op, err)
	}
	return part, nil
}
