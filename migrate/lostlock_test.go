package migrate_test

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/lockwait"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// Another process of the same account forces our lock and takes its own, while our
// lock's answer is late or this process stands still: nothing is written under that
// lock, and it is not released.
func TestAnothersLockOfTheSameAccount(t *testing.T) {
	cases := []struct {
		name    string
		late    time.Duration // the lock's answer
		suspend bool          // after the lock's answer
		at      string        // or: the request whose answer is late by a minute
		code    migrate.Code
		stored  bool
	}{
		{name: "the lock's answer is late by 3 s", late: 3 * time.Second, code: migrate.CodeLockLost},
		{name: "the lock's answer is late by 40 s", late: 40 * time.Second, code: migrate.CodeLockLost},
		{name: "the process is suspended under the lock", suspend: true, code: migrate.CodeLockLost},
		{name: "the answer to the state comes late", at: createVersion, code: migrate.CodeUnproven, stored: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{})
				b.engine = b.newEngineWith(b.sim.Token(tfesim.Owner), 2*time.Minute)
				b.snapshot(state(7, lineage, 1))
				overtake := func() {
					if err := b.sim.Unlock(org, workspace); err != nil {
						t.Error(err)
					}
					if err := b.sim.Lock(org, workspace, tfesim.Owner, rivalReason); err != nil {
						t.Error(err)
					}
				}
				var jumped time.Duration
				b.engine.Clock = func() lockwait.Instant {
					now := lockwait.SystemClock()
					now.Wall = now.Wall.Add(jumped)
					return now
				}
				switch {
				case c.at != "":
					b.sim.Inject(tfesim.Fault{Endpoint: c.at, Kind: tfesim.FaultLate, Wait: time.Minute, After: true})
					b.sim.OnRequest(func(q tfesim.Request) {
						if q.Endpoint == c.at {
							time.AfterFunc(time.Second, overtake)
						}
					})
				case c.suspend:
					observe := b.engine.Observe
					b.engine.Observe = func(e migrate.Event) {
						if observe(e); e.Event == migrate.EventLocked {
							jumped = time.Hour
							overtake()
						}
					}
				default:
					b.sim.Inject(tfesim.Fault{Endpoint: lockEndpoint, Kind: tfesim.FaultLate, Wait: c.late, After: true})
					time.AfterFunc(c.late/2, overtake)
				}
				r := b.run()
				want(t, r, migrate.Failed, migrate.Fresh, c.code)
				if h, locked := b.sim.LockHolder(org, workspace); !locked || h.Reason != rivalReason {
					t.Error("the lock of another process was released")
				}
				if c.stored {
					b.wantHeld(state(7, lineage, 1))
				} else {
					b.wantHeld(nil)
				}
				if r.Locked {
					t.Error("a lock of ours is reported to be left")
				}
			})
		})
	}
}

// The workspace is renamed between reading and locking, and a new one takes its name:
// nothing is written to either, and neither stays locked.
func TestWorkspaceIsRenamedBeforeTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		b.snapshot(state(7, lineage, 1))
		var once sync.Once
		b.sim.OnRequest(func(q tfesim.Request) {
			if q.Endpoint == lockEndpoint {
				once.Do(func() {
					if err := b.sim.RenameWorkspace(org, workspace, "moved-away"); err != nil {
						t.Error(err)
					}
					b.workspaceExists(workspace)
				})
			}
		})
		r := b.run()
		want(t, r, migrate.Refused, migrate.Fresh, migrate.CodeRenamed)
		if !strings.Contains(r.Message, "moved-away") {
			t.Errorf("the message does not name the new name: %s", r.Message)
		}
		b.wantHeld(nil)
		if _, _, ok := b.sim.Current(org, "moved-away"); ok {
			t.Error("the renamed workspace holds a state")
		}
		for _, name := range []string{workspace, "moved-away"} {
			if _, locked := b.sim.LockHolder(org, name); locked {
				t.Errorf("%s is left locked", name)
			}
		}
	})
}

// A lock request whose reply was lost takes effect when the move has ended: the result
// and the journal say that it may, and its lock can be freed.
func TestLostLockRequestThatTakesEffectLater(t *testing.T) {
	for _, c := range []struct {
		name string
		left bool
	}{{"before the last look", false}, {"after the end", true}} {
		for _, haul := range []bool{false, true} {
			name := c.name + ", move"
			if haul {
				name = c.name + ", haul"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{})
					b.snapshot(state(7, lineage, 1))
					path := filepath.Join(t.TempDir(), "haul.jsonl")
					b.withJournal(path, migrate.UploadAuto)
					b.sim.Inject(tfesim.Fault{Endpoint: lockEndpoint, Kind: tfesim.FaultReset})
					takesEffect := func() {
						if err := b.sim.Lock(org, workspace, tfesim.Owner, "tfhaul moves a state here (haul "+b.engine.Haul+")"); err != nil {
							t.Error(err)
						}
					}
					looks := 0
					b.sim.OnRequest(func(q tfesim.Request) {
						if q.Endpoint != "GET /workspaces/:workspace_id" || c.left {
							return
						}
						if looks++; looks == 2 { // the first is after the lost reply
							takesEffect()
						}
					})
					var r migrate.Result
					if haul {
						results, err := b.haulAll(b.haul(), []migrate.Move{b.move()})
						if err != nil {
							t.Fatal(err)
						}
						r = results[0]
					} else {
						r = b.run()
					}
					if err := b.engine.Journal.Close(); err != nil {
						t.Fatal(err)
					}
					want(t, r, migrate.Moved, migrate.Fresh, "")
					ledger := readLedger(t, path)
					lost := ledger.LostRequests()
					if told := len(lost) == 1 && lost[0].Target == r.Target && lost[0].WorkspaceID != ""; told != c.left || r.LockRequestLost != c.left {
						t.Errorf("the result says %v, the journal %v, want %v", r.LockRequestLost, lost, c.left)
					}
					if held := ledger.HeldLocks(); len(held) != 0 {
						t.Errorf("the journal tells of held locks: %v", held)
					}
					if !c.left {
						b.wantUnlocked()
						return
					}
					takesEffect()
					if freed, err := b.engine.UnlockByID(t.Context(), workspace, lost[0].WorkspaceID); err != nil || !freed.Freed {
						t.Errorf("got %+v, %v", freed, err)
					}
					b.wantUnlocked()
				})
			})
		}
	}
}

// Reads that lag behind the write are repeated, and distinguished from another user's write.
func TestReadsThatLag(t *testing.T) {
	const current = "GET /workspaces/:workspace_id/current-state-version"
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		for _, c := range []struct {
			name  string
			times int
			code  migrate.Code
			says  string
		}{
			{"once", 1, "", ""}, {"five times", 5, "", ""},
			{"forever", -1, migrate.CodeUnproven, "still has no current state version"},
		} {
			t.Run(server.String()+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{Personality: server})
					b.snapshot(state(7, lineage, 1))
					none := tfesim.AnswerError(404, "not found", "not found")
					none.Endpoint, none.Times = current, c.times
					b.sim.Inject(none)
					r := b.run()
					outcome := migrate.Moved
					if c.code != "" {
						outcome = migrate.Failed
					}
					want(t, r, outcome, migrate.Fresh, c.code)
					if !strings.Contains(r.Message, c.says) || strings.Contains(r.Message, "another user") {
						t.Errorf("the message: %s", r.Message)
					}
					b.wantHeld(state(7, lineage, 1))
					b.wantUnlocked()
				})
			})
		}
	}
}

// Where requests wait their turn for longer than a lock is trusted, a move looks at its
// lock once more before it writes, and the haul still ends well.
func TestHaulAtALowRateLimit(t *testing.T) {
	for _, c := range []struct{ rate, parallelism int }{{1, 2}, {4, 8}, {2, 4}} {
		synctest.Test(t, func(t *testing.T) {
			const n = 16
			b := newBench(t, tfesim.Options{RateLimit: c.rate})
			moves := b.landscape(n)
			haul := b.haul()
			haul.Parallelism = c.parallelism
			start := time.Now()
			results, err := b.haulAll(haul, moves)
			if err != nil {
				t.Fatal(err)
			}
			if got := outcomes(results)[migrate.Moved]; got != n {
				t.Errorf("%d moved, want %d", got, n)
			}
			t.Logf("%d a second, %d at a time: %d moves took %s", c.rate, c.parallelism, n, time.Since(start))
		})
	}
}
