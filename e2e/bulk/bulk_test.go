//go:build unix

// Package bulk runs hauls with the real program under the accidents of a long weekend: the
// program is killed, two instances run concurrently, the token expires, the server fails,
// the disk fills up. In every case the same command with the same journal finishes the
// haul.
package bulk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/fixtures/testenv"
	"tfhaul/tfesim"
)

const org = "acme"

var program string

func TestMain(m *testing.M) {
	os.Exit(testenv.RunWithProgram(m, &program))
}

// A stage is a server, and a directory of states to migrate to it.
type stage struct {
	t *testing.T
	*tfesim.Server
	environ []string
	dir     string
	journal string
	states  map[string][]byte // by workspace
}

// newStage writes n states. Their workspaces exist, except every tenth, which the haul must
// create.
func newStage(t *testing.T, n int, o tfesim.Options) *stage {
	t.Helper()
	o.Organizations = []string{org}
	if o.RateLimit == 0 {
		o.RateLimit = -1
	}
	sim, err := tfesim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	running, err := sim.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Close(); err != nil {
			t.Error(err)
		}
	})
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, running.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, Server: sim, dir: t.TempDir(), journal: filepath.Join(t.TempDir(), "haul.jsonl"), states: map[string][]byte{}}
	s.environ = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "TFE_ADDRESS=" + running.URL(),
		"TFE_TOKEN=" + sim.Token(tfesim.Owner), "TFHAUL_CA_FILE=" + authority}
	for i := range n {
		name := fmt.Sprintf("ws-%03d", i)
		s.states[name] = fixtures.Spec{Seed: uint64(i + 1), Serial: int64(i + 1), Resources: 1, MinSize: int64(i*337%20_000 + 1000)}.Bytes()
		path := filepath.Join(s.dir, name, "terraform.tfstate")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, s.states[name], 0o600); err != nil {
			t.Fatal(err)
		}
		if i%10 != 0 {
			if _, err := sim.AddWorkspace(org, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// command returns the haul's command with a journal.
func (s *stage) command(journal string, more ...string) *exec.Cmd {
	args := append([]string{"migrate", s.dir, "--target", org, "--create", "--yes", "--json", "--journal", journal}, more...)
	cmd := exec.CommandContext(s.t.Context(), program, args...)
	cmd.Env, cmd.Dir = s.environ, filepath.Dir(journal)
	return cmd
}

// A result is the final output of a run of the program.
type result struct {
	code     int
	Summary  map[string]int
	Moves    []struct{ Target, Outcome, Code, Message string }
	Locked   []string
	Continue string
	log      string
}

// finish runs a command and decodes its document.
func (s *stage) finish(cmd *exec.Cmd) result {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		s.t.Fatal(err)
	}
	r := result{code: cmd.ProcessState.ExitCode(), log: stderr.String()}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		s.t.Fatalf("exit code %d, and no document: %v\n%s", r.code, err, tail(r.log))
	}
	return r
}

func tail(text string) string { return text[max(0, len(text)-3000):] }

// wantTrue fails unless the server agrees with what a result reports about each workspace.
func (s *stage) wantTrue(r result) {
	s.t.Helper()
	if len(r.Moves) != len(s.states) {
		s.t.Errorf("it reports %d moves, want %d", len(r.Moves), len(s.states))
	}
	for _, m := range r.Moves {
		name := filepath.Base(m.Target)
		held, _, there := s.Current(org, name)
		if m.Outcome == "moved" && (!there || !bytes.Equal(held, s.states[name])) {
			s.t.Errorf("%s is reported as moved, but is not", name)
		}
		if there && m.Outcome != "moved" && m.Outcome != "already-there" && m.Code != "lock-left" && m.Code != "unproven" && !slices.Contains(r.Locked, m.Target) {
			s.t.Errorf("%s has a state, but is reported as %s/%s: %s", name, m.Outcome, m.Code, m.Message)
		}
	}
	for _, name := range s.Locked(org) {
		if !slices.ContainsFunc(r.Locked, func(target string) bool { return filepath.Base(target) == name }) {
			s.t.Errorf("%s is locked, but not reported", name)
		}
	}
}

// wantAll fails unless every workspace has its state, stored once, and none is locked.
func (s *stage) wantAll() {
	s.t.Helper()
	for name, want := range s.states {
		held, _, ok := s.Current(org, name)
		if !ok || !bytes.Equal(held, want) {
			s.t.Errorf("%s does not have its state", name)
		}
		if n := len(s.Versions(org, name)); n != 1 {
			s.t.Errorf("%s has %d state versions: the move did not happen exactly once", name, n)
		}
	}
	if locked := s.Locked(org); len(locked) > 0 {
		s.t.Errorf("%q are locked", locked)
	}
}

// wantVerified fails unless verify finds everything as journaled.
func (s *stage) wantVerified(journal string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), program, "verify", "--json", journal)
	cmd.Env = s.environ
	if r := s.finish(cmd); r.code != 0 || r.Summary["already-there"] != len(s.states) {
		s.t.Errorf("verify exits with %d: %v\n%s", r.code, r.Summary, tail(r.log))
	}
}

// continued runs the same command again and expects success.
func (s *stage) continued(more ...string) {
	s.t.Helper()
	r := s.finish(s.command(s.journal, more...))
	if r.code != 0 {
		s.t.Errorf("the continued haul exits with %d: %v\n%s", r.code, r.Summary, tail(r.log))
	}
	s.wantTrue(r)
	s.wantAll()
	s.wantVerified(s.journal)
}

// A haul that is killed ten times, at arbitrary moments, ends as if it had not been.
func TestKilledTenTimes(t *testing.T) {
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		t.Run(server.String(), func(t *testing.T) {
			t.Parallel()
			const deaths = 10
			n := 60
			if testenv.Full() {
				n = 200
			}
			s := newStage(t, n, tfesim.Options{Personality: server})
			random := rand.New(rand.NewPCG(4, uint64(server)))
			died, alive := 0, 0
			for died < deaths {
				// Each life is long enough to start moves, but too short for all.
				if alive++; alive > 5*deaths {
					t.Fatalf("it died only %d times", died)
				}
				if s.liveUntil(4 + random.IntN(4*n/deaths)) {
					died++
				}
			}
			t.Logf("%d deaths; %d of %d workspaces are locked in the end", died, len(s.Locked(org)), n)
			s.continued()
		})
	}
}

// liveUntil runs the haul until its n-th request and kills it there. It reports whether
// there was such a request.
func (s *stage) liveUntil(n int) (died bool) {
	s.t.Helper()
	cmd := s.command(s.journal)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	var asked, over atomic.Int64
	started := make(chan struct{})
	s.OnRequest(func(tfesim.Request) {
		if over.Load() == 0 && asked.Add(1) == int64(n) {
			<-started
			_ = cmd.Process.Kill() // it may have ended by itself
		}
	})
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	close(started)
	err := cmd.Wait()
	over.Store(1)
	if died = err != nil && cmd.ProcessState.ExitCode() == -1; !died && err != nil {
		s.t.Fatalf("%v\n%s", err, tail(stderr.String()))
	}
	return died
}

// Two hauls of the same states into the same organization do not harm each other.
func TestTwoHaulsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, 60, tfesim.Options{})
	second := s.journal + ".second"
	results := make(chan result, 2)
	for _, journal := range []string{s.journal, second} {
		go func() { results <- s.finish(s.command(journal, "--lock-timeout", "1m", "--parallelism", "4")) }()
	}
	moved := 0
	for range 2 {
		r := <-results
		if r.code != 0 {
			t.Errorf("one of them exits with %d: %v\n%s", r.code, r.Summary, tail(r.log))
		}
		moved += r.Summary["moved"]
	}
	if moved != len(s.states) {
		t.Errorf("together they moved %d states, want %d", moved, len(s.states))
	}
	s.wantAll()
	s.wantVerified(s.journal)
	s.wantVerified(second)
}

// A journal serves one haul at a time.
func TestTwoHaulsWithOneJournal(t *testing.T) {
	t.Parallel()
	s := newStage(t, 4, tfesim.Options{})
	fault := tfesim.Fault{Kind: tfesim.FaultHang, Endpoint: "POST /workspaces/:workspace_id/actions/lock"}
	s.Inject(fault)
	begun := make(chan struct{})
	var once atomic.Bool
	s.OnRequest(func(q tfesim.Request) {
		if q.Endpoint == fault.Endpoint && once.CompareAndSwap(false, true) {
			close(begun)
		}
	})
	first := s.command(s.journal)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	<-begun
	again := s.command(s.journal)
	out, err := again.CombinedOutput()
	if again.ProcessState.ExitCode() != 4 || !strings.Contains(string(out), "still runs") {
		t.Errorf("the second ends with %v: %s", err, out)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // killed
	s.continued()
}

// When something stops a haul halfway, the haul reports what became of each move, names the
// cause once, and continues when the cause is gone.
func TestHaulsThatBreakDown(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault tfesim.Fault
		code  string // of the failed moves
	}{
		{"the token expires", tfesim.AnswerError(401, "unauthorized", ""), "unauthorized"},
		{"writes are answered 503", tfesim.AnswerHTML(503), "server-refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, 60, tfesim.Options{})
			c.fault.Nth, c.fault.Times = 100, -1
			if c.code == "server-refused" {
				c.fault.Endpoint, c.fault.Nth = "POST /workspaces/:workspace_id/state-versions", 20
			}
			s.Inject(c.fault)
			r := s.finish(s.command(s.journal))
			if r.code != 1 || r.Summary["moved"] == 0 || r.Summary["failed"] == 0 || r.Summary["skipped"] == 0 {
				t.Errorf("it exits with %d: %v", r.code, r.Summary)
			}
			if !strings.Contains(r.Continue, s.journal) {
				t.Errorf("the message about continuing is %q", r.Continue)
			}
			for _, m := range r.Moves {
				if m.Outcome == "failed" && m.Code != c.code && m.Code != "lock-left" && m.Code != "unproven" {
					t.Errorf("%s failed of %s: %s", m.Target, m.Code, m.Message)
				}
			}
			s.wantTrue(r)
			s.ClearFaults()
			s.continued()
		})
	}
}

// If the disk with the journal is full, the haul ends before it does anything that could
// not be recorded.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, blocks := range []int{1, 24, 60} { // of 512 bytes
		t.Run(fmt.Sprintf("%d blocks", blocks), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, 40, tfesim.Options{})
			cmd := s.command(s.journal)
			words := append([]string{"-c", fmt.Sprintf(`ulimit -f %d && exec "$@"`, blocks), "sh"}, cmd.Args...)
			limited := exec.CommandContext(t.Context(), "/bin/sh", words...)
			limited.Env, limited.Dir = cmd.Env, cmd.Dir
			r := s.finish(limited)
			if r.code != 1 || r.Summary["failed"] == 0 || r.Summary["skipped"] == 0 {
				t.Errorf("it exits with %d: %v\n%s", r.code, r.Summary, tail(r.log))
			}
			s.wantTrue(r)
			s.continued()
		})
	}
}
