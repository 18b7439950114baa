package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"tfhaul/migrate"
	"tfhaul/report"
)

// A move without --journal keeps one in the user's state directory, so that a killed
// process leaves behind which workspace it locked. It is removed when the move ends
// without a lock left, and no later move continues from it.

// moveJournals matches their names, which carry the haul's id.
const moveJournals = "move-*.jsonl"

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
		fmt.Fprintf(p.stderr, "tfhaul: this move is not recorded: %s. If it is killed while it holds the lock, free the workspace with the haul's ID, %s: tfhaul unlock [HOST/]ORG/WORKSPACE --haul %[2]s\n",
			report.Plain(err.Error()), haul)
	}
	dir, err := p.stateDir()
	if err == nil {
		err = withoutPath(os.MkdirAll(dir, 0o700))
	}
	if err != nil {
		warn(fmt.Errorf("no journal can be kept in the user's state directory: %w", err))
		return nil, ""
	}
	path := filepath.Join(dir, "move-"+haul+".jsonl")
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
	// Every event is on the disk when it was appended.
	_ = journal.Close()
	left, err := readLeftLock(path)
	if err == nil && left.settled(time.Now()) {
		p.removeMoveJournal(path)
		return
	}
	fmt.Fprintf(p.stderr, "What the move left locked is recorded in %s. To free it: tfhaul unlock %s\n", report.Plain(path), report.Plain(shellWord(path)))
}

func (p *process) removeMoveJournal(path string) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.log.Warn("the journal of a finished move stays behind", "file", path, "error", withoutPath(err))
	}
}

// settleMoveJournal records in the journal of a move that its workspace was freed by the
// haul's ID, and removes it.
func (p *process) settleMoveJournal(ctx context.Context, haul, target string) {
	dir, err := p.stateDir()
	if err != nil || haul != filepath.Base(haul) {
		return
	}
	path := filepath.Join(dir, "move-"+haul+".jsonl")
	if _, err := os.Lstat(path); err != nil {
		return // the move ended, or was on another machine
	}
	journal, _, err := migrate.OpenJournal(ctx, path)
	if err != nil {
		p.log.Warn("the journal of the move does not record what was unlocked", "error", err)
		return
	}
	if err := journal.Append(migrate.Event{Event: migrate.EventUnlocked, Haul: haul, Target: target}); err != nil {
		p.log.Warn("the journal of the move does not record what was unlocked", "error", err)
	}
	_ = journal.Close() // every event is on the disk when it was appended
	p.removeIfSettled(path)
}

// removeIfSettled removes the journal of a move of which nothing is left to free.
func (p *process) removeIfSettled(path string) {
	if left, err := readLeftLock(path); err == nil && left.settled(time.Now()) {
		p.removeMoveJournal(path)
	}
}

// isMoveJournal reports whether a journal is one that a move keeps by itself.
func (p *process) isMoveJournal(path string) bool {
	dir, err := p.stateDir()
	if err != nil {
		return false
	}
	absolute, err := filepath.Abs(path)
	matched, _ := filepath.Match(moveJournals, filepath.Base(path)) // the pattern is well formed
	return err == nil && filepath.Dir(absolute) == filepath.Clean(dir) && matched
}

// A leftLock is what the journal of a move says is left to free.
type leftLock struct {
	report.LeftLock
	locks int // that are held, or may be
	lost  int // lock requests whose reply was lost
}

// settled reports whether there is nothing to free at this time, or later.
func (l *leftLock) settled(now time.Time) bool {
	return l.locks == 0 && (l.lost == 0 || now.Sub(l.Since) > lostRequestAge)
}

// readLeftLock reads what the journal of a move says is left to free.
func readLeftLock(path string) (*leftLock, error) {
	ledger, err := readJournal(path)
	if err != nil {
		return nil, err
	}
	held, lost, sources := ledger.HeldLocks(), ledger.LostRequests(), ledger.SourceLocks()
	l := &leftLock{locks: len(held) + len(sources), lost: len(lost)}
	l.Journal, l.Haul, l.UnlockCommand = path, ledger.Haul(), "tfhaul unlock "+shellWord(path)
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
	paths, err := filepath.Glob(filepath.Join(globEscaped(dir), moveJournals))
	if err != nil {
		return err
	}
	var left []report.LeftLock
	for _, path := range paths {
		if ctx.Err() != nil {
			return ctx.Err()
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
		if l.Running || !l.settled(time.Now()) {
			left = append(left, l.LeftLock)
		}
	}
	return show(p, left, report.LeftLocksJSON, report.LeftLocks)
}

// globEscaped quotes what means something in a pattern.
func globEscaped(path string) string {
	if runtime.GOOS == "windows" {
		return path // where \ separates, and [ is rare
	}
	var quoted []rune
	for _, r := range path {
		switch r {
		case '*', '?', '[', '\\':
			quoted = append(quoted, '\\')
		}
		quoted = append(quoted, r)
	}
	return string(quoted)
}
