package migrate_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A haul dies, its workspace is renamed or deleted, and the haul is run again: the lock
// that it left is released or reported, and what is recommended frees it, whatever has
// the old name now.
func TestResumeAfterARename(t *testing.T) {
	const now = "moved-away"
	cases := []struct {
		name  string
		moved bool // the second run carries its move out
		then  func(*bench) error
	}{
		{"nothing takes the name", false, func(*bench) error { return nil }},
		{"another workspace takes the name", true, func(b *bench) error {
			b.workspaceExists("ws-00")
			return nil
		}},
		{"another workspace takes the name and is locked", false, func(b *bench) error {
			b.workspaceExists("ws-00")
			return b.sim.Lock(org, "ws-00", tfesim.SecondUser, "mine")
		}},
		{"the workspace is deleted, and another takes the name", true, func(b *bench) error {
			b.workspaceExists("ws-00")
			return b.sim.DeleteWorkspace(org, now)
		}},
	}
	for _, c := range cases {
		for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.Lax} {
			for dieAt, died := 1, true; died; dieAt++ {
				t.Run(fmt.Sprintf("%s/%s/event %d", c.name, server, dieAt), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						b := newBench(t, tfesim.Options{Personality: server})
						moves := b.landscape(1)
						path := filepath.Join(t.TempDir(), "haul.jsonl")
						b.withJournal(path, migrate.UploadAuto)
						died = b.dieAt(dieAt, moves[0])
						if err := b.sim.RenameWorkspace(org, "ws-00", now); err != nil {
							t.Fatal(err)
						}
						if err := c.then(b); err != nil {
							t.Fatal(err)
						}
						b.withJournal(path, migrate.UploadAuto)
						results, _ := b.haulAll(b.haul(), moves)
						if err := b.engine.Journal.Close(); err != nil {
							t.Fatal(err)
						}
						r := results[0]
						if success := r.Outcome == migrate.Moved; success != (c.moved && !r.Locked) {
							t.Errorf("ended in %s/%s, locked %v: %s %q", r.Outcome, r.Code, r.Locked, r.Message, r.Notes)
						}
						if h, locked := b.sim.LockHolder(org, "ws-00"); locked && h.Reason != "mine" {
							t.Error("the workspace that took the name is left locked")
						}
						if _, locked := b.sim.LockHolder(org, now); !locked {
							return
						}
						if len(readLedger(t, path).HeldLocks()) != 1 {
							t.Error("the journal does not know of the lock any more")
						}
						_, name, _ := strings.Cut(r.UnlockCommand, org+"/")
						name, _, _ = strings.Cut(name, " ")
						if u, err := b.engine.UnlockByID(t.Context(), name, ""); !r.Locked || err != nil || !u.Freed {
							t.Errorf("%q frees nothing (%v, %v): %s %q", r.UnlockCommand, u, err, r.Message, r.Notes)
						}
					})
				})
			}
		}
	}
}
