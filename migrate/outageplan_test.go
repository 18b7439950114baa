package migrate_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// dead makes every second move's source one whose server is gone.
func dead(moves []migrate.Move) {
	for i := 0; i < len(moves); i += 2 {
		moves[i].Object = deadSource{State: moves[i].Object, key: fmt.Sprintf("state-%d/terraform.tfstate", i)}
	}
}

// notAttempted counts the moves that were left out because their source is dead.
func notAttempted(results []migrate.Result) (n int) {
	for _, r := range results {
		if r.Code == migrate.CodeNotAttempted && strings.Contains(r.Message, "source did not respond") {
			n++
		}
	}
	return n
}

// A source that dies is given up, and the moves from others go on.
func TestADeadSourceIsGivenUpBesideALiveOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		b := newBench(t, tfesim.Options{})
		moves := b.landscape(n)
		h := b.haul()
		plan, err := h.Plan(t.Context(), moves)
		if err != nil {
			t.Fatal(err)
		}
		planned := make([]migrate.Move, n)
		for i := range plan.Moves {
			planned[i] = plan.Moves[i].Move
		}
		dead(planned)
		for i := range plan.Moves {
			plan.Moves[i].Object = planned[i].Object
		}
		results, _ := h.Run(t.Context(), plan)
		count := outcomes(results)
		if count[migrate.Moved] != n/2 {
			t.Errorf("%d moves from the live source, want %d", count[migrate.Moved], n/2)
		}
		if count[migrate.Failed] > 30 || count[migrate.Skipped] < n/2-30 {
			t.Errorf("got %v, want the dead source to be given up", count)
		}
	})
}

// A plan gives a dead source up as the moves do.
func TestPlanGivesADeadSourceUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		b := newBench(t, tfesim.Options{})
		moves := b.landscape(n)
		dead(moves)
		plan, err := b.haul().Plan(t.Context(), moves)
		if err != nil {
			t.Fatal(err)
		}
		count := outcomes(plan.Results())
		if count[migrate.WouldMove] != n/2 || count[migrate.Failed] > 30 {
			t.Errorf("got %v, want the dead source to be given up and the other planned", count)
		}
		if left := notAttempted(plan.Results()); left < n/2-30 {
			t.Errorf("%d moves were left out because of their source", left)
		}
	})
}

// A plan gives a dead server up, too, and does not ask it again for every move.
func TestPlanGivesADeadServerUp(t *testing.T) {
	for name, silent := range map[string]bool{"refuses": false, "is silent": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 200
				network := &listedOnly{silent: silent}
				b := newBenchOver(t, tfesim.Options{}, func(next http.RoundTripper) http.RoundTripper { network.next = next; return network })
				moves := b.landscape(n)
				h := b.haul()
				h.Parallelism = 8
				if _, err := b.haulAll(h, moves); err != nil { // so that there is something to be asked for
					t.Fatal(err)
				}
				network.dead.Store(true)
				start := time.Now()
				plan, err := h.Plan(t.Context(), moves)
				if err != nil {
					t.Fatal(err)
				}
				count, took := outcomes(plan.Results()), time.Since(start)
				t.Logf("giving up took %s and %d requests: %v", took, network.lost.Load(), count)
				if count[migrate.Skipped] < n/2 || network.lost.Load() > 200 || took > 5*time.Minute {
					t.Errorf("giving up took %s and %d requests: %v", took, network.lost.Load(), count)
				}
			})
		})
	}
}

// A listedOnly transport answers, once the server is dead, nothing but lists and the account.
type listedOnly struct {
	next   http.RoundTripper
	silent bool
	dead   atomic.Bool
	lost   atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (l *listedOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if !l.dead.Load() || strings.HasSuffix(req.URL.Path, "/workspaces") || strings.HasSuffix(req.URL.Path, "/account/details") {
		return l.next.RoundTrip(req)
	}
	l.lost.Add(1)
	if l.silent {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return nil, errRefused
}
