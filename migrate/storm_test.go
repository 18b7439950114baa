package migrate_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A server that answers 429 under the lock is not hammered: the question who holds the
// lock, which does not wait for its turn, waits as long as the server says.
func TestLooksWaitAfter429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		b.snapshot(state(7, lineage, 1))
		b.sim.Inject(tfesim.Fault{Endpoint: lockEndpoint, Kind: tfesim.FaultLate, Wait: 3 * time.Second, After: true})
		refused := tfesim.AnswerRateLimited("1")
		refused.Endpoint, refused.Times = "GET /workspaces/:workspace_id", 20
		b.sim.Inject(refused)
		start := time.Now()
		r := b.run()
		want(t, r, migrate.Moved, migrate.Fresh, "")
		b.wantUnlocked()
		if took := time.Since(start); took < 20*time.Second {
			t.Errorf("20 refusals, each of which asked for a pause of a second, took %s", took)
		}
	})
}

// A storm of 429s at one request a second and 8 moves at a time: every wait ends, and no
// lock stays without being reported.
func TestStormOf429(t *testing.T) {
	for _, c := range []struct {
		name     string
		endpoint string
		times    int
	}{
		{"everywhere, 60 answers", "", 60},
		{"unlock, always", "POST /workspaces/:workspace_id/actions/unlock", -1},
		{"send, always", createVersion, -1},
		{"look, always", "GET /workspaces/:workspace_id", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 16
				b := newBench(t, tfesim.Options{RateLimit: 1})
				moves := b.landscape(n)
				haul := b.haul()
				haul.Parallelism = 8
				started := false
				b.sim.OnRequest(func(q tfesim.Request) {
					if !started && q.Endpoint == lockEndpoint {
						started = true
						refused := tfesim.AnswerRateLimited("1")
						refused.Endpoint, refused.Times = c.endpoint, c.times
						b.sim.Inject(refused)
					}
				})
				start := time.Now()
				results, _ := b.haulAll(haul, moves)
				if took := time.Since(start); took > 30*time.Minute {
					t.Errorf("%v took %s", outcomes(results), took)
				}
				for _, ws := range b.sim.Locked(org) {
					if !slices.ContainsFunc(results, func(r migrate.Result) bool {
						return r.Locked && r.UnlockCommand != "" && r.Target == b.engine.Target.Host()+"/"+org+"/"+ws
					}) {
						t.Errorf("%s is locked, and no result says so", ws)
					}
				}
			})
		})
	}
}
