package migrate_test

import (
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// blobHost is another name of the bench's server.
const blobHost = "127.0.0.1"

// The address of the bytes is on the API's own host: it gets the bearer and counts as a call. The
// blob host that it redirects to does neither.
func TestHostedStateGetsTheBearerAndCounts(t *testing.T) {
	for _, personality := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		for name, raw := range map[string][]byte{"a small state": state(7, lineage, 1), "a large state": bigState(5 << 20)} {
			t.Run(personality.String()+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{Personality: personality, HostedState: true, BlobOrigin: "http://" + blobHost})
					b.snapshot(raw)
					b.sim.ResetRequests()
					limited := tfesim.AnswerHTML(429) // the rate limit holds there, too
					limited.Endpoint, limited.Times = "GET /api/state-versions/:state_version_id/hosted_state", 1
					b.sim.Inject(limited)
					r := b.run()
					want(t, r, migrate.Moved, migrate.Fresh, "")
					b.wantHeld(raw)
					calls, hosted, redirected := 0, 0, 0
					for _, q := range b.sim.Requests() {
						isHosted := strings.HasSuffix(q.Path, "/hosted_state")
						switch {
						case q.Host == blobHost:
							redirected++
							if q.Authorization || !strings.Contains(q.Endpoint, "_archivist") {
								t.Errorf("the blob host got %s, with the bearer: %v", q.Endpoint, q.Authorization)
							}
						case isHosted || strings.HasPrefix(q.Path, "/api/v2/"):
							calls++
							if !q.Authorization {
								t.Errorf("%s came without the bearer", q.Endpoint)
							}
						}
						if isHosted {
							hosted++
						}
					}
					if hosted != 2 || redirected != 1 {
						t.Errorf("%d requests to the hosted address and %d to the blob host, want 2 and 1", hosted, redirected)
					}
					if r.APICalls != calls {
						t.Errorf("the move says %d calls, the server counted %d", r.APICalls, calls)
					}
				})
			})
		}
	}
}

// A workspace that is created may turn out to use HYOK.
func TestACreatedWorkspaceMayUseHYOK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{HYOK: true})
		b.snapshot(state(7, lineage, 1))
		b.engine.Create = true
		r := b.run(func(m *migrate.Move) { m.Workspace = "made" })
		want(t, r, migrate.Moved, migrate.Fresh, "")
		if notes := strings.Join(r.Notes, " "); !r.Created || strings.Count(notes, "HYOK (hold your own key)") != 1 {
			t.Errorf("created %v, the notes say %q", r.Created, notes)
		}
	})
}

// A downAgent is a network in which the blob host cannot be reached.
type downAgent struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (d downAgent) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == blobHost {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errRefused)}
	}
	return d.next.RoundTrip(req)
}

// In a workspace that uses HYOK, plan and result say what cannot be proven. A move whose state
// cannot be read back is unproven.
func TestHYOKSaysWhatCannotBeProven(t *testing.T) {
	for name, reachable := range map[string]bool{"agent reachable": true, "agent out of reach": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				options := tfesim.Options{HYOK: true, HostedState: true, BlobOrigin: "http://" + blobHost}
				b := newBenchOver(t, options, func(next http.RoundTripper) http.RoundTripper {
					if reachable {
						return next
					}
					return downAgent{next}
				})
				b.snapshot(state(7, lineage, 1))
				b.sim.ResetRequests()
				says := func(r migrate.Result) {
					t.Helper()
					if notes := strings.Join(r.Notes, " "); strings.Count(notes, "HYOK (hold your own key)") != 1 || !strings.Contains(notes, "tfhaul prove --local") {
						t.Errorf("the notes say %q", notes)
					}
				}
				b.engine.DryRun = true
				says(b.run())
				b.engine.DryRun = false
				plan, err := b.haul().Plan(t.Context(), []migrate.Move{b.move()})
				if err != nil {
					t.Fatal(err)
				}
				if len(plan.Findings) != 1 || plan.Findings[0].Code != migrate.FindingHYOK {
					t.Errorf("the plan found %v", plan.Findings)
				}
				for _, q := range b.sim.Requests() {
					if q.Method != http.MethodGet {
						t.Errorf("written before anything was said: %s", q.Endpoint)
					}
				}
				r := b.run()
				says(r)
				if reachable {
					want(t, r, migrate.Moved, migrate.Fresh, "")
				} else {
					want(t, r, migrate.Failed, migrate.Fresh, migrate.CodeUnproven)
				}
				b.wantHeld(state(7, lineage, 1))
			})
		})
	}
}
