// Package terraform runs the real terraform against tfesim, over TLS, as its users do. The
// tests need the terraform binary on PATH but no provider: the configurations use only the
// built-in terraform_data.
package terraform

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tfhaul/fixtures/testenv"
	"tfhaul/tfesim"
)

// A site is a running tfesim and the environment for terraform.
type site struct {
	*tfesim.Server
	running *tfesim.Running
	env     map[string]string
}

// open starts a server whose workspaces run locally unless o says otherwise.
func open(t *testing.T, o tfesim.Options) *site {
	t.Helper()
	testenv.NeedFull(t, "runs the real terraform many times")
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("SKIPPED: there is no terraform on PATH, so nothing here was tested with the real one")
	}
	o.ExecutionMode = cmp.Or(o.ExecutionMode, "local")
	s, err := tfesim.New(o)
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
	envFile := filepath.Join(t.TempDir(), "env")
	if err := r.WriteEnvFile(envFile); err != nil {
		t.Fatal(err)
	}
	return &site{s, r, readEnv(t, envFile)}
}

// readEnv reads the export lines as a shell would.
func readEnv(t *testing.T, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^export (\w+)='([^']*)'$`).FindAllStringSubmatch(string(b), -1) {
		env[m[1]] = m[2]
	}
	return env
}

// A folder is a terraform configuration.
type folder struct {
	t    *testing.T
	site *site
	dir  string
	// typed is what is typed when terraform asks.
	typed string
}

const resources = `
variable "size" { default = 1 }
resource "terraform_data" "a" { input = "first ${var.size}" }
resource "terraform_data" "b" { input = [terraform_data.a.output, "second"] }
output "plain"  { value = terraform_data.a.output }
output "secret" {
  value     = "hidden"
  sensitive = true
}
`

// configure creates a folder with the resources and the given content of the terraform
// block; HOST stands for the server.
func (s *site) configure(t *testing.T, block string) *folder {
	t.Helper()
	f := &folder{t: t, site: s, dir: t.TempDir()}
	f.write("main.tf", resources)
	f.write("backend.tf", "terraform {\n"+strings.ReplaceAll(block, "HOST", s.running.Host())+"\n}\n")
	return f
}

func (f *folder) write(name, content string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// try runs terraform and returns its exit code and output.
func (f *folder) try(args ...string) (code int, stdout, stderr string) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), "terraform", args...)
	cmd.Dir = f.dir
	cmd.Stdin = strings.NewReader(f.typed)
	for _, v := range os.Environ() {
		// The tester's own settings must not reach terraform.
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "TF_") && !strings.HasPrefix(name, "TFE_") && name != "SSL_CERT_FILE" {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
	for _, name := range slices.Sorted(maps.Keys(f.site.env)) {
		cmd.Env = append(cmd.Env, name+"="+f.site.env[name])
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// run runs terraform, which must succeed, and returns its standard output.
func (f *folder) run(args ...string) string {
	f.t.Helper()
	code, stdout, stderr := f.try(args...)
	if code != 0 {
		f.t.Fatalf("terraform %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// wantNoChanges fails unless a plan shows no changes.
func (f *folder) wantNoChanges() {
	f.t.Helper()
	if code, stdout, stderr := f.try("plan", "-no-color", "-detailed-exitcode"); code != 0 {
		f.t.Errorf("plan: exit code %d, want 0 (no changes)\n%s%s", code, stdout, stderr)
	}
}

// wantHeld fails unless the server's current state is what terraform pulls.
func (f *folder) wantHeld(workspace string) {
	f.t.Helper()
	raw, _, ok := f.site.Current("demo", workspace)
	if !ok {
		f.t.Fatalf("the server has no state in %s", workspace)
	}
	// terraform state pull ends with a newline that is not part of the state.
	if pulled := f.run("state", "pull"); strings.TrimSpace(pulled) != strings.TrimSpace(string(raw)) {
		f.t.Errorf("terraform pulls %d bytes that differ from the %d bytes on the server in %s", len(pulled), len(raw), workspace)
	}
}

// wantUnlocked fails when a workspace is locked.
func (s *site) wantUnlocked(t *testing.T) {
	t.Helper()
	if locked := s.Locked("demo"); len(locked) > 0 {
		t.Errorf("left locked: %v", locked)
	}
}
