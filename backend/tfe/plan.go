package tfe

import (
	"context"
	"errors"
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
	ID string
	// Status is the API's, such as "running", "finished" or "errored".
	Status     string
	HasChanges bool
	// How many resources the plan would import, create, update and destroy.
	Additions, Changes, Destructions, Imports int
	// StartedAt and FinishedAt are zero if the server does not report them.
	StartedAt, FinishedAt time.Time

	log string // a signed URL: never printed
}

// Plan reads a plan by its ID.
func (c *Client) Plan(ctx context.Context, id string) (*Plan, error) {
	p, err := call(ctx, "read plan "+id, func(ctx context.Context) (*gotfe.Plan, error) { return c.tfe.Plans.Read(ctx, id) })
	if err != nil {
		return nil, err
	}
	plan := &Plan{
		ID: clean(p.ID), Status: clean(string(p.Status)), HasChanges: p.HasChanges,
		Additions: p.ResourceAdditions, Changes: p.ResourceChanges, Destructions: p.ResourceDestructions, Imports: p.ResourceImports,
		log: p.LogReadURL,
	}
	if at := p.StatusTimestamps; at != nil {
		plan.StartedAt, plan.FinishedAt = at.StartedAt, at.FinishedAt
	}
	return plan, nil
}

// OpenPlanJSON starts downloading a plan as JSON. The JSON contains values, which must not
// be shown. It returns nil without an error while the server has no JSON. A
// ForbiddenOrMissing error usually means that the token lacks permission: it takes an
// administrator of the workspace. The API redirects to a URL that is valid for one minute;
// the token is sent only to the API's own host.
func (c *Client) OpenPlanJSON(ctx context.Context, planID string) (io.ReadCloser, error) {
	op := "download the JSON of " + planID
	x := &exchange{blob: true} // the response may be the JSON itself
	at := c.api.JoinPath("plans", url.PathEscape(planID), "json-output")
	resp, err := c.getBlob(x.with(ctx), at)
	if err != nil {
		return nil, x.failure(op, err)
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		address, err := c.blobURL(resp.Header.Get("Location"))
		discard(resp)
		if err != nil {
			return nil, &Error{Op: op, Code: Rejected, Status: x.status, Err: err}
		}
		x = &exchange{blob: true, signed: !sameHost(address, c.api)}
		if resp, err = c.getBlob(x.with(ctx), address); err != nil {
			return nil, x.failure(op, err)
		}
	}
	switch {
	case resp.StatusCode >= 300:
		err = x.failure(op, errors.New(resp.Status))
	case resp.StatusCode == http.StatusNoContent:
		discard(resp)
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		err = &Error{Op: op, Code: Rejected, Status: resp.StatusCode}
	}
	if err != nil {
		discard(resp)
		return nil, err
	}
	return &download{ReadCloser: resp.Body, op: op, x: x}, nil
}

// getBlob downloads bytes, sending the token only to the API's own host. It follows no
// redirects.
func (c *Client) getBlob(ctx context.Context, address *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	req.Header.Set("Accept", "*/*")
	req.Header.Set("Accept-Encoding", "identity")
	if sameHost(address, c.api) {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	follow := &http.Client{Transport: c.wire, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return follow.Do(req)
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
	x := &exchange{blob: true, signed: !sameHost(address, c.api)}
	resp, err := c.getBlob(x.with(ctx), address)
	if err != nil {
		return nil, x.failure(op, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return nil, x.failure(op, errors.New(resp.Status))
	}
	part, err := io.ReadAll(io.LimitReader(resp.Body, maxLogPart))
	if err != nil {
		return nil, x.failure(op, err)
	}
	return part, nil
}
