package command_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/fixtures/testenv"
	"tfhaul/tfesim"
)

const configurationOfOne = `resource "terraform_data" "a" { input = "first" }
output "plain" { value = terraform_data.a.output }
`

// needTerraform skips, loudly, where there is no real one.
func needTerraform(t *testing.T) {
	t.Helper()
	testenv.NeedFull(t, "runs the real terraform")
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("SKIPPED: there is no terraform on PATH, so nothing here was tested with the real one")
	}
}

// configured is a directory with a configuration and the local state that the real
// terraform made of it.
func configured(t *testing.T, main string) string {
	t.Helper()
	dir := filepath.Dir(write(t, "main.tf", []byte(main)))
	for _, args := range [][]string{{"init"}, {"apply", "-auto-approve"}} {
		cmd := exec.CommandContext(t.Context(), "terraform", args...)
		cmd.Dir = dir
		for _, v := range os.Environ() {
			if !strings.HasPrefix(v, "TF_") {
				cmd.Env = append(cmd.Env, v)
			}
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("terraform %s: %v\n%s", args[0], err, out)
		}
	}
	return dir
}

// rewrite replaces a file's content.
func rewrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The whole way: a state that the real terraform made is moved, and its workspace is
// proven with its configuration; with one attribute changed it is not, and the very
// address is named.
func TestProveAfterAMove(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	h := start(t, tfesim.Options{})
	dir := configured(t, configurationOfOne)
	if r := h.tfhaul(t, "move", "--create", filepath.Join(dir, "terraform.tfstate"), org+"/net"); r.code != 0 {
		t.Fatalf("move: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	r := h.tfhaul(t, "prove", dir, org+"/net")
	if r.code != 0 || !strings.HasPrefix(r.stdout, "proven: ") || !strings.Contains(r.stdout, "1 resource instance ") {
		t.Errorf("prove: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	document := h.tfhaul(t, "prove", "--json", dir, org+"/net").document(t)
	if document["verdict"] != "proven" || document["code"] != "" || document["instances"] != 1.0 || document["seen"] != 1.0 {
		t.Errorf("the document: %v", document)
	}

	rewrite(t, filepath.Join(dir, "main.tf"), strings.Replace(configurationOfOne, "first", "second", 1)+"")
	r = h.tfhaul(t, "prove", "--json", dir, org+"/net")
	document = r.document(t)
	changes, _ := json.Marshal(document["changes"])
	if r.code != 3 || document["verdict"] != "changes" || !strings.Contains(string(changes), `"address":"terraform_data.a"`) {
		t.Errorf("with an attribute changed: %d %s", r.code, changes)
	}
	r = h.tfhaul(t, "prove", dir, org+"/net")
	if r.code != 3 || !strings.Contains(r.stdout, "terraform_data.a  update") || strings.Contains(r.stdout, "second") {
		t.Errorf("with an attribute changed: %d\n%s", r.code, r.stdout)
	}

	rewrite(t, filepath.Join(dir, "main.tf"), configurationOfOne+`variable "region" {}`)
	r = h.tfhaul(t, "prove", dir, org+"/net")
	if r.code != 1 || !strings.HasPrefix(r.stdout, "unproven (missing-variable): ") || !strings.Contains(r.stdout, "region") {
		t.Errorf("with a missing variable: %d\n%s", r.code, r.stdout)
	}
	r = h.tfhaulIn(t, t.Context(), h.with("TF_VAR_region=eu", "PATH="+os.Getenv("PATH")), nil, "prove", "--local", "--logs", dir, org+"/net")
	if r.code != 0 || !strings.Contains(r.stdout, "on this machine") || !strings.Contains(r.stderr, "No changes.") {
		t.Errorf("--local: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	h.mustBeFree(t, "net")
}

func TestProveUpgradesTheState(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	h := start(t, tfesim.Options{})
	dir := configured(t, configurationOfOne)
	raw, err := os.ReadFile(filepath.Join(dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	h.seed(t, "net", []byte(strings.Replace(string(raw), `"terraform_version": "1.`, `"terraform_version": "0.14.`, 1)))
	r := h.tfhaul(t, "prove", "--upgrade-state", "--json", dir, org+"/net")
	upgraded, _ := r.document(t)["upgraded"].(map[string]any)
	if r.code != 0 || upgraded == nil || !strings.HasPrefix(upgraded["from_terraform_version"].(string), "0.14.") {
		t.Errorf("%d %s", r.code, r.stdout)
	}
}

// Ctrl-C cancels the run that was made.
func TestInterruptedProve(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{ExecutionMode: "agent", Terraform: tfesim.NoTerraform})
	h.seed(t, "net", state(1, 3))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h.OnRequest(func(q tfesim.Request) {
		if q.Endpoint == "GET /runs/:run_id" {
			cancel()
		}
	})
	dir := filepath.Dir(write(t, "main.tf", []byte(configurationOfOne)))
	r := h.tfhaulIn(t, ctx, h.environ, nil, "prove", dir, org+"/net")
	if r.code != 130 || !strings.Contains(r.stdout, "was canceled") {
		t.Errorf("%d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if runs := h.Runs(org, "net"); len(runs) != 1 || runs[0].Status != "canceled" {
		t.Errorf("the runs: %+v", runs)
	}
}

func TestProveRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	dir := filepath.Dir(write(t, "main.tf", []byte(configurationOfOne)))
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"prove"}, "DIR is missing"},
		{[]string{"prove", dir}, "[HOST/]ORG/WORKSPACE is missing"},
		{[]string{"prove", dir, org}, "ORG/WORKSPACE"},
		{[]string{"prove", filepath.Join(dir, "main.tf"), org + "/net"}, "is a file"},
		{[]string{"prove", filepath.Join(dir, "nowhere"), org + "/net"}, "cannot be used"},
		{[]string{"prove", "--run", "run-1", dir, org + "/net"}, "unexpected argument"},
		{[]string{"prove", "--run", "run-1", "--configuration-version", "cv-1", org + "/net"}, "cannot stand together"},
		{[]string{"prove", "--local", "--run", "run-1", org + "/net"}, "--local plans with a directory"},
		{[]string{"prove", "--local", "--upgrade-state", dir, org + "/net"}, "--upgrade-state"},
		{[]string{"prove", "--run", "run-1", "--upgrade-state", org + "/net"}, "--upgrade-state"},
		{[]string{"prove", "--run-timeout", "-1s", dir, org + "/net"}, "negative"},
		{[]string{"config"}, "requires list, show or push"},
		{[]string{"config", "pull", org + "/net"}, "requires list, show or push"},
		{[]string{"config", "list"}, "is missing"},
		{[]string{"config", "show", "cv-1"}, "is missing"},
		{[]string{"config", "push", dir}, "is missing"},
		{[]string{"config", "list", "--speculative", org + "/net"}, "--speculative belongs to tfhaul config push"},
		{[]string{"config", "push", "--limit", "3", dir, org + "/net"}, "--limit belongs to tfhaul config list"},
		{[]string{"config", "push", "--api", "v3", dir, org + "/net"}, "--api cannot be"},
		{[]string{"config", "push", "--api", "atlas-v1", "--var", "secret", dir, org + "/net"}, "does not have the form NAME=VALUE"},
		{[]string{"config", "push", "--api", "atlas-v1", "--no-queue", dir, org + "/net"}, "not known to the API"},
		{[]string{"config", "push", "--api", "atlas-v1", dir, org + "/net"}, "ATLAS_TOKEN"},
		{[]string{"config", "push", "--api", "atlas-v1", dir, "a/b/c"}, "USER/NAME"},
	} {
		r := h.tfhaul(t, tt.args...)
		if r.code != 4 || !strings.Contains(r.stderr, tt.says) || r.stdout != "" {
			t.Errorf("%v: %d\n%s%s\nwant 4 and %q", tt.args, r.code, r.stdout, r.stderr, tt.says)
		}
	}
	if n := len(h.Requests()); n > 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	h.addWorkspace(t, "net")
	dir := filepath.Dir(write(t, "main.tf", []byte(configurationOfOne)))
	rewrite(t, filepath.Join(dir, "terraform.tfstate"), "{}")
	if r := h.tfhaul(t, "config", "list", org+"/net"); r.code != 0 || !strings.Contains(r.stdout, "has no configuration version") {
		t.Errorf("list of none: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	pushed := h.tfhaul(t, "config", "push", "--json", dir, org+"/net").document(t)
	if pushed["status"] != "uploaded" || pushed["files"] != 1.0 || pushed["run_id"] == nil || pushed["left_out"] == nil {
		t.Errorf("pushed: %v", pushed)
	}
	quiet := h.tfhaul(t, "config", "push", "--json", "--no-queue", "--speculative", dir, org+"/net").document(t)
	if quiet["speculative"] != true || quiet["run_id"] != nil || len(h.Runs(org, "net")) != 1 {
		t.Errorf("pushed without a run: %v", quiet)
	}
	r := h.tfhaul(t, "config", "push", "--no-queue", dir, org+"/net")
	if r.code != 0 || !strings.HasPrefix(r.stdout, "uploaded: cv-") || !strings.Contains(r.stdout, "Not sent: 1 state file, such as terraform.tfstate") {
		t.Errorf("push: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	list := h.tfhaul(t, "config", "list", "--json", "--limit", "2", org+"/net").document(t)
	versions := list["configuration_versions"].([]any)
	if len(versions) != 2 || list["more"] != true || versions[1].(map[string]any)["id"] != quiet["id"] {
		t.Errorf("the list: %v", list)
	}
	r = h.tfhaul(t, "config", "list", org+"/net")
	if r.code != 0 || strings.Count(r.stdout, "uploaded") != 3 || !strings.Contains(r.stdout, "speculative  tfe-api") {
		t.Errorf("list: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	shown := h.tfhaul(t, "config", "show", "--json", quiet["id"].(string), org+"/net").document(t)
	if shown["id"] != quiet["id"] || shown["source"] != "tfe-api" {
		t.Errorf("show: %v", shown)
	}
	if r := h.tfhaul(t, "config", "show", "cv-nowhere", org+"/net"); r.code != 1 || !strings.Contains(r.stderr, "404") {
		t.Errorf("show of none: %d\n%s", r.code, r.stderr)
	}
}

// TestConfigPushWithoutConfiguration: a run of such an upload would plan to destroy everything.
func TestConfigPushWithoutConfiguration(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	h.addWorkspace(t, "net")
	h.addWorkspace(t, "below")
	if err := h.SetWorkingDirectory(org, "below", "envs/prod"); err != nil {
		t.Fatal(err)
	}
	here := filepath.Dir(write(t, "main.tf", []byte(configurationOfOne)))
	empty := filepath.Dir(write(t, "README.md", []byte("no configuration")))
	ignored := filepath.Dir(write(t, "main.tf", []byte(configurationOfOne)))
	rewrite(t, filepath.Join(ignored, ".terraformignore"), "*.tf")
	below := filepath.Dir(write(t, "README.md", []byte("a configuration below")))
	if err := os.MkdirAll(filepath.Join(below, "envs", "prod"), 0o700); err != nil {
		t.Fatal(err)
	}
	rewrite(t, filepath.Join(below, "envs", "prod", "main.tf"), configurationOfOne)
	environ := h.with("ATLAS_ADDRESS="+h.running.URL(), "ATLAS_TOKEN="+h.Token(tfesim.Owner))
	for _, c := range []struct {
		dir, workspace string
		flags          []string
		exit           int
	}{
		{empty, "net", nil, 4}, {ignored, "net", nil, 4}, {below, "net", nil, 4}, {here, "below", nil, 4},
		{empty, "net", []string{"--no-queue"}, 4}, {empty, "net", []string{"--api", "atlas-v1"}, 4}, {below, "below", nil, 0},
	} {
		args := append(append([]string{"config", "push"}, c.flags...), c.dir, org+"/"+c.workspace)
		r := h.tfhaulIn(t, t.Context(), environ, nil, args...)
		if r.code != c.exit || c.exit == 4 && !strings.Contains(strings.ToLower(r.stderr), "there is no configuration in") {
			t.Errorf("%q: exit code %d, want %d: %s%s", args, r.code, c.exit, r.stdout, r.stderr)
		}
	}
	if n := len(h.Runs(org, "net")); n != 0 {
		t.Errorf("%d runs were queued", n)
	}
}

// An upload that the server cannot use is reported with the reason.
func TestConfigPushThatTheServerCannotUse(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	h.addWorkspace(t, "net")
	dir := filepath.Dir(write(t, "main.tf", []byte(configurationOfOne)))
	h.Inject(tfesim.Fault{Endpoint: "PUT /_archivist/v1/object/:token", Status: http.StatusForbidden})
	r := h.tfhaul(t, "config", "push", dir, org+"/net")
	if r.code != 1 || !strings.Contains(r.stderr, "signed URL") {
		t.Errorf("an upload that is refused: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestAtlas(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	h.seed(t, "old", state(7, 12))
	h.addWorkspace(t, "new")
	environ := h.with("ATLAS_ADDRESS="+h.running.URL(), "ATLAS_TOKEN="+h.Token(tfesim.Owner))
	dir := filepath.Dir(write(t, "main.tf", []byte(configurationOfOne)))
	r := h.tfhaulIn(t, t.Context(), environ, nil, "config", "push", "--api", "atlas-v1", "--var", "region=eu", "--metadata", "commit=abc", dir, org+"/new")
	if r.code != 0 || !strings.Contains(r.stdout, org+"/new version 1") || !strings.Contains(r.stdout, "the server has") || !strings.Contains(r.stderr, "uploading: 100%") {
		t.Errorf("push: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	r = h.tfhaulIn(t, t.Context(), environ, nil, "config", "push", "--api", "atlas-v1", "--json", dir, org+"/new")
	if d := r.document(t); d["version"] != 2.0 || d["received"] != d["size"] {
		t.Errorf("the document: %v", d)
	}
	if runs := h.Runs(org, "new"); len(runs) != 2 {
		t.Errorf("the uploads made the runs %+v", runs)
	}
}
