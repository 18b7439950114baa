package command

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
	"tfhaul/prove"
	"tfhaul/report"
)

// A migration carries a haul out.
type migration struct {
	hauling
	yes    bool
	proofs *haulProofs // nil when none are asked for
}

func (p *process) migrateCommand() *cli.Command {
	return &cli.Command{
		Name:      "migrate",
		Usage:     "run many moves in parallel, with a journal to continue from",
		UsageText: "tfhaul migrate [flags] MANIFEST.hcl\n  tfhaul migrate [flags] SOURCE… --target TARGET",
		Description: `Plans the haul, shows a summary, asks for confirmation, and runs the moves in parallel within the server's rate limit. One
failed or refused move does not stop the others. Errors that would fail every move, such as an expired token, end the
haul early.

TARGET is ` + containerForms() + `. ` + seeBackends + `

The journal records every step on disk. To continue after an interruption, or after you fixed a problem, run the same
command with the same --journal: completed moves are skipped, interrupted ones are checked and finished, and leftover locks are released.
See docs/migrating.md.

With --prove, each migrated workspace also runs a speculative plan, with the configuration next to the state or below
--prove-dir. Each move gets a verdict: proven, changes or unproven. The verdict does not change what was moved.

Examples:
  tfhaul migrate haul.hcl                                    run a reviewed plan
  tfhaul migrate s3://acme-tfstate/ --target acme --create   without a manifest
  tfhaul migrate s3://old/ --target s3://new/                from bucket to bucket, with the same keys
  tfhaul migrate haul.hcl --journal haul.jsonl --yes --json  for scripts, and to continue
  tfhaul migrate live/ --target acme --prove                 also check that Terraform plans no changes

Exit codes: 0 all moved, or already there; 1 at least one failed or is unproven; 2 with --dry-run --detailed-exitcode,
there is work to do; 3 nothing failed, but something was refused or would change, or you did not confirm; 4 usage or
configuration error; 130 interrupted.`,
		Flags: append(slices.Concat(haulFlags(), connectFlags(), reportFlags()),
			switchFlag("fail-fast", "end the haul at the first failure"),
			switchFlag("yes", "skip the confirmation; required when stdin is not a terminal"),
			switchFlag("prove", "plan with every migrated state and its configuration, in a run of the workspace or, for buckets and files, on this machine: see tfhaul prove"),
			fileFlag("prove-dir", "`DIR` of the configurations, or a template with .Dir .Base .Key .Bucket .Workspace (default: next to a local state)"),
			durationFlag("run-timeout", prove.DefaultTimeout, "with --prove: cancel a run, or a plan on this machine, after `DURATION`"),
			forceFlag("--sarif or --markdown"),
			jsonFlag(),
		),
		Action: action(p.parseMigration),
	}
}

func (p *process) parseMigration(c *cli.Context) (*migration, error) {
	h, err := p.haulOfManifest(c)
	if err != nil {
		return nil, err
	}
	if h.reports, err = readReportFiles(c); err != nil {
		return nil, err
	}
	m := &migration{hauling: h, yes: c.Bool("yes")}
	if m.proofs, err = p.haulProofs(c); err != nil {
		return nil, err
	}
	if !m.yes && !m.options.DryRun && !m.canAsk() {
		return nil, usagef("cannot ask for confirmation: standard input is not a terminal. Use --yes to skip the prompt, or --dry-run to preview")
	}
	return m, nil
}

// Run plans, asks, moves and reports.
func (m *migration) Run(ctx context.Context) error {
	if m.options.DryRun {
		return (&planner{hauling: m.hauling}).Run(ctx)
	}
	paired, err := m.pair(ctx)
	if err != nil {
		return err
	}
	if err := m.readValues(paired); err != nil {
		return err
	}
	if m.proofs != nil {
		if err := m.proofs.provableHere(m.to); err != nil {
			return err
		}
	}
	target, err := m.open(ctx, m.to)
	if err != nil {
		return err
	}
	defer target.Close()
	haul := m.haul(target)
	record, err := m.openRecord(ctx, m.journal)
	if err != nil {
		return err
	}
	defer record.close()
	record.engage(haul.Engine)
	haul.TrustListing = m.yes && m.options.Create
	plan, err := m.plan(ctx, haul, paired)
	if err != nil {
		return err
	}
	if err := m.agree(ctx, plan, paired); err != nil {
		return err
	}
	record.keep()
	haul.Command = m.again(record.path)
	m.held.recordedIn(record.path, haul.Command)
	m.note("Journal: %s. After an interruption: %s", record.path, haul.Command)
	results := m.run(ctx, haul, plan)
	if m.proofs != nil {
		m.prove(ctx, target, haul, plan, results)
	}
	return m.tellHauled(ctx, m.view(plan, results, paired), record, paired)
}

// agree summarizes the plan, and asks for confirmation.
func (m *migration) agree(ctx context.Context, plan *migrate.Plan, paired *pairing.Pairing) error {
	if !m.json && !(m.quiet && m.yes) {
		if err := report.PlanSummary(m.stderr, m.stderr.style(), m.view(plan, plan.Results(), paired)); err != nil {
			return err
		}
	}
	n := plan.Count(migrate.WouldMove)
	if n == 0 || m.yes {
		return nil
	}
	yes, err := m.ask(ctx, fmt.Sprintf("Move %s into %s?", plainwords.Counted(n, "state")+withOlder(plan), report.Plain(m.to.String())))
	if err == nil && !yes {
		m.tell("Canceled. No changes were made.")
		err = ended(exitRefused)
	}
	return err
}

// withOlder returns how many older versions are to be moved, as a part of a question.
func withOlder(plan *migrate.Plan) string {
	older := report.CountOlder(plan.Results())
	if older.Versions == 0 {
		return ""
	}
	text := " and " + plainwords.Counted(older.Versions, "older version")
	if older.APICalls > 0 {
		text += fmt.Sprintf(" (about %s)", plainwords.Counted(older.APICalls, "more API call"))
	}
	return text
}

// run runs the moves and reports their progress.
func (m *migration) run(ctx context.Context, haul *migrate.Haul, plan *migrate.Plan) []migrate.Result {
	progress := m.startProgress(ctx, moving, len(plan.Moves))
	defer progress.end()
	haul.Ended, haul.Revised, haul.Engine.Observe = progress.ended, progress.revised, progress.observe
	results, _ := haul.Run(ctx, plan) // the results contain the causes
	return results
}

// tellHauled reports.
func (m *migration) tellHauled(ctx context.Context, view report.Haul, record *record, paired *pairing.Pairing) error {
	view.Journal, view.HeldLocks = record.path, m.held.candidates()
	code := withProofs(m.code(ctx, view.Results, paired), view.Results)
	if code != exitDone {
		view.Continue = m.again(record.path)
	}
	if err := errors.Join(show(m.process, view, report.HaulJSON, report.Hauled), m.writeHaulReports(view, "migrate")); err != nil {
		return err
	}
	m.tellDiff(view.Results)
	if code == exitDone {
		m.tellNext("tfhaul verify %s compares every byte again", report.Plain(plainwords.ShellWord(record.path)))
		if err := m.tellRecipe(ctx, view.Results); err != nil {
			return err
		}
	}
	return ended(code)
}
