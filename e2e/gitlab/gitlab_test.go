// Package gitlab_test tests gitlab:// sources and targets, and those of another server of
// Terraform's http backend, with the real terraform as the other party. The servers are those of
// package fixtures/gitlab, because GitLab itself cannot be installed here. It is a module of its
// own, like the other tests with the real terraform. Run it with
//
//	cd e2e/gitlab && go test ./...
package gitlab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "tfhaul/command" // what the program needs, for go.mod
	"tfhaul/fixtures"
	"tfhaul/fixtures/gitlab"
	"tfhaul/fixtures/testenv"
	"tfhaul/tfesim"
)

var program string

func TestMain(m *testing.M) { os.Exit(testenv.RunWithProgram(m, &program)) }

const (
	project = "acme/infra"
	token   = "glpat-of-the-tests"
	org     = "demo"
)

// A place is where a test keeps one state, on a GitLab or on another server.
type place struct {
	host    string
	address string // of the state, for tfhaul
	current func() []byte
	lockID  func() string
	// block has the arguments of Terraform's backend.
	block string
}

func startGitLab(t *testing.T) (*gitlab.Server, string) {
	t.Helper()
	s := &gitlab.Server{PageSize: 20}
	s.AddProject(project)
	s.AddToken(token, gitlab.Token{User: "ann", Role: gitlab.Maintainer})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.Listener.Addr().String()
}

// places are one on each kind of server.
func places(t *testing.T) map[string]*place {
	t.Helper()
	s, host := startGitLab(t)
	other := &gitlab.Plain{User: "ann", Password: token, LockSuffix: "/lock", LockMethod: http.MethodPost, UnlockMethod: http.MethodDelete}
	server := httptest.NewServer(other)
	t.Cleanup(server.Close)
	otherHost := server.Listener.Addr().String()
	const path = "/api/packages/acme/terraform/state/net"
	return map[string]*place{
		"GitLab": {
			host: host, address: "gitlab+http://" + host + "/" + project + "/net",
			current: func() []byte { return s.Current(project, "net") },
			lockID: func() string {
				if record := s.State(project, "net"); record != nil {
					return record.LockID
				}
				return ""
			},
			block: blockOf("http://" + host + "/api/v4/projects/acme%2Finfra/terraform/state/net"),
		},
		"Gitea": {
			host: otherHost, address: "http+http://" + otherHost + path + "?lock-address={name}/lock&lock-method=POST&unlock-method=DELETE",
			current: func() []byte { return other.Get(path) },
			lockID: func() string {
				var lock struct{ ID string }
				_ = json.Unmarshal(other.LockOf(path), &lock) // without a lock, it is ""
				return lock.ID
			},
			block: blockOf("http://" + otherHost + path),
		},
	}
}

func blockOf(url string) string {
	return fmt.Sprintf("address = %q\nlock_address = %q\nunlock_address = %[2]q\nlock_method = \"POST\"\nunlock_method = \"DELETE\"\n", url, url+"/lock")
}

// credentials are Terraform's variables, which tfhaul reads, too.
var credentials = []string{"TF_HTTP_USERNAME=ann", "TF_HTTP_PASSWORD=" + token}

// A configuration is a directory in which the real terraform uses the http backend.
type configuration struct {
	t         *testing.T
	dir       string
	terraform string
}

const resources = `
variable "note" { default = "first" }
variable "size" { default = 1 }
resource "terraform_data" "one" { input = var.note }
resource "terraform_data" "large" { input = join("", [for i in range(var.size) : join("", [for j in range(100) : "0123456789abcdef"])]) }
output "note" { value = terraform_data.one.output }
`

func newConfiguration(t *testing.T, p *place) *configuration {
	t.Helper()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("NOT TESTED against the real terraform, which is not on PATH")
	}
	c := &configuration{t, t.TempDir(), terraform}
	text := "terraform {\n  backend \"http\" {\n" + p.block + "}\n}\n" + resources
	if err := os.WriteFile(filepath.Join(c.dir, "main.tf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c.must("init", "-input=false")
	return c
}

func (c *configuration) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), c.terraform, args...)
	cmd.Dir = c.dir
	cmd.Env = append(append(os.Environ(), credentials...), "HOME="+c.dir, "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "NO_COLOR=1")
	return cmd
}

func (c *configuration) run(args ...string) (string, error) {
	out, err := c.command(append(args, "-no-color")...).CombinedOutput()
	return string(out), err
}

func (c *configuration) must(args ...string) {
	c.t.Helper()
	if out, err := c.run(args...); err != nil {
		c.t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (c *configuration) apply(note string, size int) {
	c.t.Helper()
	c.must("apply", "-auto-approve", "-input=false", "-var=note="+note, fmt.Sprintf("-var=size=%d", size))
}

func (c *configuration) wantNoChanges(note string, size int) {
	c.t.Helper()
	if out, err := c.run("plan", "-detailed-exitcode", "-input=false", "-var=note="+note, fmt.Sprintf("-var=size=%d", size)); err != nil {
		c.t.Errorf("terraform plans changes, or the plan failed: %v\n%s", err, out)
	}
}

// lock holds the state's lock with a running console until the returned function is called.
func (c *configuration) lock(p *place) (release func()) {
	c.t.Helper()
	console := c.command("console")
	in, err := console.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := console.Start(); err != nil {
		c.t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for p.lockID() == "" {
		select {
		case <-tick.C:
		case <-late:
			c.t.Fatal("terraform console holds no lock")
		}
	}
	return func() {
		c.t.Helper()
		if err := errors.Join(in.Close(), console.Wait()); err != nil {
			c.t.Error(err)
		}
	}
}

// startTFE starts the embedded server and returns the environment for its clients.
func startTFE(t *testing.T) (*tfesim.Server, []string) {
	t.Helper()
	sim, err := tfesim.New(tfesim.Options{RateLimit: 1000})
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
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, running.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return sim, append([]string{"HOME=" + t.TempDir(), "TFE_HOSTNAME=" + running.Host(), "TFE_TOKEN=" + sim.Token(tfesim.Owner), "TFHAUL_CA_FILE=" + ca, "TF_CLI_CONFIG_FILE=" + os.DevNull}, credentials...)
}

func tfhaul(t *testing.T, dir string, environ []string, args ...string) (exit int, out string) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), environ...)
	text, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	if strings.Contains(string(text), token) {
		t.Errorf("tfhaul %s shows the token", args[0])
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

func must(t *testing.T, dir string, environ []string, args ...string) string {
	t.Helper()
	exit, out := tfhaul(t, dir, environ, args...)
	if exit != 0 {
		t.Fatalf("tfhaul %s: exit %d\n%s", strings.Join(args, " "), exit, out)
	}
	return out
}

// large is how many times 1,600 bytes a large state has.
const large = 1_000

// Terraform writes, also a large state. tfhaul audits it and moves it into a workspace byte for
// byte, but not while Terraform holds the lock. In GitLab, audit shows who holds it.
func TestFromTerraformIntoWorkspaces(t *testing.T) {
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConfiguration(t, p)
			c.apply("first", large)
			sim, environ := startTFE(t)
			dir := t.TempDir()
			if exit, out := tfhaul(t, dir, environ, "audit", p.address); exit != 0 && exit != 3 || !strings.Contains(out, "1 state") {
				t.Errorf("audit: exit %d\n%s", exit, out)
			}
			release := c.lock(p)
			if name == "GitLab" {
				if exit, out := tfhaul(t, dir, environ, "move", "--create", p.address, org+"/net"); exit != 3 || !strings.Contains(out, "ann") {
					t.Errorf("GitLab shows the lock: exit %d\n%s", exit, out)
				}
			}
			if exit, out := tfhaul(t, dir, environ, "move", "--lock-source", "--create", p.address, org+"/net"); exit != 3 || !strings.Contains(out, "locked") {
				t.Errorf("a locked source: exit %d\n%s", exit, out)
			}
			release()
			must(t, dir, environ, "move", "--lock-source", "--create", p.address, org+"/net")
			if held, _, _ := sim.Current(org, "net"); len(held) < 1600*large || !bytes.Equal(held, p.current()) {
				t.Errorf("the workspace has %d other bytes", len(held))
			}
			if id := p.lockID(); id != "" {
				t.Errorf("the source is still locked by %s", id)
			}
			c.apply("second", 1) // the state is unlocked, and unchanged
		})
	}
}

// tfhaul writes what Terraform accepts: it plans no changes, and applies the next one. Each
// respects the other's lock.
func TestTerraformUsesWhatWasMoved(t *testing.T) {
	from, into := places(t), places(t)
	for name, p := range into {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := newConfiguration(t, from[name])
			source.apply("first", large)
			file, dir := filepath.Join(t.TempDir(), "net.tfstate"), t.TempDir()
			write := func() {
				if err := os.WriteFile(file, from[name].current(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write()
			must(t, dir, credentials, "move", file, p.address)
			if !bytes.Equal(p.current(), from[name].current()) {
				t.Error("it has other bytes")
			}
			c := newConfiguration(t, p)
			c.wantNoChanges("first", large)
			c.apply("next", 1)
			for _, note := range []string{"2", "3", "4"} { // to overtake it
				source.apply(note, 1)
			}
			write()
			release := c.lock(p)
			if exit, out := tfhaul(t, dir, credentials, "move", "--backup-dir", dir, file, p.address); exit != 3 || !strings.Contains(out, "locked") {
				t.Errorf("Terraform's lock: exit %d\n%s", exit, out)
			}
			release()
			must(t, dir, credentials, "move", "--backup-dir", dir, file, p.address)
			c.wantNoChanges("4", 1)
			// A source that tfhaul freezes stops Terraform, which then unlocks it.
			sim, environ := startTFE(t)
			must(t, dir, environ, "move", "--freeze-source", "--create", p.address, org+"/net")
			if held, _, _ := sim.Current(org, "net"); !bytes.Equal(held, p.current()) {
				t.Error("the workspace has other bytes")
			}
			if out, err := c.run("apply", "-auto-approve", "-input=false", "-var=note=frozen"); err == nil || !strings.Contains(out, "Error acquiring the state lock") || !strings.Contains(out, p.lockID()) {
				t.Errorf("terraform applies to a frozen source: %v\n%s", err, out)
			}
			c.must("force-unlock", "-force", p.lockID())
			c.apply("unfrozen", 1)
		})
	}
}

const states = 50

// 50 states move from GitLab into an organization, and back into another project. Then GitLab
// keeps their versions, and a rollback raises serials.
func TestFiftyStatesInAndBackOut(t *testing.T) {
	t.Parallel()
	s, host := startGitLab(t)
	s.AddProject("acme/back")
	want := map[string][]byte{}
	for i := range states {
		name := fmt.Sprintf("net-%03d", i)
		spec := fixtures.Spec{Seed: uint64(i + 1), Serial: 3, Resources: 1, MinSize: int64(2_000 + i*977)}
		want[name] = spec.Bytes()
		s.Put(project, name, 3, want[name])
	}
	sim, environ := startTFE(t)
	dir := t.TempDir()
	must(t, dir, environ, "migrate", "gitlab+http://"+host+"/"+project+"/", "--target", org, "--create", "--yes", "--journal", "in.jsonl")
	must(t, dir, environ, "migrate", "tfe://"+org, "--target", "gitlab+http://"+host+"/acme/back/", "--yes", "--journal", "out.jsonl")
	must(t, dir, environ, "verify", "out.jsonl")
	for name, text := range want {
		if held, _, _ := sim.Current(org, name); !bytes.Equal(held, text) {
			t.Errorf("%s has other bytes in its workspace", name)
		}
		if !bytes.Equal(s.Current("acme/back", name), text) {
			t.Errorf("%s has other bytes after its way back", name)
		}
		if record := s.State("acme/back", name); record == nil || record.LockID != "" {
			t.Errorf("%s is locked, or missing", name)
		}
	}
}

// A haul is killed at every request to GitLab, and then continued with the same command.
func TestKilledAtEveryRequest(t *testing.T) {
	t.Parallel()
	stride := 7
	if testenv.Full() {
		stride = 1
	}
	total := 0
	for at := 1; at == 1 || at <= total; at += stride {
		for _, effect := range []bool{false, true} {
			total = max(total, killedAt(t, at, effect))
		}
	}
	t.Logf("a haul of 3 states sends %d requests; each %d-th was its last", total, stride)
}

// killedAt kills a haul at a request, before or after it took effect, and continues it. It
// returns how many requests there were.
func killedAt(t *testing.T, at int, effect bool) int {
	t.Helper()
	s, host := startGitLab(t)
	dir := t.TempDir()
	want := map[string][]byte{}
	for i := range 3 {
		name := fmt.Sprintf("net-%d", i)
		want[name] = fixtures.Spec{Seed: uint64(i + 1), Serial: 3, Resources: 1}.Bytes()
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "terraform.tfstate"), want[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"migrate", ".", "--target", "gitlab+http://" + host + "/" + project + "/", "--yes", "--journal", "haul.jsonl"}
	var n atomic.Int64
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), credentials...)
	var started sync.WaitGroup
	started.Add(1)
	s.Intercept = func(w http.ResponseWriter, _ *http.Request, _ string, answer func() *httptest.ResponseRecorder) {
		started.Wait()
		if n.Add(1) != int64(at) {
			gitlab.Give(w, answer())
			return
		}
		if effect {
			answer()
		}
		_ = cmd.Process.Kill() // Wait reports how it ended
		panic(http.ErrAbortHandler)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started.Done()
	err := cmd.Wait()
	if n.Load() >= int64(at) && err == nil {
		t.Errorf("request %d: the program was not killed", at)
	}
	requests := int(n.Load())
	if exit, out := tfhaul(t, dir, credentials, args...); exit != 0 {
		t.Errorf("killed at request %d, effect %t: the second run: exit %d\n%s", at, effect, exit, out)
	}
	for name, text := range want {
		if record := s.State(project, name); !bytes.Equal(s.Current(project, name), text) || record.LockID != "" {
			t.Errorf("killed at request %d, effect %t: %s has other bytes or is locked", at, effect, name)
		}
	}
	return max(requests, int(n.Load()))
}
