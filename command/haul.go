package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// A hauling is what plan, migrate and rehearse have in common: which snapshots are
// to go where, and how.
type hauling struct {
	connector
	to       destination // of all moves; zero for a rehearsal without a target
	options  migrate.Options
	manifest string   // the file that says what goes where; or
	sources  []string // what is searched,
	namer    *pairing.Namer
	keyName  string // template of names at a target without workspaces
	mapFile  string // and which of it is taken; "" for all

	permissions []permission
	failFast    bool
	journal     string
	detailed    bool
	all         bool // show every row
	audited     bool // the caller has audited the sources
	reports     reportFiles
}

// searchFlags say which snapshots go into which workspaces.
func searchFlags() []cli.Flag {
	return []cli.Flag{
		textFlag("target", "", "`TARGET` to move into: "+containerForms()),
		listFlag("include", "include files that match `GLOB` (default **/*.tfstate)"),
		listFlag("exclude", "leave out files that match `GLOB`"),
		textFlag("workspace-name", "", "`TEMPLATE` for workspace names, with the fields .Dir .Base .Key .Bucket .Workspace and the functions lower, upper, title, replace, regexReplace, trimPrefix, trimSuffix, trunc, join"),
		textFlag("key-name", "", "`TEMPLATE` for keys in a bucket or directory, with the same fields and functions (default: the path below the source, or {{ .Workspace }}/terraform.tfstate for workspaces)"),
		fileFlag("map", "read names from `FILE.csv`, with lines of source,workspace or, with a header, source,key (more columns: docs/migrating.md); states that it does not name are left out"),
	}
}

// onlyWithSources are the flags that say what goes where, which a manifest says itself.
var onlyWithSources = []string{"target", "include", "exclude", "workspace-name", "key-name", "map"}

// In a manifest, a setting stands in one move block, or in the defaults block for all.
const (
	forAllMoves = "the defaults block, defaults { … }, or in the move block"
	forOneMove  = "the move block"
)

// inManifest are the flags that decide a move, and how and where a manifest says the same.
var inManifest = []struct{ flag, setting, block string }{
	{"create", "create = true", forAllMoves}, {"project", `project = "NAME"`, forAllMoves}, {"terraform-version", `terraform_version = "1.11.4"`, forAllMoves},
	{"execution-mode", `execution_mode = "remote"`, forAllMoves}, {"agent-pool", `agent_pool = "NAME"`, forAllMoves}, {"tag", `tags = ["NAME"]`, forAllMoves},
	{"update-settings", "update_settings = true", forAllMoves},
	{"include-empty", "include_empty = true", forAllMoves}, {"lock-timeout", `lock_timeout = "10m"`, forAllMoves},
	{"history", `history = "all"`, forAllMoves},
	{"lock-source", "lock_source = true", forAllMoves}, {"freeze-source", "freeze_source = true", forAllMoves},
	{"replace", "replace = true", forOneMove}, {"bump-serial", "bump_serial = true", forOneMove}, {"allow", `allow = ["unusable"]`, forOneMove},
}

// haulFlags say how a haul is carried out.
func haulFlags() []cli.Flag {
	flags := append(searchFlags(),
		countFlag("parallelism", migrate.DefaultParallelism, "run `N` moves at the same time"),
		switchFlag("all", "show every move, even in long lists"),
	)
	for _, f := range moveFlags() {
		switch f.Names()[0] {
		case "journal":
			f = fileFlag("journal", "record every step in `FILE`; the same file continues an interrupted haul (default: tfhaul-<time>.jsonl)")
		case "replace", "bump-serial", "allow":
			text := f.(*cli.StringSliceFlag)
			text.Usage = strings.TrimSuffix(text.Usage, "; repeatable") + "; it must be in the haul; repeatable"
		}
		flags = append(flags, f)
	}
	return flags
}

// dryFlags are haulFlags for a command that is always a dry run. It accepts --dry-run, which
// changes nothing there.
func dryFlags() []cli.Flag {
	flags := haulFlags()
	for _, f := range flags {
		if f, ok := f.(*cli.BoolFlag); ok && f.Name == "dry-run" {
			f.Hidden = true
		} else if ok && f.Name == "detailed-exitcode" {
			f.Usage = "exit 2 if there is work to do"
		}
	}
	return flags
}

// manifestExt is how the name of a manifest ends.
const manifestExt = ".hcl"

// haulOfSources reads the arguments and flags of a command that takes sources.
func (p *process) haulOfSources(c *cli.Context) (hauling, error) {
	h, err := p.hauling(c)
	if err != nil {
		return h, err
	}
	return h, h.takeSources(c)
}

// haulOfManifest reads the arguments and flags of a command that takes a manifest, or
// sources.
func (p *process) haulOfManifest(c *cli.Context) (hauling, error) {
	h, err := p.hauling(c)
	switch {
	case err != nil:
		return h, err
	case slices.ContainsFunc(h.sources, isManifest):
		return h, h.takeManifest()
	}
	return h, h.takeSources(c)
}

// hauling reads the flags. What goes where is left to takeSources and takeManifest.
func (p *process) hauling(c *cli.Context) (hauling, error) {
	h := hauling{
		sources: c.Args().Slice(), mapFile: c.String("map"), keyName: c.String("key-name"),
		failFast: c.Bool("fail-fast"), journal: c.String("journal"),
		detailed: c.Bool("detailed-exitcode"), all: c.Bool("all"),
	}
	var err error
	if h.permissions, err = p.permissions(c); err != nil {
		return h, err
	}
	if h.connector, err = p.connector(c); err != nil {
		return h, err
	}
	if h.parallelism < 1 {
		return h, usagef("--parallelism cannot be %d: at least one move runs at a time", h.parallelism)
	}
	if h.options, err = p.moveOptions(c); err != nil {
		return h, err
	}
	if h.namer, err = pairing.ParseNamer(c.String("workspace-name")); err != nil {
		return h, &usageError{err.Error()}
	}
	return h, nil
}

func isManifest(ref string) bool {
	return strings.EqualFold(filepath.Ext(ref), manifestExt) && !strings.Contains(ref, "://")
}

// takeManifest has the one argument say what goes where.
func (h *hauling) takeManifest() error {
	if len(h.sources) > 1 {
		return usagef("a manifest (%s) cannot be combined with other sources: it names the sources itself", manifestExt)
	}
	for _, name := range onlyWithSources {
		if h.typed[name] {
			return usagef("--%s cannot be combined with a manifest: edit %s, or plan again", name, h.sources[0])
		}
	}
	for _, m := range inManifest {
		if h.typed[m.flag] {
			return usagef("--%s cannot be combined with a manifest, which decides the moves. Write %s into %s of %s, or plan again", m.flag, m.setting, m.block, h.sources[0])
		}
	}
	// Nor do variables decide.
	h.options.Settings, h.permissions = migrate.Settings{}, nil
	h.manifest, h.sources = h.sources[0], nil
	if _, err := os.Stat(h.manifest); err != nil {
		return usagef("the manifest %q cannot be read: %v", h.manifest, plainwords.WithoutPath(err))
	}
	return nil
}

// takeSources has sources and a target.
func (h *hauling) takeSources(c *cli.Context) error {
	if i := slices.IndexFunc(h.sources, isJournal); i >= 0 {
		return journalAsSource(h.sources[i])
	}
	switch {
	case len(h.sources) == 0 && h.mapFile == "":
		return usagef("SOURCE is missing: %s (more: tfhaul %s --help)", c.Command.UsageText, c.Command.Name)
	case c.String("target") == "" && c.Command.Name != "rehearse": // which has a target of its own
		return usagef("--target is missing: name where to move the states, %s", containerForms())
	case c.String("target") == "":
		return nil
	}
	if err := h.aim(c.String("target")); err != nil {
		return err
	}
	if !h.to.workspaces() && h.fromFile("target") {
		return usagef("%s names %s: a file that may come with another user's repository can name only an organization; to move states there, use --target", h.settings.origin("target"), h.to)
	}
	return nil
}

// aim makes an address the target of all moves.
func (h *hauling) aim(target string) (err error) {
	if h.to, err = h.containerTarget(target); err != nil {
		return err
	}
	return h.checkFlags(h.to)
}

// haul prepares a haul into a target. Callers that have a journal add it, and its ledger, to
// the engine.
func (h *hauling) haul(target backend.Target) *migrate.Haul {
	return &migrate.Haul{
		Engine:      &migrate.Engine{Target: target, Options: h.options},
		Parallelism: h.parallelism, FailFast: h.failFast,
	}
}

// decide plans the haul, and writes nothing anywhere.
func (h *hauling) decide(ctx context.Context) (*migrate.Plan, *pairing.Pairing, error) {
	paired, err := h.pair(ctx)
	if err != nil {
		return nil, nil, err
	}
	h.noteValues(paired)
	target, err := h.open(ctx, h.to)
	if err != nil {
		return nil, nil, err
	}
	defer target.Close()
	haul := h.haul(target)
	if haul.Past, err = h.past(); err != nil {
		return nil, nil, err
	}
	plan, err := h.plan(ctx, haul, paired)
	return plan, paired, err
}

// past returns what the journal recorded of earlier runs, to plan how to continue; nil
// without a journal.
func (h *hauling) past() (*migrate.Ledger, error) {
	if h.journal == "" {
		return nil, nil
	}
	if _, err := os.Stat(h.journal); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the haul would begin it
	}
	return readJournal(h.journal)
}

// plan plans a haul and reports its progress.
func (h *hauling) plan(ctx context.Context, haul *migrate.Haul, paired *pairing.Pairing) (*migrate.Plan, error) {
	progress := h.startProgress(ctx, reading, len(paired.Moves))
	defer progress.end()
	haul.Decided = progress.ended
	moves, found := paired.Moves, paired.Findings
	paired.Moves, paired.Findings = nil, nil // the plan will have them
	plan, err := haul.Plan(ctx, moves)
	if err == nil && !haul.Past.Concerns(plan.Results()) {
		err = otherJournal(h.journal)
	}
	if err == nil {
		plan.Findings = append(plan.Findings, aboutPlanned(found, plan)...)
	}
	return plan, whatToSay(ctx, err)
}

// otherJournal refuses to mix two hauls in one journal: unlock, verify and report would take
// them for one.
func otherJournal(path string) error {
	return usagef("the journal %s records another haul, with none of these moves: choose another file with --journal", path)
}

// view returns a plan or its results in the form that is shown.
func (h *hauling) view(plan *migrate.Plan, results []migrate.Result, paired *pairing.Pairing) report.Haul {
	view := report.Haul{
		Target: h.to.String(), Results: results, Findings: plan.Findings, LeftOut: paired.LeftOut,
		APICalls: plan.APICalls, Seconds: time.Since(h.started).Seconds(), All: h.all,
	}
	for i := range results {
		view.APICalls += results[i].APICalls
	}
	return view
}

// writeHaulReports writes the files that the flags of plan and migrate name.
func (h *hauling) writeHaulReports(view report.Haul, command string) error {
	return h.writeReports(h.reports,
		func(w io.Writer) error { return report.HaulSARIF(w, view, command, buildVersion().Version, time.Now()) },
		func(w io.Writer) error { return report.HaulMarkdown(w, view, command) })
}

// code is the exit code that the results of a haul stand for.
func (h *hauling) code(ctx context.Context, results []migrate.Result, paired *pairing.Pairing) int {
	code := codeOfResults(ctx, results, h.detailed)
	n := paired.Incomplete()
	if n == 0 || code == exitInterrupted || code == exitFailed {
		return code
	}
	h.complain(fmt.Sprintf("it is incomplete: %d files or directories could not be looked at (see what was left out)", n))
	return exitFailed
}

// again is the command that continues the haul.
func (h *hauling) again(journal string) string {
	command := h.commandLine()
	if !h.typed["journal"] {
		command += " --journal " + plainwords.ShellWord(journal)
	}
	return command
}

// commandLine is the command as it was given.
func (p *process) commandLine() string {
	words := []string{"tfhaul"}
	for _, arg := range p.args[1:] {
		words = append(words, plainwords.ShellWord(arg))
	}
	return strings.Join(words, " ")
}

// whatToSay makes of an error that ended a haul before any move what the user can
// act on; nil stays nil.
func whatToSay(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	switch backend.CodeOf(err) {
	case backend.Unauthorized:
		return fmt.Errorf("%w; check the token (terraform login, TFE_TOKEN, --token-file)", err)
	case backend.ForbiddenOrMissing:
		return fmt.Errorf("%w; check the organization's name and the token's permissions", err)
	}
	return err
}
