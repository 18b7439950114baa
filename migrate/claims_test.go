package migrate_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// The lock that a running move holds is not taken for one that a crash left, when the
// workspace gets the name that another move of the haul goes to.
func TestRunningMovesKeepTheirLocks(t *testing.T) {
	for _, c := range []struct {
		name string
		// meets is the first request of the other move that may find the workspace.
		meets   string
		prepare func(b *bench, other migrate.Move)
		code    migrate.Code
	}{
		{"the other creates its workspace and finds it taken", "POST /organizations/:organization/workspaces", func(b *bench, _ migrate.Move) {
			b.engine.Create = true
		}, migrate.CodeCollision},
		{"the other frees what an earlier run left", "GET /organizations/:organization/workspaces/:workspace", func(b *bench, other migrate.Move) {
			at := b.engine.Target.Host() + "/" + org + "/" + other.Workspace
			b.engine.Past = migrate.NewLedger([]migrate.Event{{Event: migrate.EventLocked, Time: time.Now(), Haul: b.engine.Haul, Source: other.Object.Address(), Target: at}})
			if err := os.Remove(other.Object.Address()); err != nil {
				b.t.Fatal(err)
			}
		}, migrate.CodeUnreadable},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{})
				dir := t.TempDir()
				for i, name := range []string{"first", "other"} {
					if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
						t.Fatal(err)
					}
					writeSnapshot(t, filepath.Join(dir, name), stateOf(i))
				}
				b.workspaceExists("first")
				moves := b.movesOf(dir)
				c.prepare(b, moves[1])
				h := b.haul()
				h.TrustListing = true
				plan, err := h.Plan(t.Context(), moves)
				if err != nil {
					t.Fatal(err)
				}
				renamed, ended := make(chan struct{}), make(chan struct{})
				var sent, met atomic.Bool
				b.sim.OnRequest(func(q tfesim.Request) {
					switch {
					case q.Endpoint == "POST /workspaces/:workspace_id/state-versions" && !sent.Swap(true):
						if err := b.sim.RenameWorkspace(org, "first", "other"); err != nil {
							t.Error(err)
						}
						close(renamed)
						wait(t, ended)
						if len(b.sim.Locked(org)) != 1 {
							t.Error("the lock of the running move is gone")
						}
					case q.Endpoint == c.meets && !met.Swap(true):
						wait(t, renamed)
					}
				})
				h.Ended = func(r migrate.Result) {
					if strings.HasSuffix(r.Target, "/other") {
						close(ended)
					}
				}
				results, _ := h.Run(t.Context(), plan)
				if !sent.Load() || !met.Load() {
					t.Fatalf("the moves did not meet: %+v", results)
				}
				if r := results[0]; r.Code != migrate.CodeRenamed {
					t.Errorf("the move whose workspace was renamed: %s %s: %s", r.Outcome, r.Code, r.Message)
				}
				if r := results[1]; r.Code != c.code || len(r.Notes) > 0 || r.Locked {
					t.Errorf("the other move: %s %s: %s %q", r.Outcome, r.Code, r.Message, r.Notes)
				}
				if got, _, _ := b.sim.Current(org, "other"); string(got) != string(stateOf(0)) {
					t.Error("the workspace does not hold the state that was moved to it")
				}
				if n := len(b.sim.Versions(org, "other")); n != 1 {
					t.Errorf("%d state versions were written, want 1", n)
				}
				if locked := b.sim.Locked(org); len(locked) > 0 {
					t.Errorf("%q are locked", locked)
				}
			})
		})
	}
}

// wait waits for an event, or for the end of the test.
func wait(t *testing.T, event <-chan struct{}) {
	select {
	case <-event:
	case <-t.Context().Done():
	}
}
