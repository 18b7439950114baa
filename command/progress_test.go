package command

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tfhaul/migrate"
)

// events are those of a move that has to wait.
func events() []migrate.Event {
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.Local)
	events := []migrate.Event{
		{Event: migrate.EventCreated},
		{Event: migrate.EventIntent, Relation: migrate.Fresh, Snapshot: &migrate.Snapshot{Serial: 41, Size: 48213}},
		{Event: migrate.EventLocking},
		{Event: migrate.EventWaiting, Holder: "user jo\x1b[2J"},
		{Event: migrate.EventWaiting, Holder: "user jo\x1b[2J"},
		{Event: migrate.EventWaiting, Holder: "run run-1"},
		{Event: migrate.EventLocked},
		{Event: migrate.EventBackup, Backup: "tfhaul-backup/x"},
		{Event: migrate.EventSending},
		{Event: migrate.EventSent, StateVersionID: "sv-1"},
		{Event: migrate.EventVerified},
		{Event: migrate.EventUnlocking},
		{Event: migrate.EventUnlocked},
		{Event: migrate.EventOutcome, Result: &migrate.Result{Outcome: migrate.Moved}},
	}
	for i := range events {
		events[i].Time, events[i].Source, events[i].Target, events[i].Haul = at, "a.tfstate", "host/acme/net", "h1"
	}
	return events
}

func observeAll(interactive bool) string {
	var stderr bytes.Buffer
	p := &process{stderr: &terminal{w: &stderr, interactive: interactive}, held: &heldLocks{}}
	p.log = slog.New(slog.NewTextHandler(p.stderr, nil))
	g := p.progress()
	for _, e := range events() {
		g.observe(e)
	}
	return stderr.String()
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	want := `15:04:05 workspace created
15:04:05 a.tfstate: serial 41, 47.1 KiB, fresh
15:04:05 locked by user jo` + "\ufffd" + `[2J; waiting for it
15:04:05 locked by run run-1; waiting for it
15:04:05 workspace locked
15:04:05 what the workspace holds is kept in tfhaul-backup/x
15:04:05 sending
15:04:05 sent as sv-1
15:04:05 read back: the same bytes
15:04:05 workspace unlocked
`
	if got := observeAll(true); got != want {
		t.Errorf("it shows:\n%s\nwant:\n%s", got, want)
	}
}

func TestProgressWithoutATerminal(t *testing.T) {
	t.Parallel()
	got := observeAll(false)
	if lines := strings.Split(strings.TrimSpace(got), "\n"); len(lines) != 2 || lines[1] != "Waiting for the lock on host/acme/net, held by run run-1…" || strings.Contains(got, "\x1b") {
		t.Errorf("it prints:\n%s", got)
	}
}

// TestHeldLocks stops a move after each of its events.
func TestHeldLocks(t *testing.T) {
	t.Parallel()
	const (
		nothing = "tfhaul: stopped at once; nothing is left locked\n"
		perhaps = "tfhaul: stopped at once; host/acme/net may be left locked. To unlock it: tfhaul unlock host/acme/net --haul h1\n"
		surely  = "tfhaul: stopped at once; host/acme/net is left locked. To unlock it: tfhaul unlock host/acme/net --haul h1\n"
	)
	want := map[string]string{
		migrate.EventCreated: nothing, migrate.EventIntent: nothing, migrate.EventLocking: perhaps, migrate.EventWaiting: perhaps,
		migrate.EventLocked: surely, migrate.EventBackup: surely, migrate.EventSending: surely, migrate.EventSent: surely,
		migrate.EventVerified: surely, migrate.EventUnlocking: surely, migrate.EventUnlocked: nothing, migrate.EventOutcome: nothing,
	}
	var locks heldLocks
	for _, e := range events() {
		locks.observe(e)
		var b bytes.Buffer
		if locks.report()+"\n" != want[e.Event] {
			t.Errorf("after %s: %q, want %q", e.Event, b.String(), want[e.Event])
		}
	}
	// A lock that is kept stays known, whatever follows.
	kept := events()[2]
	locks.observe(kept)
	kept.Event = migrate.EventLockKept
	locks.observe(kept)
	kept.Event, kept.Result = migrate.EventOutcome, &migrate.Result{Outcome: migrate.Failed, Locked: true}
	locks.observe(kept)
	var b bytes.Buffer
	if locks.report()+"\n" != surely {
		t.Errorf("after a lock was kept: %q", b.String())
	}
	// A move that was refused because another user holds the lock leaves no lock.
	kept.Result = &migrate.Result{Outcome: migrate.Refused, Code: migrate.CodeLocked}
	locks.observe(kept)
	b.Reset()
	if locks.report()+"\n" != nothing {
		t.Errorf("after a refusal: %q", b.String())
	}
}
