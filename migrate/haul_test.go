package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-multierror"

	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// names makes workspace names "ws-00", "ws-01", …
func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("ws-%02d", i)
	}
	return all
}

// stateOf is the snapshot that goes into the i-th workspace.
func stateOf(i int) []byte {
	return state(int64(10+i), fmt.Sprintf("00000000-0000-4000-8000-%012d", i), uint64(i))
}

// landscape writes n snapshots, makes their workspaces, and returns the moves.
func (b *bench) landscape(n int) []migrate.Move {
	b.t.Helper()
	dir := b.t.TempDir()
	b.engine.BackupDir = filepath.Join(dir, "backup")
	for i, name := range names(n) {
		b.workspaceExists(name)
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			b.t.Fatal(err)
		}
		writeSnapshot(b.t, filepath.Join(dir, name), stateOf(i))
	}
	return b.movesOf(dir)
}

func (b *bench) movesOf(dir string) []migrate.Move {
	b.t.Helper()
	listing, err := backend.Kinds{file.Kind(backend.Connection{})}.Find(b.t.Context(), dir, backend.Filter{})
	if err != nil {
		b.t.Fatal(err)
	}
	moves := make([]migrate.Move, len(listing.States))
	for i, o := range listing.States {
		moves[i] = migrate.Move{Object: o, Workspace: o.Place().Dir}
	}
	return moves
}

func (b *bench) haul() *migrate.Haul {
	return &migrate.Haul{Engine: b.engine, Parallelism: 4}
}

// haulAll plans and runs.
func (b *bench) haulAll(h *migrate.Haul, moves []migrate.Move) ([]migrate.Result, error) {
	b.t.Helper()
	plan, err := h.Plan(b.t.Context(), moves)
	if err != nil {
		b.t.Fatal(err)
	}
	return h.Run(b.t.Context(), plan)
}

// wantAll fails unless each of n workspaces holds its snapshot, unlocked.
func (b *bench) wantAll(n int) {
	b.t.Helper()
	for i, name := range names(n) {
		held, _, ok := b.sim.Current(org, name)
		if !ok || !bytes.Equal(held, stateOf(i)) {
			b.t.Errorf("%s does not hold its snapshot", name)
		}
	}
	if locked := b.sim.Locked(org); len(locked) > 0 {
		b.t.Errorf("%q are locked", locked)
	}
}

func outcomes(results []migrate.Result) map[migrate.Outcome]int {
	count := map[migrate.Outcome]int{}
	for _, r := range results {
		count[r.Outcome]++
	}
	return count
}

func TestHaulMovesAll(t *testing.T) {
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		t.Run(server.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 40
				b := newBench(t, tfesim.Options{Personality: server})
				moves := b.landscape(n)
				b.sim.ResetRequests()
				results, err := b.haulAll(b.haul(), moves)
				if err != nil {
					t.Fatal(err)
				}
				b.wantAll(n)
				for i, r := range results {
					if r.Outcome != migrate.Moved || r.APICalls > 4 {
						t.Errorf("%s: %s in %d API calls, want moved in at most 4: %s", r.Target, r.Outcome, r.APICalls, r.Message)
					}
					if want := moves[i].Object.Address(); r.Source != want {
						t.Errorf("result %d is of %s, want %s", i, r.Source, want)
					}
				}
				// A second haul finds all there, at one call and one download each.
				b.sim.ResetRequests()
				again, err := b.haulAll(b.haul(), moves)
				if err != nil || outcomes(again)[migrate.AlreadyThere] != n {
					t.Errorf("the second haul: %v, %v", outcomes(again), err)
				}
				for _, r := range again {
					if r.APICalls > 1 {
						t.Errorf("%s: %d calls to find it already there, want 1", r.Target, r.APICalls)
					}
				}
			})
		})
	}
}

// With the limit announced by the server, a haul is bound by it and by nothing else.
func TestHaulUsesTheRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, limit = 60, 30
		b := newBench(t, tfesim.Options{RateLimit: limit, Latency: 40 * time.Millisecond})
		moves := b.landscape(n)
		h := b.haul()
		h.Parallelism = 16
		b.sim.ResetRequests()
		start := time.Now()
		if _, err := b.haulAll(h, moves); err != nil {
			t.Fatal(err)
		}
		b.wantAll(n)
		calls := 0
		for _, q := range b.sim.Requests() {
			if strings.HasPrefix(q.Path, "/api/v2/") {
				calls++
			}
		}
		took, ideal := time.Since(start), time.Duration(calls)*time.Second/limit
		if ratio := took.Seconds() / ideal.Seconds(); ratio > 1.15 {
			t.Errorf("%d calls took %s, %.2f times the %s that the limit allows; want at most 1.15", calls, took, ratio, ideal)
		} else {
			t.Logf("%d calls in %s: %.3f of calls ÷ limit", calls, took, ratio)
		}
	})
}

// A workspace that another user has locked is waited for without keeping the others
// from moving.
func TestHaulDoesNotWaitInASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 12
		b := newBench(t, tfesim.Options{})
		moves := b.landscape(n)
		for _, name := range names(4) {
			if err := b.sim.Lock(org, name, tfesim.SecondUser, "apply"); err != nil {
				t.Fatal(err)
			}
		}
		b.engine.LockTimeout = time.Hour
		h := b.haul() // four slots, and the four first are locked
		moved := 0
		h.Ended = func(r migrate.Result) {
			if r.Outcome != migrate.Moved {
				t.Errorf("%s: %s", r.Target, r.Message)
			}
			if moved++; moved == n-4 {
				for _, name := range names(4) {
					if err := b.sim.Unlock(org, name); err != nil {
						t.Error(err)
					}
				}
			}
		}
		if _, err := b.haulAll(h, moves); err != nil {
			t.Fatal(err)
		}
		b.wantAll(n)
	})
}

const lockEndpoint = "POST /workspaces/:workspace_id/actions/lock"

func TestHaulEndsEarly(t *testing.T) {
	cases := []struct {
		name     string
		fault    tfesim.Fault
		endpoint string
		most     int // moves that fail before the haul ends
		causes   int
	}{
		{"the token expires", tfesim.AnswerError(401, "unauthorized", ""), lockEndpoint, 4, 1},
		{"the server is out of order", tfesim.AnswerHTML(503), lockEndpoint, 24, 1},
		// Whatever was under way at that moment fails in its own way.
		{"the token expires for everything", tfesim.AnswerError(401, "unauthorized", ""), "", 8, 6},
		{"everything is answered 503", tfesim.AnswerHTML(503), "", 28, 6},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 60
				b := newBench(t, tfesim.Options{})
				moves := b.landscape(n)
				h := b.haul()
				plan, err := h.Plan(t.Context(), moves)
				if err != nil {
					t.Fatal(err)
				}
				c.fault.Nth, c.fault.Times, c.fault.Endpoint = 11, -1, c.endpoint
				if c.endpoint == "" {
					c.fault.Nth = 60
				}
				b.sim.Inject(c.fault)
				results, err := h.Run(t.Context(), plan)
				count := outcomes(results)
				if count[migrate.Failed] == 0 || count[migrate.Failed] > c.most || count[migrate.Skipped] == 0 || len(results) != n {
					t.Errorf("got %v, want at most %d failed and the rest skipped", count, c.most)
				}
				causes, ok := errors.AsType[*multierror.Error](err)
				if !ok || len(causes.Errors) > c.causes {
					t.Errorf("want at most %d causes, got %v", c.causes, err)
				}
				// What is reported as moved is there, and nothing else; all can be continued.
				for i, r := range results {
					held, _, there := b.sim.Current(org, names(n)[i])
					unproven := r.Locked && there // what could not be looked at is not said to be moved
					if there != (r.Outcome == migrate.Moved) && !unproven || there && !bytes.Equal(held, stateOf(i)) {
						t.Errorf("%s is reported as %s, and the server holds a state: %v", r.Target, r.Outcome, there)
					}
				}
				b.sim.ClearFaults()
				if _, err := b.haulAll(b.haul(), moves); err != nil {
					t.Error(err)
				}
				b.wantAll(n)
			})
		})
	}
}

func TestPlanFindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{TerraformVersion: "0.13.7"})
		moves := b.landscape(4)
		// The fourth goes where the third goes; the second is a copy of the first.
		moves[3].Workspace = moves[2].Workspace
		if err := os.WriteFile(moves[1].Object.Address(), stateOf(0), 0o600); err != nil {
			t.Fatal(err)
		}
		plan, err := b.haul().Plan(t.Context(), moves)
		if err != nil {
			t.Fatal(err)
		}
		var codes []string
		for _, f := range plan.Findings {
			codes = append(codes, f.Code)
		}
		want := []string{migrate.FindingCollision, migrate.FindingSharedLineage, migrate.FindingTerraformVersion, migrate.FindingTerraformVersion}
		if !slices.Equal(codes, want) {
			t.Errorf("found %q, want %q", codes, want)
		}
		for i, outcome := range []migrate.Outcome{migrate.WouldMove, migrate.WouldMove, migrate.Refused, migrate.Refused} {
			if plan.Moves[i].Result.Outcome != outcome {
				t.Errorf("move %d: %s, want %s", i, plan.Moves[i].Result.Outcome, outcome)
			}
		}
		for _, q := range b.sim.Requests() {
			if q.Method != "GET" {
				t.Errorf("the plan made the request %s", q.Endpoint)
			}
		}
	})
}

// A process that dies after any event of its journal is continued by the next: the
// state arrives, once, and no lock is left.
func TestResumeAfterDeath(t *testing.T) {
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.Lax} {
		for _, upload := range []migrate.UploadMode{migrate.UploadInline, migrate.UploadSigned} {
			for dieAt := 1; ; dieAt++ {
				died := false
				t.Run(fmt.Sprintf("%s/%s/event %d", server, upload, dieAt), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						died = resumeAfterDeath(t, server, upload, dieAt)
					})
				})
				if !died {
					break
				}
			}
		}
	}
}

// resumeAfterDeath dies just before the event is written and reports whether there
// was one.
func resumeAfterDeath(t *testing.T, server tfesim.Personality, upload migrate.UploadMode, dieAt int) bool {
	b := newBench(t, tfesim.Options{Personality: server})
	moves := b.landscape(1)
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	b.withJournal(path, upload)
	died := b.dieAt(dieAt, moves[0])
	b.withJournal(path, upload)
	results, err := b.haulAll(b.haul(), moves)
	if err != nil {
		t.Fatal(err)
	}
	if o := results[0].Outcome; o != migrate.Moved && o != migrate.AlreadyThere {
		t.Errorf("the second run ended in %s/%s: %s", o, results[0].Code, results[0].Message)
	}
	b.wantAll(1)
	if v := b.sim.Versions(org, names(1)[0]); len(v) != 1 {
		t.Errorf("the server has %d state versions, want the move to be done once", len(v))
	}
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	return died
}

// dieAt moves until just before the n-th event is written, and reports whether there
// was one. The engine's journal is closed then.
func (b *bench) dieAt(n int, m migrate.Move) (died bool) {
	b.t.Helper()
	events := 0
	b.engine.Observe = func(migrate.Event) {
		if events++; events == n {
			died = true
			runtime.Goexit() // nothing after this is done
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.engine.Move(context.WithoutCancel(b.t.Context()), m)
	}()
	<-ended
	b.engine.Observe = nil
	if err := b.engine.Journal.Close(); err != nil {
		b.t.Fatal(err)
	}
	return died
}

// withJournal gives the engine the journal at path, and what it says of the past.
func (b *bench) withJournal(path string, upload migrate.UploadMode) {
	b.t.Helper()
	journal, past, err := migrate.OpenJournal(b.t.Context(), path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.engine.Upload, b.engine.Journal, b.engine.Haul, b.engine.Past = upload, journal, journal.Haul(), past
}

// A serial that was raised before the process died is not raised again.
func TestResumeDoesNotBumpTwice(t *testing.T) {
	for dieAt := 1; ; dieAt++ {
		died := false
		t.Run(fmt.Sprintf("event %d", dieAt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{})
				b.snapshot(state(7, lineage, 1))
				b.holds(state(20, lineage, 2))
				path := filepath.Join(t.TempDir(), "haul.jsonl")
				b.withJournal(path, migrate.UploadAuto)
				m := b.move()
				m.Bump = true
				died = b.dieAt(dieAt, m)
				for range 2 {
					b.withJournal(path, migrate.UploadAuto)
					r := b.engine.Move(t.Context(), m)
					if o := r.Outcome; o != migrate.Moved && o != migrate.AlreadyThere || r.BumpedTo != 21 {
						t.Errorf("ended in %s, bumped to %d: %s", o, r.BumpedTo, r.Message)
					}
					if err := b.engine.Journal.Close(); err != nil {
						t.Fatal(err)
					}
				}
				b.wantHeld(state(21, lineage, 1))
				b.wantUnlocked()
				if n := len(b.sim.Versions(org, workspace)); n != 2 {
					t.Errorf("%d state versions, want the old one and the bumped one", n)
				}
			})
		})
		if !died {
			return
		}
	}
}
