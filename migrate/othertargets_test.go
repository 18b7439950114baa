package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tfhaul/backend"
	"tfhaul/backend/memory"
	"tfhaul/lockwait"
	"tfhaul/migrate"
)

// A storeBench is a target that is no organization, and a snapshot to move there.
type storeBench struct {
	t      *testing.T
	source *memory.Store
	store  *memory.Store
	faults *faultyTarget
	engine *migrate.Engine
	events []string
}

const storedKey = "live/network/terraform.tfstate"

func newStoreBench(t *testing.T, keepsOne bool, held []byte) *storeBench {
	b := &storeBench{t: t, source: memory.New(), store: memory.New()}
	b.store.KeepsOne = keepsOne
	b.source.Put("network.tfstate", sweepSnapshot)
	if held != nil {
		b.store.Put(storedKey, held)
	}
	b.faults = &faultyTarget{Target: b.store.Target("live/"), bench: b}
	b.engine = &migrate.Engine{Target: b.faults, Haul: migrate.NewHaulID()}
	b.engine.BackupDir = filepath.Join(t.TempDir(), "backup")
	return b
}

func (b *storeBench) move(ctx context.Context, change func(*migrate.Move)) migrate.Result {
	b.t.Helper()
	listing, err := backend.Kinds{b.source.Kind()}.Find(b.t.Context(), "memory://network.tfstate", backend.Filter{})
	if err != nil {
		b.t.Fatal(err)
	}
	m := migrate.Move{Object: listing.States[0], Workspace: "network/terraform.tfstate"}
	if change != nil {
		change(&m)
	}
	b.engine.Observe = func(e migrate.Event) { b.events = append(b.events, e.Event) }
	return b.engine.Move(ctx, m)
}

// current returns what the target holds, without faults.
func (b *storeBench) current() []byte {
	b.t.Helper()
	target := b.store.Target("live/")
	s, err := target.Look(context.Background(), "network/terraform.tfstate")
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
	s, err := b.store.Target("live/").Look(context.Background(), "network/terraform.tfstate")
	return err != nil || s.Locked
}

// keeps reports whether text can still be read: it is current, an older version, or in a
// backup.
func (b *storeBench) keeps(text []byte) bool {
	target := b.store.Target("live/")
	s, err := target.Look(context.Background(), "network/terraform.tfstate")
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
func TestNothingIsOverwrittenUnkept(t *testing.T) {
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
					b.store.Put(storedKey, rival)
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
func TestKeysAreToldApartByCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newStoreBench(t, false, nil)
		b.source.Put("a.tfstate", state(1, lineage, 1))
		b.source.Put("b.tfstate", state(1, foreign, 1))
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
	scenarios := map[string]struct {
		held   []byte
		change func(*migrate.Move)
	}{
		"fresh":     {},
		"newer":     {held: state(6, lineage, 2)},
		"identical": {held: sweepSnapshot},
		"replace":   {held: state(9, foreign, 3), change: replace},
	}
	for name, s := range scenarios {
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
	t.Logf("%d faults were swept over %d kinds of move to a store", ran.Load(), 2*len(scenarios))
	if ran.Load() < 200 {
		t.Errorf("only %d cases ran", ran.Load())
	}
}

// survives moves with the fault, judges what is left, and moves again without it.
func (b *storeBench) survives(held []byte, change func(*migrate.Move)) {
	t := b.t
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	journal, past, err := migrate.OpenJournal(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	b.engine.Journal, b.engine.Haul, b.engine.Past = journal, journal.Haul(), past
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.faults.interrupt = cancel
	var atDeath []byte
	b.faults.died = func() { atDeath, _ = os.ReadFile(path) }
	r := b.move(ctx, change)
	if err := journal.Close(); err != nil {
		t.Error(err)
	}
	killed := atDeath != nil
	now := b.current()
	rival := b.faults.rival
	switch isNew, isOld, isRival := bytes.Equal(now, sweepSnapshot), bytes.Equal(now, held), rival != nil && bytes.Equal(now, rival); {
	case !isNew && !isOld && !isRival:
		t.Error("the target holds neither the old bytes nor the new")
	case killed: // nobody reads this result
	case r.Arrived() && !isNew && !isRival:
		t.Errorf("%s was reported, and the target holds the old bytes", r.Outcome)
	case isRival && r.Outcome == migrate.Moved && !slices.Contains([]string{"read", "unlock"}, b.faults.op): // which come after the check that it is current
		t.Errorf("%s was reported, and the target holds another writer's state (at %s)", r.Outcome, b.faults.op)
	case !r.Arrived() && isNew && !isOld && r.Code != migrate.CodeUnproven && r.Code != migrate.CodeLockLeft:
		t.Errorf("the target holds the new bytes, and %q was reported: %s", r.Code, r.Message)
	case b.locked() && !r.Locked && !r.LockRequestLost:
		t.Error("a lock was left and not reported")
	case r.Locked && r.UnlockCommand == "":
		t.Error("no command was given that frees the lock")
	}
	if rival != nil { // it keeps nothing of what it overwrites
		if !b.keeps(rival) {
			t.Error("the other writer's state is lost")
		}
		return
	}
	if held != nil && !b.keeps(held) {
		t.Error("the old state is lost")
	}
	b.again(path, atDeath, change)
	if held != nil && !b.keeps(held) {
		t.Error("after the second run, the old state is lost")
	}
	if t.Failed() {
		t.Logf("%s/%s, locked %v: %s %q\n%v", r.Outcome, r.Code, r.Locked, r.Message, r.Notes, b.events)
	}
}

// again continues the haul from its journal, cut off where the process died.
func (b *storeBench) again(path string, atDeath []byte, change func(*migrate.Move)) {
	t := b.t
	b.faults.at, b.faults.dead = 0, false
	if atDeath != nil {
		if err := os.WriteFile(path, atDeath, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	journal, past, err := migrate.OpenJournal(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	b.engine = &migrate.Engine{Target: b.faults, Haul: journal.Haul(), Journal: journal, Past: past, Options: b.engine.Options}
	r := b.move(t.Context(), change)
	if err := journal.Close(); err != nil {
		t.Error(err)
	}
	if !r.Arrived() || r.Locked || !bytes.Equal(b.current(), sweepSnapshot) || b.locked() {
		t.Errorf("the second run ended in %s/%s, locked %v: %s", r.Outcome, r.Code, b.locked(), r.Message)
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

var storeFaults = []string{"refused", "lost", "rival", "interrupted", "killed before", "killed after"}

// A faultyTarget spoils one operation, counted from 1.
type faultyTarget struct {
	backend.Target
	bench     *storeBench
	n, at     int
	fault, op string
	rival     []byte
	dead      bool
	died      func()
	interrupt func()
	before    func(op string)
}

// spoil is called before an operation. It returns the error to answer with, and whether the
// operation still takes effect.
func (f *faultyTarget) spoil(op string) (err error, done bool) {
	if f.n++; f.before != nil {
		f.before(op)
	}
	dead := &backend.Error{Code: backend.Unreachable, Message: "the process is dead"}
	if f.dead {
		return dead, false
	}
	if f.n != f.at {
		return nil, true
	}
	f.op = op
	switch f.fault {
	case "refused":
		return &backend.Error{Code: backend.Unreachable, Message: "connection refused"}, false
	case "lost":
		return &backend.Error{Code: backend.Ambiguous, Message: "connection reset"}, true
	case "rival":
		f.rival = state(30, lineage, 7)
		f.bench.store.Put(storedKey, f.rival)
	case "interrupted":
		f.interrupt()
	case "killed before", "killed after":
		f.died()
		f.dead = true
		return dead, f.fault == "killed after"
	}
	return nil, true
}

// operation performs an operation with the fault.
func operation[T any](f *faultyTarget, op string, do func() (T, error)) (T, error) {
	var none T
	err, done := f.spoil(op)
	if !done {
		return none, err
	}
	got, did := do()
	if err != nil {
		return none, err
	}
	return got, did
}

func (f *faultyTarget) List(context.Context) iter.Seq2[*backend.Standing, error] { return nil }

func (f *faultyTarget) Look(ctx context.Context, name string) (*backend.Standing, error) {
	return operation(f, "look", func() (*backend.Standing, error) { return f.Target.Look(ctx, name) })
}

func (f *faultyTarget) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	return operation(f, "look", func() (*backend.Standing, error) { return f.Target.LookByID(ctx, id) })
}

func (f *faultyTarget) Current(ctx context.Context, s *backend.Standing) (*backend.Version, error) {
	return operation(f, "current", func() (*backend.Version, error) { return f.Target.Current(ctx, s) })
}

func (f *faultyTarget) Version(ctx context.Context, id string) (*backend.Version, error) {
	return operation(f, "version", func() (*backend.Version, error) { return f.Target.Version(ctx, id) })
}

func (f *faultyTarget) Versions(ctx context.Context, s *backend.Standing) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		if err, _ := f.spoil("versions"); err != nil {
			yield(nil, err)
			return
		}
		f.Target.Versions(ctx, s)(yield)
	}
}

func (f *faultyTarget) Read(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	return operation(f, "read", func() (io.ReadCloser, error) { return f.Target.Read(ctx, v) })
}

func (f *faultyTarget) Writer(s *backend.Standing, o backend.WriterOptions) backend.Writer {
	return &faultyWriter{Writer: f.Target.Writer(s, o), f: f, lost: o.Lost, onLost: o.OnLost}
}

type faultyWriter struct {
	backend.Writer
	f      *faultyTarget
	lost   int
	onLost func()
}

func (w *faultyWriter) LostRequests() int { return w.lost }

func (w *faultyWriter) Lock(ctx context.Context, sending lockwait.Sending) error {
	_, err := operation(w.f, "lock", func() (struct{}, error) { return struct{}{}, w.Writer.Lock(ctx, sending) })
	if backend.CodeOf(err) == backend.Ambiguous {
		w.lost++
		w.onLost()
		return errors.Join(lockwait.ErrUnsure, err)
	}
	return err
}

func (w *faultyWriter) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	h, err := operation(w.f, "holder", func() (lockwait.Holder, error) { return w.Writer.Holder(ctx, sending) })
	return h, unsure(err)
}

func (w *faultyWriter) Unlock(ctx context.Context, sending lockwait.Sending) error {
	_, err := operation(w.f, "unlock", func() (struct{}, error) { return struct{}{}, w.Writer.Unlock(ctx, sending) })
	return unsure(err)
}

func unsure(err error) error {
	if slices.Contains([]backend.Code{backend.Ambiguous, backend.Unreachable}, backend.CodeOf(err)) {
		return errors.Join(lockwait.ErrUnsure, err)
	}
	return err
}

func (w *faultyWriter) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	return operation(w.f, "write", func() (*backend.Version, error) { return w.Writer.Write(ctx, p) })
}
