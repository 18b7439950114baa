package migrate_test

import (
	"fmt"
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
		{name: "created", outcome: migrate.Moved, want: cost{6, 1},
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

// In a haul a workspace is not asked for: the listing tells of a hundred at a time.
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
