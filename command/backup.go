package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/backup"
	"tfhaul/pairing"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// A makeBackup copies states without locks.
type makeBackup struct {
	connector
	source  string
	to      destination
	options backup.Options
}

func (p *process) backupCommand() *cli.Command {
	return &cli.Command{
		Name:      "backup",
		Usage:     "copy new and changed states to a directory or bucket",
		UsageText: "tfhaul backup [flags] SOURCE TARGET",
		Description: `Copies the states of an organization, bucket or directory to a directory or bucket, and updates the index there
(tfhaul-backup.json). Each version is stored once, under its ID, and never overwritten. A second backup copies only what is
new. It takes no locks. Encrypted and unusable states are copied, too, and marked.

To restore, pass the backup as the source: tfhaul migrate BACKUP --target acme --create. See docs/backup.md.

Examples:
  tfhaul backup tfe://acme s3://backups/acme/
  tfhaul backup tfe://acme ./acme/ --history all --keep 100
  tfhaul backup tfe://tfe.example.com/acme ./acme/ --include 'prod-*' --with-variables

Exit codes: 0 everything is in the backup; 1 a version could not be read or stored; 4 usage or configuration error; 130
interrupted; the index lists what was copied until then.`,
		Flags: append([]cli.Flag{
			listFlag("include", "back up only states whose name or path matches `GLOB`"),
			listFlag("exclude", "leave out states whose name or path matches `GLOB`"),
			textFlag("history", "", "also copy older versions: the newest `N` of each state, or all"),
			&cli.IntFlag{Name: "keep", Usage: "remove all but the newest `N` versions of each state from the backup", DefaultText: "all of them"},
			switchFlag("with-variables", "record the variables of workspaces, without the values of sensitive ones"),
			switchFlag("dry-run", "show what would be copied, and write nothing"),
			countFlag("parallelism", 8, "copy `N` states at the same time"),
		}, append(connectFlags(), jsonFlag())...),
		Action: action(p.parseBackup),
	}
}

func (p *process) parseBackup(c *cli.Context) (*makeBackup, error) {
	args, err := exactly(c, "SOURCE", "TARGET")
	if err != nil {
		return nil, err
	}
	b := &makeBackup{source: args[0]}
	if b.source == "-" {
		return nil, usagef("standard input cannot be backed up: name a file, directory, bucket or organization")
	}
	if b.connector, err = p.connector(c); err != nil {
		return nil, err
	}
	if b.to, err = b.containerTarget(args[1]); err != nil {
		return nil, err
	}
	if b.to.workspaces() {
		return nil, usagef("%s cannot hold a backup: use a directory or a bucket", b.to)
	}
	b.options = backup.Options{Source: b.source, Parallelism: c.Int("parallelism"), Keep: c.Int("keep"), Variables: c.Bool("with-variables"), DryRun: c.Bool("dry-run"),
		Whole: len(b.filter.Include)+len(b.filter.Exclude) == 0}
	if b.options.History, err = p.historyFlag(c); err != nil {
		return nil, err
	}
	if b.options.Parallelism < 1 {
		return nil, usagef("--parallelism cannot be %d: it is 1 or more", b.options.Parallelism)
	}
	if b.options.Keep < 0 {
		return nil, usagef("--keep cannot be %d: it is 1 or more", b.options.Keep)
	}
	if keep, history := b.options.Keep, b.options.History; keep > 0 && (history == backend.AllVersions || history > keep) {
		return nil, usagef("--history asks for more versions than --keep %d leaves: raise --keep, or lower --history", keep)
	}
	return b, nil
}

// Run makes the backup.
func (b *makeBackup) Run(ctx context.Context) error {
	target, err := b.open(ctx, b.to)
	if err != nil {
		return err
	}
	defer target.Close()
	place, ok := target.(backend.Objects)
	if !ok {
		return usagef("%s cannot hold a backup: use a directory or a bucket", b.to)
	}
	if b.kinds.Same(b.source, place.Address("")) {
		return usagef("%s is the source itself: use another directory or prefix for the backup, which may be below it", b.to)
	}
	listing, err := b.kinds.Find(ctx, b.source, b.filter)
	if err != nil {
		return asUsage(pairing.Problem(ctx, err, nil))
	}
	b.leaveOutCopies(listing, place)
	b.options.Place, b.options.Listing, b.options.Source = place, listing, b.kinds.Canonical(b.source)
	total, done := len(listing.States), 0
	b.options.Progress = func(backup.Item) {
		if done++; b.stderr.interactive {
			fmt.Fprintf(b.stderr, clearLine+"%d of %d", done, total)
		}
	}
	items, failed := backup.Run(ctx, b.options)
	if b.stderr.interactive {
		fmt.Fprint(b.stderr, clearLine)
	}
	if items != nil {
		if err := b.show(report.NewBackup(b.source, b.to.String(), items)); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failed != nil:
		return failed
	}
	return ended(b.exit(items, listing))
}

// leaveOutCopies removes the backup's own copies from a listing. If the backup is below its
// source, each backup would otherwise copy all earlier ones.
func (b *makeBackup) leaveOutCopies(listing *backend.Listing, place backend.Target) {
	for _, skip := range listing.Skipped {
		if skip.Code != backend.SkipBackupIndex || !b.kinds.Same(skip.Name, place.Address(backend.BackupIndex)) {
			continue
		}
		directory, _, _ := strings.Cut(skip.Name, backend.BackupIndex)
		listing.States = slices.DeleteFunc(listing.States, func(s backend.State) bool { return strings.HasPrefix(s.Address(), directory) })
	}
}

func (b *makeBackup) show(r report.Backup) error {
	if b.json {
		return report.JSON(b.stdout, r)
	}
	return report.ShowBackup(b.stdout, b.stdout.style(), r)
}

// exit returns the exit code, and prints what is missing.
func (b *makeBackup) exit(items []backup.Item, listing *backend.Listing) int {
	var missing []string
	for _, skip := range listing.Skipped {
		if skip.Code == backend.SkipNoPermission || skip.Code == backend.SkipUnreadable {
			missing = append(missing, report.PlainLine(skip.Name)+" "+report.PlainLine(skip.Reason))
		}
	}
	if len(missing) > 0 {
		b.complain(fmt.Sprintf("the backup is incomplete: %s could not be read: %s", plainwords.Counted(len(missing), "state"), strings.Join(missing, "; ")))
		return exitFailed
	}
	for _, i := range items {
		if i.Outcome == backup.Gap || i.Outcome == backup.Failed {
			return exitFailed
		}
	}
	return exitDone
}
