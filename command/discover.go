package command

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/plainwords"
	"tfhaul/report"
	"tfhaul/rootmodule"
)

// A discovery reads configurations.
type discovery struct {
	connector
	dirs    []string
	options rootmodule.Options
	check   bool
	all     bool
}

func (p *process) discoverCommand() *cli.Command {
	return &cli.Command{
		Name:      "discover",
		Usage:     "report which states the configurations in a directory use",
		UsageText: "tfhaul discover [flags] DIR…",
		Description: `Reads every root module below DIR: backend and cloud blocks, backend-config files, what the last terraform init recorded, and
Terragrunt's remote_state. It shows where each keeps its state, or what is missing to tell. It runs neither Terraform nor
Terragrunt, and sends no requests unless you add --check.

Files named *.tfbackend or backend*.hcl next to a partial backend block complete it, each as a configuration of its own. For
other names, use --backend-config. With config:DIR as a source, tfhaul plan moves exactly the states that are shown here
(docs/cutover.md).

Examples:
  tfhaul discover .
  tfhaul discover ./repos --check
  tfhaul discover . --backend-config prod.s3.conf --json
  tfhaul plan config:./repos --target acme --create --out haul.hcl

Exit codes: 0 discovered; 1 something could not be read; 4 usage error, or a directory does not exist; 130 interrupted.`,
		Flags: append([]cli.Flag{
			switchFlag("check", "ask the backends which states and workspaces exist, and which states no configuration uses"),
			fileListFlag("backend-config", "complete partial backend blocks with the arguments in `FILE`, relative to each configuration or to this directory"),
			switchFlag("all", "show every configuration, even in long lists"),
			jsonFlag(),
		}, connectFlags()...),
		Action: action(p.parseDiscovery),
	}
}

func (p *process) parseDiscovery(c *cli.Context) (*discovery, error) {
	if !c.Args().Present() {
		return nil, usagef("DIR is missing: %s (more: tfhaul discover --help)", c.Command.UsageText)
	}
	d := &discovery{dirs: c.Args().Slice(), check: c.Bool("check"), all: c.Bool("all")}
	p.offline = !d.check
	var err error
	if d.connector, err = p.connector(c); err != nil {
		return nil, err
	}
	d.options = rootmodule.Options{BackendConfig: c.StringSlice("backend-config"), Environ: p.environ, Complete: rootmodule.Completeness(d.kinds)}
	return d, nil
}

// Run reads and reports.
func (d *discovery) Run(ctx context.Context) error {
	tree, err := rootmodule.Find(ctx, d.dirs, d.options)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return &usageError{err.Error()}
	}
	census := &rootmodule.Census{}
	if d.check {
		if census, err = rootmodule.Take(ctx, d.kinds, tree); err != nil {
			return err
		}
	} else {
		census.States = rootmodule.Locate(d.kinds, tree)
	}
	found := rootmodule.Describe(d.kinds, tree, census, d.check)
	if d.json {
		err = report.DiscoveryJSON(d.stdout, found)
	} else {
		err = report.Discovery(d.stdout, d.stdout.style(), found, d.all)
	}
	if err != nil {
		return err
	}
	d.tellPlan(found)
	if len(found.Unread) > 0 {
		return ended(exitFailed)
	}
	return nil
}

// tellPlan prints the command that plans moves of the states.
func (d *discovery) tellPlan(found *rootmodule.Discovery) {
	if found.Summary().States == 0 || len(d.options.BackendConfig) > 0 {
		return
	}
	words := []string{"tfhaul", "plan"}
	for _, dir := range d.dirs {
		words = append(words, plainwords.ShellWord("config:"+dir))
	}
	d.tellNext("%s --target [HOST/]ORG --create --out haul.hcl", report.Plain(strings.Join(words, " ")))
}
