package migrate_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A lockable is a state file with a lock of its own, as a backend has one.
type lockable struct {
	backend.State
	mu   sync.Mutex
	lock *backend.Lock
}

// Holder implements backend.State.
func (l *lockable) Holder(context.Context) (*backend.Lock, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lock, nil
}

// TakeLock implements backend.Lockable.
func (l *lockable) TakeLock(_ context.Context, r backend.LockRequest) (backend.Lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock != nil {
		return nil, &backend.LockedError{Address: l.Address(), Lock: *l.lock}
	}
	l.lock = &backend.Lock{ID: "lock-1", Info: r.Info, Operation: r.Operation, Path: "terraform.tfstate.tflock"}
	return &lease{of: l, lock: *l.lock}, nil
}

// FreeLock implements backend.Lockable.
func (l *lockable) FreeLock(_ context.Context, id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock != nil && l.lock.ID == id {
		l.lock = nil
	}
	return nil
}

type lease struct {
	of   *lockable
	lock backend.Lock
}

func (l *lease) Lock() backend.Lock { return l.lock }

func (l *lease) Release(ctx context.Context) error { return l.of.FreeLock(ctx, l.lock.ID) }

func (l *lease) Leave() string { return "The lock " + l.lock.ID + " was left." }

func TestSourceLock(t *testing.T) {
	cases := []struct {
		name    string
		prepare func(*bench, *lockable)
		outcome migrate.Outcome
		code    migrate.Code
		held    bool // while the state is sent
		left    string
	}{
		{"held during the move", func(b *bench, _ *lockable) { b.engine.LockSource = true }, migrate.Moved, "", true, ""},
		{"left there when frozen", func(b *bench, _ *lockable) { b.engine.FreezeSource = true }, migrate.Moved, "", true, "lock-1"},
		{"given back when the move fails", func(b *bench, _ *lockable) {
			b.engine.FreezeSource = true
			f := tfesim.AnswerError(422, "unprocessable", "no")
			f.Endpoint = createVersion
			b.sim.Inject(f)
		}, migrate.Failed, migrate.CodeServerRefused, true, ""},
		{"somebody else's", func(b *bench, l *lockable) {
			b.engine.LockSource = true
			l.lock = &backend.Lock{ID: "theirs", Who: "alice@laptop", Operation: "OperationTypeApply"}
		}, migrate.Refused, migrate.CodeSourceLocked, false, "theirs"},
		{"left by an earlier run of this haul", func(b *bench, l *lockable) {
			b.engine.LockSource = true
			l.lock = &backend.Lock{ID: "lock-0", Info: "tfhaul moves this state to x (haul " + b.engine.Haul + ")"}
		}, migrate.Moved, "", true, ""},
		{"not taken by a dry run", func(b *bench, _ *lockable) { b.engine.LockSource, b.engine.DryRun = true, true }, migrate.WouldMove, "", false, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{})
				b.snapshot(state(7, lineage, 1))
				m := b.move()
				object := &lockable{State: m.Object}
				m.Object = object
				c.prepare(b, object)
				held := false
				b.sim.OnRequest(func(q tfesim.Request) {
					if q.Endpoint == createVersion {
						lock, _ := object.Holder(t.Context())
						held = lock != nil && strings.Contains(lock.Info, b.engine.Haul)
					}
				})
				r := b.engine.Move(t.Context(), m)
				if r.Outcome != c.outcome || r.Code != c.code {
					t.Errorf("got %s/%s, want %s/%s: %s", r.Outcome, r.Code, c.outcome, c.code, r.Message)
				}
				if held != c.held {
					t.Errorf("the source was locked while the state was sent: %v, want %v", held, c.held)
				}
				left := ""
				if object.lock != nil {
					left = object.lock.ID
				}
				if left != c.left {
					t.Errorf("the lock %q was left, want %q", left, c.left)
				}
				if frozen := r.SourceFrozen != ""; frozen != (c.left == "lock-1") || frozen && !strings.Contains(strings.Join(r.Notes, " "), "was left") {
					t.Errorf("frozen %q, notes %q", r.SourceFrozen, r.Notes)
				}
				b.wantUnlocked()
			})
		})
	}
	t.Run("a source without a lock is refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, tfesim.Options{})
			b.snapshot(state(7, lineage, 1))
			for _, asked := range []string{"--lock-source", "--freeze-source"} {
				b.engine.LockSource, b.engine.FreezeSource = asked == "--lock-source", asked == "--freeze-source"
				r := b.run()
				want(t, r, migrate.Refused, "", migrate.CodeNotLockable)
				if !strings.Contains(r.Message, "move without "+asked+".") {
					t.Errorf("with %s: %s", asked, r.Message)
				}
			}
			b.wantHeld(nil)
		})
	})
}

// TestSourceFrozenByAnotherHaul refuses the move, and says what the lock is rather than to
// wait for its end.
func TestSourceFrozenByAnotherHaul(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		b.snapshot(state(7, lineage, 1))
		m := b.move()
		m.Object = &lockable{State: m.Object, lock: &backend.Lock{
			ID: "lock-0", Operation: "OperationTypeMigrate", Path: "s3://acme/net.tflock", Created: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
			Info: backend.MoveInfo("app.terraform.io/acme/net", "h-7"),
		}}
		for _, dry := range []bool{true, false} {
			b.engine.DryRun = dry
			r := b.engine.Move(t.Context(), m)
			const says = "tfhaul froze the source at 2026-03-01T10:00:00Z: haul h-7 moved this state to app.terraform.io/acme/net, or is moving it now."
			if r.Code != migrate.CodeSourceLocked || !strings.Contains(r.Message, says) || !strings.Contains(r.Message, "terraform force-unlock lock-0") || strings.Contains(r.Message, "wait") {
				t.Errorf("dry run %v: %s: %s", dry, r.Code, r.Message)
			}
		}
		b.wantHeld(nil)
	})
}
