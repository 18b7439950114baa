package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"tfhaul/migrate"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// A move without --journal keeps one in the user's state directory, so that a killed
// process leaves behind which workspace it locked. It is removed when the move ends
// without a lock left, and no later move continues from it.

// moveJournalName is the name of such a journal, which carries the haul's ID.
func moveJournalName(haul string) string { return "move-" + haul + ".jsonl" }

func isMoveJournalName(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, "move-") && strings.HasSuffix(name, ".jsonl")
}

// lostRequestAge is for how long a lock request whose reply was lost may still take
// effect. Servers and proxies give up in minutes.
const lostRequestAge = time.Hour

// stateDir is where tfhaul keeps what it must remember between two runs: below
// $XDG_STATE_HOME, else %LocalAppData% on Windows, else ~/.local/state. It need not exist.
func (p *process) stateDir() (string, error) {
	base := p.getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) { // the specification ignores relative paths
		switch home := p.getenv("HOME"); {
		case runtime.GOOS == "windows":
			base = p.getenv("LocalAppData")
		case home != "":
			base = filepath.Join(home, ".local", "state")
		}
	}
	if !filepath.IsAbs(base) {
		return "", errors.New("neither XDG_STATE_HOME nor HOME names a directory")
	}
	return filepath.Join(base, "tfhaul"), nil
}

// startMoveJournal begins the journal of a move. Where none can be written the move goes
// on without: the user is warned once, and nil returned.
func (p *process) startMoveJournal(ctx context.Context, haul string) (*migrate.Journal, string) {
	warn := func(err error) {
		fmt.Fprintf(p.stderr, "tfhaul: this move is not recorded: %s. If it is killed while it holds the lock, free the target with the haul's ID, %s: tfhaul unlock TARGET --haul %[2]s\n",
			report.Plain(err.Error()), haul)
	}
	dir, err := p.stateDir()
	if err == nil {
		err = plainwords.WithoutPath(os.MkdirAll(dir, 0o700))
	}
	if err != nil {
		warn(fmt.Errorf("no journal can be kept in the user's state directory: %w", err))
		return nil, ""
	}
	path := filepath.Join(dir, moveJournalName(haul))
	journal, err := migrate.CreateJournal(ctx, path, haul, warn)
	if err != nil {
		warn(err)
		return nil, ""
	}
	return journal, path
}

// endMoveJournal removes the journal of a move that left nothing to free, and says
// otherwise where it is.
func (p *process) endMoveJournal(journal *migrate.Journal, path string) {
	// A failure is known since the last event was appended.
	_ = journal.Close()
	if !p.removeUnlessLocked(path) {
		p.tell("What the move left locked is recorded in %s. To unlock it: tfhaul unlock %s", path, plainwords.ShellWord(path))
	}
}

// recordFreed records in the journal of a move that its workspace was freed by the haul's
// ID, and removes the journal if nothing else is locked.
func (p *process) recordFreed(ctx context.Context, haul, target string) {
	dir, err := p.stateDir()
	if err != nil || haul != filepath.Base(haul) {
		return
	}
	path := filepath.Join(dir, moveJournalName(haul))
	if _, err := os.Lstat(path); err != nil {
		return // the move ended, or was on another machine
	}
	journal, _, err := migrate.OpenJournal(ctx, path)
	if err != nil {
		p.log.Warn("the journal of the move does not record what was unlocked", "error", err)
		return
	}
	// If this fails, so does closing the journal.
	_ = journal.Append(migrate.Event{Event: migrate.EventUnlocked, Haul: haul, Target: target})
	if err := journal.Close(); err != nil {
		p.log.Warn("the journal of the move does not record what was unlocked", "error", err)
	}
	p.removeUnlessLocked(path)
}

// removeUnlessLocked removes the journal of a move that left nothing to free. It reports
// false if something may be left.
func (p *process) removeUnlessLocked(path string) bool {
	left, err := readLeftLock(path)
	if err != nil || left.mayBeLocked(time.Now()) {
		return false
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.log.Warn("the journal of a finished move stays behind", "file", path, "error", plainwords.WithoutPath(err))
	}
	return true
}

// isMoveJournal reports whether a journal is one that a move keeps by itself.
func (p *process) isMoveJournal(path string) bool {
	dir, err := p.stateDir()
	if err != nil {
		return false
	}
	absolute, err := filepath.Abs(path)
	return err == nil && filepath.Dir(absolute) == filepath.Clean(dir) && isMoveJournalName(path)
}

// A leftLock is what the journal of a move says is left to free.
type leftLock struct {
	report.LeftLock
	locks int // that are held, or may be
	lost  int // lock requests whose reply was lost
}

// mayBeLocked reports whether something is locked now, or may be later.
func (l *leftLock) mayBeLocked(now time.Time) bool {
	return l.locks > 0 || l.lost > 0 && now.Sub(l.Since) <= lostRequestAge
}

// readLeftLock reads what the journal of a move says is left to free.
func readLeftLock(path string) (*leftLock, error) {
	ledger, err := readJournal(path)
	if err != nil {
		return nil, err
	}
	held, lost, sources := ledger.HeldLocks(), ledger.LostRequests(), ledger.SourceLocks()
	l := &leftLock{locks: len(held) + len(sources), lost: len(lost)}
	l.Journal, l.Haul, l.UnlockCommand = path, ledger.Haul(), "tfhaul unlock "+plainwords.ShellWord(path)
	l.Since, _ = ledger.Times()
	l.Workspaces = []string{}
	for _, lock := range append(held, lost...) {
		l.Workspaces = append(l.Workspaces, lock.Target)
	}
	for _, lock := range sources {
		l.Sources = append(l.Sources, lock.Source)
	}
	return l, nil
}

// listLeftLocks lists what moves without --journal left to free. It changes nothing.
func (p *process) listLeftLocks(ctx context.Context) error {
	dir, err := p.stateDir()
	if err != nil {
		return usagef("cannot look for the journals of moves: %v. Name a journal: tfhaul unlock JOURNAL", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usagef("cannot look for the journals of moves in %s: %v. Name a journal: tfhaul unlock JOURNAL", dir, plainwords.WithoutPath(err))
	}
	var left []report.LeftLock
	for _, entry := range entries {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		path := filepath.Join(dir, entry.Name())
		if !isMoveJournalName(path) {
			continue
		}
		l, err := readLeftLock(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // a move has just ended
			continue
		case err != nil:
			p.log.Warn("a journal was passed over", "file", path, "error", err)
			continue
		}
		if l.Running, err = migrate.JournalInUse(path); err != nil {
			continue
		}
		if l.Running || l.mayBeLocked(time.Now()) {
			left = append(left, l.LeftLock)
		}
	}
	return show(p, left, report.LeftLocksJSON, report.LeftLocks)
}
