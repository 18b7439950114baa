package command

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"tfhaul/backend/tfe"
	"tfhaul/prove"
	"tfhaul/report"
)

// A configure lists, shows or pushes configuration versions of a workspace.
type configure struct {
	connector
	limit       int
	speculative bool
	noQueue     bool
}

func (p *process) configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "list, show and push the configuration versions of a workspace",
		UsageText: "tfhaul config list [flags] [HOST/]ORG/WORKSPACE\n  tfhaul config show [flags] CV-ID [HOST/]ORG/WORKSPACE\n" +
			"  tfhaul config push [flags] DIR [HOST/]ORG/WORKSPACE",
		Description: `A configuration version is one upload of a workspace's configuration files.

  list  lists the configuration versions, newest first, with their status and origin
  show  shows one configuration version
  push  uploads DIR as a new configuration version and waits until runs can use it; like Terraform, it follows
        .terraformignore, and it leaves out state files; it refuses a directory without .tf files where the workspace's
        runs look for them, because a run would plan to destroy everything

Examples:
  tfhaul config list acme/network
  tfhaul config show cv-ntv3HbhJqvFzamy7 acme/network --json
  tfhaul config push ./network acme/network                    queues a run
  tfhaul config push --no-queue ./network acme/network         queues no run
  tfhaul config push --api atlas-v1 --var region=eu --metadata commit=$SHA ./network acme/network

Exit codes: 0 success; 1 failed, or the server cannot use the upload; 4 usage or configuration error; 130 interrupted.`,
		Flags: append(append([]cli.Flag{
			countFlag("limit", 20, "list the newest `N`; 0 for all"),
			switchFlag("speculative", "push a configuration version that can be planned but not applied"),
			switchFlag("no-queue", "push without queueing a run"),
		}, atlasFlags()...), append(connectFlags(), jsonFlag())...),
		Action: func(c *cli.Context) error {
			return p.runConfig(c)
		},
	}
}

// runConfig reads which of the three is wanted.
func (p *process) runConfig(c *cli.Context) error {
	o := &configure{limit: c.Int("limit"), speculative: c.Bool("speculative"), noQueue: c.Bool("no-queue")}
	wants := map[string][]string{
		"list": {"list", "[HOST/]ORG/WORKSPACE"},
		"show": {"show", "CV-ID", "[HOST/]ORG/WORKSPACE"},
		"push": {"push", "DIR", "[HOST/]ORG/WORKSPACE"},
	}
	what := c.Args().First()
	if wants[what] == nil {
		return usagef("tfhaul config requires list, show or push: %s", c.Command.UsageText)
	}
	args, err := exactly(c, wants[what]...)
	if err != nil {
		return err
	}
	if o.connector, err = p.connector(c); err != nil {
		return err
	}
	if err := p.onlyFor(what, c.String("api")); err != nil {
		return err
	}
	if what == "push" {
		if err := checkDirectory(args[1]); err != nil {
			return err
		}
		if c.String("api") == apiAtlas {
			return p.pushAtlas(c, o.connector, args[1], args[2])
		}
	}
	if o.address, err = p.workspaceAddress(args[len(args)-1]); err != nil {
		return err
	}
	return o.Run(c.Context, what, args[1])
}

// onlyFor refuses flags that have nothing to say of what is wanted.
func (p *process) onlyFor(what, api string) error {
	for flag, of := range map[string]string{"limit": "list", "speculative": "push", "no-queue": "push", "api": "push", "var": "push", "metadata": "push"} {
		if p.typed[flag] && what != of {
			return usagef("--%s belongs to tfhaul config %s", flag, of)
		}
	}
	for _, flag := range []string{"var", "metadata"} {
		if p.typed[flag] && api != apiAtlas {
			return usagef("--%s requires --api %s: in the current API, variables belong to the workspace", flag, apiAtlas)
		}
	}
	return nil
}

// Run does it and reports. The subject is an id or a directory.
func (o *configure) Run(ctx context.Context, what, subject string) error {
	client, err := o.connect(ctx, o.address)
	if err != nil {
		return err
	}
	defer client.Close()
	ws, err := client.Workspace(ctx, o.address.Organization, o.address.Workspace)
	if err != nil {
		return err
	}
	switch what {
	case "list":
		return o.list(ctx, client, ws)
	case "show":
		v, err := client.ConfigurationVersion(ctx, subject)
		if err != nil {
			return err
		}
		return o.show(shownConfiguration(v))
	}
	return o.push(ctx, client, ws, subject)
}

func (o *configure) list(ctx context.Context, client *tfe.Client, ws *tfe.Workspace) error {
	h := report.ConfigurationHistory{Target: client.Host() + "/" + ws.Organization + "/" + ws.Name, ConfigurationVersions: []report.ConfigurationVersion{}}
	for v, err := range client.ConfigurationVersions(ctx, ws) {
		if err != nil {
			return err
		}
		if o.limit > 0 && len(h.ConfigurationVersions) == o.limit {
			h.More = true
			break
		}
		h.ConfigurationVersions = append(h.ConfigurationVersions, shownConfiguration(v))
	}
	if o.json {
		return report.JSON(o.stdout, h)
	}
	return report.Configurations(o.stdout, o.stdout.style(), h, time.Local)
}

func shownConfiguration(v *tfe.ConfigurationVersion) report.ConfigurationVersion {
	shown := report.ConfigurationVersion{ID: v.ID, Status: v.Status, Error: v.Error, ErrorMessage: v.ErrorMessage, Source: v.Source,
		Speculative: v.Speculative, AutoQueue: v.AutoQueueRuns, Provisional: v.Provisional, QueuedAt: v.QueuedAt}
	if in := v.Ingress; in != nil {
		shown.Repository, shown.Branch, shown.Tag, shown.Commit = in.Repository, in.Branch, in.Tag, in.Commit
		shown.CommitTitle, shown.PullRequest = in.CommitMessage, in.PullRequest
	}
	return shown
}

func (o *configure) show(v report.ConfigurationVersion) error {
	if o.json {
		return report.JSON(o.stdout, v)
	}
	return report.Configuration(o.stdout, o.stdout.style(), v, time.Local)
}

// push uploads a directory, waits until runs can use it, and finds the run that the
// upload made.
func (o *configure) push(ctx context.Context, client *tfe.Client, ws *tfe.Workspace, dir string) error {
	packed, err := prove.Pack(ctx, dir)
	if err != nil {
		return err
	}
	if err := packed.CheckConfiguration(dir, ws.WorkingDirectory); err != nil {
		return &usageError{err.Error()}
	}
	v, err := client.CreateConfigurationVersion(ctx, ws, tfe.ConfigurationOptions{Speculative: o.speculative, AutoQueueRuns: !o.noQueue})
	if err != nil {
		return err
	}
	if err := client.UploadConfiguration(ctx, v, packed.Body); err != nil {
		return err
	}
	uploaded, failure := prove.AwaitUploaded(ctx, client, v.ID)
	if uploaded == nil {
		return failure
	}
	shown := shownConfiguration(uploaded)
	shown.Files, shown.LeftOut = packed.Files, packed.LeftOut
	if !o.noQueue && failure == nil {
		if shown.Run, err = runOf(ctx, client, ws, v.ID); err != nil {
			return fmt.Errorf("%s was uploaded, but the run that this makes was not found: %w", v.ID, err)
		}
	}
	if err := o.show(shown); err != nil {
		return err
	}
	if failure != nil {
		o.complain(failure.Error())
		return ended(exitFailed)
	}
	return nil
}

// runOf returns the run of a configuration version if it is among the newest, or "".
func runOf(ctx context.Context, client *tfe.Client, ws *tfe.Workspace, configuration string) (string, error) {
	const newest = 20
	n := 0
	for r, err := range client.Runs(ctx, ws) {
		if err != nil {
			return "", err
		}
		if r.ConfigurationVersion == configuration {
			return r.ID, nil
		}
		if n++; n == newest {
			break
		}
	}
	return "", nil
}
