package terraform

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// build builds tfhaul.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "tfhaul")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "tfhaul").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// From local states to workspaces with discover, plan, migrate and rewrite: afterwards the real
// Terraform asks nothing, stores nothing and plans no changes, and a configuration that reads
// another one's outputs reads them from the workspace. Then back to files.
func TestTheWholeCutover(t *testing.T) {
	s := open(t, tfesim.Options{Organizations: []string{"acme"}})
	tfhaul := build(t)
	root := filepath.Join(t.TempDir(), "infra")
	at := func(name string) *folder { return &folder{t: t, site: s, dir: filepath.Join(root, name)} }
	for _, dir := range []string{".git", "live/net", "live/app", "live/path"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	net, app, path := at("live/net"), at("live/app"), at("live/path")
	net.write("main.tf", "resource \"terraform_data\" \"a\" {\n  input = \"net\"\n}\noutput \"id\" {\n  value = terraform_data.a.output\n}\n")
	app.write("main.tf", "terraform {\n  required_version = \">= 1.4\"\n}\n\ndata \"terraform_remote_state\" \"net\" {\n  backend = \"local\"\n  config = {\n    path = \"../net/terraform.tfstate\"\n  }\n}\n\nresource \"terraform_data\" \"a\" {\n  input = data.terraform_remote_state.net.outputs.id\n}\n")
	path.write("main.tf", "terraform {\n  backend \"local\" {\n    path = \"here/state.json\"\n  }\n}\nresource \"terraform_data\" \"a\" {}\n")
	for _, f := range []*folder{net, app, path} {
		f.run("init", "-input=false")
		f.run("apply", "-auto-approve", "-input=false")
	}
	program := func(code int, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), tfhaul, args...)
		cmd.Dir = root
		cmd.Env = os.Environ()
		for name, value := range s.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != code {
			t.Fatalf("tfhaul %s: exit code %d, %v\n%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), err, out)
		}
		return string(out)
	}
	settled := func(init ...string) {
		t.Helper()
		for _, f := range []*folder{net, app, path} {
			f.run(append([]string{"init", "-input=false"}, init...)...)
			f.wantNoChanges()
		}
	}
	program(0, "plan", "config:.", "--target", "acme", "--create", "--execution-mode", "local", "--out", "haul.hcl")
	program(0, "migrate", "haul.hcl", "--yes", "--journal", "haul.jsonl")
	if code, _, _ := net.try("init", "-input=false"); code != 0 {
		t.Fatal("the configuration is already broken")
	}
	// The code arrives in a checkout that was initialized before.
	program(0, "rewrite", "haul.jsonl", ".", "--write")
	settled()
	if said := program(0, "rewrite", "haul.jsonl", ".", "--write"); !strings.Contains(said, "0 files changed") {
		t.Errorf("the second rewrite changed something: %s", said)
	}
	for _, name := range []string{"live-net", "live-app", "live-path"} {
		if n := len(s.Versions("acme", name)); n != 1 {
			t.Errorf("%s has %d versions, want only the moved one", name, n)
		}
	}
	text, err := os.ReadFile(filepath.Join(app.dir, "main.tf"))
	if err != nil || !strings.Contains(string(text), `backend = "remote"`) || strings.Contains(string(text), "../net") {
		t.Errorf("the reference is %s, %v", text, err)
	}
	// A fresh checkout needs only the commit.
	for _, f := range []*folder{net, app, path} {
		if err := os.RemoveAll(filepath.Join(f.dir, ".terraform")); err != nil {
			t.Fatal(err)
		}
	}
	settled()

	// And back, from the code.
	program(0, "plan", "config:.", "--target", "./states/", "--out", "back.hcl")
	program(0, "migrate", "back.hcl", "--yes", "--journal", "back.jsonl")
	program(0, "rewrite", "back.jsonl", ".", "--write")
	settled()
}
