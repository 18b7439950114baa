package command

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"tfhaul/backend/tfe"
	"tfhaul/report"
)

// A listHistory lists a workspace's state versions.
type listHistory struct {
	connector
	limit int
}

func (p *process) historyCommand() *cli.Command {
	return &cli.Command{
		Name:      "history",
		Usage:     "list the state versions of a workspace",
		UsageText: "tfhaul history [flags] [HOST/]ORG/WORKSPACE",
		Description: `Lists the state versions of a workspace, newest first, and marks the current one. It writes nothing and downloads no
state.

Examples:
  tfhaul history acme/network
  tfhaul history --limit 0 --json tfe.example.com/acme/network

Exit codes: 0 listed; 1 the versions could not be read; 4 usage or configuration error; 130 interrupted.`,
		Flags: append([]cli.Flag{
			countFlag("limit", 20, "show the newest `N`; 0 for all"),
		}, append(connectFlags(), jsonFlag())...),
		Action: action(p.parseHistory),
	}
}

func (p *process) parseHistory(c *cli.Context) (*listHistory, error) {
	args, err := exactly(c, "[HOST/]ORG/WORKSPACE")
	if err != nil {
		return nil, err
	}
	h := &listHistory{limit: c.Int("limit")}
	h.connector, err = p.connectorTo(c, args[0])
	return h, err
}

// Run lists and shows.
func (h *listHistory) Run(ctx context.Context) error {
	client, err := h.connect(ctx, h.address)
	if err != nil {
		return err
	}
	defer client.Close()
	history, err := h.read(ctx, client)
	if err != nil {
		return err
	}
	if h.json {
		return report.JSON(h.stdout, history)
	}
	return report.ShowHistory(h.stdout, h.stdout.style(), history, time.Local)
}

func (h *listHistory) read(ctx context.Context, client *tfe.Client) (report.History, error) {
	history := report.History{Target: client.Host() + "/" + h.address.Organization + "/" + h.address.Workspace, StateVersions: []report.StateVersion{}}
	workspace, err := client.Workspace(ctx, h.address.Organization, h.address.Workspace)
	if err != nil {
		return history, err
	}
	current := workspace.Current.ID
	if !workspace.Current.Known {
		version, err := client.Current(ctx, workspace)
		if err != nil {
			return history, err
		}
		if version != nil {
			current = version.ID
		}
	}
	for version, err := range client.History(ctx, h.address.Organization, h.address.Workspace) {
		if err != nil {
			return history, err
		}
		if h.limit > 0 && len(history.StateVersions) == h.limit {
			history.More = true
			break
		}
		history.StateVersions = append(history.StateVersions, report.StateVersion{
			ID: version.ID, Serial: version.Serial, Current: version.ID == current, CreatedAt: version.Created,
			Size: version.Size, TerraformVersion: version.TerraformVersion, Run: version.Run, Status: version.Status,
		})
	}
	return history, nil
}
