package migrate_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfhaul/migrate"
)

func openJournal(t *testing.T, path string) (*migrate.Journal, *migrate.Ledger) {
	t.Helper()
	j, past, err := migrate.OpenJournal(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return j, past
}

func TestJournalIsContinued(t *testing.T) {
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	first, past := openJournal(t, path)
	if past.Events() != 0 {
		t.Errorf("a new journal holds %d events", past.Events())
	}
	for _, e := range []string{migrate.EventLocking, migrate.EventLocked} {
		if err := first.Append(migrate.Event{Event: e, Source: "a", Target: "h/o/w", Haul: first.Haul()}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := migrate.OpenJournal(t.Context(), path); !errors.Is(err, migrate.ErrJournalInUse) {
		t.Errorf("a second process got the journal: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	// A crash cut the last line off.
	cut, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cut.WriteString(`{"time":"2026-01-01T00:00:00Z","event":"unlo`); err != nil {
		t.Fatal(err)
	}
	if err := cut.Close(); err != nil {
		t.Fatal(err)
	}
	second, past := openJournal(t, path)
	if second.Haul() != first.Haul() || past.Events() != 3 {
		t.Errorf("continued as haul %s with %d events, want %s with 3", second.Haul(), past.Events(), first.Haul())
	}
	held := past.HeldLocks()
	if len(held) != 1 || held[0] != (migrate.HeldLock{Target: "h/o/w", Haul: first.Haul(), Sure: true}) {
		t.Errorf("held locks %v, want that of h/o/w", held)
	}
	if err := second.Append(migrate.Event{Event: migrate.EventUnlocked, Source: "a", Target: "h/o/w"}); err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third, past := openJournal(t, path)
	defer third.Close()
	if past.Events() != 4 || len(past.HeldLocks()) != 0 {
		t.Errorf("after the unlock: %d events, locks %v", past.Events(), past.HeldLocks())
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
}

func TestJournalErrors(t *testing.T) {
	cases := []struct{ name, text, says string }{
		{"something else", "hello\n", "line 1 is not a journal event"},
		{"a state", "{\n  \"version\": 4,\n", "line 1 is not a journal event"},
		{"another format", `{"event":"haul","format":"tfhaul-journal/9"}` + "\n", "tfhaul-journal/9"},
		{"damaged in the middle", `{"event":"haul","format":"tfhaul-journal/1"}` + "\n\x00\x00\n", "line 2"},
		{"an endless line", strings.Repeat("x", 2<<20) + "\n", "line 1 is not a journal event"},
		{"a state on one line", `{"version":4,"serial":1}`, "not a journal event"},
		{"a log on one line", `{"time":"2026-01-01T00:00:00Z","msg":"` + strings.Repeat("x", 600), "not a journal event"},
		{"a word", "hello", "not a journal event"},
		{"one brace", "{", "not a journal event"},
		{"zeros", strings.Repeat("\x00", 4096), "not a journal event"},
		{"the beginning of any log", `{"time":"2026-01-01T00:00:00Z","level":"INFO"`, "not a journal event"},
		{"a short log on one line", `{"time":"2026-01-01T00:00:00Z","msg":"x"}`, "not a journal event"},
		{"another tail", `{"event":"haul","format":"tfhaul-journal/1"}` + "\n" + `{"version":4}`, "not a journal event"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "haul.jsonl")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := migrate.OpenJournal(t.Context(), path)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want an error with %q and the path", err, c.says)
			}
			if kept, err := os.ReadFile(path); err != nil || string(kept) != c.text {
				t.Error("the file was changed")
			}
		})
	}
	_, _, err := migrate.OpenJournal(t.Context(), filepath.Join(t.TempDir(), "none", "haul.jsonl"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A move without an outcome was cut off.
func TestMovesAreCutOffWithoutAnOutcome(t *testing.T) {
	events := []migrate.Event{
		{Event: migrate.EventIntent, Source: "a", Target: "h/o/a"}, {Event: migrate.EventOutcome, Source: "a", Target: "h/o/a", Result: &migrate.Result{Source: "a", Target: "h/o/a", Outcome: migrate.Moved}},
		{Event: migrate.EventIntent, Source: "b", Target: "h/o/b", Snapshot: &migrate.Snapshot{Serial: 3}}, {Event: migrate.EventLocking, Source: "b", Target: "h/o/b"},
	}
	l := migrate.NewLedger(events)
	if done, cut := l.Results(), l.CutOff(); len(done) != 1 || done[0].Source != "a" || len(cut) != 1 || cut[0].Source != "b" || cut[0].Target != "h/o/b" || cut[0].Snapshot.Serial != 3 {
		t.Errorf("done %v, cut off %v", done, cut)
	}
}

// A journal that an earlier version wrote until it was killed under a lock is continued,
// and nothing in it is lost. The file is never written again.
func TestJournalOfAnEarlierVersion(t *testing.T) {
	text, err := os.ReadFile("testdata/journal-of-an-earlier-version.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	journal, past := openJournal(t, path)
	defer journal.Close()
	const haul, at = "20261128-151638-bb06f98640fc", "tfe.example.com/demo/"
	if journal.Haul() != haul {
		t.Errorf("it is the journal of haul %q", journal.Haul())
	}
	want := []migrate.HeldLock{
		{Target: at + "ws-2", Haul: haul, WorkspaceID: "ws-5CzDvd1m1SZB3Mgd", Sure: true},
		{Target: at + "ws-4", Haul: haul, WorkspaceID: "ws-DYqS3k7PtkYTR7TP"},
	}
	if held := past.HeldLocks(); !slices.Equal(held, want) {
		t.Errorf("held locks %v, want %v", held, want)
	}
	arrived := 0
	for _, r := range past.Recorded() {
		if r.Arrived != nil && r.Version != nil && r.WorkspaceID != "" {
			arrived++
		}
	}
	if ended, cut := len(past.Results()), len(past.CutOff()); ended != 2 || cut != 2 || arrived != 1 {
		t.Errorf("%d moves ended, %d were cut off, %d arrived, want 2, 2 and 1", ended, cut, arrived)
	}
}

func FuzzReadJournal(f *testing.F) {
	f.Add([]byte(`{"event":"haul","format":"tfhaul-journal/1","haul":"x"}` + "\n" + `{"event":"locking","source":"a","target":"b"}` + "\n"))
	f.Add([]byte(`{"event":"haul","format":"tfhaul-journal/1"}` + "\n" + `{"event":"outcome","target":"b","result":{"locked":true}}` + "\n{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := migrate.ReadLedger(bytes.NewReader(text))
		if err != nil {
			return
		}
		held, results, lines := len(l.HeldLocks()), len(l.Results()), bytes.Count(text, []byte("\n"))
		if max(held, results) > lines {
			t.Errorf("%d locks and %d results in %d lines", held, results, lines)
		}
	})
}

// Between two runs the manifest was edited, or the sources were named from another
// directory: what did not arrive then no longer counts, and what did remains.
func TestLedgerOfAChangedHaul(t *testing.T) {
	event := func(name, source, target string, outcome migrate.Outcome) migrate.Event {
		e := migrate.Event{Event: name, Haul: "h", Source: source, Target: target}
		if outcome != "" {
			e.Result = &migrate.Result{Source: source, Target: target, Outcome: outcome}
		}
		return e
	}
	unnamed := func(source, container string) migrate.Event {
		e := event(migrate.EventOutcome, source, container, migrate.Refused)
		e.Result.Code = migrate.CodeNoName
		return e
	}
	l := migrate.NewLedger([]migrate.Event{
		{Event: migrate.EventHaul, Format: migrate.JournalFormat, Haul: "h", Dir: "/w"},
		{Event: migrate.EventPlanned, Haul: "h", Moves: 8},
		event(migrate.EventOutcome, "st/a", "h/o/a", migrate.Moved),
		event(migrate.EventOutcome, "st/b", "h/o/b", migrate.Refused),
		event(migrate.EventLocking, "st/c", "h/o/c", ""),
		event(migrate.EventOutcome, "st/d", "h/o/same", migrate.Refused), // both
		event(migrate.EventOutcome, "st/e", "h/o/same", migrate.Refused),
		unnamed("st/f", "h/o/"),
		unnamed("st/h", "gs://b/?endpoint=http://s"),
		event(migrate.EventOutcome, "st/i", "gs://b/i.tfstate?endpoint=http://s/", migrate.Refused), // its address ends like a container's
		{Event: migrate.EventPlanned, Haul: "h", Moves: 6},
		event(migrate.EventOutcome, "st/a", "h/o/a-2", migrate.Moved),
		event(migrate.EventOutcome, "st/b", "h/o/b-prod", migrate.Moved),
		event(migrate.EventOutcome, "slow/st/c", "h/o/C", migrate.Moved),
		unnamed("st/g", "h/o/"),
		unnamed("st/j", "gs://b/?endpoint=http://s"),
		event(migrate.EventOutcome, "slow/st/i", "gs://b/i.tfstate?endpoint=http://s/", migrate.Moved),
	})
	var got []string
	for _, r := range l.Results() {
		got = append(got, r.Source+" "+r.Target)
	}
	want := []string{"st/a h/o/a", "st/d h/o/same", "st/e h/o/same", "st/f h/o/", "st/h gs://b/?endpoint=http://s",
		"st/a h/o/a-2", "st/b h/o/b-prod", "slow/st/c h/o/C", "st/g h/o/", "st/j gs://b/?endpoint=http://s", "slow/st/i gs://b/i.tfstate?endpoint=http://s/"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("results (-want +got):\n%s", d)
	}
	if cut := l.CutOff(); len(cut) != 0 || len(l.Recorded()) != len(want) || l.Dir() != "/w" {
		t.Errorf("cut off are %v, recorded %d, in %q", cut, len(l.Recorded()), l.Dir())
	}
	if locks := l.HeldLocks(); len(locks) != 0 {
		t.Errorf("locks %v", locks)
	}
	for source, want := range map[string]bool{"st/a": true, "st/z": false} {
		if got := l.Concerns([]migrate.Result{{Source: source, Target: "h/o/z"}}); got != want {
			t.Errorf("it concerns %s: %v", source, got)
		}
	}
}

// A haul that was interrupted, continued and cut off again: the outcome of the first run no
// longer counts, and what was never begun is counted.
func TestLedgerOfAContinuedHaul(t *testing.T) {
	result := func(target string, o migrate.Outcome) *migrate.Result {
		return &migrate.Result{Source: "s-" + target, Target: target, Outcome: o}
	}
	event := func(name, target string, r *migrate.Result) migrate.Event {
		return migrate.Event{Event: name, Haul: "h", Source: "s-" + target, Target: target, Result: r}
	}
	l := migrate.NewLedger([]migrate.Event{
		{Event: migrate.EventPlanned, Haul: "h", Moves: 5},
		event(migrate.EventIntent, "a", nil), event(migrate.EventOutcome, "a", result("a", migrate.Moved)),
		event(migrate.EventIntent, "b", nil), event(migrate.EventOutcome, "b", result("b", migrate.Failed)),
		{Event: migrate.EventPlanned, Haul: "h", Moves: 5},
		event(migrate.EventIntent, "b", nil), event(migrate.EventLocked, "b", nil),
		event(migrate.EventIntent, "c", nil),
	})
	if done := l.Results(); len(done) != 1 || done[0].Target != "a" {
		t.Errorf("outcomes %+v, want a's alone", done)
	}
	if cut := l.CutOff(); len(cut) != 2 || cut[0].Target != "b" || cut[1].Target != "c" {
		t.Errorf("cut off %+v, want b and c", cut)
	}
	if n := l.NotAttempted(); n != 2 {
		t.Errorf("%d moves were not attempted, want 2", n)
	}
	if held := l.HeldLocks(); len(held) != 1 || held[0].Target != "b" {
		t.Errorf("locks %+v, want b's", held)
	}
}

// A later run that only confirms a move does not make it look as if the move cost nothing.
func TestLedgerRemembersWhatAMoveTook(t *testing.T) {
	outcome := func(id string, calls int, seconds float64) migrate.Event {
		return migrate.Event{Event: migrate.EventOutcome, Haul: "h", Source: "a", Target: "o/a",
			Result: &migrate.Result{Source: "a", Target: "o/a", Outcome: migrate.Moved, StateVersionID: id, APICalls: calls, Seconds: seconds}}
	}
	l := migrate.NewLedger([]migrate.Event{outcome("sv-1", 4, 0.5), outcome("sv-1", 0, 0.25)})
	if r := l.Results()[0]; r.APICalls != 4 || r.Seconds != 0.5 {
		t.Errorf("%d API calls in %v s, want 4 in 0.5 s", r.APICalls, r.Seconds)
	}
	// Another state version is another move.
	l = migrate.NewLedger([]migrate.Event{outcome("sv-1", 4, 0.5), outcome("sv-2", 5, 0.25)})
	if r := l.Results()[0]; r.APICalls != 5 || r.Seconds != 0.25 {
		t.Errorf("%d API calls in %v s, want 5 in 0.25 s", r.APICalls, r.Seconds)
	}
}
