package terraform

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/fixtures/testenv"
)

// Terraform lists all resources of what we call usable, and refuses to read what we call
// invalid. If we call a state unusable, it drops resources without an error or fails to
// initialize.
func TestTerraformAgreesOnWhatIsUsable(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("SKIPPED: there is no terraform on PATH, so nothing here was tested with the real one")
	}
	testenv.NeedFull(t, "runs the real terraform many times")
	for _, c := range slices.Concat(fixtures.CraftedStates(), fixtures.HostileStates()) {
		t.Run(c.Name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "terraform.tfstate"), []byte(c.State), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := local(t, dir, "state", "list")
			if refused := err != nil; refused != (c.Verdict == fixtures.VerdictInvalid) {
				t.Fatalf("refused: %t; the verdict is %s\n%s", refused, c.Verdict, out)
			}
			if err != nil {
				return
			}
			if n := strings.Count(out, "\n"); n != c.Lists {
				t.Errorf("terraform lists %d instances, want %d\n%s", n, c.Lists, out)
			}
		})
	}
}

// The printed advice for legacy providers works: init fails before it, and does not
// complain about the address afterwards.
func TestReplaceProviderRepairsLegacyProviders(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("SKIPPED: there is no terraform on PATH, so nothing here was tested with the real one")
	}
	testenv.NeedFull(t, "runs the real terraform many times")
	for _, name := range []string{"a legacy provider", "a provider of 0.12", "an aliased provider of 0.12 in a module", "format 3"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(file, content string) {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("main.tf", `terraform {
  backend "local" { path = "here.tfstate" }
}`)
			write("empty.tfrc", `provider_installation {
  filesystem_mirror { path = "`+dir+`" }
}`)
			for _, c := range fixtures.CraftedStates() {
				if c.Name == name {
					write("here.tfstate", c.State)
				}
			}
			if out, err := local(t, dir, "init", "-no-color"); err == nil || !strings.Contains(out, "Invalid legacy provider address") {
				t.Fatalf("init does not refuse the address: %v\n%s", err, out)
			}
			if out, err := local(t, dir, "state", "replace-provider", "-auto-approve", "registry.terraform.io/-/aws", "registry.terraform.io/hashicorp/aws"); err != nil {
				t.Fatalf("the repair fails: %v\n%s", err, out)
			}
			if out, _ := local(t, dir, "init", "-no-color"); strings.Contains(out, "Invalid legacy provider address") {
				t.Errorf("init still refuses the address\n%s", out)
			}
		})
	}
}

// local runs terraform without a server, and without providers to install.
func local(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "terraform", args...)
	cmd.Dir = dir
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "TF_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	config := filepath.Join(dir, "empty.tfrc")
	if _, err := os.Stat(config); err != nil {
		if err := os.WriteFile(config, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Env = append(cmd.Env, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE="+config)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
