package command

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/backend/tfe"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// A planner decides what a haul would do.
type planner struct {
	hauling
	out   string // the manifest or map to write; "" for none
	force bool
}

func (p *process) planCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "show which state would go where, and what would happen",
		UsageText: "tfhaul plan [flags] SOURCE… --target TARGET",
		Description: `Finds the states, chooses a workspace or key for each, compares each state with what the target holds, and shows what a haul
would do. It also reports what to check first: copies of one state, colliding names, workspaces with an older Terraform, runs in
progress. It changes neither the sources nor the target.

TARGET is ` + containerForms() + `. ` + seeBackends + `

--out writes the plan as a manifest to review and edit. tfhaul migrate runs it, and refuses a move whose source has changed
since. If FILE ends in .csv, --out writes a list of names instead, to edit and pass to --map. See docs/migrating.md.

Examples:
  tfhaul plan s3://acme-tfstate/ --target acme --out haul.hcl
  tfhaul plan . --target tfe.example.com/acme --create --workspace-name '{{ .Dir | replace "/" "_" }}'
  tfhaul plan s3://acme-tfstate/ ./repos --target acme --map names.csv --json

Exit codes: 0 planned; 1 something could not be read; 2 with --detailed-exitcode, there is work to do; 3 something would
be refused or fail; 4 usage or configuration error; 130 interrupted.`,
		Flags: append(slices.Concat(dryFlags(), connectFlags(), reportFlags()),
			fileFlag("out", "write the plan to `FILE.hcl`, for tfhaul migrate, or the names to FILE.csv, for --map"),
			switchFlag("force", "with --out, --sarif or --markdown: replace an existing file"),
			jsonFlag(),
		),
		Action: action(p.parsePlan),
	}
}

func (p *process) parsePlan(c *cli.Context) (*planner, error) {
	h, err := p.haulOfSources(c)
	if err != nil {
		return nil, err
	}
	if h.reports, err = readReportFiles(c); err != nil {
		return nil, err
	}
	l := &planner{hauling: h, out: c.String("out"), force: c.Bool("force")}
	switch l.out {
	case "":
		return l, nil
	case "-":
		return nil, usagef("--out writes a file for tfhaul migrate, and stdout has the report: name a file, such as haul.hcl")
	}
	if _, err := os.Lstat(l.out); !l.force && !errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("%s already exists and may have been edited: choose another file, or add --force", l.out)
	}
	return l, mustBeReplaceable(l.out, l.force)
}

// Run plans and reports.
func (l *planner) Run(ctx context.Context) error {
	plan, paired, err := l.decide(ctx)
	if err != nil {
		return err
	}
	view := l.view(plan, plan.Results(), paired)
	written := 0
	switch {
	case l.out == "":
	case l.writesMap():
		written, err = l.writeMap(plan)
	default:
		written, err = l.writeManifest(plan)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(show(l.process, view, report.HaulJSON, report.Plan), l.writeHaulReports(view, "plan")); err != nil {
		return err
	}
	if l.writesMap() {
		l.tellMap(written)
	} else {
		l.tellManifest(written, plan.Count(migrate.WouldMove)-written)
		l.tellRun(plan.Count(migrate.WouldMove), view.Results)
	}
	l.tellDiff(view.Results)
	return ended(l.code(ctx, foreseen(view.Results), paired))
}

// tellRun prints the command that runs the plan.
func (l *planner) tellRun(n int, results []migrate.Result) {
	switch {
	case n == 0 && !l.options.Create && l.manifest == "" && slices.ContainsFunc(results, func(r migrate.Result) bool { return r.Code == migrate.CodeNoWorkspace }):
		l.tellNext("if the missing workspaces are to be created: %s --create", report.Plain(l.commandLine()))
	case n == 0 || l.out != "": // see tellManifest
	case l.options.DryRun:
		l.tellNext("run the same command without --dry-run")
	default:
		l.tellNext("write this plan to a file, to review and run it: %s --out haul.hcl", report.Plain(l.commandLine()))
	}
}

// foreseen returns a plan's results for its exit code: a move that would fail for lack of a
// permission needs a decision, as a refused one does. The plan itself did not fail.
func foreseen(results []migrate.Result) []migrate.Result {
	results = slices.Clone(results)
	for i := range results {
		if r := &results[i]; r.Outcome == migrate.Failed && r.Code == migrate.CodeForbiddenOrMissing {
			r.Outcome = migrate.Refused
		}
	}
	return results
}

// writeManifest writes what would be moved, and returns how many moves that is.
func (l *planner) writeManifest(plan *migrate.Plan) (int, error) {
	target, err := l.manifestTarget()
	if err != nil {
		return 0, err
	}
	manifest := pairing.NewManifest(plan, target, l.options.Settings)
	n := manifest.Live()
	if n == 0 {
		return 0, nil // see tellManifest
	}
	if slices.ContainsFunc(manifest.Moves, func(m *pairing.ManifestMove) bool { return pairing.IsRelative(m.Source) }) {
		manifest.Dir, _ = os.Getwd() // the manifest is usable without it
	}
	return n, writeFile(l.out, l.force, func(w io.Writer) error {
		_, err := manifest.WriteTo(w)
		return err
	})
}

// writesMap reports whether --out names a map.
func (l *planner) writesMap() bool { return strings.EqualFold(filepath.Ext(l.out), mapExt) }

// mapExt is how the name of a map ends.
const mapExt = ".csv"

// writeMap writes the names of all states, and returns how many have one.
func (l *planner) writeMap(plan *migrate.Plan) (n int, err error) {
	err = writeFile(l.out, l.force, func(w io.Writer) error {
		n, err = pairing.WriteMap(w, plan, !l.to.workspaces())
		return err
	})
	return n, err
}

// tellMap says what was written and how the names are used.
func (l *planner) tellMap(n int) {
	l.note("Wrote %s: the %s names of %s. Edit it, then run: %s", l.out, l.named(), plainwords.Counted(n, "state"), l.withMap())
}

// named is what the names of states at the target are called.
func (l *planner) named() string {
	if l.to.workspaces() {
		return "workspace"
	}
	return "key"
}

// withMap is this command with the written map.
func (l *planner) withMap() string {
	words := []string{"tfhaul"}
	for i := 1; i < len(l.args); i++ {
		switch name, _, valued := strings.Cut(strings.TrimLeft(l.args[i], "-"), "="); {
		case !strings.HasPrefix(l.args[i], "-"):
			words = append(words, plainwords.ShellWord(l.args[i]))
		case slices.Contains([]string{"out", "map", "workspace-name", "key-name"}, name): // which the map replaces
			if !valued {
				i++
			}
		case name != "force":
			words = append(words, plainwords.ShellWord(l.args[i]))
		}
	}
	return strings.Join(append(words, "--map", plainwords.ShellWord(l.out)), " ")
}

// manifestTarget returns the target as a manifest writes it.
func (l *planner) manifestTarget() (pairing.ManifestTarget, error) {
	if !l.to.workspaces() {
		// With its parameters: they also say how to write, and which table has the locks.
		return pairing.ManifestTarget{Address: l.to.kind.Target.AddressOf(l.to.container, "")}, nil
	}
	address, err := l.organization(l.to)
	return pairing.ManifestTarget{Hostname: hostOf(address), Organization: address.Organization}, err
}

// hostOf is an address's host as a manifest writes it: with the scheme where the
// user wrote one, because no host is asked then where its API is.
func hostOf(a tfe.Address) string {
	if a.Scheme != "" {
		return a.Scheme + "://" + a.Host
	}
	return a.Host
}

// tellManifest says what was written and what comes next.
func (l *planner) tellManifest(n, copies int) {
	switch {
	case l.out == "":
	case n == 0 && copies > 0:
		l.tell("%s was not written: there is nothing to move but copies of states that are in their workspaces", l.out)
	case n == 0:
		l.tell("%s was not written: there is nothing to move", l.out)
	default:
		l.note("%s contains what would be moved (%d). Review it, then run: tfhaul migrate %s", l.out, n, plainwords.ShellWord(l.out))
		if copies > 0 {
			l.note("It also contains %s as comments, because they would move copies of the same states", plainwords.Counted(copies, "move"))
		}
	}
}
