package command

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"tfhaul/audit"
	"tfhaul/report"
	"tfhaul/source"
)

// A takeInventory audits sources.
type takeInventory struct {
	*process
	sources []string
	options audit.Options
	all     bool
	json    bool
	csv     bool
	html    string         // a file
	failOn  audit.Severity // "" for never
}

func (p *process) auditCommand() *cli.Command {
	return &cli.Command{
		Name:      "audit",
		Usage:     "what state is there, and what is wrong with it?",
		UsageText: "tfhaul audit [flags] SOURCE…",
		Description: `Reads every state below the sources and tells what each holds and what is wrong with it: copies that diverged, results
that were never stored, objects that two states manage, secrets in plain outputs, and more (docs/audit.md). It needs no
Terraform, no provider and no permission to write, and shows no value of any state.

Examples:
  tfhaul audit .
  tfhaul audit s3://acme-tfstate/ --exclude '**/sandbox/**' --html audit.html
  tfhaul audit . --fail-on error --json > audit.json

Exit codes: 0 audited, whatever was found; 3 with --fail-on, something at least as heavy was found; 1 something could not be
read; 4 there is no such source.`,
		Flags: []cli.Flag{
			listFlag("include", "take what matches `GLOB` (default **/*.tfstate)"),
			listFlag("exclude", "leave out what matches `GLOB`"),
			textFlag("fail-on", "", "exit 3 when there is a finding of `SEVERITY` or heavier: error, warning or info"),
			switchFlag("csv", "print CSV on stdout, a row for each snapshot"),
			fileFlag("html", "write a self-contained page to `FILE` besides"),
			switchFlag("all", "show every snapshot, however many there are"),
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("SOURCE is missing: tfhaul audit SOURCE… (more: tfhaul audit --help)")
			}
			a := &takeInventory{process: p, sources: c.Args().Slice(), all: c.Bool("all"), json: c.Bool("json"), csv: c.Bool("csv"), html: c.String("html")}
			if a.json && a.csv {
				return usagef("--json and --csv both want stdout: name one of them")
			}
			a.options.Find = source.FindOptions{Include: c.StringSlice("include"), Exclude: c.StringSlice("exclude"), Stdin: p.stdin}
			if c.IsSet("fail-on") {
				severity, err := oneOf(c, "fail-on", "error", "warning", "info")
				if err != nil {
					return err
				}
				a.failOn = audit.Severity(severity)
			}
			return a.Run(c.Context)
		},
	}
}

// Run audits and reports.
func (a *takeInventory) Run(ctx context.Context) error {
	inventory, err := audit.Take(ctx, a.sources, a.options)
	if err != nil {
		return a.sourceError(ctx, err)
	}
	if err := a.show(inventory); err != nil {
		return err
	}
	return ended(a.exit(inventory))
}

func (a *takeInventory) show(i *audit.Inventory) error {
	if a.html != "" {
		if err := writeReport(a.html, func(w io.Writer) error { return report.InventoryHTML(w, i) }); err != nil {
			return err
		}
	}
	switch {
	case a.json:
		return report.InventoryJSON(a.stdout, i)
	case a.csv:
		return report.InventoryCSV(a.stdout, i)
	}
	return report.Inventory(a.stdout, a.stdout.style(), i, a.all)
}

// sourceError is a *usageError unless a server is to blame.
func (a *takeInventory) sourceError(ctx context.Context, err error) error {
	var server *source.S3Error
	if ctx.Err() != nil || errors.As(err, &server) {
		return err
	}
	return &usageError{err.Error()}
}

// exit is the exit code that an inventory stands for.
func (a *takeInventory) exit(i *audit.Inventory) int {
	summary := i.Summary()
	if summary.Unreadable > 0 {
		a.complain(fmt.Sprintf("the audit is incomplete: %d of %d files could not be read", summary.Unreadable, summary.Snapshots))
		return exitFailed
	}
	for severity, n := range summary.Findings {
		if a.failOn != "" && n > 0 && severity.AtLeast(a.failOn) {
			return exitRefused
		}
	}
	return exitDone
}
