// Package opentofu runs the real OpenTofu against tfesim, over TLS, and moves what it
// writes. The configurations use only the built-in terraform_data, so that no provider is
// downloaded.
package opentofu

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tfhaul/command"
	"tfhaul/fixtures"
	"tfhaul/fixtures/testenv"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// version is the OpenTofu that .ci/run builds if PATH has no tofu.
const version = "v1.10.10"

// tofu finds the program on PATH, or where .ci/run builds it.
func tofu(t *testing.T) string {
	t.Helper()
	testenv.NeedFull(t, "runs the real tofu")
	if path, err := exec.LookPath("tofu"); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	if err == nil {
		if path, err := exec.LookPath(filepath.Join(cache, "tfhaul-tests", "tofu-"+version, "tofu")); err == nil {
			return path
		}
	}
	t.Skip("SKIPPED: there is no tofu on PATH, and none was built, so nothing was tested with the real one")
	return ""
}

// A site is a running tfesim and the environment for tofu and tfhaul.
type site struct {
	*tfesim.Server
	host string
	env  []string
}

// open starts a server whose workspaces run locally or remotely.
func open(t *testing.T, mode string) *site {
	t.Helper()
	s, err := tfesim.New(tfesim.Options{ExecutionMode: mode})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(t.TempDir(), "env")
	if err := r.WriteEnvFile(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": t.TempDir()}
	for _, m := range regexp.MustCompile(`(?m)^export (\w+)='([^']*)'$`).FindAllStringSubmatch(string(text), -1) {
		env[m[1]] = m[2]
	}
	site := &site{Server: s, host: r.Host()}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		site.env = append(site.env, name+"="+env[name])
	}
	return site
}

// A folder is a configuration.
type folder struct {
	t    *testing.T
	dir  string
	tofu string
	env  []string
}

const resources = `
resource "terraform_data" "a" { input = "first" }
resource "terraform_data" "b" { input = [terraform_data.a.output, "second"] }
output "plain" { value = terraform_data.a.output }
`

// configure creates a folder with the resources and the given content of the terraform
// block; HOST stands for the server.
func (s *site) configure(t *testing.T, program, block string) *folder {
	t.Helper()
	f := &folder{t, t.TempDir(), program, s.env}
	f.write("main.tf", resources+"terraform {\n"+strings.ReplaceAll(block, "HOST", s.host)+"\n}\n")
	return f
}

func (f *folder) write(name, content string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// try runs a program in the folder and returns its exit code and output.
func (f *folder) try(program string, args ...string) (code int, stdout []byte, stderr string) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), program, args...)
	cmd.Dir = f.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "NO_COLOR=1"}, f.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		f.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.Bytes(), errs.String()
}

// run runs tofu, which must succeed, and returns its standard output.
func (f *folder) run(args ...string) []byte {
	f.t.Helper()
	code, stdout, stderr := f.try(f.tofu, args...)
	if code != 0 {
		f.t.Fatalf("tofu %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// tfhaul runs the command line in this process and returns the move's result.
func (s *site) tfhaul(t *testing.T, stdin []byte, args ...string) migrate.Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command.Run(t.Context(), nil, append([]string{"tfhaul"}, args...), bytes.NewReader(stdin), &stdout, &stderr, s.env)
	var r migrate.Result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("tfhaul %s: %v\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return r
}

const byName = `
  cloud {
    hostname     = "HOST"
    organization = "demo"
    workspaces { name = "net" }
  }`

// tofu keeps its state in tfesim as terraform does.
func TestCloudByName(t *testing.T) {
	program := tofu(t)
	s := open(t, "local")
	f := s.configure(t, program, byName)
	f.run("init", "-no-color")
	f.run("apply", "-no-color", "-auto-approve")
	if code, stdout, stderr := f.try(f.tofu, "plan", "-no-color", "-detailed-exitcode"); code != 0 {
		t.Errorf("plan: exit code %d, want 0 (no changes)\n%s%s", code, stdout, stderr)
	}
	held, _, ok := s.Current("demo", "net")
	if pulled := f.run("state", "pull"); !ok || !bytes.Equal(bytes.TrimSpace(pulled), bytes.TrimSpace(held)) {
		t.Error("tofu pulls a different state from the server's")
	}
	if locked := s.Locked("demo"); len(locked) != 0 {
		t.Errorf("left locked: %v", locked)
	}
}

// In remote execution mode tofu shows the plan of the server's run. The server runs
// terraform: the built-in provider is the same in both.
func TestRemotePlanIsShown(t *testing.T) {
	program := tofu(t)
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("SKIPPED: there is no terraform on PATH to execute the run")
	}
	s := open(t, "remote")
	f := s.configure(t, program, byName)
	f.run("init", "-no-color")
	code, stdout, stderr := f.try(f.tofu, "plan", "-input=false", "-no-color")
	if code != 0 || !bytes.Contains(stdout, []byte("Plan: 2 to add, 0 to change, 0 to destroy.")) {
		t.Errorf("plan: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// A state file of tofu arrives byte for byte, and tofu finds it in the workspace; so does
// terraform, because the only provider is built in.
func TestStateOfOpenTofuIsMoved(t *testing.T) {
	program := tofu(t)
	s := open(t, "local")
	f := s.configure(t, program, "")
	f.run("init", "-no-color")
	f.run("apply", "-no-color", "-auto-approve")
	file := filepath.Join(f.dir, "terraform.tfstate")
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if r := s.tfhaul(t, nil, "move", "--create", "--terraform-version", "latest", "--execution-mode", "local", "--json", file, "demo/net"); r.Outcome != migrate.Moved {
		t.Fatalf("%s: %s", r.Outcome, r.Message)
	}
	if held, _, _ := s.Current("demo", "net"); !bytes.Equal(held, source) {
		t.Error("the workspace does not have the bytes of the file")
	}
	after := s.configure(t, program, byName)
	after.run("init", "-no-color")
	if code, stdout, stderr := after.try(after.tofu, "plan", "-no-color", "-detailed-exitcode"); code != 0 {
		t.Errorf("plan: exit code %d, want 0 (no changes)\n%s%s", code, stdout, stderr)
	}
}

// A state encrypted by OpenTofu is refused, and the remedy in the message works.
func TestEncryptedStateIsRefused(t *testing.T) {
	program := tofu(t)
	s := open(t, "local")
	f := s.configure(t, program, `
  encryption {
    key_provider "pbkdf2" "k" { passphrase = "correct horse battery staple" }
    method "aes_gcm" "m" { keys = key_provider.pbkdf2.k }
    state { method = method.aes_gcm.m }
  }`)
	f.run("init", "-no-color")
	f.run("apply", "-no-color", "-auto-approve")
	file := filepath.Join(f.dir, "terraform.tfstate")
	if _, err := s.AddWorkspace("demo", "net"); err != nil {
		t.Fatal(err)
	}
	r := s.tfhaul(t, nil, "move", "--json", file, "demo/net")
	if r.Code != migrate.CodeEncrypted || !strings.Contains(r.Message, "tofu state pull") {
		t.Fatalf("%s (%s): %s", r.Outcome, r.Code, r.Message)
	}
	if _, _, ok := s.Current("demo", "net"); ok {
		t.Fatal("the encrypted state was moved")
	}
	pulled := f.run("state", "pull")
	if r := s.tfhaul(t, pulled, "move", "--json", "-", "demo/net"); r.Outcome != migrate.Moved {
		t.Fatalf("the pulled state: %s: %s", r.Outcome, r.Message)
	}
	if held, _, _ := s.Current("demo", "net"); !bytes.Equal(held, pulled) {
		t.Error("the workspace does not have what tofu pulled")
	}
}

// crafted returns one of the fixtures' states.
func crafted(t *testing.T, name string) string {
	t.Helper()
	for _, c := range fixtures.CraftedStates() {
		if c.Name == name {
			return c.State
		}
	}
	t.Fatalf("no crafted state %q", name)
	return ""
}

// OpenTofu lists the resources of a state with a provider on each instance. Terraform drops
// them without an error, so tfhaul refuses the state.
func TestProvidersOnInstancesAreForOpenTofuOnly(t *testing.T) {
	program := tofu(t)
	s := open(t, "local")
	f := &folder{t, t.TempDir(), program, s.env}
	f.write("terraform.tfstate", crafted(t, "providers on the instances"))
	if listed := f.run("state", "list"); len(bytes.TrimSpace(listed)) == 0 {
		t.Error("tofu lists nothing, so this test shows nothing")
	}
	if terraform, err := exec.LookPath("terraform"); err == nil {
		if code, listed, stderr := f.try(terraform, "state", "list"); code != 0 || len(bytes.TrimSpace(listed)) != 0 {
			t.Errorf("terraform: exit code %d, and it lists %q\n%s", code, listed, stderr)
		}
	} else {
		t.Log("SKIPPED: there is no terraform on PATH to compare with")
	}
	if _, err := s.AddWorkspace("demo", "net"); err != nil {
		t.Fatal(err)
	}
	if r := s.tfhaul(t, nil, "move", "--json", filepath.Join(f.dir, "terraform.tfstate"), "demo/net"); r.Code != migrate.CodeUnusable {
		t.Errorf("%s (%s): %s", r.Outcome, r.Code, r.Message)
	}
}

// The command printed for a legacy provider from OpenTofu's registry works: after it the
// state can be moved.
func TestLegacyProviderOfOpenTofuIsRepaired(t *testing.T) {
	program := tofu(t)
	s := open(t, "local")
	f := &folder{t, t.TempDir(), program, s.env}
	f.write("terraform.tfstate", crafted(t, "a legacy provider of OpenTofu"))
	file := filepath.Join(f.dir, "terraform.tfstate")
	if _, err := s.AddWorkspace("demo", "net"); err != nil {
		t.Fatal(err)
	}
	r := s.tfhaul(t, nil, "move", "--json", file, "demo/net")
	printed := regexp.MustCompile(`"tofu (state replace-provider [^"]+)"`).FindStringSubmatch(r.Message)
	if r.Code != migrate.CodeUnusable || printed == nil {
		t.Fatalf("%s (%s): %s", r.Outcome, r.Code, r.Message)
	}
	words := strings.Fields(printed[1])
	f.run(slices.Insert(words, 2, "-auto-approve")...)
	if r := s.tfhaul(t, nil, "move", "--json", file, "demo/net"); r.Outcome != migrate.Moved {
		t.Errorf("after the repair: %s (%s): %s", r.Outcome, r.Code, r.Message)
	}
}
