package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/urfave/cli/v2"

	"tfhaul/audit"
	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
	"tfhaul/report"
	"tfhaul/report/page"
)

// A takeInventory audits sources.
type takeInventory struct {
	*process
	sources []string
	options audit.Options
	all     bool
	csv     bool
	html    string // a file
	junit   string // a file
	reports reportFiles
	force   bool // replaces files that are not ours
	// baseline are the known findings, and writeBaseline the file to write them to; nil and ""
	// for none.
	baseline      *audit.Baseline
	writeBaseline string
	target        *hauling       // how a plan would be made; nil for no target
	failOn        audit.Severity // "" for never
}

func (p *process) auditCommand() *cli.Command {
	return &cli.Command{
		Name:      "audit",
		Usage:     "report what state exists, and what is wrong with it",
		UsageText: "tfhaul audit [flags] SOURCE…",
		Description: `Reads every state below the sources and reports what each contains and what is wrong with it: diverged copies, results
that were never stored, objects that two states manage, secrets in outputs that are not sensitive, and more
(docs/audit.md). It needs no Terraform, no provider and no write permission, and shows no values.

Examples:
  tfhaul audit .
  tfhaul audit s3://acme-tfstate/ --exclude '**/sandbox/**' --html audit.html
  tfhaul audit . --fail-on error --json > audit.json
  tfhaul audit ./repos --target acme --csv > inventory.csv
  tfhaul audit . --write-baseline known.hcl
  tfhaul audit . --baseline known.hcl --fail-on warning

Exit codes: 0 audited, with or without findings; 1 something could not be read; 3 with --fail-on, there is a finding of at
least that severity that is in no baseline; 4 usage error, or a source does not exist or is empty; 130 interrupted.`,
		Flags: slices.Concat(auditSearchFlags(), []cli.Flag{
			newChoiceFlag("fail-on", "", "exit 3 if there is a finding of at least this `SEVERITY`: error, warning or info", "error", "warning", "info"),
			textFlag("oldest-terraform", audit.DefaultOldestTerraform, "report states written by a Terraform before `VERSION`, the oldest that the target runs"),
			countFlag("resource-cap", 0, "report if the states hold more than `N` resources that HCP Terraform bills"),
			&cli.Float64Flag{Name: "price-per-resource-hour", Usage: "also show what the billable resources cost in a month, at `PRICE` for a resource and an hour", DefaultText: "not shown"},
			switchFlag("csv", "print CSV on stdout, one row per state"),
			fileFlag("html", "also write a self-contained page to `FILE`"),
			fileFlag("junit", "also write JUnit XML to `FILE`, one test per state"),
			fileFlag("baseline", "leave out the known findings that `FILE.hcl` lists; --fail-on counts only new ones"),
			fileFlag("write-baseline", "write all findings to `FILE.hcl`, for --baseline; reasons in --baseline are kept"),
			switchFlag("all", "show every state, even in long lists"),
			jsonFlag(),
			forceFlag("--html, --junit, --sarif, --markdown or --write-baseline"),
		}, reportFlags(), connectFlags()),
		Action: action(p.parseAudit),
	}
}

func (p *process) parseAudit(c *cli.Context) (*takeInventory, error) {
	if !c.Args().Present() {
		return nil, usagef("SOURCE is missing: tfhaul audit SOURCE… (more: tfhaul audit --help)")
	}
	a := &takeInventory{process: p, sources: c.Args().Slice(), all: c.Bool("all"), csv: c.Bool("csv"),
		force: c.Bool("force"), failOn: audit.Severity(c.String("fail-on"))}
	var err error
	if a.html, err = reportPath(c, "html"); err != nil {
		return nil, err
	}
	if a.junit, err = reportPath(c, "junit"); err != nil {
		return nil, err
	}
	if a.reports, err = readReportFiles(c); err != nil {
		return nil, err
	}
	if err = a.readBaseline(c); err != nil {
		return nil, err
	}
	a.options.OldestTerraform = c.String("oldest-terraform")
	if _, err := version.NewVersion(a.options.OldestTerraform); err != nil {
		return nil, usagef("--oldest-terraform cannot be %q: it is a version such as 1.5.0", a.options.OldestTerraform)
	}
	a.options.ResourceCap, a.options.ResourcePrice = c.Int("resource-cap"), c.Float64("price-per-resource-hour")
	if a.options.ResourcePrice > maxPrice {
		return nil, usagef("--price-per-resource-hour cannot be %g: it is a price such as 0.0001", a.options.ResourcePrice)
	}
	if a.json && a.csv {
		return nil, usagef("--json and --csv both want stdout: name one of them")
	}
	p.offline = c.String("target") == "" && !slices.ContainsFunc(a.sources, func(ref string) bool { return backend.Scheme(ref) != "" })
	connector, err := p.connector(c)
	if err != nil {
		return nil, err
	}
	a.options.Kinds, a.options.Filter = connector.kinds, connector.filter
	if c.String("target") != "" {
		if a.target, err = a.aim(c, connector); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// maxPrice is the highest price of a resource for an hour, in any currency.
const maxPrice = 1e6

// auditSearchFlags are those of a plan, of which a target is not asked for here.
func auditSearchFlags() []cli.Flag {
	flags := searchFlags()
	for i, f := range flags {
		if f.Names()[0] == "target" {
			flags[i] = textFlag("target", "", "also show the name in `TARGET` that tfhaul plan would choose for each state: "+containerForms())
		}
	}
	return append(flags, switchFlag("create", "with --target: assume that missing workspaces will be created"))
}

// aim prepares the plan of a haul of what is audited.
func (a *takeInventory) aim(c *cli.Context, n connector) (*hauling, error) {
	if slices.Contains(a.sources, "-") {
		return nil, usagef("standard input can be read only once: with --target, save it to a file and name that")
	}
	h := &hauling{connector: n, audited: true, sources: a.sources, mapFile: c.String("map")}
	h.options.Create, h.parallelism = c.Bool("create"), migrate.DefaultParallelism
	var err error
	if h.namer, err = pairing.ParseNamer(c.String("workspace-name")); err != nil {
		return nil, &usageError{err.Error()}
	}
	h.keyName = c.String("key-name")
	return h, h.aim(c.String("target"))
}

// Run audits and reports.
func (a *takeInventory) Run(ctx context.Context) error {
	tell, clear := a.readingProgress()
	a.options.Progress = tell
	inventory, err := audit.Take(ctx, a.sources, a.options)
	clear()
	if err != nil {
		return asUsage(pairing.Problem(ctx, err, nil))
	}
	if a.target != nil {
		if err := a.tellTargets(ctx, inventory); err != nil {
			return err
		}
	}
	if a.baseline != nil {
		inventory.Apply(a.baseline)
	}
	if err := a.show(inventory); err != nil {
		return err
	}
	return ended(a.exit(inventory))
}

// show prints the inventory in the requested views. It does so even if the page cannot be
// written.
func (a *takeInventory) show(i *audit.Inventory) error {
	var unwritten error
	if a.html != "" {
		unwritten = writeFile(a.html, a.force, func(w io.Writer) error { return page.Audit(w, i) })
	}
	if a.junit != "" {
		unwritten = errors.Join(unwritten, writeFile(a.junit, a.force, func(w io.Writer) error {
			return report.InventoryJUnit(w, i, cmp.Or(a.failOn, audit.SeverityError))
		}))
	}
	if a.writeBaseline != "" {
		// A baseline that it was made from may be replaced: its reasons are kept.
		mayReplace := a.force || a.baseline != nil && a.baseline.File == a.writeBaseline
		unwritten = errors.Join(unwritten, writeFile(a.writeBaseline, mayReplace, audit.NewBaseline(i).Write))
	}
	if err := errors.Join(a.print(i), unwritten); err != nil {
		return err
	}
	a.tellWrote(a.html)
	a.tellWrote(a.junit)
	if err := a.writeReports(a.reports,
		func(w io.Writer) error { return report.InventorySARIF(w, i, buildVersion().Version) },
		func(w io.Writer) error { return report.InventoryMarkdown(w, i) }); err != nil {
		return err
	}
	if a.writeBaseline != "" {
		a.note("Wrote %s: %s. Write the reason into each, then run: %s", a.writeBaseline, plainwords.Counted(len(i.Findings), "finding"), a.withBaseline())
	}
	a.tellPlan(i)
	return nil
}

// tellPlan prints the command that plans moves of the audited states.
func (a *takeInventory) tellPlan(i *audit.Inventory) {
	if a.csv || len(i.Snapshots) == 0 || slices.Contains(a.sources, "-") {
		return
	}
	words := []string{"tfhaul", "plan"}
	for _, source := range a.sources {
		words = append(words, plainwords.ShellWord(source))
	}
	target := "[HOST/]ORG --create"
	switch {
	case a.target == nil:
		if !slices.ContainsFunc(a.sources, func(source string) bool { return !a.options.Kinds.Workspaces(source) }) {
			target = "s3://BUCKET/"
		}
	case a.target.to.workspaces():
		target = plainwords.ShellWord(a.target.to.String()) + " --create"
	default:
		target = plainwords.ShellWord(a.target.to.String())
	}
	first := ""
	if i.Summary().Findings[audit.SeverityError] > 0 {
		first = "resolve the errors, or leave those states out with --exclude. Then: "
	}
	a.tellNext("%s%s --target %s --out haul.hcl", first, report.Plain(strings.Join(words, " ")), report.Plain(target))
}

// print writes to stdout.
func (a *takeInventory) print(i *audit.Inventory) error {
	switch {
	case a.json:
		return report.InventoryJSON(a.stdout, i)
	case a.csv:
		return report.InventoryCSV(a.stdout, i)
	}
	return report.Inventory(a.stdout, a.stdout.style(), i, a.all)
}

// readingProgress tells a person at a terminal how far the reading is, and clears that
// away.
func (p *process) readingProgress() (tell func(done, total int), clear func()) {
	if !p.stderr.interactive || p.quiet {
		return nil, func() {}
	}
	const pause = 100 * time.Millisecond
	var told time.Time
	tell = func(done, total int) {
		if time.Since(told) >= pause {
			told = time.Now()
			fmt.Fprintf(p.stderr, clearLine+"reading %d of %d", done, total)
		}
	}
	return tell, func() {
		if !told.IsZero() {
			fmt.Fprint(p.stderr, clearLine)
		}
	}
}

// tellTargets plans a haul of the same sources and adds its decisions to the inventory.
func (a *takeInventory) tellTargets(ctx context.Context, i *audit.Inventory) error {
	plan, _, err := a.target.decide(ctx)
	if err != nil {
		return err
	}
	targets := map[string]*audit.Target{}
	for _, r := range plan.Results() {
		targets[r.Source] = &audit.Target{
			Workspace: r.Target, Relation: string(r.Relation), Outcome: string(r.Outcome), Code: string(r.Code), Message: r.Message,
		}
	}
	for k := range i.Snapshots {
		i.Snapshots[k].Target = targets[i.Snapshots[k].Source]
	}
	var findings []audit.Finding
	for _, f := range plan.Findings {
		if f.Code == migrate.FindingSharedLineage {
			continue // the audit itself tells more of it
		}
		findings = append(findings, audit.Finding{Code: audit.Code(f.Code), Severity: audit.Severity(f.Severity), Message: f.Message, Sources: append([]string{}, f.Sources...)})
	}
	i.Add(findings)
	return nil
}

// exit is the exit code that an inventory stands for.
func (a *takeInventory) exit(i *audit.Inventory) int {
	summary := i.Summary()
	if summary.Unreadable > 0 {
		a.complain(fmt.Sprintf("the audit is incomplete: %d files or directories could not be read (see the findings)", summary.Unreadable))
		return exitFailed
	}
	counted := summary.Findings
	if i.Baseline != nil {
		counted = summary.New
	}
	for severity, n := range counted {
		if a.failOn != "" && n > 0 && severity.AtLeast(a.failOn) {
			return exitRefused
		}
	}
	return exitDone
}
