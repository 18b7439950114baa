package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// readJournal reads a journal without locking it.
func readJournal(path string) (*migrate.Ledger, error) {
	// Opening a pipe would wait for its other end.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil, usagef("cannot read the journal %q: it is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, usagef("cannot read the journal %q: %v", path, plainwords.WithoutPath(err))
	}
	ledger, err := migrate.ReadLedger(file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, usagef("cannot use the journal %q: %v", path, plainwords.WithoutPath(err))
	}
	return ledger, nil
}

// A record is the journal of a haul, or of a move with --journal, while it is carried
// out.
type record struct {
	path    string
	journal *migrate.Journal
	past    *migrate.Ledger
	held    *heldLocks
	isNew   bool // it is not left behind unless it is kept
}

// openRecord opens a journal, or begins it. Without a path it begins one named after the
// time.
func (p *process) openRecord(ctx context.Context, path string) (*record, error) {
	if path == "" {
		path = newJournalName(time.Now())
	}
	r := &record{path: path, held: p.held}
	_, err := os.Lstat(path)
	r.isNew = errors.Is(err, fs.ErrNotExist)
	r.journal, r.past, err = migrate.OpenJournal(ctx, path)
	if errors.Is(err, migrate.ErrJournalInUse) {
		return nil, usagef("%v: the haul still runs; wait for its end, or stop it", err)
	}
	if err != nil {
		return nil, usagef("%v", err)
	}
	return r, nil
}

// newJournalName returns a name after the time that no file has.
func newJournalName(now time.Time) string {
	stem := "tfhaul-" + now.Format("20060102-150405")
	for name, n := stem+".jsonl", 2; ; n++ {
		if _, err := os.Lstat(name); err != nil {
			return name // opening it fails if it cannot be examined
		}
		name = fmt.Sprintf("%s-%d.jsonl", stem, n)
	}
}

// engage makes an engine record what it does, and continue what was begun before.
func (r *record) engage(engine *migrate.Engine) {
	engine.Journal, engine.Haul, engine.Past = r.journal, r.journal.Haul(), r.past
	r.held.inherit(r.past)
	r.past = nil // as large as the haul, and the engine has it
}

// keep keeps the file, because moves begin.
func (r *record) keep() { r.isNew = false }

// close closes the journal. A failure is known since the last event was appended.
func (r *record) close() {
	_ = r.journal.Close()
	if r.isNew {
		// It names nothing but a haul that never began.
		_ = os.Remove(r.path)
	}
}

// isJournal reports whether a file that was given as a source is a journal.
func isJournal(ref string) bool {
	if !strings.EqualFold(filepath.Ext(ref), ".jsonl") || strings.Contains(ref, "://") {
		return false
	}
	_, err := readJournal(ref)
	return err == nil
}

// journalAsSource explains what to do with a journal that was given as a source.
func journalAsSource(path string) error {
	command := "the command that began it, with --journal " + plainwords.ShellWord(path)
	if ledger, err := readJournal(path); err == nil && ledger.Command() != "" {
		command = ledger.Command()
	}
	return usagef("%s is the journal of a haul, not a source. To continue that haul: %s", path, command)
}
