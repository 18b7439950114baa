package migrate_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tfhaul/backend"
	"tfhaul/backend/memory"
	"tfhaul/migrate"
)

// A storeBench is a target that is no organization, and a snapshot to move there.
type storeBench struct {
	t      *testing.T
	source *memory.Store
	store  *memory.Store // of the target, if that is in memory
	// open opens the target without faults, key is the name of the state there, and put
	// writes it as another program does.
	open func() backend.Target
	key  string
	put  func(text []byte)
	// force gives the state's lock to another holder with this reason, even if it is held; ""
	// unlocks it. lockedBy returns the reason of the lock's holder.
	force    func(reason string)
	lockedBy func() string
	// holds and isLocked look at the store itself, where a target cannot see that without
	// reading or locking; nil means that it can.
	holds    func() []byte
	isLocked func() bool

	faults *faults
	target backend.Target // with faults
	engine *migrate.Engine
}

const storedKey = "live/network/terraform.tfstate"

func newStoreBench(t *testing.T, keepsOne bool, held []byte) *storeBench {
	b := newEmptyBench(t, "network/terraform.tfstate")
	b.store = memory.New()
	b.store.KeepsOne = keepsOne
	b.open = func() backend.Target { return b.store.Target("live/") }
	b.put = func(text []byte) { b.store.Put(storedKey, text) }
	b.force = func(reason string) { b.store.ForceLock(storedKey, reason) }
	b.lockedBy = func() string { return b.store.LockReason(storedKey) }
	if held != nil {
		b.put(held)
	}
	b.aim(&faultyTarget{b.open(), b.faults})
	return b
}

// newEmptyBench returns a bench without a target.
func newEmptyBench(t *testing.T, key string) *storeBench {
	b := &storeBench{t: t, source: memory.New(), key: key, faults: &faults{}}
	b.source.Put("network.tfstate", sweepSnapshot)
	b.faults.bench = b
	return b
}

// aim makes target the one that moves go to.
func (b *storeBench) aim(target backend.Target) {
	b.target = target
	b.engine = &migrate.Engine{Target: target, Haul: migrate.NewHaulID()}
	b.engine.BackupDir = filepath.Join(b.t.TempDir(), "backup")
}

// theMove returns the move of the snapshot.
func (b *storeBench) theMove(change func(*migrate.Move)) migrate.Move {
	b.t.Helper()
	listing, err := backend.Kinds{b.source.Kind()}.Find(b.t.Context(), "memory://network.tfstate", backend.Filter{})
	if err != nil {
		b.t.Fatal(err)
	}
	m := migrate.Move{Object: listing.States[0], Workspace: b.key}
	if change != nil {
		change(&m)
	}
	return m
}

func (b *storeBench) move(ctx context.Context, change func(*migrate.Move)) migrate.Result {
	b.t.Helper()
	return b.engine.Move(ctx, b.theMove(change))
}

// current returns what the target holds, without faults.
func (b *storeBench) current() []byte {
	b.t.Helper()
	if b.holds != nil {
		return b.holds()
	}
	target := b.open()
	s, err := target.Look(context.Background(), b.key)
	if err != nil || s.Current.ID == "" {
		return nil
	}
	v, err := target.Current(context.Background(), s)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.read(target, v)
}

func (b *storeBench) read(target backend.Target, v *backend.Version) []byte {
	b.t.Helper()
	body, err := target.Read(context.Background(), v)
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

func (b *storeBench) locked() bool {
	if b.isLocked != nil {
		return b.isLocked()
	}
	s, err := b.open().Look(context.Background(), b.key)
	return err != nil || s.Locked
}

// keeps reports whether text can still be read: it is current, an older version, or in a
// backup.
func (b *storeBench) keeps(text []byte) bool {
	target := b.open()
	s, err := target.Look(context.Background(), b.key)
	if err != nil {
		b.t.Fatal(err)
	}
	for v, err := range target.Versions(context.Background(), s) {
		if err == nil && bytes.Equal(b.read(target, v), text) {
			return true
		}
	}
	found := false
	_ = filepath.WalkDir(b.engine.BackupDir, func(path string, _ os.DirEntry, err error) error {
		if kept, readErr := os.ReadFile(path); err == nil && readErr == nil && !strings.HasSuffix(path, ".part") {
			found = found || bytes.Equal(kept, text)
		}
		return nil
	})
	return found
}

// What is overwritten is an older version of the target, or in the backup directory.
func TestReplacedStatesAreKept(t *testing.T) {
	older := state(6, lineage, 2)
	for _, keepsOne := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newStoreBench(t, keepsOne, older)
			r := b.move(t.Context(), nil)
			if r.Outcome != migrate.Moved || r.Relation != migrate.Newer || r.Target != "memory://"+storedKey {
				t.Fatalf("%+v", r)
			}
			if (r.Backup != "") != keepsOne {
				t.Errorf("keeps one version: %v; the backup is %q", keepsOne, r.Backup)
			}
			if !b.keeps(older) || !bytes.Equal(b.current(), sweepSnapshot) {
				t.Error("the old state or the new one is lost")
			}
			if strings.Contains(fmt.Sprint(r.Message, r.Notes), "orkspace") {
				t.Errorf("it calls a key a workspace: %s %q", r.Message, r.Notes)
			}
		})
	}
}

func TestAnImpossibleBackupPreventsTheMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		older := state(6, lineage, 2)
		b := newStoreBench(t, true, older)
		if err := os.WriteFile(b.engine.BackupDir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := b.move(t.Context(), nil); r.Outcome != migrate.Failed || r.Code != migrate.CodeBackup || r.Locked {
			t.Errorf("%+v", r)
		}
		if !bytes.Equal(b.current(), older) || b.locked() {
			t.Error("it was overwritten, or is still locked")
		}
	})
}

// Locks stop only those who take them: a write without one is noticed, not overwritten.
func TestAWriteInSpiteOfTheLockIsNotOverwritten(t *testing.T) {
	for _, held := range [][]byte{nil, state(6, lineage, 2)} {
		synctest.Test(t, func(t *testing.T) {
			b := newStoreBench(t, false, held)
			rival := state(8, lineage, 5)
			b.faults.before = func(op string) {
				if op == "write" {
					b.put(rival)
				}
			}
			if r := b.move(t.Context(), nil); r.Outcome != migrate.Refused || r.Code != migrate.CodeTargetChanged {
				t.Errorf("%+v", r)
			}
			if !bytes.Equal(b.current(), rival) || b.locked() {
				t.Error("the other state was overwritten, or is still locked")
			}
		})
	}
}

// A store tells names apart by case.
func TestKeysDifferByCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newStoreBench(t, false, nil)
		b.source.Put("a.tfstate", state(1, lineage, 1))
		b.source.Put("b.tfstate", state(1, foreign, 1))
		b.engine.Target = b.engine.Target.(*faultyTarget).Target // its faults are for one move at a time
		haul := &migrate.Haul{Engine: b.engine}
		var moves []migrate.Move
		for address, key := range map[string]string{"memory://a.tfstate": "Net/terraform.tfstate", "memory://b.tfstate": "net/terraform.tfstate"} {
			listing, err := backend.Kinds{b.source.Kind()}.Find(t.Context(), address, backend.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			moves = append(moves, migrate.Move{Object: listing.States[0], Workspace: key})
		}
		plan, err := haul.Plan(t.Context(), moves)
		if err != nil {
			t.Fatal(err)
		}
		results, err := haul.Run(t.Context(), plan)
		if err != nil || results[0].Outcome != migrate.Moved || results[1].Outcome != migrate.Moved {
			t.Errorf("%+v, %v", results, err)
		}
	})
}

// The sweep of what TestFaultSweep sweeps for organizations: every operation of every kind of
// move fails, loses its response, is preceded by another writer, is interrupted, or is the
// last one of a process that was killed.
func TestStoresSurviveEveryFault(t *testing.T) {
	var ran atomic.Int64
	for name, s := range storeMoves {
		for _, keepsOne := range []bool{true, false} {
			operations := 0
			synctest.Test(t, func(t *testing.T) {
				b := newStoreBench(t, keepsOne, s.held)
				if r := b.move(t.Context(), s.change); !r.Arrived() {
					t.Fatalf("%+v", r)
				}
				operations = b.faults.n
			})
			for k := 1; k <= operations; k++ {
				for _, f := range storeFaults {
					t.Run(fmt.Sprintf("%s/keeps one %v/%s at operation %d", name, keepsOne, f, k), func(t *testing.T) {
						t.Parallel()
						synctest.Test(t, func(t *testing.T) {
							b := newStoreBench(t, keepsOne, s.held)
							b.faults.at, b.faults.fault = k, f
							b.survives(s.held, s.change)
						})
					})
					ran.Add(1)
				}
			}
		}
	}
	t.Logf("%d faults were swept over %d kinds of move to a store", ran.Load(), 2*len(storeMoves))
	if ran.Load() < 200 {
		t.Errorf("only %d cases ran", ran.Load())
	}
}

// TestStoresWithstandEveryAttack is what TestAnswerSweep is for organizations: at every
// operation, another process takes the lock by force and writes, the lock is lost, the
// process is suspended, an earlier answer is repeated, or other bytes are read.
func TestStoresWithstandEveryAttack(t *testing.T) {
	ran := 0
	for name, s := range storeMoves {
		for _, keepsOne := range []bool{true, false} {
			operations := 0
			synctest.Test(t, func(t *testing.T) {
				b := newStoreBench(t, keepsOne, s.held)
				b.move(t.Context(), s.change)
				operations = b.faults.n
			})
			for k := 1; k <= operations; k++ {
				for _, f := range storeAttacks {
					ran++
					t.Run(fmt.Sprintf("%s/keeps one %v/%s at operation %d", name, keepsOne, f, k), func(t *testing.T) {
						t.Parallel()
						synctest.Test(t, func(t *testing.T) {
							b := newStoreBench(t, keepsOne, s.held)
							b.faults.at, b.faults.fault = k, f
							b.survives(s.held, s.change)
							b.checkTheirLock()
						})
					})
				}
			}
		}
	}
	t.Logf("%d attacks were swept over %d kinds of move to a store", ran, 2*len(storeMoves))
}

// checkTheirLock checks that a lock taken by force is still its holder's.
func (b *storeBench) checkTheirLock() {
	if b.faults.rival != nil && b.lockedBy() != theirLock {
		b.t.Errorf("another holder's lock was released: the holder is %q", b.lockedBy())
	}
}

// storeMoves are the moves of the sweeps: what the target holds, and what the user permits.
var storeMoves = map[string]struct {
	held   []byte
	change func(*migrate.Move)
}{
	"fresh":     {},
	"newer":     {held: state(6, lineage, 2)},
	"identical": {held: sweepSnapshot},
	"replace":   {held: state(9, foreign, 3), change: replace},
}

// survives moves with the fault, judges what is left, and moves again without it.
func (b *storeBench) survives(held []byte, change func(*migrate.Move)) {
	path := filepath.Join(b.t.TempDir(), "haul.jsonl")
	journal, past, err := migrate.OpenJournal(b.t.Context(), path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.engine.Journal, b.engine.Haul, b.engine.Past = journal, journal.Haul(), past
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	b.faults.interrupt = cancel
	atDeath := make(chan []byte, 1)
	b.faults.died = func() {
		text, _ := os.ReadFile(path)
		atDeath <- text
	}
	ended := make(chan migrate.Result, 1)
	move := b.theMove(change)
	go func() { ended <- b.engine.Move(ctx, move) }()
	var r migrate.Result
	var left []byte
	if b.faults.hangs {
		select {
		case r = <-ended:
		case left = <-atDeath:
		}
	} else {
		r = <-ended
		select {
		case left = <-atDeath:
		default:
		}
	}
	if err := journal.Close(); err != nil {
		b.t.Error(err)
	}
	b.faults.revive()
	if left != nil {
		if err := os.WriteFile(path, left, 0o600); err != nil {
			b.t.Fatal(err)
		}
	} else {
		b.judge(r, held)
	}
	if b.faults.rival == nil {
		b.againAfter(path, held, change)
	}
	if b.t.Failed() {
		b.t.Logf("at %s: %s/%s, locked %v: %s %q", b.faults.op, r.Outcome, r.Code, r.Locked, r.Message, r.Notes)
	}
}

// judge compares what a move reported with what is there.
func (b *storeBench) judge(r migrate.Result, held []byte) {
	t, now, rival := b.t, b.current(), b.faults.rival
	switch isNew, isOld, isRival := bytes.Equal(now, sweepSnapshot), bytes.Equal(now, held), rival != nil && bytes.Equal(now, rival); {
	case !isNew && !isOld && !isRival:
		t.Error("the target holds neither the old bytes nor the new")
	case r.Arrived() && !isNew && !isRival:
		t.Errorf("%s was reported, and the target holds the old bytes", r.Outcome)
	case isRival && r.Outcome == migrate.Moved && !b.faults.afterCheck():
		t.Errorf("%s was reported, and the target holds another writer's state", r.Outcome)
	case !r.Arrived() && isNew && !isOld && r.Code != migrate.CodeUnproven && r.Code != migrate.CodeLockLeft:
		t.Errorf("the target holds the new bytes, and %q was reported: %s", r.Code, r.Message)
	case b.locked() && !r.Locked && !r.LockRequestLost && (b.lockedBy == nil || b.lockedBy() != theirLock):
		t.Error("a lock was left and not reported")
	case b.faults.misread && r.Outcome == migrate.Moved:
		t.Error("it was reported as moved, and read back as other bytes")
	case r.Locked && r.UnlockCommand == "":
		t.Error("no command was given that frees the lock")
	}
	if rival != nil && !b.keeps(rival) {
		t.Error("the other writer's state is lost")
	}
}

// againAfter continues the haul from its journal. The old state can be read before and
// afterwards.
func (b *storeBench) againAfter(path string, held []byte, change func(*migrate.Move)) {
	t := b.t
	if held != nil && !b.keeps(held) {
		t.Error("the old state is lost")
	}
	journal, past, err := migrate.OpenJournal(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	target := b.target
	if b.faults.hangs {
		target = b.open() // nothing of the dead process is left
	}
	b.engine = &migrate.Engine{Target: target, Haul: journal.Haul(), Journal: journal, Past: past, Options: b.engine.Options}
	r := b.move(t.Context(), change)
	if err := journal.Close(); err != nil {
		t.Error(err)
	}
	if !r.Arrived() || r.Locked || !bytes.Equal(b.current(), sweepSnapshot) || b.locked() {
		t.Errorf("the second run ended in %s/%s, locked %v: %s %q", r.Outcome, r.Code, b.locked(), r.Message, r.Notes)
	}
	if held != nil && !b.keeps(held) {
		t.Error("after the second run, the old state is lost")
	}
	ledger, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	past, err = migrate.ReadLedger(ledger)
	if err != nil || len(past.HeldLocks()) > 0 {
		t.Errorf("the journal names locks that are free: %v, %v", past.HeldLocks(), err)
	}
}
