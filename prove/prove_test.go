package prove_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfhaul/backend/tfe"
	"tfhaul/fixtures/testenv"
	"tfhaul/prove"
	"tfhaul/tfesim"
)

// needTerraform skips the test, visibly, if there is no real terraform.
func needTerraform(t *testing.T) {
	t.Helper()
	testenv.NeedFull(t, "runs the real terraform")
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("SKIPPED: there is no terraform on PATH, so nothing here was proven by the real one")
	}
}

// A site is a server and a client for it.
type site struct {
	*tfesim.Server
	running *tfesim.Running
	client  *tfe.Client
}

func open(t *testing.T, o tfesim.Options, as tfesim.Identity) *site {
	t.Helper()
	o.RateLimit = -1
	server, err := tfesim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	running, err := server.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{server, running, clientOf(t, server, running, as)}
}

func clientOf(t *testing.T, server *tfesim.Server, running *tfesim.Running, as tfesim.Identity) *tfe.Client {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, running.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	tls, err := tfe.TLSConfig(ca, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	api, err := url.Parse(running.URL() + "/api/v2/")
	if err != nil {
		t.Fatal(err)
	}
	client, err := tfe.New(tfe.Options{API: api, Token: server.Token(as), TLS: tls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

const configuration = `
terraform {
  cloud {
    organization = "elsewhere"
    workspaces { name = "other" }
  }
}
variable "size" {
  type    = string
  default = "s3cr3t-in-a-variable"
}
resource "terraform_data" "a" { input = "first ${var.size}" }
resource "terraform_data" "b" {
  count = 2
  input = "${terraform_data.a.output} ${count.index}"
}
output "plain" { value = terraform_data.a.output }
`

// No result may contain secret.
const secret = "s3cr3t-in-a-variable"

// folder creates a directory with files.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, filepath.FromSlash(files[i]))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// stateOnce is a state that the real terraform made of the configuration.
var stateOnce = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "tfhaul-test-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	_, rest, _ := strings.Cut(configuration, "variable")
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte("variable"+rest), 0o600); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"init"}, {"apply", "-auto-approve"}} {
		cmd := exec.Command("terraform", args...)
		cmd.Dir, cmd.Env = dir, clean(os.Environ())
		if out, err := cmd.CombinedOutput(); err != nil {
			return out, err
		}
	}
	return os.ReadFile(filepath.Join(dir, "terraform.tfstate"))
})

// clean returns an environment without the settings of the user running the tests.
func clean(environ []string) []string {
	var out []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "TF_") && !strings.HasPrefix(v, "TFE_") {
			out = append(out, v)
		}
	}
	return append(out, "CHECKPOINT_DISABLE=1")
}

func state(t *testing.T) []byte {
	t.Helper()
	raw, err := stateOnce()
	if err != nil {
		t.Fatalf("making a state: %v", err)
	}
	return raw
}

// seeded writes the state to a workspace, and returns the state version's ID.
func (s *site) seeded(t *testing.T, workspace string, raw []byte) string {
	t.Helper()
	id, err := s.Seed("demo", workspace, raw)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (s *site) variable(t *testing.T, workspace, key, value string) {
	t.Helper()
	if err := s.SetVariable("demo", workspace, "terraform", key, value); err != nil {
		t.Fatal(err)
	}
}

// want checks a result's verdict and code, and looks for the secret in all of it.
func want(t *testing.T, r prove.Result, verdict prove.Verdict, code prove.Code, says string) {
	t.Helper()
	if r.Verdict != verdict || r.Code != code {
		t.Errorf("%s %q: %s\nwant %s %q", r.Verdict, r.Code, r.Message, verdict, code)
	}
	if !strings.Contains(r.Message, says) {
		t.Errorf("the message %q does not contain %q", r.Message, says)
	}
	if strings.Contains(strings.Join(append(r.Notes, r.Message), " "), secret) {
		t.Error("the result contains a value")
	}
}

func TestVerdicts(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := open(t, tfesim.Options{}, tfesim.Owner)
	p := &prove.Prover{Target: s.client}
	changed := strings.Replace(configuration, `"first ${var.size}"`, `"other ${var.size}"`, 1)
	more := configuration + `resource "terraform_data" "c" {}`
	fewer := strings.Replace(configuration, "count = 2", "count = 1", 1)
	moved := strings.ReplaceAll(configuration, `terraform_data.a.`, `terraform_data.z.`)
	moved = strings.Replace(moved, `"terraform_data" "a"`, `"terraform_data" "z"`, 1) + "moved {\n  from = terraform_data.a\n  to = terraform_data.z\n}\n"
	output := configuration + `output "more" { value = 1 }`
	missing := strings.Replace(configuration, `default = "s3cr3t-in-a-variable"`, "", 1)
	for _, tt := range []struct {
		does    string
		files   []string
		arrange func(t *testing.T, workspace string)
		verdict prove.Verdict
		code    prove.Code
		says    string
		changes []prove.Change
	}{
		{does: "the same configuration", files: []string{"main.tf", configuration}, verdict: prove.Proven, says: "all 3 resource instances"},
		{does: "with a state in the directory", files: []string{"main.tf", configuration, "terraform.tfstate", "{}", "terraform.tfstate.d/x/terraform.tfstate", "{}"},
			verdict: prove.Proven},
		{does: "one attribute changed", files: []string{"main.tf", strings.Replace(configuration, `${count.index}"`, `${count.index}" == "" ? "" : "${count.index}${terraform_data.a.output}"`, 1)},
			verdict: prove.Changes, changes: []prove.Change{{Address: "terraform_data.b[0]", Actions: []string{"update"}}, {Address: "terraform_data.b[1]", Actions: []string{"update"}}}},
		{does: "an attribute that others depend on", files: []string{"main.tf", changed}, verdict: prove.Changes, says: "terraform_data.a (update)",
			changes: []prove.Change{{Address: "terraform_data.a", Actions: []string{"update"}}, {Address: "terraform_data.b[0]", Actions: []string{"update"}},
				{Address: "terraform_data.b[1]", Actions: []string{"update"}}, {Address: "output.plain", Actions: []string{"update"}}}},
		{does: "a new resource", files: []string{"main.tf", more}, verdict: prove.Changes,
			changes: []prove.Change{{Address: "terraform_data.c", Actions: []string{"create"}}}},
		{does: "one instance less", files: []string{"main.tf", fewer}, verdict: prove.Changes,
			changes: []prove.Change{{Address: "terraform_data.b[1]", Actions: []string{"delete"}, Reason: "delete_because_count_index"}}},
		{does: "a resource renamed", files: []string{"main.tf", moved}, verdict: prove.Changes,
			changes: []prove.Change{{Address: "terraform_data.z", Actions: []string{"move"}, PreviousAddress: "terraform_data.a"}}},
		{does: "a new output", files: []string{"main.tf", output}, verdict: prove.Changes,
			changes: []prove.Change{{Address: "output.more", Actions: []string{"create"}}}},
		{does: "a missing variable", files: []string{"main.tf", missing}, verdict: prove.Unproven, code: prove.CodeMissingVariable, says: "the variable size has no value"},
		{does: "a workspace variable", files: []string{"main.tf", missing}, verdict: prove.Proven,
			arrange: func(t *testing.T, workspace string) { s.variable(t, workspace, "size", secret) }},
		{does: "a provider that does not exist", files: []string{"main.tf", configuration + `resource "null_resource" "n" {}`}, verdict: prove.Unproven, code: prove.CodeProvider},
		{does: "an invalid configuration", files: []string{"main.tf", `resource {`}, verdict: prove.Unproven, code: prove.CodeRunErrored},
	} {
		t.Run(tt.does, func(t *testing.T) {
			t.Parallel()
			workspace := strings.ReplaceAll(tt.does, " ", "-")
			version := s.seeded(t, workspace, state(t))
			if tt.arrange != nil {
				tt.arrange(t, workspace)
			}
			r := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: workspace, Dir: folder(t, tt.files...)})
			want(t, r, tt.verdict, tt.code, tt.says)
			if diff := cmp.Diff(tt.changes, r.Changes); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if r.StateVersionID != version || r.Instances != 3 || r.RunID == "" || r.APICalls == 0 {
				t.Errorf("got result %+v", r)
			}
			if runs := s.Runs("demo", workspace); len(runs) != 1 || !runs[0].PlanOnly {
				t.Errorf("got runs %+v", runs)
			}
		})
	}
}

// These proofs fail before they create anything.
func TestUnprovenBeforeAnythingIsCreated(t *testing.T) {
	t.Parallel()
	s := open(t, tfesim.Options{Terraform: tfesim.NoTerraform}, tfesim.Owner)
	raw := []byte(`{"version":4,"terraform_version":"1.11.4","serial":3,"lineage":"l","outputs":{},"resources":[]}`)
	s.seeded(t, "held", raw)
	if _, err := s.AddWorkspace("demo", "empty"); err != nil {
		t.Fatal(err)
	}
	dir := folder(t, "main.tf", configuration)
	outside := filepath.Join(t.TempDir(), "secret.tf")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	linked := folder(t, "main.tf", configuration)
	if err := os.Symlink(outside, filepath.Join(linked, "secret.tf")); err != nil {
		t.Skip("there are no symbolic links here")
	}
	for _, tt := range []struct {
		does    string
		request prove.Request
		code    prove.Code
		says    string
	}{
		{"no workspace", prove.Request{Workspace: "nowhere", Dir: dir}, prove.CodeForbiddenOrMissing, "404"},
		{"no state", prove.Request{Workspace: "empty", Dir: dir}, prove.CodeNoState, "holds no state"},
		{"not the state that was moved", prove.Request{Workspace: "held", Dir: dir, StateVersion: "sv-other"}, prove.CodeStateChanged, "sv-other"},
		{"no directory", prove.Request{Workspace: "held", Dir: filepath.Join(dir, "nowhere")}, prove.CodeConfiguration, "Cannot find the configuration directory"},
		{"a file for a directory", prove.Request{Workspace: "held", Dir: filepath.Join(dir, "main.tf")}, prove.CodeConfiguration, "not a directory"},
		{"no configuration in it", prove.Request{Workspace: "held", Dir: t.TempDir()}, prove.CodeConfiguration, "no file there ends in .tf"},
		{"a link that leads out of the directory", prove.Request{Workspace: "held", Dir: linked}, prove.CodeConfiguration, "secret.tf"},
	} {
		t.Run(tt.does, func(t *testing.T) {
			tt.request.Organization = "demo"
			r := (&prove.Prover{Target: s.client}).Prove(t.Context(), tt.request)
			want(t, r, prove.Unproven, tt.code, tt.says)
		})
	}
	if n := s.Count("POST /runs") + s.Count("POST /workspaces/:workspace_id/configuration-versions"); n > 0 {
		t.Errorf("%d runs and configuration versions were created", n)
	}
}

func TestExecutionModeLocalIsUnproven(t *testing.T) {
	t.Parallel()
	s := open(t, tfesim.Options{ExecutionMode: "local", Terraform: tfesim.NoTerraform}, tfesim.Owner)
	s.seeded(t, "net", []byte(`{"version":4,"serial":1,"lineage":"l","resources":[]}`))
	r := (&prove.Prover{Target: s.client}).Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: folder(t, "main.tf", configuration)})
	want(t, r, prove.Unproven, prove.CodeExecutionMode, "--local")
}

// If the organization holds its own key, no run is started, because its plan could not be
// read.
func TestHYOKIsUnprovenWithoutARun(t *testing.T) {
	t.Parallel()
	s := open(t, tfesim.Options{HYOK: true, Terraform: tfesim.NoTerraform}, tfesim.Owner)
	s.seeded(t, "net", []byte(`{"version":4,"serial":1,"lineage":"l","resources":[]}`))
	r := (&prove.Prover{Target: s.client}).Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: folder(t, "main.tf", configuration)})
	want(t, r, prove.Unproven, prove.CodeHYOK, "--local")
	for _, q := range s.Requests() {
		if q.Method != http.MethodGet {
			t.Errorf("the proof sent write requests: %s", q.Endpoint)
		}
	}
}

// Without permission to read the plan, only the counters can be judged.
func TestCountersWithoutPermissionToReadThePlan(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := open(t, tfesim.Options{}, tfesim.SecondUser)
	p := &prove.Prover{Target: s.client}
	s.seeded(t, "same", state(t))
	r := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "same", Dir: folder(t, "main.tf", configuration)})
	want(t, r, prove.Unproven, prove.CodeNoPlanJSON, "0 to add, 0 to change, 0 to destroy, 0 to import")
	s.seeded(t, "more", state(t))
	r = p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "more", Dir: folder(t, "main.tf", configuration+`resource "terraform_data" "c" {}`)})
	want(t, r, prove.Changes, "", "1 to add")
	if r.Counters == nil || *r.Counters != (prove.Counters{Additions: 1}) {
		t.Errorf("got counters %+v", r.Counters)
	}
}

// A plan made before the state proves nothing about it.
func TestNamedRuns(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := open(t, tfesim.Options{}, tfesim.Owner)
	p := &prove.Prover{Target: s.client}
	s.seeded(t, "net", state(t))
	s.seeded(t, "other", state(t))
	made := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: folder(t, "main.tf", configuration)})
	want(t, made, prove.Proven, "", "")
	again := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Run: made.RunID})
	want(t, again, prove.Proven, "", "")
	if again.ConfigurationVersion != made.ConfigurationVersion || s.Count("POST /runs") != 1 {
		t.Errorf("got result %+v; %d runs were created", again, s.Count("POST /runs"))
	}
	version := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", ConfigurationVersion: made.ConfigurationVersion})
	want(t, version, prove.Proven, "", "")
	foreign := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "other", Run: made.RunID})
	want(t, foreign, prove.Unproven, prove.CodeOtherWorkspace, made.RunID)
}

// Ctrl-C cancels the run that the proof started, and the result says so. The run is found
// even if the reply that created it was lost.
func TestInterruptedProofsCancelTheirRun(t *testing.T) {
	t.Parallel()
	// The workspace's runs wait for an agent that does not exist.
	s := open(t, tfesim.Options{ExecutionMode: "agent", Terraform: tfesim.NoTerraform}, tfesim.Owner)
	s.seeded(t, "net", []byte(`{"version":4,"serial":1,"lineage":"l","resources":[]}`))
	s.Inject(tfesim.Fault{Endpoint: "POST /runs", Kind: tfesim.FaultReset, After: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := &prove.Prover{Target: s.client, Observe: func(e prove.Event) {
		if e.Stage == prove.StageQueued {
			cancel()
		}
	}}
	r := p.Prove(ctx, prove.Request{Organization: "demo", Workspace: "net", Dir: folder(t, "main.tf", configuration)})
	want(t, r, prove.Unproven, prove.CodeInterrupted, "Interrupted")
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], r.RunID+" was canceled") {
		t.Errorf("got notes %q", r.Notes)
	}
	if runs := s.Runs("demo", "net"); len(runs) != 1 || runs[0].Status != "canceled" {
		t.Errorf("got runs %+v", runs)
	}
}

// A run that never ends is canceled after the timeout.
func TestRunsThatTakeTooLongAreCanceled(t *testing.T) {
	t.Parallel()
	s := open(t, tfesim.Options{ExecutionMode: "agent", Terraform: tfesim.NoTerraform}, tfesim.Owner)
	s.seeded(t, "net", []byte(`{"version":4,"serial":1,"lineage":"l","resources":[]}`))
	p := &prove.Prover{Target: s.client, Timeout: time.Nanosecond}
	r := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: folder(t, "main.tf", configuration)})
	want(t, r, prove.Unproven, prove.CodeTimeout, "agents")
	if runs := s.Runs("demo", "net"); len(runs) != 1 || runs[0].Status != "canceled" {
		t.Errorf("got runs %+v", runs)
	}
}

// If another user writes a state during the proof, that state is not proven.
func TestStateChangedDuringTheProofIsUnproven(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := open(t, tfesim.Options{}, tfesim.Owner)
	s.seeded(t, "net", state(t))
	p := &prove.Prover{Target: s.client, Observe: func(e prove.Event) {
		if e.Stage == prove.StageJudging {
			s.seeded(t, "net", state(t))
		}
	}}
	r := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: folder(t, "main.tf", configuration)})
	want(t, r, prove.Unproven, prove.CodeStateChanged, "Prove it again")
}

// A plan that used another state, or none, is vacuous.
func TestVacuousPlansAreUnproven(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := open(t, tfesim.Options{}, tfesim.Owner)
	s.seeded(t, "net", state(t))
	// The configuration has no resources, so the plan has nothing to do. The state that
	// it is judged against has three.
	p := &prove.Prover{Target: s.client, Observe: func(e prove.Event) {
		if e.Stage == prove.StageUploading {
			if _, err := s.Seed("demo", "net", []byte(`{"version":4,"terraform_version":"1.11.4","serial":9,"lineage":"l","outputs":{},"resources":[]}`)); err != nil {
				t.Error(err)
			}
		}
	}}
	r := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: folder(t, "main.tf", `locals { a = 1 }`)})
	want(t, r, prove.Unproven, prove.CodeVacuous, "started from 0 resource instances while the state holds 3")
}

// The log is copied while the run is under way.
func TestLogs(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := open(t, tfesim.Options{}, tfesim.Owner)
	s.seeded(t, "net", state(t))
	var log bytes.Buffer
	p := &prove.Prover{Target: s.client, Logs: &log}
	r := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: folder(t, "main.tf", configuration)})
	want(t, r, prove.Proven, "", "")
	if text := log.String(); !strings.HasPrefix(text, "Terraform v") || !strings.Contains(text, "No changes") || strings.ContainsAny(text, "\x02\x03") {
		t.Errorf("got log %q", text)
	}
}

// The configuration is looked for in the workspace's working directory.
func TestWorkingDirectory(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := open(t, tfesim.Options{}, tfesim.Owner)
	s.seeded(t, "net", state(t))
	if err := s.SetWorkingDirectory("demo", "net", "live/net"); err != nil {
		t.Fatal(err)
	}
	p := &prove.Prover{Target: s.client}
	within := folder(t, "live/net/main.tf", configuration)
	want(t, p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: within}), prove.Proven, "", "")
	want(t, p.ProveLocal(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: within}, prove.Local{Environ: clean(os.Environ())}), prove.Proven, "", "")
	want(t, p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: filepath.Join(within, "live", "net")}),
		prove.Unproven, prove.CodeConfiguration, `"live/net"`)
}

// The empty apply runs only after a proof of no changes.
func TestUpgradeState(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := open(t, tfesim.Options{}, tfesim.Owner)
	p := &prove.Prover{Target: s.client}
	old := bytes.Replace(state(t), []byte(`"terraform_version": "1.`), []byte(`"terraform_version": "0.15.`), 1)
	s.seeded(t, "net", old)
	dir := folder(t, "main.tf", configuration)
	r := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: dir, UpgradeState: true})
	want(t, r, prove.Proven, "", "The state was rewritten by Terraform 1.")
	if u := r.Upgraded; u == nil || !strings.HasPrefix(u.FromTerraform, "0.15.") || u.ToSerial != u.FromSerial+1 {
		t.Fatalf("got upgrade %+v", u)
	}
	raw, serial, _ := s.Current("demo", "net")
	if serial != r.Upgraded.ToSerial || bytes.Contains(raw, []byte(`"0.15.`)) {
		t.Errorf("the workspace holds serial %d", serial)
	}
	if locked := s.Locked("demo"); len(locked) > 0 {
		t.Errorf("the workspace is still locked: %v", locked)
	}
	again := p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: dir, UpgradeState: true})
	want(t, again, prove.Proven, "", "")
	if again.Upgraded != nil || len(again.Notes) != 1 {
		t.Errorf("second proof: %+v, %q", again.Upgraded, again.Notes)
	}

	s.seeded(t, "changing", old)
	r = p.Prove(t.Context(), prove.Request{Organization: "demo", Workspace: "changing", Dir: folder(t, "main.tf", configuration+`resource "terraform_data" "c" {}`), UpgradeState: true})
	want(t, r, prove.Changes, "", "terraform_data.c")
	if runs := s.Runs("demo", "changing"); len(runs) != 1 || !runs[0].PlanOnly {
		t.Errorf("got runs %+v", runs)
	}
}

// Local proofs have the same verdicts, change nothing, and leave nothing behind.
func TestLocalProofs(t *testing.T) {
	needTerraform(t)
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	s := open(t, tfesim.Options{ExecutionMode: "local"}, tfesim.Owner)
	missing := strings.Replace(configuration, `default = "s3cr3t-in-a-variable"`, "", 1)
	for _, tt := range []struct {
		does, main string
		environ    []string
		verdict    prove.Verdict
		code       prove.Code
		says       string
	}{
		{"the same configuration", configuration, nil, prove.Proven, "", "all 3"},
		{"a new resource", configuration + `resource "terraform_data" "c" {}`, nil, prove.Changes, "", "terraform_data.c"},
		{"a missing variable", missing, nil, prove.Unproven, prove.CodeMissingVariable, "size"},
		{"a variable in the environment", missing, []string{"TF_VAR_size=" + secret}, prove.Proven, "", ""},
		{"a named workspace", configuration + "check \"w\" {\n  assert {\n    condition = terraform.workspace == \"a-named-workspace\"\n    error_message = \"no\"\n  }\n}\n", nil, prove.Proven, "", ""},
		{"misleading variables", configuration, []string{"TF_WORKSPACE=elsewhere", "TF_DATA_DIR=/nowhere", "TF_CLI_ARGS_plan=-destroy"}, prove.Proven, "", ""},
	} {
		t.Run(tt.does, func(t *testing.T) {
			workspace := strings.ReplaceAll(tt.does, " ", "-")
			s.seeded(t, workspace, state(t))
			made := map[string]bool{}
			p := &prove.Prover{Target: s.client, Temporary: func(dir string, exists bool) {
				made[dir] = exists
				if exists {
					checkPrivate(t, dir)
				}
			}}
			r := p.ProveLocal(t.Context(), prove.Request{Organization: "demo", Workspace: workspace, Dir: folder(t, "main.tf", tt.main)},
				prove.Local{Environ: append(clean(os.Environ()), tt.environ...)})
			want(t, r, tt.verdict, tt.code, tt.says)
			for _, note := range r.Notes {
				t.Errorf("unexpected note: %s", note)
			}
			if len(made) != 1 {
				t.Errorf("the observer got %d directories", len(made))
			}
			left, err := filepath.Glob(filepath.Join(temporary, "tfhaul-proof-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if len(s.Runs("demo", workspace)) > 0 || len(s.Locked("demo")) > 0 || len(s.Versions("demo", workspace)) != 1 {
				t.Error("the workspace was changed")
			}
		})
	}
}

// checkPrivate fails if other users can read a directory.
func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the directory of the copy has mode %v, %v", info.Mode(), err)
	}
}

func TestInterruptedLocalProofsLeaveNothing(t *testing.T) {
	needTerraform(t)
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	s := open(t, tfesim.Options{ExecutionMode: "local"}, tfesim.Owner)
	s.seeded(t, "net", state(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := &prove.Prover{Target: s.client, Observe: func(e prove.Event) {
		if e.Stage == prove.StagePlanning {
			cancel()
		}
	}}
	r := p.ProveLocal(ctx, prove.Request{Organization: "demo", Workspace: "net", Dir: folder(t, "main.tf", configuration)}, prove.Local{Environ: clean(os.Environ())})
	want(t, r, prove.Unproven, prove.CodeInterrupted, "")
	if left, err := filepath.Glob(filepath.Join(temporary, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestLocalProofWithoutTerraform(t *testing.T) {
	t.Parallel()
	s := open(t, tfesim.Options{Terraform: tfesim.NoTerraform}, tfesim.Owner)
	r := (&prove.Prover{Target: s.client}).ProveLocal(t.Context(), prove.Request{Organization: "demo", Workspace: "net", Dir: t.TempDir()},
		prove.Local{Terraform: "terraform-that-is-nowhere"})
	want(t, r, prove.Unproven, prove.CodeNoTerraform, "PATH")
}

// The package is the same each time, and closing it early ends the packing.
func TestPack(t *testing.T) {
	t.Parallel()
	dir := folder(t, "main.tf", configuration, "modules/a/main.tf", "", ".terraformignore", "notes/\n", "notes/x.md", "left out", ".git/config", "left out",
		".terraform/providers/p", "left out", "terraform.tfstate", "{}", "terraform.tfstate.backup", "{}", "old.tfstate.17.backup", "{}")
	p, err := prove.Pack(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"old.tfstate.17.backup", "terraform.tfstate", "terraform.tfstate.backup"}, p.LeftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	if p.Files != 5 { // .terraformignore, main.tf, modules/, modules/a/, modules/a/main.tf
		t.Errorf("%d entries", p.Files)
	}
	for range 2 {
		body, err := p.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if err != nil || int64(len(b)) != p.Size {
			t.Errorf("%d bytes, %v; want %d", len(b), err, p.Size)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
	unread, err := p.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := unread.Close(); err != nil {
		t.Error(err)
	}
}
