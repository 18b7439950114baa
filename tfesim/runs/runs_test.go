package runs_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/fixtures/testenv"
	"tfhaul/tfesim"
	"tfhaul/tfesim/internal/simtest"
)

// A sim is a running server with clients.
type sim struct{ *simtest.Sim }

func start(t testing.TB, o tfesim.Options) *sim {
	t.Helper()
	return &sim{simtest.Start(t, o)}
}

// needTerraform skips the test, with a message, if the real terraform is not on PATH.
func needTerraform(t *testing.T) {
	t.Helper()
	testenv.NeedFull(t, "runs the real terraform")
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("SKIPPED: there is no terraform on PATH, so the real one executed no run")
	}
}

// archive returns a tar.gz of files. A name that ends in a slash is a directory; content
// that begins with "->" is the target of a symbolic link.
func archive(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	for i := 0; i < len(files); i += 2 {
		name, content := files[i], files[i+1]
		h := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if target, ok := strings.CutPrefix(content, "->"); ok {
			h.Typeflag, h.Linkname, h.Size, content = tar.TypeSymlink, target, 0, ""
		} else if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const configuration = `
terraform {
  cloud {
    organization = "elsewhere"
    workspaces { name = "other" }
  }
}
variable "size" { default = 1 }
resource "terraform_data" "a" { input = "size ${var.size}" }
output "plain" { value = terraform_data.a.output }
`

// uploaded uploads files as a configuration version.
func (s *sim) uploaded(t testing.TB, c *tfe.Client, ws *tfe.Workspace, o tfe.ConfigurationVersionCreateOptions, files ...string) *tfe.ConfigurationVersion {
	t.Helper()
	if o.AutoQueueRuns == nil {
		o.AutoQueueRuns = tfe.Bool(false)
	}
	cv, err := c.ConfigurationVersions.Create(t.Context(), ws.ID, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ConfigurationVersions.UploadTarGzip(t.Context(), cv.UploadURL, bytes.NewReader(archive(t, files...))); err != nil {
		t.Fatal(err)
	}
	return cv
}

func (s *sim) workspace(t testing.TB, c *tfe.Client, name string) *tfe.Workspace {
	t.Helper()
	ws, err := c.Workspaces.Create(t.Context(), "demo", tfe.WorkspaceCreateOptions{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

func (s *sim) run(t testing.TB, c *tfe.Client, o tfe.RunCreateOptions) *tfe.Run {
	t.Helper()
	r, err := c.Runs.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// await waits for a status. If the run ends in another, it fails the test with the run's
// log.
func (s *sim) await(t testing.TB, c *tfe.Client, r *tfe.Run, status string) *tfe.Run {
	t.Helper()
	got, err := s.AwaitRun(t.Context(), r.ID, status)
	if err != nil || got != status {
		t.Fatalf("the run is %s, want %s (%v)\n%s", got, status, err, planLog(t, c, r))
	}
	r, err = c.Runs.Read(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func planLog(t testing.TB, c *tfe.Client, r *tfe.Run) string {
	t.Helper()
	log, err := c.Plans.Logs(t.Context(), r.Plan.ID)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The life of a run that is applied: every status, the lock, the state, the next plan.
func TestRunIsPlannedAndApplied(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{}, "main.tf", configuration)
	if err := s.SetVariable("demo", "net", "terraform", "size", `5 "${quoted}" %{if}`); err != nil {
		t.Fatal(err)
	}

	first := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv})
	second := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv})
	first = s.await(t, c, first, "planned")
	if !first.HasChanges || !first.Actions.IsConfirmable || first.Plan == nil {
		t.Errorf("a planned run: %+v", first)
	}
	plan, err := c.Plans.Read(t.Context(), first.Plan.ID)
	if err != nil || plan.ResourceAdditions != 1 || plan.Status != tfe.PlanFinished {
		t.Errorf("its plan: %+v, %v", plan, err)
	}
	if log := planLog(t, c, first); !strings.Contains(log, "1 to add, 0 to change, 0 to destroy") {
		t.Errorf("its log:\n%s", log)
	}
	if second, err = c.Runs.Read(t.Context(), second.ID); err != nil || second.Status != tfe.RunPending || second.PositionInQueue != 1 {
		t.Errorf("the run behind it: status %s, position %d, %v", second.Status, second.PositionInQueue, err)
	}
	if h, _ := s.LockHolder("demo", "net"); h.Kind != "runs" || h.ID != first.ID {
		t.Errorf("the workspace is locked by %+v", h)
	}
	status, _, body := s.Send(t, tfesim.Owner, "POST", "/workspaces/"+ws.ID+"/actions/unlock", "")
	if status != http.StatusConflict || !strings.Contains(body, "The workspace is locked by Run "+first.ID) {
		t.Errorf("unlocking it: %d %s", status, body)
	}

	if err := c.Runs.Apply(t.Context(), first.ID, tfe.RunApplyOptions{Comment: tfe.String("go")}); err != nil {
		t.Fatal(err)
	}
	first = s.await(t, c, first, "applied")
	raw, serial, _ := s.Current("demo", "net")
	if serial < 1 || !bytes.Contains(raw, []byte(`size 5 \"${quoted}\" %{if}`)) {
		t.Errorf("the state after the apply has serial %d: %s", serial, raw)
	}
	if v := s.Versions("demo", "net"); len(v) != 1 || v[0].Run != first.ID {
		t.Errorf("the state versions: %+v", v)
	}
	// The next run in the queue finds nothing to do.
	second = s.await(t, c, second, "planned_and_finished")
	if second.HasChanges {
		t.Error("the second run has changes")
	}
	if locked := s.Locked("demo"); len(locked) > 0 {
		t.Errorf("left locked: %v", locked)
	}
	if ws, err = c.Workspaces.ReadByID(t.Context(), ws.ID); err != nil || ws.CurrentRun == nil || ws.CurrentRun.ID != second.ID {
		t.Errorf("the workspace's current run: %+v, %v", ws.CurrentRun, err)
	}
}

// A plan of a moved state: no changes, even though the workspace is locked; its JSON is for
// administrators only.
func TestSpeculativeRunIgnoresLocks(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	if err := s.Lock("demo", "net", tfesim.SecondUser, "mine"); err != nil {
		t.Fatal(err)
	}
	cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{Speculative: tfe.Bool(true)}, "./", "", "./main.tf", configuration)
	r := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv})
	r = s.await(t, c, r, "planned_and_finished")
	if !r.PlanOnly || !r.HasChanges {
		t.Errorf("plan only %v, has changes %v", r.PlanOnly, r.HasChanges)
	}
	b, err := c.Plans.ReadJSONOutput(t.Context(), r.Plan.ID)
	if err != nil {
		t.Fatal(err)
	}
	var plan struct {
		Changes []struct{ Address string } `json:"resource_changes"`
	}
	if err := json.Unmarshal(b, &plan); err != nil || len(plan.Changes) != 1 || plan.Changes[0].Address != "terraform_data.a" {
		t.Errorf("the JSON of the plan: %d bytes, %+v, %v", len(b), plan, err)
	}
	if _, err := s.As(t, tfesim.SecondUser).Plans.ReadJSONOutput(t.Context(), r.Plan.ID); err != tfe.ErrResourceNotFound {
		t.Errorf("the JSON for a user with write access: %v", err)
	}
	if err := c.Runs.Apply(t.Context(), r.ID, tfe.RunApplyOptions{}); err == nil {
		t.Error("a plan-only run was applied")
	}
	if _, _, held := s.Current("demo", "net"); held {
		t.Error("a plan created a state")
	}
}

// An empty apply rewrites a state with the newer Terraform version: a new serial, the same
// resources.
func TestEmptyApplyRewritesTheState(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{}, "main.tf", configuration)
	r := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv, AutoApply: tfe.Bool(true)})
	s.await(t, c, r, "applied")
	raw, _, _ := s.Current("demo", "net")
	old := bytes.Replace(raw, []byte(`"terraform_version": "1.`), []byte(`"terraform_version": "0.15.`), 1)
	old = bytes.Replace(old, []byte(`"serial": 2`), []byte(`"serial": 7`), 1)
	if _, err := s.Seed("demo", "net", old); err != nil {
		t.Fatal(err)
	}

	r = s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv, AllowEmptyApply: tfe.Bool(true)})
	r = s.await(t, c, r, "planned")
	if r.HasChanges || !r.Actions.IsConfirmable {
		t.Errorf("has changes %v, confirmable %v", r.HasChanges, r.Actions.IsConfirmable)
	}
	if err := c.Runs.Apply(t.Context(), r.ID, tfe.RunApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	s.await(t, c, r, "applied")
	raw, serial, _ := s.Current("demo", "net")
	if serial != 8 || bytes.Contains(raw, []byte(`"0.15.`)) || !bytes.Contains(raw, []byte(`"serial": 8,`)) {
		t.Errorf("after the empty apply: serial %d\n%.200s", serial, raw)
	}
}

// A run that terraform cannot execute ends errored, and its log says why.
func TestRunsThatCannotBePlanned(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	for _, tt := range []struct {
		does  string
		files []string
		says  string
	}{
		{"a missing variable", []string{"main.tf", `variable "region" {}`}, "No value for required variable"},
		{"a provider that does not exist", []string{"main.tf", `resource "null_resource" "n" {}`}, "hashicorp/null"},
		{"no configuration", []string{"readme.txt", "hello"}, "no configuration files"},
		{"a syntax error", []string{"main.tf", `resource {`}, "Error"},
	} {
		t.Run(tt.does, func(t *testing.T) {
			ws := s.workspace(t, c, strings.ReplaceAll(tt.does, " ", "-"))
			cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{Speculative: tfe.Bool(true)}, tt.files...)
			r := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv})
			r = s.await(t, c, r, "errored")
			if log := planLog(t, c, r); !strings.Contains(log, tt.says) {
				t.Errorf("the log does not say %q:\n%s", tt.says, log)
			}
			if status, _, _ := s.Send(t, tfesim.Owner, "GET", "/plans/"+r.Plan.ID+"/json-output", ""); status != http.StatusNoContent {
				t.Errorf("the JSON of a missing plan: %d", status)
			}
		})
	}
}

// A run gets only those of the host's environment variables that terraform needs.
func TestRunsSeeNothingOfTheHost(t *testing.T) {
	needTerraform(t)
	t.Setenv("TF_VAR_size", "of the host")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of the host")
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	if err := s.SetVariable("demo", "net", "env", "TF_VAR_mine", "of the workspace"); err != nil {
		t.Fatal(err)
	}
	cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{}, "main.tf", `
variable "size" { default = "of the configuration" }
variable "mine" {}
resource "terraform_data" "a" {
  input = "${var.size}, ${var.mine}"
  provisioner "local-exec" { command = "env > \"$OUT\"" }
}`)
	out := filepath.Join(t.TempDir(), "env")
	if err := s.SetVariable("demo", "net", "env", "OUT", out); err != nil {
		t.Fatal(err)
	}
	r := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv, AutoApply: tfe.Bool(true)})
	s.await(t, c, r, "applied")
	raw, _, _ := s.Current("demo", "net")
	if !bytes.Contains(raw, []byte("of the configuration, of the workspace")) {
		t.Errorf("the state: %s", raw)
	}
	env, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(env, []byte("of the host")) {
		t.Error("the host's variables reach a run")
	}
}

func TestWithoutTerraformRunsEndErrored(t *testing.T) {
	t.Parallel()
	s := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{}, "main.tf", configuration)
	r := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv})
	r = s.await(t, c, r, "errored")
	if log := planLog(t, c, r); !strings.Contains(log, "this server has no terraform to execute runs with: nothing was planned") {
		t.Errorf("the log: %s", log)
	}
	if locked := s.Locked("demo"); len(locked) > 0 {
		t.Errorf("left locked: %v", locked)
	}
}

func TestRunsAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	create := func(ws, cv, more string) string {
		configuration := ""
		if cv != "" {
			configuration = `,"configuration-version":{"data":{"type":"configuration-versions","id":"` + cv + `"}}`
		}
		return `{"data":{"type":"runs","attributes":{` + more + `},"relationships":{"workspace":{"data":{"type":"workspaces","id":"` + ws + `"}}` + configuration + `}}}`
	}
	pending, err := c.ConfigurationVersions.Create(t.Context(), ws.ID, tfe.ConfigurationVersionCreateOptions{AutoQueueRuns: tfe.Bool(false)})
	if err != nil {
		t.Fatal(err)
	}
	local := s.workspace(t, c, "local")
	localCV := s.uploaded(t, c, local, tfe.ConfigurationVersionCreateOptions{}, "main.tf", configuration)
	if _, err := c.Workspaces.UpdateByID(t.Context(), local.ID, tfe.WorkspaceUpdateOptions{ExecutionMode: tfe.String("local")}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		does   string
		who    tfesim.Identity
		body   string
		status int
		says   string
	}{
		{"without a configuration version", tfesim.Owner, create(ws.ID, "", ""), 422, "Configuration version is missing"},
		{"with an upload that never arrived", tfesim.Owner, create(ws.ID, pending.ID, ""), 422, "is not ready"},
		{"in local execution mode", tfesim.Owner, create(local.ID, localCV.ID, ""), 422, "execution mode"},
		{"with another workspace's", tfesim.Owner, create(ws.ID, localCV.ID, ""), 404, "not found"},
		{"by a read-only user", tfesim.ReadOnly, create(ws.ID, pending.ID, ""), 404, "not found"},
		{"by an organization's token", tfesim.Organization, create(ws.ID, pending.ID, ""), 404, "not found"},
		{"without a workspace", tfesim.Owner, `{"data":{"type":"runs"}}`, 422, "workspace"},
		{"with a version that is applied", tfesim.Owner, create(ws.ID, pending.ID, `"terraform-version":"1.0.0"`), 422, "plan-only"},
		{"with a variable without a name", tfesim.Owner, create(ws.ID, pending.ID, `"variables":[{"key":"a\nb","value":"1"}]`), 422, "names"},
		{"with targets of the wrong type", tfesim.Owner, create(ws.ID, pending.ID, `"target-addrs":7`), 422, "target-addrs"},
	} {
		t.Run(tt.does, func(t *testing.T) {
			status, _, body := s.Send(t, tt.who, "POST", "/runs", tt.body)
			if status != tt.status || !strings.Contains(body, tt.says) {
				t.Errorf("%d %s; want %d, %q", status, body, tt.status, tt.says)
			}
		})
	}
	if runs := s.Runs("demo", "net"); len(runs) > 0 {
		t.Errorf("runs were created: %+v", runs)
	}
}

// A canceled run ends, and so does a run that is being executed when the server closes.
func TestRunsEndWhenTheyAreCanceled(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	started := filepath.Join(t.TempDir(), "started")
	if err := s.SetVariable("demo", "net", "env", "STARTED", started); err != nil {
		t.Fatal(err)
	}
	slow := `resource "terraform_data" "a" {
  provisioner "local-exec" { command = "exec sleep 600" }
}`
	cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{}, "main.tf", slow)
	r := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv, AutoApply: tfe.Bool(true)})
	waiting := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv})
	s.await(t, c, r, "applying")
	if err := c.Runs.Cancel(t.Context(), waiting.ID, tfe.RunCancelOptions{}); err != nil {
		t.Fatal(err)
	}
	s.await(t, c, waiting, "canceled")
	if err := c.Runs.Cancel(t.Context(), r.ID, tfe.RunCancelOptions{}); err != nil {
		t.Fatal(err)
	}
	r = s.await(t, c, r, "canceled")
	if r.CanceledAt.IsZero() || r.ForceCancelAvailableAt.IsZero() {
		t.Errorf("canceled at %v, by force from %v", r.CanceledAt, r.ForceCancelAvailableAt)
	}
	if err := c.Runs.Cancel(t.Context(), r.ID, tfe.RunCancelOptions{}); err == nil {
		t.Error("a finished run was canceled")
	}
	if locked := s.Locked("demo"); len(locked) > 0 {
		t.Errorf("left locked: %v", locked)
	}
	last := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv, AutoApply: tfe.Bool(true)})
	s.await(t, c, last, "applying") // the server is closed now
}

func TestUploadsOfConfigurations(t *testing.T) {
	t.Parallel()
	good := archive(t, "main.tf", configuration, "modules/", "", "modules/a/main.tf", "", "link.tf", "->main.tf")
	form := func(field string, content []byte) (string, []byte) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		part, err := w.CreateFormFile(field, "config.tar.gz")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return w.FormDataContentType(), b.Bytes()
	}
	formType, formBody := form("data", good)
	otherType, otherBody := form("file", good)
	s := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	for _, tt := range []struct {
		does, method, contentType string
		body                      []byte
		status                    int
		becomes                   tfe.ConfigurationStatus
	}{
		{"the bytes by PUT", "PUT", "application/octet-stream", good, 200, tfe.ConfigurationUploaded},
		{"a form by POST", "POST", formType, formBody, 200, tfe.ConfigurationUploaded},
		{"a form by PUT", "PUT", formType, formBody, 200, tfe.ConfigurationUploaded},
		{"a form with another field", "POST", otherType, otherBody, 400, tfe.ConfigurationPending},
		{"the bytes by POST", "POST", "application/octet-stream", good, 400, tfe.ConfigurationPending},
		{"not gzip", "PUT", "", []byte("hello"), 200, tfe.ConfigurationErrored},
		{"cut off", "PUT", "", good[:len(good)/2], 200, tfe.ConfigurationErrored},
		{"nothing", "PUT", "", nil, 200, tfe.ConfigurationErrored},
		{"a name that leads outside", "PUT", "", archive(t, "../main.tf", "x"), 200, tfe.ConfigurationErrored},
		{"an absolute name", "PUT", "", archive(t, "/etc/main.tf", "x"), 200, tfe.ConfigurationErrored},
		{"a link that leads outside", "PUT", "", archive(t, "a/b", "->../../main.tf"), 200, tfe.ConfigurationErrored},
	} {
		t.Run(tt.does, func(t *testing.T) {
			cv, err := c.ConfigurationVersions.Create(t.Context(), ws.ID, tfe.ConfigurationVersionCreateOptions{AutoQueueRuns: tfe.Bool(false)})
			if err != nil {
				t.Fatal(err)
			}
			send := func() int {
				req, err := http.NewRequestWithContext(t.Context(), tt.method, cv.UploadURL, bytes.NewReader(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", tt.contentType)
				resp, err := s.Running.Client().Do(req)
				if err != nil {
					t.Fatal("the upload failed")
				}
				defer resp.Body.Close()
				return resp.StatusCode
			}
			if status := send(); status != tt.status {
				t.Errorf("the upload: %d, want %d", status, tt.status)
			}
			got, err := c.ConfigurationVersions.Read(t.Context(), cv.ID)
			if err != nil || got.Status != tt.becomes || (got.Error != "") != (tt.becomes == tfe.ConfigurationErrored) {
				t.Errorf("it became %s (%q, %q), want %s; %v", got.Status, got.Error, got.ErrorMessage, tt.becomes, err)
			}
			if status := send(); tt.becomes != tfe.ConfigurationPending && status != http.StatusForbidden {
				t.Errorf("the URL accepted a second upload: %d", status)
			}
		})
	}
}

// An archive cannot write outside the folder through its own links.
func TestArchivesWriteNothingOutside(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	// Each link stays inside by itself; together they lead outside.
	cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{Speculative: tfe.Bool(true)},
		"main.tf", configuration, "r/", "", "a/b/", "", "a/b/c", "->../../r", "a/b/c/l", "->../../../outside", "a/b/c/l/file", "escaped")
	r := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv})
	r = s.await(t, c, r, "errored")
	if log := planLog(t, c, r); !strings.Contains(log, "Failed to unpack") {
		t.Errorf("the log: %s", log)
	}
}

// A queued upload starts a run by itself; a run that cannot start yet waits.
func TestUploadsQueueRuns(t *testing.T) {
	t.Parallel()
	s := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	if err := s.Lock("demo", "net", tfesim.Owner, "mine"); err != nil {
		t.Fatal(err)
	}
	cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{AutoQueueRuns: tfe.Bool(true)}, "main.tf", configuration)
	runs := s.Runs("demo", "net")
	if len(runs) != 1 || runs[0].Configuration != cv.ID || runs[0].Status != "pending" {
		t.Fatalf("after the upload there are %+v", runs)
	}
	if _, err := c.Workspaces.Unlock(t.Context(), ws.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := s.AwaitRun(t.Context(), runs[0].ID); got != "errored" || err != nil {
		t.Errorf("after the unlock the run ends %s, %v", got, err)
	}
}

func TestRunsSurviveARestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	options := tfesim.Options{Data: folder, Terraform: tfesim.NoTerraform}
	s, err := tfesim.New(options)
	if err != nil {
		t.Fatal(err)
	}
	running, err := s.Start("")
	if err != nil {
		t.Fatal(err)
	}
	first := &sim{&simtest.Sim{Server: s, Running: running}}
	c := first.As(t, tfesim.Owner)
	ws := first.workspace(t, c, "net")
	if err := s.SetVariable("demo", "net", "terraform", "size", "3"); err != nil {
		t.Fatal(err)
	}
	if err := s.Lock("demo", "net", tfesim.Owner, "mine"); err != nil {
		t.Fatal(err)
	}
	cv := first.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{}, "main.tf", configuration)
	waits := first.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv})
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}

	again := start(t, options)
	c = again.As(t, tfesim.Owner)
	if b, err := c.ConfigurationVersions.Download(t.Context(), cv.ID); err != nil || !bytes.Equal(b, archive(t, "main.tf", configuration)) {
		t.Errorf("the archive is %d bytes, %v", len(b), err)
	}
	if v, err := c.Variables.List(t.Context(), ws.ID, nil); err != nil || len(v.Items) != 1 || v.Items[0].Value != "3" {
		t.Errorf("the variables: %+v, %v", v, err)
	}
	if got, err := c.Runs.Read(t.Context(), waits.ID); err != nil || got.Status != tfe.RunPending {
		t.Errorf("the run: %+v, %v", got, err)
	}
	if err := again.Unlock("demo", "net"); err != nil {
		t.Fatal(err)
	}
	if got, err := again.AwaitRun(t.Context(), waits.ID); got != "errored" || err != nil {
		t.Errorf("the run ends %s, %v", got, err)
	}
}

// Any part of a log can be read from its URL, without a token.
func TestLogsAreReadInParts(t *testing.T) {
	t.Parallel()
	s := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{}, "main.tf", configuration)
	r := s.await(t, c, s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv}), "errored")
	plan, err := c.Plans.Read(t.Context(), r.Plan.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, _, whole := s.Send(t, "", "GET", plan.LogReadURL, "")
	if !strings.HasPrefix(whole, "\x02") || !strings.HasSuffix(whole, "\x03") {
		t.Errorf("the log has no markers: %q", whole)
	}
	_, _, part := s.Send(t, "", "GET", plan.LogReadURL+"?offset=3&limit=5", "")
	if part != whole[3:8] {
		t.Errorf("a part of it is %q, want %q", part, whole[3:8])
	}
	if _, _, rest := s.Send(t, "", "GET", plan.LogReadURL+"?offset=100000&limit=5", ""); rest != "" {
		t.Errorf("beyond the end there is %q", rest)
	}
	for _, q := range s.Requests() {
		if strings.Contains(q.Path+q.Query, "offset") || slices.Contains(strings.Split(q.Path, "/"), "object") && len(q.Path) > len("/_archivist/v1/object/") {
			t.Errorf("a signed URL is remembered")
		}
	}
}

// A server that refuses runs says so in the run's log and executes nothing.
func TestNoRunsRefusesToExecute(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "executed")
	s := start(t, tfesim.Options{NoRuns: "runs are off here"})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{}, "main.tf",
		`data "external" "x" { program = ["touch", "`+marker+`"] }`)
	r := s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv})
	r = s.await(t, c, r, "errored")
	if log := planLog(t, c, r); !strings.Contains(log, "Error: runs are off here") {
		t.Errorf("the log says %q", log)
	}
	if _, err := os.Stat(marker); !os.IsNotExist(err) {
		t.Error("the configuration was executed")
	}
}

// The redacted plan has what clients render, and no sensitive value.
func TestRedactedPlan(t *testing.T) {
	needTerraform(t)
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	ws := s.workspace(t, c, "net")
	cv := s.uploaded(t, c, ws, tfe.ConfigurationVersionCreateOptions{}, "main.tf", `
variable "password" {
  default   = "hunter2-is-secret"
  sensitive = true
}
resource "terraform_data" "a" { input = { plain = "visible", password = var.password, count = sensitive(4711) } }
output "password" {
  value     = var.password
  sensitive = true
}`)
	r := s.await(t, c, s.run(t, c, tfe.RunCreateOptions{Workspace: ws, ConfigurationVersion: cv}), "planned")
	status, _, text := s.Send(t, tfesim.ReadOnly, "GET", "/plans/"+r.Plan.ID+"/json-output-redacted", "")
	if status != 200 {
		t.Fatalf("status %d, want 200", status)
	}
	for _, secret := range []string{"hunter2", "4711"} {
		if strings.Contains(text, secret) {
			t.Error("the redacted plan contains a sensitive value")
		}
	}
	for _, want := range []string{`"plan_format_version":"1`, `"provider_schemas":{"terraform.io/builtin/terraform"`, `"visible"`, `"after_sensitive"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the redacted plan lacks %s", want)
		}
	}
}
