package command

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/report"
)

// A listHistory lists a workspace's state versions.
type listHistory struct {
	connector
	to    destination
	limit int
}

func (p *process) historyCommand() *cli.Command {
	return &cli.Command{
		Name:      "history",
		Usage:     "list the versions of the state in a workspace, bucket or file",
		UsageText: "tfhaul history [flags] TARGET",
		Description: `Lists the versions of a state, newest first, and marks the current one. It writes nothing and downloads no state. Where
older versions are not kept, as in a bucket without versioning, it lists the current one. TARGET is
` + stateForms() + `. ` + seeBackends + `

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
	args, err := exactly(c, "TARGET")
	if err != nil {
		return nil, err
	}
	h := &listHistory{limit: c.Int("limit")}
	h.connector, h.to, err = p.connectorToState(c, args[0])
	return h, err
}

// Run lists and shows.
func (h *listHistory) Run(ctx context.Context) error {
	target, err := h.open(ctx, h.to)
	if err != nil {
		return err
	}
	defer target.Close()
	history, err := h.read(ctx, target)
	if err != nil {
		return err
	}
	if h.json {
		return report.JSON(h.stdout, history)
	}
	return report.ShowHistory(h.stdout, h.stdout.style(), history, time.Local)
}

func (h *listHistory) read(ctx context.Context, target backend.Target) (report.History, error) {
	history := report.History{Target: target.Address(h.to.name), StateVersions: []report.StateVersion{}}
	standing, err := target.Look(ctx, h.to.name)
	if err != nil {
		return history, err
	}
	current := standing.Current.ID
	if !standing.Current.Known {
		version, err := target.Current(ctx, standing)
		if err != nil {
			return history, err
		}
		if version != nil {
			current = version.ID
		}
	}
	for version, err := range target.Versions(ctx, standing) {
		if err != nil {
			return history, err
		}
		if h.limit > 0 && len(history.StateVersions) == h.limit {
			history.More = true
			break
		}
		history.StateVersions = append(history.StateVersions, stateVersion(version, current))
	}
	return history, nil
}

// stateVersion returns a version as it is shown. Those of workspaces say more.
func stateVersion(v *backend.Version, current string) report.StateVersion {
	shown := report.StateVersion{ID: v.ID, Current: v.ID == current, CreatedAt: v.Created, Size: v.Size}
	more, ok := v.Detail.(*tfe.StateVersion)
	if ok || v.Serial != 0 {
		shown.Serial = &v.Serial
	}
	if ok {
		shown.TerraformVersion, shown.Run, shown.Status = more.TerraformVersion, more.Run, more.Status
	}
	return shown
}
