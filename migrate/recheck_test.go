package migrate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// recorded moves with a journal, and returns what the journal says of it.
func (b *bench) recorded(change ...func(*migrate.Move)) migrate.Recorded {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "haul.jsonl")
	b.withJournal(path, migrate.UploadAuto)
	b.run(change...)
	return b.readBack(path)
}

// eventsOf reads a journal.
func eventsOf(t *testing.T, path string) []migrate.Event {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var events []migrate.Event
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) { // still being written
			break
		}
		var e migrate.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// readBack is the one move of a journal.
func (b *bench) readBack(path string) migrate.Recorded {
	b.t.Helper()
	if err := b.engine.Journal.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.engine.Journal = nil
	all := migrate.NewLedger(eventsOf(b.t, path)).Recorded()
	if len(all) != 1 {
		b.t.Fatalf("the journal tells of %d moves, want 1", len(all))
	}
	return all[0]
}

func TestRecheck(t *testing.T) {
	cases := []struct {
		name    string
		held    []byte // before the move
		change  func(*migrate.Move)
		after   func(*bench)
		outcome migrate.Outcome
		code    migrate.Code
		note    string
	}{
		{name: "nothing changed", outcome: migrate.AlreadyThere},
		{name: "the serial was raised", held: state(20, lineage, 2), change: bump, outcome: migrate.AlreadyThere},
		{name: "another user applied", after: func(b *bench) { b.holds(state(9, lineage, 5)) },
			outcome: migrate.Refused, code: migrate.CodeStale, note: "in the workspace's history, unchanged"},
		{name: "another user restored an older state", after: func(b *bench) { b.holds(state(3, lineage, 5)) }, outcome: migrate.Refused, code: migrate.CodeOutdated},
		{name: "another state with the same serial", after: func(b *bench) { b.holds(state(7, lineage, 5)) }, outcome: migrate.Refused, code: migrate.CodeDiverged},
		{name: "an unrelated state", after: func(b *bench) { b.holds(state(1, foreign, 5)) }, outcome: migrate.Refused, code: migrate.CodeUnrelated},
		{name: "the workspace was recreated", after: func(b *bench) {
			if err := b.sim.DeleteWorkspace(org, workspace); err != nil {
				b.t.Fatal(err)
			}
			b.workspaceExists(workspace)
		}, outcome: migrate.Refused, code: migrate.CodeAbsent},
		{name: "the workspace was deleted", after: func(b *bench) {
			if err := b.sim.DeleteWorkspace(org, workspace); err != nil {
				b.t.Fatal(err)
			}
		}, outcome: migrate.Failed, code: migrate.CodeForbiddenOrMissing},
		{name: "the source changed", after: func(b *bench) {
			if err := os.WriteFile(b.file, state(8, lineage, 1), 0o600); err != nil {
				b.t.Fatal(err)
			}
		}, outcome: migrate.Refused, code: migrate.CodeSourceChanged},
		{name: "the source was deleted", after: func(b *bench) {
			if err := os.Remove(b.file); err != nil {
				b.t.Fatal(err)
			}
		}, outcome: migrate.AlreadyThere, note: "no longer exists"},
		{name: "the move was refused", held: state(9, lineage, 2), outcome: migrate.Refused, code: migrate.CodeStale},
	}
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.Lax} {
		for _, c := range cases {
			t.Run(server.String()+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{Personality: server})
					b.snapshot(state(7, lineage, 1))
					if c.held != nil {
						b.holds(c.held)
					}
					var changes []func(*migrate.Move)
					if c.change != nil {
						changes = append(changes, c.change)
					}
					move := b.move()
					recorded := b.recorded(changes...)
					if c.after != nil {
						c.after(b)
					}
					// As a listing tells it.
					recorded.Known, _ = b.engine.Target.Look(t.Context(), workspace)
					b.sim.ResetRequests()
					r := b.engine.Recheck(t.Context(), recorded, workspace, move.Object)
					if r.Outcome != c.outcome || r.Code != c.code || !strings.Contains(fmt.Sprint(r.Notes), c.note) {
						t.Errorf("got %s/%s, want %s/%s: %s %q", r.Outcome, r.Code, c.outcome, c.code, r.Message, r.Notes)
					}
					most := 1
					if server == tfesim.Lax {
						most = 2 // its downloads are requests to the API, too
					}
					if c.outcome == migrate.AlreadyThere && r.APICalls != most {
						t.Errorf("%d API calls, want %d", r.APICalls, most)
					}
					for _, q := range b.sim.Requests() {
						if q.Method != "GET" {
							t.Errorf("it made the request %s", q.Endpoint)
						}
					}
				})
			})
		}
	}
}

// A move that was cut off is reported as cut off, without a question to the server.
func TestRecheckOfAMoveThatWasCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		b.snapshot(state(7, lineage, 1))
		path := filepath.Join(t.TempDir(), "haul.jsonl")
		b.withJournal(path, migrate.UploadAuto)
		b.dieAt(4, b.move())
		events := eventsOf(t, path)
		b.sim.ResetRequests()
		r := b.engine.Recheck(t.Context(), migrate.NewLedger(events).Recorded()[0], workspace, nil)
		want(t, r, migrate.Failed, "", migrate.CodeInterrupted)
		if n := b.sim.Count(""); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
	})
}

// Events of many goroutines are all in the journal, each on a line of its own.
func TestJournalOfManyGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	j, _ := openJournal(t, path)
	const goroutines, each = 16, 20
	var writing sync.WaitGroup
	for i := range goroutines {
		writing.Go(func() {
			for k := range each {
				e := migrate.Event{Event: migrate.EventIntent, Source: fmt.Sprintf("s-%d-%d", i, k), Target: "h/o/w"}
				if err := j.Append(e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	events := eventsOf(t, path)
	seen := map[string]int{}
	for _, e := range events {
		seen[e.Source]++
	}
	if len(events) != 1+goroutines*each || len(seen) != 1+goroutines*each {
		t.Errorf("%d events of %d sources, want %d", len(events), len(seen), 1+goroutines*each)
	}
}

// A token that may read and not lock is found before anything is tried.
func TestPlanFindsMissingPermissions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		moves := b.landscape(3)
		b.engine.Target = b.newEngine(b.sim.Token(tfesim.ReadOnly)).Target
		plan, err := b.haul().Plan(t.Context(), moves)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Findings) != 1 || plan.Findings[0].Code != migrate.FindingPermissions || len(plan.Findings[0].Targets) != 3 {
			t.Errorf("found %+v", plan.Findings)
		}
		if h := plan.Moves[0].Held; h != nil {
			t.Errorf("an empty workspace holds %+v", h)
		}
	})
}
