package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-multierror"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A proxy blocks the signed upload. The state goes inside the request where that is
// possible; else the message says both causes, and what frees the workspace.
func TestBlockedUpload(t *testing.T) {
	cases := []struct {
		name    string
		upload  migrate.UploadMode
		maxBody int64
		raw     []byte
		moved   bool
	}{
		{"auto, a large state", migrate.UploadAuto, 0, bigState(5 << 20), true},
		{"signed", migrate.UploadSigned, 0, state(7, lineage, 1), true},
		{"auto, and the request is too large, too", migrate.UploadAuto, 4096, state(7, lineage, 1), false},
		{"auto, a large state, and the request is too large, too", migrate.UploadAuto, 4096, bigState(5 << 20), false},
		{"signed, and the request is too large, too", migrate.UploadSigned, 4096, state(7, lineage, 1), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{MaxBody: c.maxBody})
				b.engine.Upload = c.upload
				b.snapshot(c.raw)
				fault := tfesim.AnswerHTML(403)
				fault.Endpoint, fault.Times = "PUT /_archivist/v1/object/:token", -1
				b.sim.Inject(fault)
				start := time.Now()
				r := b.run()
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("it took %s", took)
				}
				if c.moved {
					want(t, r, migrate.Moved, migrate.Fresh, "")
					b.wantHeld(c.raw)
					b.wantUnlocked()
					return
				}
				want(t, r, migrate.Failed, migrate.Fresh, migrate.CodeServerRefused)
				for _, says := range []string{"web page", "413", "localhost answered 403"} {
					if !strings.Contains(r.Message, says) {
						t.Errorf("the message does not say %q: %s", says, r.Message)
					}
				}
				notes := strings.Join(r.Notes, " ")
				if !r.Locked || r.UnlockCommand != "" || !strings.Contains(notes, "Force unlock") {
					t.Errorf("locked %v, command %q, notes %s", r.Locked, r.UnlockCommand, notes)
				}
				// What the message recommends works as printed.
				_, after, found := strings.Cut(notes, "POST ")
				path, _, _ := strings.Cut(after, ".")
				if !found || b.force(path) != http.StatusOK {
					t.Errorf("the workspace was not freed by POST %s", path)
				}
				b.sim.ClearFaults()
				want(t, b.run(func(m *migrate.Move) {}), migrate.Moved, migrate.Fresh, "")
			})
		})
	}
}

// force sends a POST with the owner's token.
func (b *bench) force(path string) int {
	b.t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: b.dialer.DialContext, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://localhost"+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.sim.Token(tfesim.Owner))
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// A mortal transport refuses every connection from one request on.
type mortal struct {
	next       http.RoundTripper
	lives      int64
	seen, lost atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (m *mortal) RoundTrip(req *http.Request) (*http.Response, error) {
	if m.lives == 0 || m.seen.Add(1) <= m.lives {
		return m.next.RoundTrip(req)
	}
	m.lost.Add(1)
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errRefused)}
}

// A server that dies in the middle of a haul is given up soon, wherever the moves
// were at that moment.
func TestHaulGivesADeadServerUp(t *testing.T) {
	for _, lives := range []int64{30, 31, 32, 33, 34} {
		t.Run(fmt.Sprint(lives), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 200
				network := &mortal{}
				b := newBenchOver(t, tfesim.Options{}, func(next http.RoundTripper) http.RoundTripper { network.next = next; return network })
				moves := b.landscape(n)
				h := b.haul()
				h.Parallelism = 8
				plan, err := h.Plan(t.Context(), moves)
				if err != nil {
					t.Fatal(err)
				}
				network.lives = lives
				start := time.Now()
				results, _ := h.Run(t.Context(), plan)
				took, count := time.Since(start), outcomes(results)
				if took > time.Minute || network.lost.Load() > 300 {
					t.Errorf("giving up took %s and %d requests", took, network.lost.Load())
				}
				t.Logf("giving up took %s and %d requests: %v", took, network.lost.Load(), count)
				if count[migrate.Skipped] < n/2 {
					t.Errorf("got %v, want most moves not attempted", count)
				}
			})
		})
	}
}

// A deadSource is a state in a bucket whose server is gone.
type deadSource struct {
	backend.State
	key string
}

func (d deadSource) Address() string { return "s3://acme/" + d.key + "?region=eu-west-1" }
func (d deadSource) Server() string  { return "s3://acme" }
func (d deadSource) Place() backend.Place {
	return backend.Place{Key: d.key, Workspace: backend.DefaultWorkspace}
}
func (d deadSource) Holder(context.Context) (*backend.Lock, error) { return nil, nil }
func (d deadSource) Check(context.Context, backend.Version) error  { return d.gone() }
func (d deadSource) Open(context.Context, *backend.Version) (io.ReadCloser, backend.Version, error) {
	return nil, backend.Version{}, d.gone()
}
func (d deadSource) gone() error {
	return &backend.Error{Address: d.Address(), Code: backend.Unreachable, Message: fmt.Sprintf("cannot read %q: nothing listens", d.Address())}
}

// A source that dies between the plan and the moves ends the haul, with one cause.
func TestHaulGivesADeadSourceUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		b := newBench(t, tfesim.Options{})
		moves := b.landscape(n)
		h := b.haul()
		plan, err := h.Plan(t.Context(), moves)
		if err != nil {
			t.Fatal(err)
		}
		for i := range plan.Moves {
			plan.Moves[i].Object = deadSource{State: plan.Moves[i].Object, key: fmt.Sprintf("state-%d/terraform.tfstate", i)}
		}
		results, err := h.Run(t.Context(), plan)
		count := outcomes(results)
		if count[migrate.Failed] > 30 || count[migrate.Skipped] < n-30 {
			t.Errorf("got %v, want the haul to end early", count)
		}
		causes, ok := errors.AsType[*multierror.Error](err)
		if !ok || len(causes.Errors) != 1 {
			t.Errorf("want one cause, got %v", err)
		}
		if last := results[n-1].Message; !strings.Contains(last, "source did not respond") {
			t.Errorf("the last move says %q", last)
		}
	})
}
