package command

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// A rollback puts back what a haul replaced.
type rollback struct {
	connector
	options migrate.Options
	haul    string // the journal of the haul
	journal string // of the rollback
	yes     bool
	all     bool
	// detailed is --detailed-exitcode.
	detailed bool
}

func (p *process) rollbackCommand() *cli.Command {
	return &cli.Command{
		Name:      "rollback",
		Usage:     "put back what a haul replaced",
		UsageText: "tfhaul rollback [flags] JOURNAL",
		Description: `Puts back the states that the haul of JOURNAL replaced or continued. Each former state is written as a new version, under the
target's lock, and read back. No version is deleted without --delete-created, and the state that the haul wrote is kept in --backup-dir if the target
does not keep it.

A target is rolled back only if it still holds exactly what the haul wrote. If it has advanced since, for example by an
apply, it is refused. Targets that held no state before the haul are refused, too.

With --delete-created, workspaces, objects and files that the haul created are deleted. Each is locked and compared again, and
its state is saved in --backup-dir first. It is refused if it has changed since the haul, if it has a version that the haul
did not write or a run, or if an S3 server cannot delete on a condition (If-Match). A bucket with versions keeps them.

A workspace gets the former state version through the server's rollback endpoint. If the server lacks it, tfhaul sends the
bytes with a higher serial, and says so. Objects and files get the former bytes unchanged.

Without --yes, rollback shows what it would do, and asks for confirmation on a terminal. The rollback has a journal of its
own. To continue after an interruption, run the same command again.

Examples:
  tfhaul rollback haul.jsonl                 show what would be put back, then ask
  tfhaul rollback haul.jsonl --yes --json    for scripts, and to continue
  tfhaul rollback haul.jsonl --delete-created
                                             also delete what the haul created

Exit codes: 0 all were put back, or hold the former state already; 1 at least one failed or is unproven; 2 with --dry-run
--detailed-exitcode, there is work to do; 3 nothing failed, but something was refused, or you did not confirm; 4 usage or
configuration error; 130 interrupted.`,
		Flags: append([]cli.Flag{
			switchFlag("dry-run", "show what would happen, and write nothing"),
			switchFlag("detailed-exitcode", "with --dry-run: exit 2 if there is work to do"),
			switchFlag("yes", "write without asking; required when stdin is not a terminal"),
			switchFlag("delete-created", "also delete the workspaces, objects and files that the haul created, after a backup"),
			countFlag("parallelism", migrate.DefaultParallelism, "roll back `N` targets at the same time"),
			durationFlag("lock-timeout", 0, "wait up to `DURATION` for a target that another user has locked"),
			textFlag("backup-dir", migrate.DefaultBackupDir, "keep backups of replaced states in `DIR`, readable only by you"),
			newChoiceFlag("on-failure", string(migrate.KeepLock), "take `ACTION` if the content of a target is unproven: keep (the lock) or unlock",
				string(migrate.KeepLock), string(migrate.ClearLock)),
			fileFlag("journal", "record the rollback in `FILE`; the same file continues it (default: JOURNAL with .rollback before its extension)"),
			switchFlag("all", "show every row, even in long lists"),
		}, append(connectFlags(), jsonFlag())...),
		Action: action(p.parseRollback),
	}
}

func (p *process) parseRollback(c *cli.Context) (*rollback, error) {
	args, err := exactly(c, "JOURNAL")
	if err != nil {
		return nil, err
	}
	r := &rollback{haul: args[0], journal: c.String("journal"), yes: c.Bool("yes"), all: c.Bool("all"), detailed: c.Bool("detailed-exitcode"),
		options: migrate.Options{
			DryRun: c.Bool("dry-run"), DeleteCreated: c.Bool("delete-created"), BackupDir: c.String("backup-dir"), OnFailure: migrate.LockPolicy(c.String("on-failure")),
			Settings: migrate.Settings{IncludeEmpty: true, LockTimeout: c.Duration("lock-timeout")},
		}}
	if r.journal == "" {
		r.journal = migrate.RollbackJournal(r.haul)
	}
	if r.connector, err = p.connector(c); err != nil {
		return nil, err
	}
	switch {
	case r.parallelism < 1:
		return nil, usagef("--parallelism cannot be %d: at least one target is rolled back at a time", r.parallelism)
	case r.yes && r.options.DryRun:
		return nil, usagef("--yes cannot be combined with --dry-run, which writes nothing")
	}
	r.options.DryRun = r.options.DryRun || !r.yes && !r.canAsk()
	if r.detailed && !r.options.DryRun {
		return nil, usagef("--detailed-exitcode requires --dry-run")
	}
	return r, nil
}

// A rollbackPart has the moves into one container.
type rollbackPart struct {
	to    destination
	haul  *migrate.Haul
	moves []migrate.Move
	plan  *migrate.Plan
}

// Run plans, asks, rolls back and reports.
func (r *rollback) Run(ctx context.Context) error {
	written, err := r.read()
	if err != nil {
		return err
	}
	targets := &targetPool{connector: r.connector}
	defer targets.close()
	parts, err := r.parts(ctx, targets, written)
	if err != nil {
		return err
	}
	var record *record
	if r.options.DryRun {
		err = r.recall(parts)
	} else if record, err = r.openRecord(ctx, r.journal); err == nil {
		defer record.close()
		for _, part := range parts {
			part.haul.Journal, part.haul.Engine.Haul, part.haul.Past = record.journal, record.journal.Haul(), record.past
		}
		r.held.inherit(record.past)
	}
	if err != nil {
		return err
	}
	if err := r.plan(ctx, parts); err != nil {
		return err
	}
	if r.options.DryRun {
		return r.tellPlanned(ctx, parts)
	}
	if err := r.agree(ctx, parts); err != nil {
		return err
	}
	record.keep()
	again := r.command()
	if r.typed["journal"] {
		again += " --journal " + plainwords.ShellWord(r.journal)
	}
	r.held.recordedIn(record.path, again)
	r.note("Journal: %s. After an interruption: %s", record.path, again)
	r.carryOut(ctx, parts, again)
	return r.tellDone(ctx, parts, record.path, again)
}

// command returns the command that does what a dry run has shown.
func (r *rollback) command() string {
	command := "tfhaul rollback " + plainwords.ShellWord(r.haul)
	if r.options.DeleteCreated {
		command += " --delete-created"
	}
	return command + " --yes"
}

// read returns what the haul wrote.
func (r *rollback) read() ([]*migrate.Written, error) {
	if _, err := readJournal(r.haul); err != nil {
		return nil, err
	}
	if busy, err := migrate.JournalInUse(r.haul); err == nil && busy {
		return nil, usagef("the haul of %s still runs: wait for its end, or stop it, then roll it back", r.haul)
	}
	file, err := os.Open(r.haul)
	if err != nil {
		return nil, usagef("cannot read the journal %q: %v", r.haul, plainwords.WithoutPath(err))
	}
	written, err := migrate.ReadWritten(file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil && len(written) == 0 {
		return nil, usagef("the journal %s records no state that was written, so there is nothing to roll back", r.haul)
	}
	return written, err
}

// parts opens the targets, and returns the moves into each.
func (r *rollback) parts(ctx context.Context, targets *targetPool, written []*migrate.Written) ([]*rollbackPart, error) {
	byTarget := map[backend.Target]*rollbackPart{}
	var parts []*rollbackPart
	for _, w := range written {
		to, err := r.stateTarget(w.Target)
		if err != nil {
			return nil, usagef("the journal %s names a target that cannot be one: %v", r.haul, err)
		}
		target, err := targets.of(ctx, to)
		if err != nil {
			return nil, err
		}
		part := byTarget[target]
		if part == nil {
			engine := &migrate.Engine{Target: target, Options: r.options}
			part = &rollbackPart{to: destination{kind: to.kind, container: to.container}, haul: &migrate.Haul{Engine: engine, Parallelism: r.parallelism}}
			byTarget[target] = part
			parts = append(parts, part)
		}
		part.moves = append(part.moves, w.Move(target, to.name))
	}
	return parts, nil
}

// recall reads what an earlier run of the rollback has done.
func (r *rollback) recall(parts []*rollbackPart) error {
	if _, err := os.Stat(r.journal); err != nil {
		return nil // there was none
	}
	past, err := readJournal(r.journal)
	for _, part := range parts {
		part.haul.Past = past
	}
	return err
}

// plan decides every move.
func (r *rollback) plan(ctx context.Context, parts []*rollbackPart) (err error) {
	n := 0
	for _, part := range parts {
		n += len(part.moves)
	}
	progress := r.startProgress(ctx, reading, n)
	defer progress.end()
	for _, part := range parts {
		part.haul.Decided = progress.ended
		if part.plan, err = part.haul.Plan(ctx, part.moves); err != nil {
			return whatToSay(ctx, err)
		}
		if !part.haul.Past.Concerns(part.plan.Results()) {
			return otherJournal(r.journal)
		}
	}
	return nil
}

// carryOut runs the rollback.
func (r *rollback) carryOut(ctx context.Context, parts []*rollbackPart, again string) {
	n := 0
	for _, part := range parts {
		n += len(part.plan.Moves)
	}
	progress := r.startProgress(ctx, moving, n)
	defer progress.end()
	for _, part := range parts {
		part.haul.Ended, part.haul.Observe, part.haul.Command = progress.ended, progress.observe, again
		_, _ = part.haul.Run(ctx, part.plan) // the results contain the causes
	}
}

// view returns the plan or its results in the form that is shown.
func (r *rollback) view(parts []*rollbackPart) report.Haul {
	view := report.Haul{Seconds: time.Since(r.started).Seconds(), All: r.all}
	var names []string
	for _, part := range parts {
		names = append(names, part.to.String())
		view.Results = append(view.Results, part.plan.Results()...)
		view.APICalls += part.plan.APICalls
	}
	view.Target = strings.Join(names, ", ")
	for _, result := range view.Results {
		view.APICalls += result.APICalls
	}
	return view
}

// agree shows what would be put back, and asks for confirmation.
func (r *rollback) agree(ctx context.Context, parts []*rollbackPart) error {
	view := r.view(parts)
	question := questionOf(view.Results)
	if question == "" || r.yes {
		return nil
	}
	if err := report.Plan(r.stderr, r.stderr.style(), view); err != nil {
		return err
	}
	yes, err := r.ask(ctx, question)
	if err == nil && !yes {
		r.tell("Canceled. No changes were made.")
		err = ended(exitRefused)
	}
	return err
}

// questionOf asks for what is planned; "" if nothing is.
func questionOf(results []migrate.Result) string {
	back, deleted := 0, 0
	for _, result := range results {
		switch {
		case result.Outcome != migrate.WouldMove:
		case result.Deleted:
			deleted++
		default:
			back++
		}
	}
	var parts []string
	if back > 0 {
		parts = append(parts, "put back "+plainwords.Counted(back, "former state"))
	}
	if deleted > 0 {
		parts = append(parts, "delete "+plainwords.Counted(deleted, "target")+" that the haul created")
	}
	if len(parts) == 0 {
		return ""
	}
	question := strings.Join(parts, " and ")
	return strings.ToUpper(question[:1]) + question[1:] + "?"
}

// tellPlanned reports a dry run.
func (r *rollback) tellPlanned(ctx context.Context, parts []*rollbackPart) error {
	view := r.view(parts)
	if err := show(r.process, view, report.HaulJSON, report.Plan); err != nil {
		return err
	}
	for _, result := range view.Results {
		if result.Outcome == migrate.WouldMove {
			r.tellNext("%s carries this out", report.Plain(r.command()))
			break
		}
	}
	return ended(codeOfResults(ctx, view.Results, r.detailed))
}

// tellDone prints the outcome.
func (r *rollback) tellDone(ctx context.Context, parts []*rollbackPart, journal, again string) error {
	view := r.view(parts)
	view.Journal, view.HeldLocks = journal, r.held.candidates()
	code := codeOfResults(ctx, view.Results, false)
	if code != exitDone {
		view.Continue = again
	}
	if err := show(r.process, view, report.HaulJSON, report.Hauled); err != nil {
		return err
	}
	return ended(code)
}
