package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/memory"
	"tfhaul/migrate"
)

// A relistBench is a haul from sources that can be listed again, into memory.
type relistBench struct {
	t      *testing.T
	source *memory.Store
	target *memory.Store
	moves  []migrate.Move
	haul   *migrate.Haul
	lister *relister

	mu     sync.Mutex
	checks int // of single sources
}

// A relister lists the sources of a relistBench again.
type relister struct {
	requests int
	calls    int
	before   func() // called before each listing
	failed   error
}

func (l *relister) Requests() int { return l.requests }

// Unchanged implements backend.Lister.
func (l *relister) Unchanged(ctx context.Context, pinned []backend.Pinned) ([]bool, error) {
	l.calls++
	if l.before != nil {
		l.before()
	}
	if l.failed != nil {
		return nil, l.failed
	}
	unchanged := make([]bool, len(pinned))
	for i, p := range pinned {
		unchanged[i] = p.State.(*relisted).State.Check(ctx, p.Version) == nil
	}
	return unchanged, nil
}

// A relisted state counts its checks.
type relisted struct {
	backend.State
	bench *relistBench
	check error // what Check returns; nil for what the store says
}

func (r *relisted) Lister() backend.Lister {
	if r.bench.lister == nil {
		return nil
	}
	return r.bench.lister
}

func (r *relisted) Check(ctx context.Context, v backend.Version) error {
	r.bench.mu.Lock()
	r.bench.checks++
	r.bench.mu.Unlock()
	if r.check != nil {
		return r.check
	}
	return r.State.Check(ctx, v)
}

// newRelistBench returns a bench with n sources; listed means that they can be listed again.
func newRelistBench(t *testing.T, n int, listed bool) *relistBench {
	b := &relistBench{t: t, source: memory.New(), target: memory.New()}
	if listed {
		b.lister = &relister{requests: 1}
	}
	for i := range n {
		b.source.Put(b.name(i), stateOf(i))
	}
	b.haul = &migrate.Haul{Engine: &migrate.Engine{Target: b.target.Target(""), Haul: migrate.NewHaulID()}, Parallelism: 1}
	b.haul.BackupDir = filepath.Join(t.TempDir(), "backup")
	b.moves = b.find()
	return b
}

func (b *relistBench) name(i int) string { return fmt.Sprintf("s-%02d.tfstate", i) }

// find searches the sources, as a new process does.
func (b *relistBench) find() []migrate.Move {
	b.t.Helper()
	listing, err := backend.Kinds{b.source.Kind()}.Find(b.t.Context(), "memory://", backend.Filter{})
	if err != nil {
		b.t.Fatal(err)
	}
	var moves []migrate.Move
	for _, s := range listing.States {
		moves = append(moves, migrate.Move{Object: &relisted{State: s, bench: b}, Workspace: s.Place().Key})
	}
	return moves
}

func (b *relistBench) run(ctx context.Context) []migrate.Result {
	b.t.Helper()
	plan, err := b.haul.Plan(ctx, b.moves)
	if err != nil {
		b.t.Fatal(err)
	}
	b.checks = 0
	results, _ := b.haul.Run(ctx, plan)
	for _, r := range results {
		if r.SourceUnchecked {
			b.t.Errorf("%s: the result is provisional after the haul", r.Source)
		}
	}
	return results
}

// applies makes another writer change a source when the move of another one has sent its state.
func (b *relistBench) applies(i, when int) {
	b.haul.Observe = func(e migrate.Event) {
		if e.Event == migrate.EventSent && strings.HasSuffix(e.Source, b.name(when)) {
			b.source.Put(b.name(i), state(99, "00000000-0000-4000-8000-000000000099", 1))
		}
	}
}

// record makes the haul keep a journal at path.
func (b *relistBench) record(path string) (end func()) {
	b.t.Helper()
	journal, past, err := migrate.OpenJournal(b.t.Context(), path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.haul.Journal, b.haul.Past, b.haul.Engine.Haul = journal, past, journal.Haul()
	return func() {
		b.haul.Journal = nil
		if err := journal.Close(); err != nil {
			b.t.Error(err)
		}
	}
}

func TestSourcesOfAHaulAreCheckedByOneListing(t *testing.T) {
	const n = 20
	b := newRelistBench(t, n, true)
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	end := b.record(path)
	ended := 0
	b.haul.Ended = func(r migrate.Result) {
		if ended++; !r.SourceUnchecked {
			t.Errorf("%s: the outcome is final before the sources were listed", r.Source)
		}
	}
	b.lister.before = func() {
		if ended != n {
			t.Errorf("the sources were listed after %d moves, want %d", ended, n)
		}
		if got := readLedger(t, path).SourcesUnchecked(); got != n {
			t.Errorf("before the listing, the journal has %d provisional outcomes, want %d", got, n)
		}
	}
	if got := outcomes(b.run(t.Context())); got[migrate.Moved] != n {
		t.Errorf("got %v, want %d moved", got, n)
	}
	end()
	if b.lister.calls != 1 || b.checks != 0 {
		t.Errorf("%d listings and %d single checks, want 1 and 0", b.lister.calls, b.checks)
	}
	if got := readLedger(t, path).SourcesUnchecked(); got != 0 {
		t.Errorf("the journal has %d provisional outcomes after the haul", got)
	}
}

// A source that changed is reported in the same words, whether it was checked by itself after its
// move or among all others after the haul.
func TestAChangedSourceIsReportedAlike(t *testing.T) {
	const n, changed = 6, 2
	down := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for _, c := range []struct {
		name    string
		when    int // the move whose end the change follows
		prepare func(*relistBench)
		outcome migrate.Outcome
		checks  int // of single sources, where they can be listed
	}{
		{"during its move", changed, func(*relistBench) {}, migrate.Refused, 1},
		{"it is gone", changed, func(b *relistBench) {
			b.haul.Observe = func(e migrate.Event) {
				if e.Event == migrate.EventSent && strings.HasSuffix(e.Source, b.name(changed)) {
					b.source.Put(b.name(changed), nil)
				}
			}
		}, migrate.Refused, 1},
		{"the listing fails", changed, func(b *relistBench) {
			if b.lister != nil {
				b.lister.failed = errors.New("the listing does not end")
			}
		}, migrate.Refused, n},
		{"the server fails", changed, func(b *relistBench) {
			if b.lister != nil {
				b.lister.failed = down
			}
			for _, m := range b.moves {
				m.Object.(*relisted).check = down
			}
		}, migrate.Moved, 0},
		{"it cannot be checked", changed, func(b *relistBench) {
			b.moves[changed].Object.(*relisted).check = errors.New("forbidden")
		}, migrate.Moved, 1},
		{"it replaced a state", changed, func(b *relistBench) {
			b.target.KeepsOne = true
			b.target.Put(b.name(changed), state(1, foreign, 4))
			b.moves[changed].Replace = true
		}, migrate.Refused, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var told [2]migrate.Result
			for i, listed := range []bool{false, true} {
				b := newRelistBench(t, n, listed)
				b.applies(changed, c.when)
				c.prepare(b)
				var revised []migrate.Result
				b.haul.Revised = func(_, after migrate.Result) { revised = append(revised, after) }
				path := filepath.Join(t.TempDir(), "haul.jsonl")
				end := b.record(path)
				results := b.run(t.Context())
				end()
				told[i] = results[changed]
				told[i].Seconds, told[i].Backup = 0, strings.TrimPrefix(told[i].Backup, b.haul.BackupDir)
				told[i].APICalls = 0
				for k, r := range results {
					if k != changed && r.Outcome != migrate.Moved {
						t.Errorf("%s: %s %s", r.Source, r.Outcome, r.Message)
					}
				}
				if listed && b.checks != c.checks {
					t.Errorf("%d single checks, want %d", b.checks, c.checks)
				}
				if want := c.outcome == migrate.Refused && listed; want != (len(revised) == 1) {
					t.Errorf("the progress was corrected by %v", revised)
				}
				ledger := readLedger(t, path)
				if got := ledger.Results()[changed]; got.Outcome != c.outcome || got.Code != told[i].Code || got.Message != told[i].Message || ledger.SourcesUnchecked() != 0 {
					t.Errorf("the journal has %s %q, and %d provisional outcomes", got.Outcome, got.Message, ledger.SourcesUnchecked())
				}
			}
			var text [2][]byte
			for i, r := range told {
				var err error
				if text[i], err = json.Marshal(r); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(text[0], text[1]) || told[1].Outcome != c.outcome {
				t.Errorf("by itself: %s\namong all: %s", text[0], text[1])
			}
		})
	}
}

// A process that ends before the sources were listed leaves provisional outcomes. The next run
// of the haul reads the sources again and makes them final.
func TestAKilledHaulChecksItsSourcesLater(t *testing.T) {
	const n, changed = 5, 1
	newer := state(50, "00000000-0000-4000-8000-000000000001", 3)
	for _, changes := range []bool{false, true} {
		t.Run(fmt.Sprintf("changed %v", changes), func(t *testing.T) {
			b := newRelistBench(t, n, true)
			dir := t.TempDir()
			path, killed := filepath.Join(dir, "haul.jsonl"), filepath.Join(dir, "killed.jsonl")
			end := b.record(path)
			b.lister.before = func() {
				text, err := os.ReadFile(path)
				if err := errors.Join(err, os.WriteFile(killed, text, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			b.run(t.Context())
			end()
			if changes {
				b.source.Put(b.name(changed), newer)
			}

			b.moves, b.lister.before = b.find(), nil
			end = b.record(killed)
			if got := b.haul.Past.SourcesUnchecked(); got != n {
				t.Errorf("the journal of the killed haul has %d provisional outcomes, want %d", got, n)
			}
			results := b.run(t.Context())
			end()
			if got := outcomes(results)[migrate.Moved]; got != n {
				t.Errorf("%d were moved, want %d", got, n)
			}
			if got := readLedger(t, killed).SourcesUnchecked(); got != 0 {
				t.Errorf("after the second run, %d outcomes are provisional", got)
			}
			want := stateOf(changed)
			if changes {
				want = newer
			}
			if held := b.held(changed); !bytes.Equal(held, want) {
				t.Errorf("the target holds %d bytes, want %d", len(held), len(want))
			}
		})
	}
}

// A later run that does not include a move leaves its outcome provisional.
func TestOnlyMovesOfTheRunBecomeFinal(t *testing.T) {
	ledger := migrate.NewLedger(nil)
	add := func(source string) {
		ledger.Add(migrate.Event{Event: migrate.EventOutcome, Source: source, Target: "memory://" + source,
			Result: &migrate.Result{Source: source, Target: "memory://" + source, Outcome: migrate.Moved, SourceUnchecked: true}})
	}
	ledger.Add(migrate.Event{Event: migrate.EventPlanned, Moves: 2})
	add("a")
	add("b")
	ledger.Add(migrate.Event{Event: migrate.EventPlanned, Moves: 1})
	add("b")
	ledger.Add(migrate.Event{Event: migrate.EventSourcesChecked})
	if got := ledger.SourcesUnchecked(); got != 1 {
		t.Errorf("%d outcomes are provisional, want that of a", got)
	}
}

func TestAnInterruptedHaulChecksWhatItMoved(t *testing.T) {
	const n, moved, changed = 8, 3, 1
	b := newRelistBench(t, n, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.applies(changed, moved-1)
	ended := 0
	b.haul.Ended = func(migrate.Result) {
		if ended++; ended == moved {
			cancel()
		}
	}
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	end := b.record(path)
	results := b.run(ctx)
	end()
	if got := outcomes(results); got[migrate.Moved] != moved-1 || got[migrate.Refused] != 1 || results[changed].Code != migrate.CodeSourceChanged {
		t.Errorf("got %v, and %s for the changed source", got, results[changed].Code)
	}
	if b.lister.calls != 1 || b.checks != 1 {
		t.Errorf("%d listings and %d checks, want 1 each", b.lister.calls, b.checks)
	}
	if got := readLedger(t, path).SourcesUnchecked(); got != 0 {
		t.Errorf("%d outcomes are provisional", got)
	}
}

// A plan is relied on for a minute. After that, one listing shows which sources are unchanged, and
// the others are read again before their moves.
func TestOldPlansAreRelisted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, changed = 12, 7
		b := newRelistBench(t, n, true)
		plan, err := b.haul.Plan(t.Context(), b.moves)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute) // the user reads the plan
		newer := state(50, "00000000-0000-4000-8000-000000000007", 3)
		b.source.Put(b.name(changed), newer)
		b.checks = 0
		results, _ := b.haul.Run(t.Context(), plan)
		if got := outcomes(results)[migrate.Moved]; got != n {
			t.Fatalf("%d were moved, want %d", got, n)
		}
		if held := b.held(changed); !bytes.Equal(held, newer) {
			t.Errorf("the target holds %d bytes, want the newer %d", len(held), len(newer))
		}
		if b.lister.calls != 2 || b.checks != 1 {
			t.Errorf("%d listings and %d single checks, want 2 and 1", b.lister.calls, b.checks)
		}
	})
}

func TestFewSourcesAreCheckedOneByOne(t *testing.T) {
	b := newRelistBench(t, 3, true)
	b.lister.requests = 3
	b.run(t.Context())
	if b.lister.calls != 0 || b.checks != 2*3 {
		t.Errorf("%d listings and %d single checks, want 0 and 6", b.lister.calls, b.checks)
	}
}

// A witness is a lease whose requests show what is current.
type witness struct {
	backend.Lease
	source *relisted
	blind  *bool
}

func (w *witness) Shows(v backend.Version) bool {
	return !*w.blind && w.source.State.Check(context.Background(), v) == nil
}

// lockedSource is a source whose lock is a witness.
type lockedSource struct {
	lockable // of the relisted state
	blind    bool
}

// Lister implements backend.Listable.
func (l *lockedSource) Lister() backend.Lister { return l.State.(*relisted).Lister() }

func (l *lockedSource) TakeLock(ctx context.Context, r backend.LockRequest) (backend.Lease, error) {
	held, err := l.lockable.TakeLock(ctx, r)
	if err != nil {
		return nil, err
	}
	return &witness{held, l.State.(*relisted), &l.blind}, nil
}

// The response to the release of a source's lock replaces the check. Nothing else changes.
func TestReleasedSourcesNeedNoCheck(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings migrate.Settings
		blind    bool // the response shows nothing
		changed  bool
		checks   int
	}{
		{name: "locked", settings: migrate.Settings{LockSource: true}},
		{name: "locked and changed", settings: migrate.Settings{LockSource: true}, changed: true, checks: 1},
		{name: "locked, without a version in the response", settings: migrate.Settings{LockSource: true}, blind: true, checks: 2},
		{name: "locked and changed, without a version", settings: migrate.Settings{LockSource: true}, blind: true, changed: true, checks: 2},
		{name: "frozen", settings: migrate.Settings{FreezeSource: true}, checks: 1},
		{name: "frozen and changed", settings: migrate.Settings{FreezeSource: true}, changed: true, checks: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newRelistBench(t, 1, true)
			b.haul.Settings = c.settings
			source := &lockedSource{lockable: lockable{State: b.moves[0].Object}, blind: c.blind}
			b.moves[0].Object = source
			if c.changed {
				b.applies(0, 0)
			}
			r := b.run(t.Context())[0]
			if want := (map[bool]migrate.Outcome{false: migrate.Moved, true: migrate.Refused})[c.changed]; r.Outcome != want {
				t.Errorf("%s, want %s: %s", r.Outcome, want, r.Message)
			}
			if c.changed && (r.Code != migrate.CodeSourceChanged || !strings.Contains(r.Message, "arrived, but")) {
				t.Errorf("%s: %s", r.Code, r.Message)
			}
			if b.checks != c.checks || b.lister.calls != 0 {
				t.Errorf("%d checks and %d listings, want %d and 0", b.checks, b.lister.calls, c.checks)
			}
			if left := source.lock != nil; left != (c.settings.FreezeSource && !c.changed) {
				t.Errorf("the source is locked afterwards: %v", left)
			}
		})
	}
}

// held returns what the target holds.
func (b *relistBench) held(i int) []byte {
	b.t.Helper()
	listing, err := backend.Kinds{b.target.Kind()}.Find(b.t.Context(), "memory://"+b.name(i), backend.Filter{})
	if err != nil || len(listing.States) != 1 {
		b.t.Fatal(err)
	}
	in, _, err := listing.States[0].Open(b.t.Context(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	var text bytes.Buffer
	_, err = text.ReadFrom(in)
	if err := errors.Join(err, in.Close()); err != nil {
		b.t.Fatal(err)
	}
	return slices.Clone(text.Bytes())
}
