package migrate_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"tfhaul/backend/tfe"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A haul that died is run again with the organization and the workspace spelled in another
// case: it is the same haul.
func TestResumeInAnotherCase(t *testing.T) {
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.Lax} {
		for dieAt, died := 1, true; died; dieAt++ {
			t.Run(fmt.Sprintf("%s/event %d", server, dieAt), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{Personality: server})
					moves := b.landscape(1)
					path := filepath.Join(t.TempDir(), "haul.jsonl")
					b.withJournal(path, migrate.UploadAuto)
					died = b.dieAt(dieAt, moves[0])
					b.withJournal(path, migrate.UploadAuto)
					haul := b.haul()
					b.engine.Target = b.engine.Target.(*tfe.Target).Target(strings.ToUpper(org))
					moves[0].Workspace = strings.ToUpper(moves[0].Workspace)
					results, err := b.haulAll(haul, moves)
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
					ledger := readLedger(t, path)
					if held, n := ledger.HeldLocks(), len(ledger.Results())+len(ledger.CutOff()); len(held) > 0 || n != 1 {
						t.Errorf("the journal tells of %d moves and of locks %v", n, held)
					}
				})
			})
		}
	}
}
