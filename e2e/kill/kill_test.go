//go:build unix

// Package kill sends signals to the real program at each of its requests. It checks what
// the server has, what the journal says, and whether the same command finishes the work
// afterwards.
package kill

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/fixtures/testenv"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

const org = "demo"

var program string

func TestMain(m *testing.M) {
	os.Exit(testenv.RunWithProgram(m, &program))
}

// A blow is what happens to the program at one of its requests.
type blow struct {
	name    string
	signals []syscall.Signal
	// lost means that the request takes no effect; otherwise it does, and the program may
	// not survive to see the response.
	lost bool
}

var blows = []blow{
	{"killed before the request takes effect", []syscall.Signal{syscall.SIGKILL}, true},
	{"killed before the response", []syscall.Signal{syscall.SIGKILL}, false},
	{"interrupted", []syscall.Signal{syscall.SIGINT}, false},
	{"interrupted twice", []syscall.Signal{syscall.SIGINT, syscall.SIGINT}, false},
	{"terminated", []syscall.Signal{syscall.SIGTERM}, false},
	{"hung up", []syscall.Signal{syscall.SIGHUP}, false},
}

// The kill sweep: every blow at every request, of a move and of a haul.
func TestKillSweep(t *testing.T) {
	var cases atomic.Int64
	t.Run("of", func(t *testing.T) {
		for _, job := range []job{
			{name: "move", states: 1, stride: 1, args: func(dir string) []string {
				return []string{"move", filepath.Join(dir, "ws-0", "terraform.tfstate"), org + "/ws-0"}
			}},
			{name: "migrate", states: 3, stride: 3, args: func(dir string) []string {
				return []string{"migrate", dir, "--target", org, "--yes", "--parallelism", "2"}
			}},
		} {
			t.Run(job.name, func(t *testing.T) {
				t.Parallel()
				requests := job.countRequests(t)
				for k := 1; k <= requests; k++ {
					for i, b := range blows {
						stride := job.stride
						if !testenv.Full() {
							stride *= 4
						}
						if (k+i)%stride != 0 {
							continue
						}
						cases.Add(1)
						t.Run(fmt.Sprintf("%s at request %d", b.name, k), func(t *testing.T) { job.sweep(t, b, k) })
					}
				}
			})
		}
	})
	t.Logf("%d blows were dealt", cases.Load())
	if cases.Load() == 0 {
		t.Error("nothing was tested")
	}
}

// A job is a command and its expected result.
type job struct {
	name   string
	states int
	stride int // of the sweep, because a haul's requests are similar
	args   func(dir string) []string
}

// A stage is a server and a directory of states for one run of a job.
type stage struct {
	job
	*tfesim.Server
	running *tfesim.Running
	dir     string
	journal string
	environ []string
}

func (j job) stage(t *testing.T) *stage {
	t.Helper()
	sim, err := tfesim.New(tfesim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	running, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Close(); err != nil {
			t.Error(err)
		}
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	home := t.TempDir()
	s := &stage{job: j, Server: sim, running: running, dir: filepath.Join(home, "states"), journal: filepath.Join(home, "haul.jsonl")}
	ca := filepath.Join(home, "ca.pem")
	write(t, ca, running.CAPEM())
	for i := range j.states {
		write(t, filepath.Join(s.dir, name(i), "terraform.tfstate"), state(i))
		// The second workspace has an older serial.
		if i == 1 {
			if _, err := sim.Seed(org, name(i), old(i)); err != nil {
				t.Fatal(err)
			}
		} else if _, err := sim.AddWorkspace(org, name(i)); err != nil {
			t.Fatal(err)
		}
	}
	s.environ = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TFE_HOSTNAME=" + running.Host(), "TFE_TOKEN=" + sim.Token(tfesim.Owner),
		"TFHAUL_CA_FILE=" + ca, "TFHAUL_JOURNAL=" + s.journal, "NO_PROXY=*",
	}
	return s
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func name(i int) string { return fmt.Sprintf("ws-%d", i) }

func spec(i int) fixtures.Spec {
	return fixtures.Spec{Serial: int64(20 + i), Seed: uint64(100 + i), Resources: 3, Outputs: 3}
}

func state(i int) []byte { return spec(i).Bytes() }

// old is the version before state.
func old(i int) []byte {
	s := spec(i)
	s.Lineage = s.LineageOf()
	s.Serial--
	s.Resources++
	return s.Bytes()
}

// An ending is how the program ended.
type ending struct {
	exit   int // -1 if killed
	output string
}

// start runs the job's command and returns a channel for its ending.
func (s *stage) start(t *testing.T) (*os.Process, <-chan ending) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, s.args(s.dir)...)
	cmd.Env = s.environ
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan ending, 1)
	go func() {
		// The process state says how it ended.
		_ = cmd.Wait()
		ended <- ending{cmd.ProcessState.ExitCode(), output.String()}
	}()
	return cmd.Process, ended
}

func (j job) countRequests(t *testing.T) int {
	t.Helper()
	s := j.stage(t)
	_, ended := s.start(t)
	if e := <-ended; e.exit != 0 {
		t.Fatalf("without a blow: exit %d\n%s", e.exit, e.output)
	}
	s.wantDone(t)
	return len(s.Requests())
}

func (j job) sweep(t *testing.T, b blow, k int) {
	s := j.stage(t)
	first := s.strike(t, b, k)
	s.judge(t, first)

	_, ended := s.start(t)
	if second := <-ended; second.exit != 0 {
		t.Errorf("the second run: exit %d\n%s", second.exit, second.output)
	}
	s.wantDone(t)
	if t.Failed() {
		t.Logf("the first run: exit %d\n%s", first.exit, first.output)
		journal, err := os.ReadFile(s.journal)
		t.Logf("the journal (%v):\n%s", err, journal)
	}
}

// strike runs the job's command and deals the blow at its k-th request.
func (s *stage) strike(t *testing.T, b blow, k int) ending {
	t.Helper()
	if b.lost {
		s.Inject(tfesim.Fault{Nth: k, Kind: tfesim.FaultReset})
	}
	started := make(chan struct{})
	gone := make(chan struct{})
	var process *os.Process
	var seen atomic.Int64
	var once sync.Once
	s.OnRequest(func(tfesim.Request) {
		if seen.Add(1) < int64(k) {
			return
		}
		once.Do(func() {
			<-started
			for _, signal := range b.signals {
				if err := process.Signal(signal); err != nil {
					t.Errorf("%v: %v", signal, err)
				}
				if signal == syscall.SIGKILL {
					<-gone
				}
			}
		})
	})
	var ended <-chan ending
	process, ended = s.start(t)
	close(started)
	first := <-ended
	close(gone)
	s.ClearFaults()
	return first
}

// judge checks what a blow has left: old bytes or new ones, and no lock that neither the
// journal nor the program's last output reports.
func (s *stage) judge(t *testing.T, e ending) {
	t.Helper()
	for i := range s.states {
		held, _, ok := s.Current(org, name(i))
		isNew, isOld := digest(held) == digest(state(i)), i == 1 && digest(held) == digest(old(i)) || i != 1 && !ok
		if !isNew && !isOld {
			t.Errorf("%s has neither the old bytes nor the new", name(i))
		}
		if e.exit == 0 && !isNew {
			t.Errorf("exit 0, but %s does not have the new bytes", name(i))
		}
	}
	announced := s.announced(t)
	for _, ws := range s.Locked(org) {
		target := s.running.Host() + "/" + org + "/" + ws
		if !announced[target] && !strings.Contains(e.output, "tfhaul unlock "+target) {
			t.Errorf("%s is locked, but neither the journal nor the program says so", ws)
		}
		if e.exit == 0 {
			t.Errorf("exit 0, but %s is locked", ws)
		}
	}
}

// announced returns the locks in the journal.
func (s *stage) announced(t *testing.T) map[string]bool {
	t.Helper()
	file, err := os.Open(s.journal)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ledger, err := migrate.ReadLedger(file)
	if err != nil {
		t.Fatal(err)
	}
	reported := map[string]bool{}
	for _, lock := range ledger.HeldLocks() {
		reported[lock.Target] = true
	}
	return reported
}

// wantDone fails unless every state has arrived, once, and nothing is locked.
func (s *stage) wantDone(t *testing.T) {
	t.Helper()
	for i := range s.states {
		if held, _, _ := s.Current(org, name(i)); digest(held) != digest(state(i)) {
			t.Errorf("%s does not have its state", name(i))
		}
		versions, want := len(s.Versions(org, name(i))), 1
		if i == 1 {
			want = 2
		}
		if versions != want {
			t.Errorf("%s has %d state versions, want %d: the move did not happen exactly once", name(i), versions, want)
		}
	}
	if locked := s.Locked(org); len(locked) > 0 {
		t.Errorf("%q are locked", locked)
	}
}

func digest(raw []byte) string {
	sum := md5.Sum(raw)
	return hex.EncodeToString(sum[:])
}
