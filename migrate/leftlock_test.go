package migrate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A lock that a dead process left is released or reported, also where the move
// itself cannot go on.
func TestResumeFreesLocksOfMovesThatCannotGoOn(t *testing.T) {
	obstacles := []struct {
		name string
		make func(*bench, []migrate.Move) []migrate.Move
	}{
		{"the source is gone", func(b *bench, moves []migrate.Move) []migrate.Move {
			if err := os.Remove(moves[0].Object.Address()); err != nil {
				b.t.Fatal(err)
			}
			return moves
		}},
		{"the source is another", func(b *bench, moves []migrate.Move) []migrate.Move {
			moves[0].Expect = &migrate.Expectation{Serial: 1, MD5: "0"}
			return moves
		}},
		{"two sources collide", func(b *bench, moves []migrate.Move) []migrate.Move {
			b.snapshot(state(99, foreign, 9))
			other := b.move()
			other.Workspace = moves[0].Workspace
			return append(moves, other)
		}},
	}
	for _, o := range obstacles {
		for dieAt := 1; ; dieAt++ {
			died := false
			t.Run(fmt.Sprintf("%s/event %d", o.name, dieAt), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{})
					moves := b.landscape(1)
					path := filepath.Join(t.TempDir(), "haul.jsonl")
					b.withJournal(path, migrate.UploadAuto)
					died = b.dieAt(dieAt, moves[0])
					b.withJournal(path, migrate.UploadAuto)
					results, _ := b.haulAll(b.haul(), o.make(b, moves))
					locked := len(b.sim.Locked(org)) > 0
					told := slices.ContainsFunc(results, func(r migrate.Result) bool { return r.Locked && r.UnlockCommand != "" })
					if locked && !told {
						t.Errorf("the workspace is locked and nobody is told: %+v", results)
					}
					if err := b.engine.Journal.Close(); err != nil {
						t.Fatal(err)
					}
					b.withJournal(path, migrate.UploadAuto)
					if held := b.engine.Past.HeldLocks(); locked && len(held) == 0 {
						t.Error("the journal does not know of the lock any more")
					}
					if err := b.engine.Journal.Close(); err != nil {
						t.Fatal(err)
					}
				})
			})
			if !died {
				break
			}
		}
	}
}
