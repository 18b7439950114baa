package command_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tfhaul/command"
	"tfhaul/fixtures/testenv"
	"tfhaul/tfesim"
)

// binary builds the program once, and returns its path.
func binary(t *testing.T) string {
	t.Helper()
	built := build()
	if built.err != nil {
		t.Fatalf("go build: %v\n%s", built.err, built.output)
	}
	return built.path
}

type built struct {
	path   string
	output []byte
	err    error
}

// binaryDir is removed by TestMain.
var binaryDir string

var build = sync.OnceValue(func() built {
	var err error
	if binaryDir, err = os.MkdirTemp("", "tfhaul-binary-"); err != nil {
		return built{err: err}
	}
	path := filepath.Join(binaryDir, "tfhaul")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	output, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "tfhaul").CombinedOutput()
	return built{path, output, err}
})

func TestMain(m *testing.M) {
	testenv.DefaultSignals()
	code := m.Run()
	if binaryDir != "" {
		// A directory that stays harms nobody.
		_ = os.RemoveAll(binaryDir)
	}
	os.Exit(code)
}

// A child is the built program, running.
type child struct {
	cmd     *exec.Cmd
	stdout  bytes.Buffer
	stderr  *bufio.Reader
	started chan struct{} // closed when cmd.Process is there
}

// spawn starts the built program; the caller must read all of its stderr.
func (h *host) spawn(t *testing.T, args ...string) *child {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("signals cannot be sent on Windows")
	}
	c := &child{cmd: exec.CommandContext(t.Context(), binary(t), args...), started: make(chan struct{})}
	c.cmd.Env = h.environ
	c.cmd.Stdout = &c.stdout
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stderr = bufio.NewReader(stderr)
	return c
}

func (c *child) start(t *testing.T) {
	t.Helper()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(c.started)
}

// signal is sent from the handlers of the server, when the child has come to
// some point.
func (c *child) signal(t *testing.T, s os.Signal) {
	<-c.started
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Errorf("sending %v: %v", s, err)
	}
}

// wait returns how the child ended.
func (c *child) wait(t *testing.T, h *host) run {
	t.Helper()
	stderr, err := io.ReadAll(c.stderr)
	if err != nil {
		t.Error(err)
	}
	// An exit code is no failure here.
	_ = c.cmd.Wait()
	r := run{c.cmd.ProcessState.ExitCode(), c.stdout.String(), string(stderr)}
	h.mustNotShow(t, r)
	return r
}

// on calls do at the first request of an endpoint.
func (h *host) on(pattern string, do func()) {
	var once sync.Once
	h.OnRequest(func(q tfesim.Request) {
		if matches(q.Endpoint, pattern) {
			once.Do(do)
		}
	})
}

const (
	createVersion = "POST /workspaces/:workspace_id/state-versions"
	unlockAction  = "POST /workspaces/:workspace_id/actions/unlock"
)

// The first signal lets a move that holds a lock finish, and says so.
func TestFirstSignalFinishesTheMove(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			h.seed(t, "net", state(1, 9))
			path := write(t, "terraform.tfstate", state(1, 10))
			// The first upload never gets an answer, so that the program is still at work.
			c := h.spawn(t, "move", path, org+"/net", "--json", "--timeout", "2s")
			h.Inject(tfesim.Fault{Endpoint: endpointOf(createVersion), Kind: tfesim.FaultHang})
			h.on(createVersion, func() { c.signal(t, signal) })
			c.start(t)
			r := c.wait(t, h)
			document := r.document(t)
			if r.code != 0 || document["outcome"] != "moved" || document["locked"] != false {
				t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
			}
			if !strings.HasPrefix(r.stderr, "Stopping: finishing 1 move. Press Ctrl-C again to stop now; that leaves its lock.\n") {
				t.Errorf("stderr does not begin with what the signal does: %s", r.stderr)
			}
			h.mustHold(t, "net", state(1, 10))
			h.mustBeFree(t, "net")
		})
	}
}

// An ignored SIGINT stays ignored: a script's Ctrl-C is not for what the script has
// started in the background.
func TestJobInTheBackgroundIgnoresInterrupts(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "terraform.tfstate", state(1, 10))
	c := h.spawn(t, "move", path, org+"/net", "--json")
	c.cmd.Args = append([]string{"/bin/sh", "-c", `trap "" INT; exec "$@"`, "sh", c.cmd.Path}, c.cmd.Args[1:]...)
	c.cmd.Path = "/bin/sh"
	h.on(createVersion, func() { c.signal(t, os.Interrupt) })
	c.start(t)
	if r := c.wait(t, h); r.code != 0 || strings.Contains(r.stderr, "Stopping") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustHold(t, "net", state(1, 10))
}

// SIGQUIT ends the program immediately. Its exit code is not Go's own 2.
func TestQuitListsLocks(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.seed(t, "net", state(1, 9))
	path := write(t, "terraform.tfstate", state(1, 10))
	c := h.spawn(t, "move", path, org+"/net", "--json")
	h.Inject(tfesim.Fault{Endpoint: endpointOf(createVersion), Kind: tfesim.FaultHang})
	h.on(createVersion, func() { c.signal(t, syscall.SIGQUIT) })
	c.start(t)
	r := c.wait(t, h)
	h.ClearFaults()
	if r.code != 130 || r.stdout != "" || strings.Contains(r.stderr, "goroutine") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustBeFreedBy(t, r.stderr, "net")
}

// mustBeFreedBy runs the command that stderr recommends for a workspace that was left
// locked.
func (h *host) mustBeFreedBy(t *testing.T, stderr, workspace string) {
	t.Helper()
	if _, locked := h.LockHolder(org, workspace); !locked {
		t.Error("nothing is locked, so this test shows nothing")
	}
	_, command, ok := strings.Cut(stderr, "is left locked. To unlock it: tfhaul ")
	if !ok {
		t.Fatalf("stderr does not say what is locked: %s", stderr)
	}
	command, _, _ = strings.Cut(command, "\n")
	if freed := h.tfhaul(t, strings.Fields(command)...); freed.code != 0 || !strings.HasPrefix(freed.stdout, "unlocked: ") {
		t.Errorf("exit code %d: %s%s", freed.code, freed.stdout, freed.stderr)
	}
	h.mustBeFree(t, workspace)
}

// A panickingWriter panics once, when what is written says that a state was sent.
type panickingWriter struct {
	bytes.Buffer
	once sync.Once
}

func (w *panickingWriter) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("method=POST")) && bytes.Contains(b, []byte("/state-versions")) {
		w.once.Do(func() { panic("with a value that is not to be shown") })
	}
	return w.Buffer.Write(b)
}

func TestPanicUnderTheLockSaysWhatIsLocked(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]func(path string) []string{
		"move": func(path string) []string { return []string{"move", path, org + "/net"} },
		"migrate": func(path string) []string {
			return []string{"migrate", path, "--target", org, "--yes", "--workspace-name", "net", "--journal", filepath.Join(filepath.Dir(path), "haul.jsonl")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			h.addWorkspace(t, "net")
			path := write(t, "terraform.tfstate", state(1, 10))
			var stdout bytes.Buffer
			stderr := new(panickingWriter)
			words := append([]string{"tfhaul", "--log-level", "debug"}, args(path)...)
			code := command.Run(t.Context(), nil, words, strings.NewReader(""), &stdout, stderr, h.environ)
			said := stderr.String()
			if code != 1 || stdout.Len() > 0 || !strings.Contains(said, "internal error, please report it: a panic with a string") || strings.Contains(said, "not to be shown") {
				t.Errorf("exit code %d: %s%s", code, &stdout, said)
			}
			if name == "migrate" {
				// This process still has the journal open, as a real one would not.
				journal := filepath.Join(filepath.Dir(path), "haul.jsonl")
				content, err := os.ReadFile(journal)
				if err != nil {
					t.Fatal(err)
				}
				said = strings.ReplaceAll(said, journal, write(t, "copy.jsonl", content))
			}
			h.mustBeFreedBy(t, said, "net")
		})
	}
}

// A panickingReader panics in the goroutine that reads a pipe.
type panickingReader struct{}

func (panickingReader) Read([]byte) (int, error) { panic("with a value that is not to be shown") }

func TestPanicInAnotherGoroutineEndsAsAnyOther(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	var stdout, stderr bytes.Buffer
	code := command.Run(t.Context(), nil, []string{"tfhaul", "move", "-", org + "/net"}, panickingReader{}, &stdout, &stderr, h.environ)
	if said := stderr.String(); code != 1 || !strings.Contains(said, "internal error, please report it: a panic with a string") || strings.Contains(said, "not to be shown") {
		t.Errorf("exit code %d: %s%s", code, &stdout, said)
	}
}

func TestSecondSignalStopsAndListsLocks(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.seed(t, "net", state(1, 9))
	path := write(t, "terraform.tfstate", state(1, 10))
	journal := filepath.Join(t.TempDir(), "move.jsonl")
	// Neither the first upload nor the unlock gets an answer. The move is finished in
	// spite of the first signal. The unlock is not repeated before the second signal has
	// ended the program: its timeout is a minute.
	c := h.spawn(t, "move", path, org+"/net", "--json", "--journal", journal)
	h.Inject(tfesim.Fault{Endpoint: endpointOf(createVersion), Kind: tfesim.FaultReset})
	h.Inject(tfesim.Fault{Endpoint: endpointOf(unlockAction), Kind: tfesim.FaultHang})
	var first, second sync.Once
	h.OnRequest(func(q tfesim.Request) {
		switch {
		case matches(q.Endpoint, createVersion):
			first.Do(func() { c.signal(t, os.Interrupt) })
		case matches(q.Endpoint, unlockAction):
			second.Do(func() { c.signal(t, os.Interrupt) })
		}
	})
	c.start(t)
	r := c.wait(t, h)
	h.ClearFaults()
	if r.code != 130 || r.stdout != "" {
		t.Errorf("exit code %d, stdout %q", r.code, r.stdout)
	}
	if holder, locked := h.LockHolder(org, "net"); !locked || holder.Identity != tfesim.Owner {
		t.Fatal("the workspace is not locked by us")
	}
	_, command, ok := strings.Cut(r.stderr, "is left locked. To unlock it: tfhaul ")
	if !ok {
		t.Fatalf("stderr does not say what is locked: %s", r.stderr)
	}
	// Of the two ways to free it, the journal's is tried first.
	if freed := h.tfhaul(t, "unlock", journal); freed.code != 0 || !strings.HasPrefix(freed.stdout, "unlocked: ") {
		t.Errorf("exit code %d: %s%s", freed.code, freed.stdout, freed.stderr)
	}
	if free := h.tfhaul(t, strings.Fields(command)...); free.code != 0 || !strings.HasPrefix(free.stdout, "not locked: ") {
		t.Errorf("exit code %d: %s%s", free.code, free.stdout, free.stderr)
	}
	h.mustBeFree(t, "net")
	h.mustHold(t, "net", state(1, 10)) // the first signal let the upload be repeated
}

// TestKillLeavesAJournalThatFrees is for what nothing can be done about at once: the journal tells.
func TestKillLeavesAJournalThatFrees(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.seed(t, "net", state(1, 9))
	path := write(t, "terraform.tfstate", state(1, 10))
	journal := filepath.Join(t.TempDir(), "move.jsonl")
	c := h.spawn(t, "move", path, org+"/net", "--journal", journal)
	h.Inject(tfesim.Fault{Endpoint: endpointOf(createVersion), Kind: tfesim.FaultHang})
	whileItRan := make(chan run, 1)
	h.on(createVersion, func() {
		// Its locks are not to be taken from it.
		whileItRan <- h.tfhaul(t, "unlock", journal)
		c.signal(t, os.Kill)
	})
	c.start(t)
	if r := c.wait(t, h); r.code != -1 {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if running := <-whileItRan; running.code != 4 || !strings.Contains(running.stderr, "still runs") {
		t.Errorf("while it ran: exit code %d: %s%s", running.code, running.stdout, running.stderr)
	}
	if _, locked := h.LockHolder(org, "net"); !locked {
		t.Fatal("nothing is locked, so this test is of no use")
	}
	if r := h.tfhaul(t, "unlock", journal); r.code != 0 || !strings.HasPrefix(r.stdout, "unlocked: ") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustBeFree(t, "net")
	h.mustHold(t, "net", state(1, 9))
}

func TestSignalWhileWaitingForALock(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	if err := h.Lock(org, "net", tfesim.SecondUser, "apply"); err != nil {
		t.Fatal(err)
	}
	path := write(t, "terraform.tfstate", state(1, 10))
	c := h.spawn(t, "move", path, org+"/net", "--lock-timeout=1h", "--json")
	c.start(t)
	warning, err := c.stderr.ReadString('\n')
	if err != nil || !strings.HasPrefix(warning, "Waiting for the lock on ") {
		t.Errorf("the first line is %q, %v", warning, err)
	}
	c.signal(t, syscall.SIGTERM)
	r := c.wait(t, h)
	if document := r.document(t); r.code != 130 || document["code"] != "interrupted" {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if holder, locked := h.LockHolder(org, "net"); !locked || holder.Identity != tfesim.SecondUser {
		t.Error("the lock of the other user is gone")
	}
	h.mustHold(t, "net", nil)
}

// TestNohup closes the terminal of a move that was started so that it outlives it.
func TestNohup(t *testing.T) {
	t.Parallel()
	nohup, err := exec.LookPath("nohup")
	if err != nil {
		t.Skip("there is no nohup")
	}
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "terraform.tfstate", state(1, 10))
	c := h.spawn(t, "move", path, org+"/net", "--json")
	c.cmd.Args = append([]string{nohup, c.cmd.Path}, c.cmd.Args[1:]...)
	c.cmd.Path = nohup
	h.on(createVersion, func() { c.signal(t, syscall.SIGHUP) })
	c.start(t)
	if r := c.wait(t, h); r.code != 0 {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustHold(t, "net", state(1, 10))
}

// TestReaderThatGoesAway closes the other end of stderr: that must not end a move
// that holds a lock.
func TestReaderThatGoesAway(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "terraform.tfstate", state(1, 10))
	if runtime.GOOS == "windows" {
		t.Skip("there is no such signal on Windows")
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary(t), "move", path, org+"/net", "--json", "--log-level=debug")
	cmd.Env = h.environ
	cmd.Stderr = write
	stdout, err := cmd.Output()
	if closed := write.Close(); closed != nil {
		t.Error(closed)
	}
	if err != nil || !json.Valid(stdout) {
		t.Errorf("%v: %s", err, stdout)
	}
	h.mustHold(t, "net", state(1, 10))
	h.mustBeFree(t, "net")
}

func TestSimEndsAtSIGTERM(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("signals cannot be sent on Windows")
	}
	envFile := filepath.Join(t.TempDir(), "env")
	cmd := exec.CommandContext(t.Context(), binary(t), "sim", "--env-file", envFile)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.HasPrefix(line, "https://") {
		t.Errorf("the first line is %q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if left, err := filepath.Glob(envFile + "*"); err != nil || len(left) != 0 {
		t.Errorf("files are left: %q, %v", left, err)
	}
}

// endpointOf is a pattern of tfesim for an endpoint, whatever its variable parts
// are called there.
func endpointOf(pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, ":") {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// A lock request is lost and takes effect after the move has ended: unlock looks at its
// workspace, too.
func TestUnlockLooksWhereALockRequestWasLost(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "terraform.tfstate", state(1, 10))
	journal := filepath.Join(t.TempDir(), "move.jsonl")
	h.Inject(tfesim.Fault{Endpoint: "POST /workspaces/:workspace_id/actions/lock", Kind: tfesim.FaultReset})
	r := h.tfhaul(t, "move", path, org+"/net", "--journal", journal, "--json")
	document := r.document(t)
	if r.code != 0 || document["lock_request_lost"] != true {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	command := fmt.Sprint(document["notes"])
	_, haul, found := strings.Cut(command, "--haul ")
	if !found {
		t.Fatalf("no command is named: %s", command)
	}
	haul, _, _ = strings.Cut(haul, "]")
	// Now it takes effect.
	if err := h.Lock(org, "net", tfesim.Owner, "tfhaul moves a state here (haul "+haul+")"); err != nil {
		t.Fatal(err)
	}
	if r := h.tfhaul(t, "unlock", journal); r.code != 0 || !strings.HasPrefix(r.stdout, "unlocked: ") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustBeFree(t, "net")
}

// The workspace was renamed after the move, and another has its name now.
func TestVerifyJournalChecksTheName(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "terraform.tfstate", state(1, 10))
	journal := filepath.Join(t.TempDir(), "move.jsonl")
	if r := h.tfhaul(t, "move", path, org+"/net", "--journal", journal); r.code != 0 {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if err := h.RenameWorkspace(org, "net", "moved-away"); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []bool{false, true} {
		if taken {
			h.addWorkspace(t, "net")
		}
		if r := h.tfhaul(t, "verify", journal); r.code != 3 || !strings.Contains(r.stdout, "moved-away") {
			t.Errorf("the name is taken: %v: exit code %d: %s%s", taken, r.code, r.stdout, r.stderr)
		}
	}
}
