package pg_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/memory"
	"tfhaul/fixtures"
	"tfhaul/migrate"
)

// The connection is cut at every request of a move, before the request arrives or after it took
// effect. The move reports what happened, no lock is left, and the next run of the move succeeds.
func TestConnectionsBreakAtEveryRequestOfAMove(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	var cases atomic.Int64
	t.Run("of", func(t *testing.T) {
		for _, s := range []sweep{
			{d, "fresh", false, 2_000, 3}, {d, "newer", true, 2_000, 3}, {d, "large", true, 9 << 20, 20},
		} {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				requests := s.countRequests(t)
				if os.Getenv("TFHAUL_PG_SWEEP") != "" {
					s.stride = 1
				}
				for number := 1; number <= requests; number++ {
					for _, what := range []fate{cutBefore, cutAfter} {
						if (number+int(what))%s.stride == 0 {
							cases.Add(1)
							t.Run(fmt.Sprintf("%d-%d", number, what), func(t *testing.T) { s.cut(t, number, what) })
						}
					}
				}
			})
		}
	})
	t.Logf("%d connections were cut", cases.Load())
	if cases.Load() == 0 {
		t.Error("nothing was tested")
	}
}

// A sweep is a move whose connections are cut. stride is for a sample; the variable
// TFHAUL_PG_SWEEP is for all requests.
type sweep struct {
	*testDatabase
	name   string
	exists bool // the row exists, with an older state
	size   int64
	stride int
}

func (s sweep) old() []byte { return fixtures.Spec{Seed: 5, Serial: 3, Resources: 1}.Bytes() }

func (s sweep) text() []byte {
	return fixtures.Spec{Seed: 5, Serial: 4, Resources: 1, MinSize: s.size}.Bytes()
}

// move moves the state with connections of its own.
func (s sweep) move(t *testing.T, d *testDatabase, workspace string) migrate.Result {
	source := memory.New()
	source.Put("a.tfstate", s.text())
	listing, err := backend.Kinds{source.Kind()}.Find(t.Context(), "memory://a.tfstate", backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	target := d.target(d.kinds())
	defer target.Close()
	engine := &migrate.Engine{Target: target, Haul: migrate.NewHaulID()}
	engine.LockTimeout, engine.BackupDir = 20*time.Second, t.TempDir()
	return engine.Move(context.WithoutCancel(t.Context()), migrate.Move{Object: listing.States[0], Workspace: workspace})
}

// plant stores the older state, and starts a proxy in front of the database.
func (s sweep) plant(t *testing.T, workspace string) (*testDatabase, *proxy) {
	if s.exists {
		s.put(workspace, s.old())
	}
	d := *s.testDatabase
	d.t = t
	return &d, d.newProxy()
}

func (s sweep) countRequests(t *testing.T) int {
	d, p := s.plant(t, s.name)
	if r := s.move(t, d, s.name); r.Outcome != migrate.Moved {
		t.Fatalf("%s/%s: %s", r.Outcome, r.Code, r.Message)
	}
	return p.count()
}

func (s sweep) cut(t *testing.T, number int, what fate) {
	t.Parallel()
	workspace := fmt.Sprintf("%s-%d-%d", s.name, number, what)
	d, p := s.plant(t, workspace)
	p.aim(func(n int, _ []byte) fate {
		if n == number {
			return what
		}
		return forwarded
	})
	r := s.move(t, d, workspace)
	p.aim(nil)
	stored, there := d.has(workspace)
	switch ours := bytes.Equal(stored, s.text()); {
	case r.Outcome == migrate.Moved && !ours:
		t.Error("it is reported as moved, but is not there")
	case !ours && (there != s.exists || there && !bytes.Equal(stored, s.old())):
		t.Errorf("the row holds %d bytes of neither state", len(stored))
	case r.Outcome != migrate.Moved && r.Outcome != migrate.Failed, r.Message == "", r.Locked, r.UnlockCommand != "":
		t.Errorf("%+v", r)
	}
	if r := s.move(t, d, workspace); r.Outcome != migrate.Moved && r.Outcome != migrate.AlreadyThere {
		t.Errorf("again: %s/%s: %s", r.Outcome, r.Code, r.Message)
	}
	if stored, _ := d.has(workspace); !bytes.Equal(stored, s.text()) {
		t.Error("it is not there in the end")
	}
	if n := d.locksOf(workspace); n != 0 {
		t.Errorf("%d locks are left", n)
	}
}

// locksOf returns how many sessions have the lock of a row.
func (d *testDatabase) locksOf(workspace string) (n int) {
	d.t.Helper()
	if err := d.QueryRow("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = (SELECT id FROM "+d.table()+" WHERE name = $1)", workspace).Scan(&n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

// has returns what a row holds, and whether there is one.
func (d *testDatabase) has(workspace string) (data []byte, there bool) {
	d.t.Helper()
	rows, err := d.Query("SELECT convert_to(data, 'UTF8') FROM "+d.table()+" WHERE name = $1", workspace)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		there = true
		if err := rows.Scan(&data); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	return data, there
}

// awaitNoLocks fails the test if the server does not end the sessions that hold locks.
func (d *testDatabase) awaitNoLocks() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 10*time.Second)
	defer cancel()
	// The server grants each lock when the session that holds it has ended.
	_, err := d.ExecContext(ctx, `SELECT pg_advisory_xact_lock(classid::bigint << 32 | objid::bigint) FROM (SELECT DISTINCT classid, objid
		FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) held`)
	if left := d.locks(); err != nil || left > 0 {
		d.t.Fatalf("%d locks are left: %v", left, err)
	}
}
