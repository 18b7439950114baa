package s3_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// From a bucket to workspaces and back, with the code: in a directory that was initialized
// before, the real Terraform asks nothing, stores nothing and plans no changes.
func TestCutoverOfACodebase(t *testing.T) {
	b := gateway.bucket(t)
	c := newConfiguration(t, b, "network/terraform.tfstate", "", "use_lockfile = true")
	if out, err := c.apply("first"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sim, err := tfesim.New(tfesim.Options{Organizations: []string{"acme"}, ExecutionMode: "local"})
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
	envFile := filepath.Join(t.TempDir(), "env")
	if err := running.WriteEnvFile(envFile); err != nil {
		t.Fatal(err)
	}
	// The credentials of S3 are in the environment of the test.
	environ := append(os.Environ(), "HOME="+t.TempDir(), "CHECKPOINT_DISABLE=1")
	text, err := os.ReadFile(envFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok && !strings.HasPrefix(line, "#") {
			environ = append(environ, name+"="+strings.Trim(value, "'"))
		}
	}
	d := &destination{sim, environ}
	tfhaul := func(args ...string) string {
		t.Helper()
		exit, stdout, stderr := d.tfhaul(t, args...)
		if exit != 0 {
			t.Fatalf("tfhaul %v: exit code %d\n%s%s", args, exit, stdout, stderr)
		}
		return stdout
	}
	terraform := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), c.terraform, args...)
		cmd.Dir, cmd.Env = c.dir, append(environ, "TF_IN_AUTOMATION=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("terraform %v: %v\n%s", args, err, out)
		}
	}
	settled := func(init ...string) {
		t.Helper()
		terraform(append([]string{"init", "-input=false", "-no-color"}, init...)...)
		terraform("plan", "-detailed-exitcode", "-input=false", "-no-color", "-var=note=first")
	}
	at := t.TempDir()
	in := func(name string) string { return filepath.Join(at, name) }
	pointer, err := os.ReadFile(filepath.Join(c.dir, ".terraform", "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	tfhaul("plan", "config:"+c.dir, "--target", "acme", "--create", "--execution-mode", "local", "--workspace-name", "network", "--out", in("haul.hcl"))
	tfhaul("migrate", in("haul.hcl"), "--yes", "--journal", in("haul.jsonl"))
	tfhaul("rewrite", in("haul.jsonl"), c.dir, "--write", "--backup-dir", in("backup"))
	settled()
	if n := len(sim.Versions("acme", "network")); n != 1 {
		t.Errorf("the workspace has %d versions, want only the moved one", n)
	}
	// An old checkout, whose code arrived with the commit.
	if err := os.WriteFile(filepath.Join(c.dir, ".terraform", "terraform.tfstate"), pointer, 0o600); err != nil {
		t.Fatal(err)
	}
	tfhaul("rewrite", in("haul.jsonl"), c.dir, "--write", "--backup-dir", in("backup"))
	settled()

	stored := "back/terraform.tfstate"
	tfhaul("plan", "config:"+c.dir, "--target", b.ref("", "region", "us-east-1"), "--key-name", stored, "--out", in("back.hcl"))
	tfhaul("migrate", in("back.hcl"), "--yes", "--journal", in("back.jsonl"))
	before := b.get(stored)
	// Without setting anything aside: what is printed for old checkouts.
	if err := os.Rename(filepath.Join(c.dir, ".terraform", "terraform.tfstate"), in("pointer")); err != nil {
		t.Fatal(err)
	}
	tfhaul("rewrite", in("back.jsonl"), c.dir, "--write", "--backup-dir", in("backup"))
	if err := os.Rename(in("pointer"), filepath.Join(c.dir, ".terraform", "terraform.tfstate")); err != nil {
		t.Fatal(err)
	}
	settled("-reconfigure")
	if string(b.get(stored)) != string(before) {
		t.Error("terraform init stored something")
	}
}
