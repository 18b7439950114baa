package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// haulID matches the ID of a haul, as migrate.NewHaulID makes it.
var haulID = regexp.MustCompile(`^[0-9]{8}-[0-9]{6}-[0-9a-f]{12}$`)

// An unlocker frees workspaces that a haul left locked.
type unlocker struct {
	connector
	journal string // where the locks are read from; "" for the one workspace, which
	haul    string // this haul locked
	to      destination
	// continues is the command that continues the journal's haul, if that has moves left.
	continues string
}

func (p *process) unlockCommand() *cli.Command {
	return &cli.Command{
		Name:      "unlock",
		Usage:     "unlock what a haul left locked, and nothing else",
		UsageText: "tfhaul unlock\n  tfhaul unlock [flags] JOURNAL\n  tfhaul unlock [flags] TARGET --haul ID",
		Description: `Unlocks the workspaces and other targets that a haul locked and did not unlock, because it was killed, or because it could
not prove what they hold. The reason of each lock names its haul, and unlock does not touch the locks of other users. It also checks
workspaces where the reply to a lock request was lost, because the request may have taken effect later, and releases the
haul's locks on the sources (--lock-source).

Without an argument, it lists the locks left by moves that ran on this machine without --journal, with the command to
unlock each one. If you have no journal, pass the target and the haul ID that the message about the lock shows. TARGET is
` + stateForms() + `. ` + seeBackends + `

Before you unlock a workspace that was kept locked, check what it holds with tfhaul history or tfhaul verify.

Examples:
  tfhaul unlock                                      list what was left locked
  tfhaul unlock haul.jsonl                           unlock what this haul left locked
  tfhaul unlock acme/network --haul 20260102-150405-0123456789ab

Exit codes: 0 all are unlocked, or listed; 1 at least one could not be unlocked; 3 another user holds a lock; 4 usage or
configuration error; 130 interrupted.`,
		Flags: append([]cli.Flag{
			textFlag("haul", "", "`ID` of the haul, to unlock one target"),
		}, append(connectFlags(), jsonFlag())...),
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 && c.String("haul") == "" {
				return p.listLeftLocks(c.Context)
			}
			return action(p.parseUnlock)(c)
		},
	}
}

func (p *process) parseUnlock(c *cli.Context) (*unlocker, error) {
	u := &unlocker{haul: c.String("haul")}
	what := "JOURNAL"
	if u.haul != "" {
		what = "TARGET"
	}
	args, err := exactly(c, what)
	if err == nil && u.haul != "" && !haulID.MatchString(u.haul) {
		err = usagef("%s cannot be %q: use the ID that the message about the lock shows, such as 20260102-150405-0123456789ab", p.originOf("haul"), u.haul)
	}
	if err != nil {
		return nil, err
	}
	if u.connector, err = p.connector(c); err != nil {
		return nil, err
	}
	if u.haul == "" {
		u.journal = args[0]
		return u, nil
	}
	u.to, err = u.stateTarget(args[0])
	return u, err
}

// Run frees and reports.
func (u *unlocker) Run(ctx context.Context) error {
	var (
		unlockings []report.Unlocking
		err        error
	)
	targets := &targetPool{connector: u.connector}
	defer targets.close()
	if u.journal != "" {
		if unlockings, err = u.unlockJournal(ctx, targets); err == nil && u.isMoveJournal(u.journal) {
			u.removeUnlessLocked(u.journal)
		}
	} else {
		unlockings = make([]report.Unlocking, 1)
		unlockings[0], err = unlockOne(ctx, targets, u.to, migrate.HeldLock{Haul: u.haul})
		if done := unlockings[0]; err == nil && (done.Outcome == report.Freed || done.Outcome == report.Free) {
			u.recordFreed(ctx, u.haul, done.Target)
		}
	}
	if err != nil {
		return err
	}
	if err := show(u.process, unlockings, report.UnlockingsJSON, report.Unlockings); err != nil {
		return err
	}
	if u.continues != "" {
		u.tellNext("to continue the haul: %s", report.Plain(u.continues))
	}
	return ended(codeOfUnlockings(ctx, unlockings))
}

// unlockJournal frees what a journal tells is locked. The journal is claimed
// meanwhile: a haul that still runs must not lose its locks. What was freed is
// recorded in it.
func (u *unlocker) unlockJournal(ctx context.Context, targets *targetPool) ([]report.Unlocking, error) {
	switch info, err := os.Stat(u.journal); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("journal %q not found; to unlock a target without a journal: tfhaul unlock TARGET --haul ID", u.journal)
	case err != nil:
		return nil, usagef("cannot read the journal %q: %v", u.journal, plainwords.WithoutPath(err))
	case !info.Mode().IsRegular() || info.Size() == 0:
		return nil, usagef("%q is not a journal: name the file that --journal wrote", u.journal)
	}
	journal, ledger, err := migrate.OpenJournal(ctx, u.journal)
	if errors.Is(err, migrate.ErrJournalInUse) {
		return nil, usagef("the haul of %s still runs, and unlocks what it locked when it ends: stop that process first", u.journal)
	}
	if err != nil {
		return nil, usagef("%v", err)
	}
	defer func() {
		if err := journal.Close(); err != nil {
			u.log.Warn("the journal does not record everything that was unlocked", "error", err)
		}
	}()

	// Where a lock request was lost, it may have taken effect since.
	locks := append(ledger.HeldLocks(), ledger.LostRequests()...)
	for _, lock := range ledger.SourceLocks() {
		u.kinds.Expect([]string{lock.Source})
	}
	at := make([]destination, len(locks))
	for i, lock := range locks {
		if at[i], err = u.stateTarget(lock.Target); err != nil {
			return nil, usagef("the journal %q was changed, so nothing was unlocked: %v", u.journal, err)
		}
	}
	var unlockings []report.Unlocking
	for i, lock := range locks {
		if ctx.Err() != nil {
			return unlockings, ctx.Err()
		}
		done, err := unlockOne(ctx, targets, at[i], lock)
		if err != nil {
			return unlockings, err
		}
		unlockings = append(unlockings, done)
		if done.Outcome == report.Freed || done.Outcome == report.Free {
			// If this fails, so does closing the journal.
			_ = journal.Append(migrate.Event{Event: migrate.EventUnlocked, Haul: lock.Haul, Target: lock.Target, WorkspaceID: lock.WorkspaceID})
		}
	}
	if ledger.NotAttempted()+len(ledger.CutOff()) > 0 {
		u.continues = ledger.Command()
	}
	return append(unlockings, u.unlockSources(ctx, journal, ledger)...), ctx.Err()
}

// unlockSources frees the sources' own locks that a haul with --lock-source left.
func (u *unlocker) unlockSources(ctx context.Context, journal *migrate.Journal, ledger *migrate.Ledger) []report.Unlocking {
	var unlockings []report.Unlocking
	for _, lock := range ledger.SourceLocks() {
		done := report.Unlocking{Target: lock.Source, Outcome: report.Freed, Message: "The source is unlocked."}
		var lost *backend.LockLostError
		switch err := u.freeSource(ctx, lock); {
		case errors.As(err, &lost):
			done.Outcome, done.Message = report.NotOurs, plainwords.Sentence(err.Error())
		case err != nil:
			done.Outcome, done.Message = report.StillLocked, plainwords.Sentence(err.Error())
		default:
			_ = journal.Append(migrate.Event{Event: migrate.EventSourceFreed, Haul: journal.Haul(), Source: lock.Source, Target: lock.Target, SourceLockID: lock.ID})
		}
		unlockings = append(unlockings, done)
	}
	return unlockings
}

// freeSource frees one source's own lock.
func (u *unlocker) freeSource(ctx context.Context, lock migrate.SourceLock) error {
	found, err := u.kinds.Find(ctx, lock.Source, backend.Filter{})
	if err != nil {
		return err
	}
	for _, object := range found.States {
		if lockable, ok := object.(backend.Lockable); ok {
			return lockable.FreeLock(ctx, lock.ID)
		}
	}
	return fmt.Errorf("%q has no lock that tfhaul could free", lock.Source)
}

// unlockOne frees one workspace of one haul. Its errors are what the user has to
// put right before anything can be unlocked.
func unlockOne(ctx context.Context, targets *targetPool, at destination, lock migrate.HeldLock) (report.Unlocking, error) {
	out := report.Unlocking{Target: at.String(), Outcome: report.StillLocked}
	target, err := targets.of(ctx, at)
	if _, ok := errors.AsType[*usageError](err); ok {
		return out, err
	}
	var done migrate.Unlocking
	if err == nil {
		engine := &migrate.Engine{Target: target, Haul: lock.Haul}
		done, err = engine.UnlockByID(ctx, at.name, lock.WorkspaceID)
		out.Target = done.Target
	}
	switch {
	case errors.Is(err, migrate.ErrNotOurs):
		out.Outcome, out.Message = report.NotOurs, plainwords.Sentence(err.Error())
	case err != nil:
		out.Message = plainwords.Sentence(err.Error())
	case done.Freed:
		out.Outcome, out.Message = report.Freed, done.Message
	default:
		out.Outcome, out.Message = report.Free, done.Message
	}
	return out, nil
}

func codeOfUnlockings(ctx context.Context, unlockings []report.Unlocking) int {
	code := exitDone
	for _, u := range unlockings {
		switch u.Outcome {
		case report.StillLocked:
			if ctx.Err() != nil {
				return exitInterrupted
			}
			return exitFailed
		case report.NotOurs:
			code = exitRefused
		}
	}
	return code
}
