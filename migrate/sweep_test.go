package migrate_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tfhaul/fixtures/testenv"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// The fault sweep: every fault at every request of every kind of move. After each
// the workspace holds the old bytes or the new ones, the report is true, no lock
// is left unannounced, the bearer went nowhere else, and the same move without
// the fault succeeds.
func TestFaultSweep(t *testing.T) {
	var ran atomic.Int64
	t.Run("cases", func(t *testing.T) {
		for _, s := range scenarios() {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				s.dir = t.TempDir()
				s.file = writeSnapshot(t, s.dir, sweepSnapshot)
				requests := s.countRequests(t)
				for k := 1; k <= requests; k++ {
					for _, f := range sweepFaults {
						if !testenv.Full() && (k+len(f.name))%5 != 0 {
							continue
						}
						s.sweep(t, f, k)
						ran.Add(1)
					}
				}
			})
		}
	})
	t.Logf("%d faults were swept over %d kinds of move", ran.Load(), len(scenarios()))
	if ran.Load() < 100 {
		t.Errorf("only %d cases ran", ran.Load())
	}
}

// A scenario is one kind of move.
type scenario struct {
	name   string
	server tfesim.Personality
	upload migrate.UploadMode
	held   []byte
	change func(*migrate.Move)
	// replaces says that old bytes must have a backup before new ones are there.
	replaces bool
	// dir and file are where the snapshot is, for all cases alike: only the backups
	// are written there.
	dir, file string
	// listed are the requests of the scenario without a fault, where they are known.
	listed []tfesim.Request
}

var sweepSnapshot = state(7, lineage, 1)

func scenarios() []scenario {
	var all []scenario
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		for _, upload := range []migrate.UploadMode{migrate.UploadInline, migrate.UploadSigned} {
			for _, s := range []scenario{
				{name: "fresh"},
				{name: "newer", held: state(6, lineage, 2)},
				{name: "identical", held: sweepSnapshot},
				{name: "replace", held: state(9, foreign, 3), change: replace, replaces: true},
			} {
				s.name = fmt.Sprintf("%s/%s/%s", server, upload, s.name)
				s.server, s.upload = server, upload
				if s.change == nil {
					s.change = func(*migrate.Move) {}
				}
				all = append(all, s)
			}
		}
	}
	return all
}

// A sweepFault spoils one request.
type sweepFault struct {
	name   string
	fault  tfesim.Fault
	refuse bool // no connection is made at all
}

var sweepFaults = []sweepFault{
	{name: "refused", refuse: true},
	{name: "reset before", fault: tfesim.Fault{Kind: tfesim.FaultReset}},
	{name: "reset after", fault: tfesim.Fault{Kind: tfesim.FaultReset, After: true}},
	{name: "closed after", fault: tfesim.Fault{Kind: tfesim.FaultClose, After: true}},
	{name: "cut", fault: tfesim.Fault{Kind: tfesim.FaultCut}},
	{name: "hang", fault: tfesim.Fault{Kind: tfesim.FaultHang}},
	{name: "401", fault: tfesim.AnswerError(401, "unauthorized", "")},
	{name: "403", fault: tfesim.AnswerError(403, "forbidden", "")},
	{name: "404", fault: tfesim.AnswerError(404, "not found", "")},
	{name: "404 empty", fault: tfesim.Fault{Status: 404}},
	{name: "409 not locked", fault: tfesim.AnswerError(409, "conflict", "This workspace is not locked and will only accept state uploads when locked")},
	{name: "409 locked by another", fault: tfesim.AnswerError(409, "conflict", "This workspace is locked by Run run-123 and will only accept state uploads from them while locked.")},
	{name: "409 serial", fault: tfesim.AnswerError(409, "conflict", "The MD5 hash of the state provided does not match what is currently known for the same serial number")},
	{name: "409 lineage", fault: tfesim.AnswerError(409, "conflict", "The lineage provided in the state file does not match the value currently known by Terraform Cloud.")},
	{name: "409 empty", fault: tfesim.Fault{Status: 409}},
	{name: "412", fault: tfesim.AnswerError(412, "Precondition Failed", "The serial provided in the state file is not greater than the serial currently known remotely.")},
	{name: "413", fault: tfesim.AnswerHTML(413)},
	{name: "422", fault: tfesim.AnswerError(422, "unprocessable entity", "Serial is not a number")},
	{name: "429", fault: tfesim.AnswerRateLimited("0.5")},
	{name: "429 without reset", fault: tfesim.AnswerRateLimited("")},
	{name: "429 with an absurd reset", fault: tfesim.AnswerRateLimited("soon")},
	{name: "500", fault: tfesim.AnswerError(500, "internal server error", "")},
	{name: "502 from a proxy", fault: tfesim.AnswerHTML(502)},
	{name: "503 after", fault: func() tfesim.Fault { f := tfesim.AnswerHTML(503); f.After = true; return f }()},
	{name: "redirect", fault: tfesim.AnswerRedirect("http://elsewhere.localhost/api/v2/steal")},
	{name: "wrong shape", fault: tfesim.AnswerShape()},
	{name: "empty body", fault: tfesim.AnswerEmpty()},
}

// countRequests runs the scenario without a fault.
func (s scenario) countRequests(t *testing.T) (n int) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := s.bench(t)
		b.run(s.change)
		n = len(b.sim.Requests())
	})
	return n
}

func (s scenario) bench(t *testing.T) (*bench, *spy) {
	spy := &spy{next: nil}
	b := newBenchOver(t, tfesim.Options{Personality: s.server}, func(next http.RoundTripper) http.RoundTripper {
		spy.next = next
		return spy
	})
	b.engine.Upload = s.upload
	b.file, b.engine.BackupDir = s.file, filepath.Join(s.dir, "backup")
	if s.held != nil {
		b.holds(s.held)
	}
	b.sim.ResetRequests()
	return b, spy
}

// sweep runs the scenario with a fault at its k-th request.
func (s scenario) sweep(t *testing.T, f sweepFault, k int) {
	name := fmt.Sprintf("%s at request %d", f.name, k)
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, spy := s.bench(t)
			if f.refuse {
				spy.refuse.Store(int64(k))
			} else {
				fault := f.fault
				fault.Nth = k
				b.sim.Inject(fault)
			}
			r := b.run(s.change)
			s.judge(b, r)
			if spy.strayed.Load() {
				t.Error("the bearer went to another host")
			}
			b.sim.ClearFaults()
			s.again(b, r)
			if t.Failed() {
				t.Logf("the result was %s/%s, locked %v: %s %q", r.Outcome, r.Code, r.Locked, r.Message, r.Notes)
				for _, q := range b.sim.Requests() {
					t.Logf("  %s → %d", q.Endpoint, q.Status)
				}
			}
		})
	})
}

// judge compares the report with what the server holds.
func (s scenario) judge(b *bench, r migrate.Result) {
	b.t.Helper()
	held, _, _ := b.sim.Current(org, workspace)
	isNew := digest(held) == digest(sweepSnapshot)
	isOld := digest(held) == digest(s.held)
	if !isNew && !isOld {
		b.t.Error("the workspace holds neither the old bytes nor the new")
	}
	success := r.Outcome == migrate.Moved || r.Outcome == migrate.AlreadyThere
	if success && !isNew {
		b.t.Error("success was reported, and the workspace holds the old bytes")
	}
	unsure := []migrate.Code{migrate.CodeUnproven, migrate.CodeLockLeft}
	if !success && isNew && !isOld && !slices.Contains(unsure, r.Code) {
		b.t.Errorf("the workspace holds the new bytes, and %q was reported", r.Code)
	}
	_, locked := b.sim.LockHolder(org, workspace)
	if locked && !r.Locked {
		b.t.Error("a lock was left and not reported")
	}
	if r.Locked && r.UnlockCommand == "" {
		b.t.Error("no command was given that frees the lock")
	}
	if r.Locked && !locked && !slices.Contains(unsure, r.Code) {
		b.t.Error("a lock was reported that is not there")
	}
	if r.Locked && success {
		b.t.Error("success was reported with a lock left")
	}
	if s.replaces && isNew {
		kept, err := os.ReadFile(r.Backup)
		if err != nil || digest(kept) != digest(s.held) {
			b.t.Errorf("what was replaced is not in the backup %q: %v", r.Backup, err)
		}
	}
	if strings.Contains(r.Message, "_archivist") {
		b.t.Error("the message holds a signed URL")
	}
}

// again runs the same move without the fault, after the command that frees the
// lock where one was given.
func (s scenario) again(b *bench, r migrate.Result) {
	b.t.Helper()
	if r.Locked {
		if _, err := b.engine.UnlockByID(b.t.Context(), workspace, ""); err != nil {
			b.t.Errorf("the lock that was left could not be freed: %v", err)
		}
	}
	b.engine.Haul = migrate.NewHaulID()
	second := b.run(s.change)
	if second.Outcome != migrate.Moved && second.Outcome != migrate.AlreadyThere {
		b.t.Errorf("the second run ended in %s/%s: %s", second.Outcome, second.Code, second.Message)
	}
	b.wantHeld(sweepSnapshot)
	b.wantUnlocked()
}

// A spy sits under the client: it refuses the connection of one request, and
// watches where the bearer goes.
type spy struct {
	next    http.RoundTripper
	refuse  atomic.Int64 // which request, counted from 1
	seen    atomic.Int64
	strayed atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (s *spy) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != "localhost" && req.Header.Get("Authorization") != "" {
		s.strayed.Store(true)
	}
	if s.seen.Add(1) == s.refuse.Load() {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errRefused)}
	}
	return s.next.RoundTrip(req)
}
