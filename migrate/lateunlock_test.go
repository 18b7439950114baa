package migrate_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

const unlockEndpoint = "POST /workspaces/:workspace_id/actions/unlock"

// What takes effect so late that another process of the same account may have had the
// lock by then is reported as unproven, though the state has arrived.
func TestLateEffectIsUnproven(t *testing.T) {
	forced := func(b *bench) {
		if err := b.sim.Unlock(org, workspace); err != nil {
			b.t.Error(err)
		}
		if err := b.sim.Lock(org, workspace, tfesim.Owner, rivalReason); err != nil {
			b.t.Error(err)
		}
	}
	cases := []struct {
		name   string
		server tfesim.Personality
		fault  tfesim.Fault
		rival  bool // forces our lock a second after the request was sent
		code   migrate.Code
		says   string
	}{
		{name: "unlock, just in time", fault: tfesim.Fault{Endpoint: unlockEndpoint, Kind: tfesim.FaultLate, Wait: 4 * time.Second}},
		{name: "unlock", fault: tfesim.Fault{Endpoint: unlockEndpoint, Kind: tfesim.FaultLate, Wait: 40 * time.Second}, rival: true, code: migrate.CodeUnproven, says: "released that lock"},
		{name: "unlock on HCP", server: tfesim.HCP, fault: tfesim.Fault{Endpoint: unlockEndpoint, Kind: tfesim.FaultLate, Wait: 40 * time.Second}, rival: true, code: migrate.CodeUnproven, says: "released that lock"},
		{name: "unlock whose answer is late", fault: tfesim.Fault{Endpoint: unlockEndpoint, Kind: tfesim.FaultLate, Wait: 6 * time.Second, After: true}, code: migrate.CodeUnproven, says: "released that lock"},
		{name: "unlock that is hidden", server: tfesim.Lax, fault: tfesim.Fault{Endpoint: unlockEndpoint, Kind: tfesim.FaultLate, Wait: 40 * time.Second}, rival: true, code: migrate.CodeUnproven, says: "released that lock"},
		{name: "state under a hidden lock", server: tfesim.Lax, fault: tfesim.Fault{Endpoint: createVersion, Kind: tfesim.FaultLate, Wait: 40 * time.Second}, rival: true, code: migrate.CodeUnproven, says: "does not report who holds the lock"},
		{name: "an unlock whose reply was lost, before another", fault: tfesim.Fault{Endpoint: unlockEndpoint, Kind: tfesim.FaultPostpone, Wait: time.Minute}, says: "response to an unlock request was lost"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{Personality: c.server})
				b.engine = b.newEngineWith(b.sim.Token(tfesim.Owner), 2*time.Minute)
				b.snapshot(state(7, lineage, 1))
				b.sim.Inject(c.fault)
				b.sim.OnRequest(func(q tfesim.Request) {
					if q.Endpoint == c.fault.Endpoint && c.rival {
						c.rival = false
						time.AfterFunc(time.Second, func() { forced(b) })
					}
				})
				r := b.run()
				outcome := migrate.Moved
				if c.code != "" {
					outcome = migrate.Failed
				}
				want(t, r, outcome, migrate.Fresh, c.code)
				if text := r.Message + strings.Join(r.Notes, " "); !strings.Contains(text, c.says) {
					t.Errorf("it does not say %q: %s", c.says, text)
				}
				b.wantHeld(state(7, lineage, 1))
				b.wantUnlocked()
				if r.Locked {
					t.Error("a lock is reported that is not there")
				}
				// The same command again finds the state there.
				b.sim.ClearFaults()
				want(t, b.run(), migrate.AlreadyThere, migrate.Identical, "")
			})
		})
	}
}

// tfhaul unlock says so, too.
func TestLateUnlockByCommandSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		if err := b.sim.Lock(org, workspace, tfesim.Owner, "tfhaul moves a state here (haul "+b.engine.Haul+")"); err != nil {
			t.Fatal(err)
		}
		b.sim.Inject(tfesim.Fault{Endpoint: unlockEndpoint, Kind: tfesim.FaultLate, Wait: 20 * time.Second})
		if u, err := b.engine.UnlockByID(t.Context(), workspace, ""); err != nil || !u.Freed || !strings.Contains(u.Message, "took 20s") {
			t.Errorf("got %+v, %v", u, err)
		}
	})
}

// Where the server does not say who holds the lock, nothing is written under one that was
// granted long ago, and it is not released either: it may be another's.
func TestHiddenLockIsNotTrustedForLong(t *testing.T) {
	for _, c := range []struct {
		name string
		late time.Duration
		code migrate.Code
	}{{"3 s", 3 * time.Second, ""}, {"40 s", 40 * time.Second, migrate.CodeLockLeft}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{Personality: tfesim.Lax})
				b.engine = b.newEngineWith(b.sim.Token(tfesim.Owner), 2*time.Minute)
				b.snapshot(state(7, lineage, 1))
				b.sim.Inject(tfesim.Fault{Endpoint: lockEndpoint, Kind: tfesim.FaultLate, Wait: c.late, After: true})
				r := b.run()
				if c.code == "" {
					want(t, r, migrate.Moved, migrate.Fresh, "")
					return
				}
				want(t, r, migrate.Failed, migrate.Fresh, c.code)
				b.wantHeld(nil)
				if _, locked := b.sim.LockHolder(org, workspace); !locked || !r.Locked || !strings.Contains(r.Message, r.UnlockCommand) {
					t.Errorf("locked %t, reported %t: %s", locked, r.Locked, r.Message)
				}
				if u, err := b.engine.UnlockByID(t.Context(), workspace, ""); err != nil || !u.Freed {
					t.Errorf("got %+v, %v", u, err)
				}
				want(t, b.run(), migrate.Moved, migrate.Fresh, "")
			})
		})
	}
}

// A server that unlocks slowly is not taken for one that does not respond.
func TestSlowUnlocksDoNotEndTheHaul(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 30
		b := newBench(t, tfesim.Options{})
		moves := b.landscape(n)
		b.sim.Inject(tfesim.Fault{Endpoint: unlockEndpoint, Kind: tfesim.FaultLate, Wait: 6 * time.Second, Times: -1})
		results, _ := b.haulAll(b.haul(), moves)
		for _, r := range results {
			if r.Code != migrate.CodeUnproven {
				t.Errorf("%s ended in %s/%s: %s", r.Target, r.Outcome, r.Code, r.Message)
			}
		}
		b.wantAll(n)
	})
}
