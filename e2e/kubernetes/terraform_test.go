// Package kubernetes_test tests kubernetes:// sources and targets with the real terraform, if it is on
// PATH, against the fake server in fixtures/kubernetes, or against the cluster of the kubeconfig in
// TFHAUL_TEST_KUBECONFIG, where it creates namespaces. It is a module of its own, so that none of this
// is in the main go.mod. Run it with
//
//	cd e2e/kubernetes && go test ./...
package kubernetes_test

import (
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tfhaul/fixtures"
	fake "tfhaul/fixtures/kubernetes"
)

// A cluster has a namespace for one test.
type cluster struct {
	t         testing.TB
	namespace string
	config    string // the path of the kubeconfig
	fake      *fake.Server
}

func (c *cluster) environment() []string { return []string{"KUBE_CONFIG_PATH=" + c.config} }

// address returns the address of a state, or of all with a part of the path.
func (c *cluster) address(path string) string {
	return strings.TrimSuffix("kubernetes://"+c.namespace+"/"+path, "/")
}

// newCluster starts the fake server, unless a real one is named.
func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{t: t, namespace: fmt.Sprintf("tfhaul-%d", rand.Uint64()), config: os.Getenv("TFHAUL_TEST_KUBECONFIG")}
	if c.config != "" {
		// A namespace needs a client that the module does not have: the server's own API does it.
		out, err := exec.CommandContext(t.Context(), os.Getenv("TFHAUL_TEST_CREATE_NAMESPACE"), c.namespace).CombinedOutput()
		if err != nil {
			t.Fatalf("TFHAUL_TEST_CREATE_NAMESPACE: %v\n%s", err, out)
		}
		return c
	}
	c.fake = &fake.Server{Token: "token-of-the-test", PageSize: 7}
	c.fake.AddNamespace(c.namespace)
	server := httptest.NewTLSServer(c.fake)
	t.Cleanup(server.Close)
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	c.config = filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(c.config, []byte(fake.Kubeconfig(server.URL, authority, c.fake.Token)), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// stored returns the decompressed state in the Secrets of the fake server; nil with a real one.
func (c *cluster) stored(suffix, workspace string) []byte {
	c.t.Helper()
	if c.fake == nil {
		return nil
	}
	var all []byte
	for number := 0; ; number++ {
		name := "tfstate-" + workspace + "-" + suffix
		if number > 0 {
			name += fmt.Sprintf("-part-%d", number)
		}
		o := c.fake.Get(c.namespace, fake.Secrets, name)
		if o == nil {
			break
		}
		all = append(all, o.Data["tfstate"]...)
	}
	z, err := gzip.NewReader(bytes.NewReader(all))
	if err != nil {
		c.t.Fatalf("%s/%s: %v", suffix, workspace, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// A configuration is a directory in which the real terraform uses the kubernetes backend.
type configuration struct {
	t       testing.TB
	dir     string
	program string
	env     []string
}

func (c *cluster) newConfiguration(suffix string) *configuration {
	c.t.Helper()
	path, err := exec.LookPath("terraform")
	if err != nil {
		c.t.Skip("NOT TESTED against the real terraform: it is not on PATH")
	}
	dir := c.t.TempDir()
	f := &configuration{t: c.t, dir: dir, program: path, env: append(os.Environ(),
		"HOME="+dir, "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "NO_COLOR=1", "KUBE_CONFIG_PATH="+c.config)}
	text := fmt.Sprintf(`
terraform {
  backend "kubernetes" {
    secret_suffix = %q
    namespace     = %q
  }
}
variable "note" { default = "first" }
variable "large" { default = "" }
resource "terraform_data" "one" { input = var.note }
resource "terraform_data" "large" { input = var.large }
output "note" { value = terraform_data.one.output }
`, suffix, c.namespace)
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	f.must("init", "-input=false")
	return f
}

func (f *configuration) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(f.t.Context(), f.program, args...)
	cmd.Dir, cmd.Env = f.dir, f.env
	return cmd
}

func (f *configuration) must(args ...string) string {
	f.t.Helper()
	out, err := f.command(append(args, "-no-color")...).CombinedOutput()
	if err != nil {
		f.t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (f *configuration) apply(note string) {
	f.t.Helper()
	f.must("apply", "-auto-approve", "-input=false", "-var=note="+note)
}

// wantNoChanges fails the test if terraform plans changes.
func (f *configuration) wantNoChanges(note string) {
	f.t.Helper()
	f.must("plan", "-detailed-exitcode", "-input=false", "-var=note="+note) // exits 2 with changes
}

// waiting runs terraform apply, which holds the lock until its question is answered.
func (f *configuration) waiting() (stop func()) {
	f.t.Helper()
	cmd := f.command("apply", "-no-color", "-var=note=waiting")
	in, err := cmd.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	var said bytes.Buffer
	for b := make([]byte, 1); !bytes.HasSuffix(said.Bytes(), []byte("Enter a value:")); {
		if _, err := out.Read(b); err != nil {
			f.t.Fatalf("terraform apply does not ask: %v\n%s", err, said.String())
		}
		said.Write(b)
	}
	var rest sync.WaitGroup
	rest.Go(func() { _, _ = io.Copy(io.Discard, out) }) // until it ends
	return func() {
		if _, err := io.WriteString(in, "no\n"); err != nil {
			f.t.Error(err)
		}
		rest.Wait()
		_ = cmd.Wait() // it fails, because it was canceled
	}
}

// Terraform writes the default workspace, another one, and a state in several parts. tfhaul finds,
// audits and moves them, byte for byte, and does not touch a locked one.
func TestTerraformsStatesAreMoved(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	f := c.newConfiguration("net")
	f.apply("first")
	f.must("workspace", "new", "prod")
	f.apply("prod")
	f.must("workspace", "new", "large")
	random := make([]byte, 700_000) // as hex, twice in the state, which compresses to half
	for i := range random {
		random[i] = byte(rand.IntN(256))
	}
	if err := os.WriteFile(filepath.Join(f.dir, "large.auto.tfvars"), fmt.Appendf(nil, "large = \"%x\"\n", random), 0o600); err != nil {
		t.Fatal(err)
	}
	f.apply("large")

	sim, environment := startTFE(t)
	environment = append(environment, c.environment()...)
	dir := t.TempDir()
	tfhaul(t, dir, environment, "audit", c.address("")).want(t, 0).has(t, "3 states")
	tfhaul(t, dir, environment, "migrate", c.address("net"), "--target", haulOrg, "--create", "--yes", "--workspace-name", "{{ .Workspace }}").want(t, 0)
	for _, workspace := range []string{"default", "prod", "large"} {
		text, _, ok := sim.Current(haulOrg, workspace)
		if want := c.stored("net", workspace); !ok || want != nil && !bytes.Equal(text, want) {
			t.Errorf("%s: %d bytes arrived, which differ from the %d stored", workspace, len(text), len(want))
		}
		f.must("workspace", "select", workspace)
		if pulled := f.must("state", "pull"); strings.TrimSpace(pulled) != strings.TrimSpace(string(text)) {
			t.Errorf("%s: what terraform pulls differs from what arrived", workspace)
		}
	}
	if c.fake != nil && len(c.fake.Names(c.namespace, fake.Secrets)) < 4 {
		t.Errorf("the large state has one part: %q", c.fake.Names(c.namespace, fake.Secrets))
	}

	f.must("workspace", "select", "prod")
	stop := f.waiting()
	tfhaul(t, dir, environment, "move", c.address("net/prod"), haulOrg+"/other", "--create").want(t, 3).has(t, "The source is locked by", "OperationTypeApply")
	stop()
	tfhaul(t, dir, environment, "move", c.address("net/prod"), haulOrg+"/other", "--create", "--freeze-source").want(t, 0)
	if out, err := f.command("plan", "-no-color", "-input=false").CombinedOutput(); err == nil || !strings.Contains(string(out), "already locked") {
		t.Errorf("terraform does not respect the frozen source: %v\n%s", err, out)
	}
}

// tfhaul writes, Terraform plans no changes and applies the next change, and both respect each
// other's lock. The block that tfhaul prints works.
func TestTerraformContinuesFromAMovedState(t *testing.T) {
	t.Parallel()
	made := newCluster(t)
	source := made.newConfiguration("made")
	source.apply("moved")
	text := []byte(source.must("state", "pull"))
	dir := t.TempDir()
	file := filepath.Join(dir, "terraform.tfstate")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t)
	for _, workspace := range []string{"default", "prod"} {
		tfhaul(t, dir, c.environment(), "move", file, c.address("net/"+workspace)).want(t, 0).has(t, `backend "kubernetes"`, "secret_suffix", "KUBE_CONFIG_PATH")
	}
	f := c.newConfiguration("net")
	f.wantNoChanges("moved")
	f.must("workspace", "select", "prod")
	f.wantNoChanges("moved")

	stop := f.waiting()
	newer := regexp.MustCompile(`"serial": ?`).ReplaceAll(text, []byte(`"serial":9`))
	if err := os.WriteFile(file, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	tfhaul(t, dir, c.environment(), "move", file, c.address("net/prod")).want(t, 3).has(t, "locked by")
	stop()
	tfhaul(t, dir, c.environment(), "move", file, c.address("net/prod")).want(t, 0).has(t, "backup")
	f.wantNoChanges("moved")
	f.apply("next")
	f.wantNoChanges("next")
	path := []string{"PATH=" + filepath.Dir(f.program) + string(os.PathListSeparator) + os.Getenv("PATH"), "CHECKPOINT_DISABLE=1"}
	tfhaul(t, f.dir, append(path, c.environment()...), "prove", "--local", f.dir, c.address("net/prod")).want(t, 3).has(t, "Would change", "terraform_data.one")
}

// 50 states go into an organization and back out, killed at a request of each haul and resumed.
func TestFiftyStatesInAndBackOut(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	sim, environment := startTFE(t)
	environment = append(environment, c.environment()...)
	dir := t.TempDir()
	want := map[string][]byte{}
	for i := range 50 {
		name := fmt.Sprintf("app-%c%c", 'a'+i/10, 'a'+i%10)
		want[name] = fixtures.Spec{Seed: uint64(i + 1), Serial: int64(i + 1), Resources: 2, MinSize: int64(2_000 + 3_000*i)}.Bytes()
		path := filepath.Join(dir, "src", name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "terraform.tfstate"), want[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := []string{"migrate", "src", "--target", c.address(""), "--yes", "--journal", "out.jsonl"}
	c.kill(t, dir, environment, "create secrets", 20, out)
	tfhaul(t, dir, environment, out...).want(t, 0)
	in := []string{"migrate", c.address(""), "--target", haulOrg, "--create", "--yes", "--journal", "in.jsonl"}
	c.kill(t, dir, environment, "list secrets", 30, in)
	tfhaul(t, dir, environment, in...).want(t, 0)
	for name, text := range want {
		if got, _, ok := sim.Current(haulOrg, name); !ok || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes arrived, which differ from the %d before", name, len(got), len(text))
		}
		if stored := c.stored(name, "default"); stored != nil && !bytes.Equal(stored, text) {
			t.Errorf("%s: the Secret holds %d bytes", name, len(stored))
		}
	}
	if c.fake != nil {
		for _, name := range c.fake.Names(c.namespace, fake.Leases) {
			if c.fake.Get(c.namespace, fake.Leases, name).Spec["holderIdentity"] != nil {
				t.Errorf("%s is held", name)
			}
		}
	}
	tfhaul(t, dir, environment, "verify", "in.jsonl").want(t, 0)
	tfhaul(t, dir, environment, "rollback", "out.jsonl", "--yes", "--delete-created").want(t, 0)
	if c.fake != nil && len(c.fake.Names(c.namespace, fake.Secrets)) > 0 {
		t.Errorf("the rollback leaves %q", c.fake.Names(c.namespace, fake.Secrets))
	}
}

// kill runs the program and kills it at a request. A real server does not reveal requests, so there
// it does nothing.
func (c *cluster) kill(t *testing.T, dir string, environment []string, op string, number int64, args []string) {
	t.Helper()
	if c.fake == nil {
		return
	}
	cmd := command(t, dir, environment, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	started := make(chan struct{})
	var seen atomic.Int64
	c.fake.Intercept = func(w http.ResponseWriter, _ *http.Request, at string, answer func() *httptest.ResponseRecorder) {
		if at == op && seen.Add(1) == number {
			<-started
			_ = cmd.Process.Kill() // Wait reports how it ended
		}
		fake.Give(w, answer())
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	if err := cmd.Wait(); err == nil || seen.Load() < number {
		t.Fatalf("the program was not killed: it ended with %v after %d requests\n%s", err, seen.Load(), out.String())
	}
	c.fake.Intercept = nil
}
