package command

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/plainwords"
	"tfhaul/report"
	"tfhaul/report/page"
)

// A tellHaul summarizes a haul from its journal.
type tellHaul struct {
	*process
	journal     string
	html, junit string
	reports     reportFiles
	handover    string // the directory of its pages
	force       bool   // replaces files that are not ours
}

func (p *process) reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "summarize a haul from its journal: as text, HTML, JUnit XML, SARIF or Markdown, or as a handover",
		UsageText: "tfhaul report [flags] JOURNAL",
		Description: `Summarizes a haul from its journal: what moved, what did not and why, and how long it took. It prints text, or writes an
HTML page (one file, which needs no network), JUnit XML, SARIF or Markdown. It sends no requests, so it shows what was true when the
journal was written. tfhaul verify JOURNAL checks the current state.

--handover writes Markdown pages for the teams: README.md about the whole haul, and one page for each repository, with what
moved, what is frozen, the commands that the team types, and how to go back. See docs/workspaces.md.

Examples:
  tfhaul report tfhaul-20260301T101500Z.jsonl
  tfhaul report haul.jsonl --html haul.html --junit haul.xml
  tfhaul report haul.jsonl --handover handover/

Exit codes: 0 the report was written, whatever it shows; 1 writing failed; 4 usage error: the journal does not
exist, or the report file cannot be written.`,
		Flags: append([]cli.Flag{
			fileFlag("html", "write a self-contained page to `FILE`"),
			fileFlag("junit", "write JUnit XML to `FILE`"),
			fileFlag("handover", "write Markdown pages for the teams into `DIR`"),
			forceFlag("--html, --junit, --sarif, --markdown or --handover"),
			jsonFlag(),
		}, reportFlags()...),
		Action: func(c *cli.Context) error {
			args, err := exactly(c, "JOURNAL")
			if err != nil {
				return err
			}
			t := &tellHaul{process: p, journal: args[0], force: c.Bool("force")}
			if t.html, err = reportPath(c, "html"); err != nil {
				return err
			}
			if t.junit, err = reportPath(c, "junit"); err != nil {
				return err
			}
			if t.reports, err = readReportFiles(c); err != nil {
				return err
			}
			if t.handover, err = handoverDir(c); err != nil {
				return err
			}
			return t.Run(c.Context)
		},
	}
}

// Run reads and tells.
func (t *tellHaul) Run(ctx context.Context) error {
	ledger, err := readJournal(t.journal)
	if err != nil {
		return err
	}
	if ledger.Events() == 0 {
		return usagef("the journal %q is empty: the haul never started", t.journal)
	}
	told := haulReport(t.journal, ledger)
	if t.html != "" {
		if err := writeFile(t.html, t.force, func(w io.Writer) error { return page.Haul(w, told) }); err != nil {
			return err
		}
	}
	if t.junit != "" {
		if err := writeFile(t.junit, t.force, func(w io.Writer) error { return report.HaulJUnit(w, told) }); err != nil {
			return err
		}
	}
	if !t.json {
		t.tellWrote(t.html)
		t.tellWrote(t.junit)
	}
	view := report.HaulOf(told)
	if err := t.writeReports(t.reports,
		func(w io.Writer) error {
			return report.HaulSARIF(w, view, "migrate", buildVersion().Version, told.Ended)
		},
		func(w io.Writer) error { return report.HaulMarkdown(w, view, "migrate") }); err != nil {
		return err
	}
	if t.handover != "" {
		if err := t.writeHandover(ctx, told, ledger.Dir()); err != nil {
			return err
		}
		if !t.json {
			t.tellWrote(filepath.Join(t.handover, report.HandoverIndex))
		}
	}
	switch {
	case t.json:
		return report.HaulReportJSON(t.stdout, told)
	case t.html+t.junit+t.reports.sarif+t.reports.markdown+t.reports.markdownAppend+t.handover == "":
		return t.text(ctx, told)
	}
	return nil
}

// haulReport is what a journal records.
func haulReport(journal string, ledger *migrate.Ledger) report.HaulReport {
	told := report.HaulReport{Journal: journal, Continue: ledger.Command(), Haul: ledger.Haul(), Results: ledger.Results(), Unfinished: ledger.CutOff(), NotAttempted: ledger.NotAttempted(), SourcesUnchecked: ledger.SourcesUnchecked()}
	for _, lock := range ledger.HeldLocks() {
		told.Locked = append(told.Locked, lock.Target)
	}
	told.Started, told.Ended = ledger.Times()
	return told
}

// text tells it here.
func (t *tellHaul) text(ctx context.Context, told report.HaulReport) error {
	if err := report.Moves(t.stdout, t.stdout.style(), told.Results); err != nil {
		return err
	}
	if err := told.Rest(t.stdout, t.stdout.style()); err != nil || told.Open() {
		return err
	}
	fmt.Fprintf(t.stdout, "\nNext: tfhaul verify %s compares every byte again\n", report.Plain(plainwords.ShellWord(t.journal)))
	kinds := t.backends(backend.Connection{Environ: t.environ, Logger: t.log})
	if recipe, ok := recipeFor(ctx, kinds, told.Results); ok {
		return report.WriteRecipe(t.stdout, t.stdout.style(), recipe)
	}
	return nil
}
