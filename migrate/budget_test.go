package migrate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A cost is what a move asks of a server, counted there: the API calls, which the
// rate limit counts, and the transfers from and to signed addresses, which it does
// not.
type cost struct{ calls, transfers int }

func (b *bench) cost() cost {
	var c cost
	for _, q := range b.sim.Requests() {
		switch {
		case strings.HasPrefix(q.Path, "/api/v2/"):
			c.calls++
		case strings.HasPrefix(q.Path, "/_archivist/"):
			c.transfers++
		}
	}
	b.sim.ResetRequests()
	return c
}

// A move costs exactly so many requests, for every outcome that it can have.
func TestCostOfAMove(t *testing.T) {
	older, same, newer := state(6, lineage, 1), state(7, lineage, 1), state(8, lineage, 1)
	cases := []struct {
		name    string
		holds   []byte // nil is nothing
		change  func(*bench, *migrate.Move)
		outcome migrate.Outcome
		want    cost
		hcp     cost // where it is another there
	}{
		{name: "fresh", outcome: migrate.Moved, want: cost{5, 1}},
		{name: "newer", holds: older, outcome: migrate.Moved, want: cost{6, 2}},
		{name: "identical", holds: same, outcome: migrate.AlreadyThere, want: cost{2, 1}},
		{name: "stale", holds: newer, outcome: migrate.Refused, want: cost{2, 1}},
		{name: "unrelated", holds: state(7, foreign, 1), outcome: migrate.Refused, want: cost{2, 1}},
		{name: "unrelated, replaced", holds: state(7, foreign, 1), outcome: migrate.Moved, want: cost{6, 3},
			change: func(_ *bench, m *migrate.Move) { m.Replace = true }},
		// What is signed is still being processed when HCP Terraform answers, and is
		// asked for again by its id, because it is not current yet.
		{name: "fresh, signed", outcome: migrate.Moved, want: cost{5, 2}, hcp: cost{6, 2},
			change: func(b *bench, _ *migrate.Move) { b.engine.Upload = migrate.UploadSigned }},
		// Whose the token is has to be known before a workspace is created.
		{name: "created", outcome: migrate.Moved, want: cost{7, 1},
			change: func(b *bench, m *migrate.Move) { b.engine.Create, m.Workspace = true, "new" }},
		{name: "missing", outcome: migrate.Refused, want: cost{1, 0},
			change: func(_ *bench, m *migrate.Move) { m.Workspace = "missing" }},
		{name: "a dry run of a fresh one", outcome: migrate.WouldMove, want: cost{1, 0},
			change: func(b *bench, _ *migrate.Move) { b.engine.DryRun = true }},
	}
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		for _, c := range cases {
			t.Run(fmt.Sprintf("%s/%s", server, c.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{Personality: server})
					b.snapshot(same)
					if c.holds != nil {
						b.holds(c.holds)
					}
					b.sim.ResetRequests()
					r := b.run(func(m *migrate.Move) {
						if c.change != nil {
							c.change(b, m)
						}
					})
					if r.Outcome != c.outcome {
						t.Fatalf("it ended as %s: %s", r.Outcome, r.Message)
					}
					want := c.want
					if server == tfesim.HCP && c.hcp != (cost{}) {
						want = c.hcp
					}
					got := b.cost()
					if got != want {
						t.Errorf("it cost %+v, want %+v", got, want)
					}
					if r.APICalls != got.calls {
						t.Errorf("it reports %d API calls, the server counted %d", r.APICalls, got.calls)
					}
				})
			})
		}
	}
}

// In a haul a workspace is not asked for: the listing returns a hundred at a time.
func TestCostOfAHaul(t *testing.T) {
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		t.Run(server.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 110
				b := newBench(t, tfesim.Options{Personality: server})
				moves := b.landscape(n)
				b.sim.ResetRequests()
				// Two pages, and whose the token is.
				const once = 3
				for _, run := range []struct {
					outcome migrate.Outcome
					each    int
				}{{migrate.Moved, 4}, {migrate.AlreadyThere, 1}} {
					results, err := b.haulAll(b.haul(), moves)
					if err != nil {
						t.Fatal(err)
					}
					if got := outcomes(results)[run.outcome]; got != n {
						t.Fatalf("%d are %s, want %d", got, run.outcome, n)
					}
					if got, want := b.cost(), (cost{once + run.each*n, n}); got != want {
						t.Errorf("%s: the haul cost %+v, want %+v", run.outcome, got, want)
					}
				}
			})
		})
	}
}

// A large state passes through in the memory of a small one, whichever way it is sent.
func TestMemoryIsFlat(t *testing.T) {
	const small, large = 1 << 20, 16 << 20
	for _, upload := range []migrate.UploadMode{migrate.UploadInline, migrate.UploadSigned} {
		t.Run(string(upload), func(t *testing.T) {
			// The server keeps its states in files, so that its memory is flat, too.
			b := newBench(t, tfesim.Options{Data: filepath.Join(t.TempDir(), "data")})
			b.engine.Upload = upload
			allocated := func(name string, size int) uint64 {
				b.workspaceExists(name)
				// Not by more resources: the server's answer names them all.
				padding := `"padding": [` + strings.Repeat(`"0123456789abc",`, size/16) + `""], "outputs": {`
				b.snapshot([]byte(strings.Replace(string(state(7, lineage, 9)), `"outputs": {`, padding, 1)))
				runtime.GC()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				r := b.run(func(m *migrate.Move) { m.Workspace = name })
				runtime.ReadMemStats(&after)
				if r.Outcome != migrate.Moved {
					t.Fatalf("it ended as %s: %s", r.Outcome, r.Message)
				}
				return after.TotalAlloc - before.TotalAlloc
			}
			allocated("first", small) // connections, pools
			little, much := allocated("small", small), allocated("large", large)
			t.Logf("%d KiB for %d MiB, %d KiB for %d MiB, client and server", little>>10, small>>20, much>>10, large>>20)
			if much > little+2<<20 {
				t.Errorf("%d KiB were allocated for %d MiB, and %d KiB for %d MiB: it grows with the state", little>>10, small>>20, much>>10, large>>20)
			}
		})
	}
}

// The budget of what a haul remembers, in bytes a move: when it is planned (so that
// what was read need not be read again), when it has ended (the plan, and the results
// that it is reported from), and of an earlier run's journal. What a move allocates on
// its way is not counted. Ten thousand moves are 15 MB then, without their names, and the
// garbage collector takes as much again.
const (
	maxPlanned  = 1560
	maxEnded    = 1150
	maxRecorded = 1240
)

func TestMemoryOfAHaul(t *testing.T) {
	const few, many = 100, 600
	haulMemory(t, few) // what is allocated once in a process would make the first look larger
	var grown [3]int64
	for _, n := range []int{few, many} {
		planned, ended, recorded := haulMemory(t, n)
		for i, live := range []int64{planned, ended, recorded} {
			grown[i] = live - grown[i]
		}
	}
	for i, budget := range []struct {
		of   string
		most int64
	}{{"a planned move", maxPlanned}, {"a move that ended", maxEnded}, {"a move in a journal", maxRecorded}} {
		each := grown[i] / (many - few)
		t.Logf("%s holds %d bytes", budget.of, each)
		if each > budget.most {
			t.Errorf("%s holds %d bytes, and may hold %d", budget.of, each, budget.most)
		}
	}
}

// haulMemory says how many bytes are held after a haul was planned, after it was run,
// and of its journal; the snapshots' places and the server are not among them.
func haulMemory(t *testing.T, n int) (planned, ended, recorded int64) {
	b := newBench(t, tfesim.Options{RateLimit: -1})
	b.engine.Observe = nil
	moves := b.landscape(n)
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	b.withJournal(path, migrate.UploadAuto)
	before := b.live()
	haul := b.haul()
	plan, err := haul.Plan(t.Context(), moves)
	if err != nil {
		t.Fatal(err)
	}
	planned = b.live() - before
	results, err := haul.Run(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if got := outcomes(results)[migrate.Moved]; got != n {
		t.Fatalf("%d moved, want %d", got, n)
	}
	ended = b.live() // and what the server holds now
	runtime.KeepAlive(results)
	runtime.KeepAlive(plan)
	ended -= b.live() // which they are not any more
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	b.engine.Journal = nil
	before = b.live()
	ledger := readLedger(t, path)
	recorded = b.live() - before
	if got := len(ledger.Results()); got != n {
		t.Fatalf("the journal tells of %d moves, want %d", got, n)
	}
	runtime.KeepAlive(moves)
	return planned, ended, recorded
}

// live returns how many bytes are not garbage, without the server's notes of requests.
func (b *bench) live() int64 {
	b.sim.ResetRequests()
	runtime.GC()
	runtime.GC() // frees what pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func readLedger(t *testing.T, path string) *migrate.Ledger {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ledger, err := migrate.ReadLedger(file)
	if err != nil {
		t.Fatal(err)
	}
	return ledger
}

// However many moves there are, few are under way: also where there is nothing to do
// but to record so, and all wait for the disk alone.
func TestFewMovesAtATime(t *testing.T) {
	const n, few = 500, 120
	b := newBench(t, tfesim.Options{RateLimit: -1})
	b.engine.Observe = nil
	moves := b.landscape(n)
	b.withJournal(filepath.Join(t.TempDir(), "haul.jsonl"), migrate.UploadAuto)
	defer func() {
		if err := b.engine.Journal.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, outcome := range []migrate.Outcome{migrate.Moved, migrate.AlreadyThere} {
		before, most := runtime.NumGoroutine(), 0
		haul := b.haul()
		haul.Ended = func(migrate.Result) { most = max(most, runtime.NumGoroutine()) }
		results, err := b.haulAll(haul, moves)
		if err != nil {
			t.Fatal(err)
		}
		if got := outcomes(results)[outcome]; got != n {
			t.Fatalf("%d are %s, want %d", got, outcome, n)
		}
		if t.Logf("%s: %d goroutines at most, %d before", outcome, most, before); most > before+few {
			t.Errorf("%s: there were %d goroutines, and %d before: it grows with the moves", outcome, most, before)
		}
	}
}

// Which locks are held is known without remembering what was unlocked.
func TestLocksAreForgotten(t *testing.T) {
	var locks migrate.LockLedger
	add := func(i int) {
		target := fmt.Sprintf("h/o/w%d", i)
		for _, event := range []string{migrate.EventIntent, migrate.EventLocking, migrate.EventLocked, migrate.EventSent, migrate.EventUnlocking, migrate.EventUnlocked} {
			locks.Add(migrate.Event{Event: event, Source: "s", Target: target, Snapshot: &migrate.Snapshot{}})
		}
		locks.Add(migrate.Event{Event: migrate.EventOutcome, Target: target, Result: &migrate.Result{Outcome: migrate.Moved}})
	}
	add(0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1000 {
		add(i)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := locks.HeldLocks(); len(held) > 0 {
		t.Errorf("%d locks are held, want none", len(held))
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 50_000 {
		t.Errorf("%d bytes are held of 1000 moves that ended", grown)
	}
}
