package migrate_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

const createEndpoint = "POST /workspaces/*/state-versions"

// limited is a rate limit that never ends.
func limited(endpoint, reset string) tfesim.Fault {
	f := tfesim.AnswerRateLimited(reset)
	f.Endpoint, f.Times = endpoint, -1
	return f
}

// announcing is a network on which every answer names a rate limit.
func announcing(limit string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if err == nil {
				resp.Header.Set("X-RateLimit-Limit", limit)
			}
			return resp, err
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// interruptAfter runs the move, and interrupts it after a time in which it has come to
// a wait. It returns how long the move took from then on.
func (b *bench) interruptAfter(wait time.Duration) (migrate.Result, time.Duration) {
	ctx, interrupt := context.WithCancel(b.t.Context())
	defer interrupt()
	ended := make(chan migrate.Result, 1)
	m := b.move()
	go func() { ended <- b.engine.Move(ctx, m) }()
	time.Sleep(wait) // in virtual time
	at := time.Now()
	interrupt()
	return <-ended, time.Since(at)
}

func TestInterruptEndsWaitsBeforeTheLock(t *testing.T) {
	for name, fault := range map[string]tfesim.Fault{
		"for the rate limit before anything": limited("", "59"),
		"for the rate limit of the lock":     limited("POST /workspaces/*/actions/lock", "59"),
		"before a question is repeated":      {Endpoint: "GET /organizations/*/workspaces/*", Kind: tfesim.FaultReset, Times: -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{})
				b.snapshot(state(7, lineage, 1))
				b.sim.Inject(fault)
				r, took := b.interruptAfter(300 * time.Millisecond)
				want(t, r, migrate.Failed, r.Relation, migrate.CodeInterrupted)
				if took > 0 {
					t.Errorf("it ended %s after the interrupt, want at once", took)
				}
				b.wantUnlocked()
				b.wantHeld(nil)
			})
		})
	}
}

func TestInterruptLetsAMoveThatHoldsTheLockFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		b.snapshot(state(7, lineage, 1))
		once := limited(createEndpoint, "20")
		once.Times = 1
		b.sim.Inject(once)
		r, took := b.interruptAfter(time.Second)
		want(t, r, migrate.Moved, migrate.Fresh, "")
		if took > 21*time.Second {
			t.Errorf("it took %s", took)
		}
		b.wantUnlocked()
		b.wantHeld(state(7, lineage, 1))
	})
}

// No wait of a move that is being finished takes more than 30 seconds, whatever the
// server announces or leaves unanswered.
func TestInterruptBoundsEveryWaitUnderTheLock(t *testing.T) {
	for name, fault := range map[string]tfesim.Fault{
		"a rate limit without end": limited(createEndpoint, "60"),
		"an answer that is late":   {Endpoint: createEndpoint, Kind: tfesim.FaultHang, Times: -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{})
				b.timeout = 10 * time.Minute
				b.engine = b.newEngine(b.sim.Token(tfesim.Owner))
				b.snapshot(state(7, lineage, 1))
				b.sim.Inject(fault)
				r, took := b.interruptAfter(time.Second)
				if r.Outcome != migrate.Failed || r.Code == migrate.CodeInterrupted || r.Locked {
					t.Errorf("got %s/%s, locked %v: %s", r.Outcome, r.Code, r.Locked, r.Message)
				}
				if took > 2*30*time.Second+10*time.Second { // two attempts, and a pause
					t.Errorf("it ended %s after the interrupt", took)
				}
				b.wantUnlocked()
				b.wantHeld(nil)
			})
		})
	}
}

// A limit that lets one request through in hours is not believed.
func TestAbsurdRateLimitsDoNotHoldAMoveUp(t *testing.T) {
	for _, limit := range []string{"0.0001", "0x1p-10", "NaN", "-1", "1e-300"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBenchOver(t, tfesim.Options{RateLimit: -1}, announcing(limit))
			b.snapshot(state(7, lineage, 1))
			start := time.Now()
			want(t, b.run(), migrate.Moved, migrate.Fresh, "")
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("X-RateLimit-Limit %s: the move took %s", limit, took)
			}
		})
	}
}
