package migrate_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A move dies after the unlock, and when it is run again the server's reads lag behind:
// they show the workspace as it was before the move, or still under our lock. Nothing is
// sent twice, and what was written since is not replaced.
func TestResumeOnAReplicaThatLags(t *testing.T) {
	mine, theirs := state(7, lineage, 1), state(8, lineage, 4)
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		for _, shows := range []string{migrate.EventIntent, migrate.EventUnlocking} {
			for _, applied := range []bool{false, true} {
				for _, times := range []int{2, -1} {
					t.Run(fmt.Sprintf("%s/from %s/applied %t/%d times", server, shows, applied, times), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							b := newBench(t, tfesim.Options{Personality: server})
							b.snapshot(mine)
							b.holds(state(6, lineage, 2))
							path := filepath.Join(t.TempDir(), "haul.jsonl")
							b.withJournal(path, migrate.UploadAuto)
							m := b.move()
							m.Replace = true
							stale := b.dieAfterTheUnlock(m, shows)
							b.wantHeld(mine)
							held := mine
							if applied {
								b.holds(theirs)
								held = theirs
							}
							versions := len(b.sim.Versions(org, workspace))
							for _, f := range stale {
								f.Times = times
								b.sim.Inject(f)
							}
							b.withJournal(path, migrate.UploadAuto)
							r := b.engine.Move(t.Context(), m)
							b.wantHeld(held)
							b.wantUnlocked()
							if now := len(b.sim.Versions(org, workspace)); now != versions {
								t.Errorf("%d state versions, want %d", now, versions)
							}
							success := r.Outcome == migrate.Moved || r.Outcome == migrate.AlreadyThere
							if success && applied || !success && !applied && times > 0 && shows == migrate.EventIntent || r.Locked {
								t.Errorf("ended in %s/%s, locked %t: %s %q", r.Outcome, r.Code, r.Locked, r.Message, r.Notes)
							}
							if err := b.engine.Journal.Close(); err != nil {
								t.Fatal(err)
							}
						})
					})
				}
			}
		}
	}
}

// dieAfterTheUnlock moves until just before the unlock is journalled, and returns the
// answers of a replica that knows nothing after the event.
func (b *bench) dieAfterTheUnlock(m migrate.Move, event string) (stale []tfesim.Fault) {
	b.t.Helper()
	c := &twistCase{bench: b}
	paths := []string{"organizations/" + org + "/workspaces/" + workspace, "workspaces/" + c.idOf(workspace) + "/current-state-version"}
	b.engine.Observe = func(e migrate.Event) {
		if e.Event == event {
			for _, path := range paths {
				endpoint, answer := c.ask(path)
				stale = append(stale, tfesim.Fault{Endpoint: endpoint, Status: answer.Code, Header: answer.Header(), Body: answer.Body.String()})
			}
		}
		if e.Event == migrate.EventUnlocked {
			runtime.Goexit()
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
	return stale
}
