package tfe

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"tfhaul/backend"
)

// OlderName implements backend.HistoryTarget. A workspace keeps its versions together.
func (t *Target) OlderName(name string, _ int64, _ string) (string, error) { return name, nil }

// callsPerVersion are lock, write, read back and unlock.
const callsPerVersion = 4

// versionsPerPage is how many state versions one request lists.
const versionsPerPage = 100

// HistoryCalls implements backend.HistoryTarget. HCP Terraform keeps one version of each lock
// cycle, so each older version takes a lock cycle of its own. At the end, all are listed.
func (t *Target) HistoryCalls(n int) int {
	return n*callsPerVersion + n/versionsPerPage + 1
}

// CheckHistory implements backend.HistoryTarget. A run that starts while an older version is
// current would plan with it, and one that is applied would build on it.
func (t *Target) CheckHistory(ctx context.Context, s *backend.Standing) error {
	if s.Automatic != backend.NoAutomation {
		return unfit(s, s.Automatic.String())
	}
	ws := t.workspaceOf(s)
	if s.LatestRun != nil || !s.RunsKnown {
		for run, err := range t.Runs(ctx, ws) {
			if err != nil {
				return err
			}
			if !newStandingRun(run.ID, run.Status, nil).Over {
				return unfit(s, fmt.Sprintf("has an unfinished run (%s)", run.ID))
			}
			break
		}
	}
	sources, err := backend.Retry(ctx, t.Down, func() (int, error) { return t.runTriggers(ctx, ws) })
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
		return nil // the server has no run triggers
	}
	if err == nil && sources > 0 {
		err = unfit(s, "has a run trigger")
	}
	return err
}

// unfit returns the error for a workspace that something may change by itself.
func unfit(s *backend.Standing, why string) error {
	return &backend.Error{Code: backend.NoHistory, Message: fmt.Sprintf(
		"Workspace %s %s, so a run could start from an older version while it is current. Use a workspace without that, or let --create make one.", s.Name, why)}
}

// runTriggers returns how many workspaces start runs of this one, on the first page.
func (c *Client) runTriggers(ctx context.Context, ws *Workspace) (int, error) {
	return send(ctx, c, "list the run triggers of "+ws.String(), http.MethodGet,
		ws.path("/run-triggers?filter%5Brun-trigger%5D%5Btype%5D=inbound"), nil, func(raw []byte) (int, error) {
			var doc document[[]resourceID]
			err := understand(raw, &doc)
			return len(doc.Data), err
		})
}
