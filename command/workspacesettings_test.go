package command_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	gotfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// client returns a go-tfe client of the server.
func (h *host) client(t *testing.T) *gotfe.Client {
	t.Helper()
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(h.running.CAPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities}}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := gotfe.NewClient(&gotfe.Config{Address: "https://" + h.running.Host(), Token: h.Token(tfesim.Owner), HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A setup is all that a manifest can say about a workspace, as go-tfe reads it.
type setup struct {
	Project, Description, Terraform, Mode, Pool, Directory, SourceName, SourceURL string
	AutoApply, Global                                                             bool
	Tags, Bindings, Patterns, Consumers, Variables                                []string
	Identifier, Branch, OAuthToken, App                                           string
}

// setupOf reads a workspace with go-tfe. A variable is its key, category, value and description;
// the server does not return sensitive values.
func setupOf(t *testing.T, c *gotfe.Client, organization, name string) setup {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("reading %s/%s: %v", organization, name, err)
		}
	}
	ws, err := c.Workspaces.ReadWithOptions(ctx, organization, name, &gotfe.WorkspaceReadOptions{Include: []gotfe.WSIncludeOpt{gotfe.WSProject}})
	must(err)
	s := setup{Project: ws.Project.Name, Description: ws.Description, Terraform: ws.TerraformVersion, Mode: ws.ExecutionMode, Directory: ws.WorkingDirectory,
		SourceName: ws.SourceName, SourceURL: ws.SourceURL, AutoApply: ws.AutoApply, Global: ws.GlobalRemoteState, Tags: ws.TagNames, Patterns: ws.TriggerPatterns}
	if ws.AgentPool != nil {
		pool, err := c.AgentPools.Read(ctx, ws.AgentPool.ID)
		must(err)
		s.Pool = pool.Name
	}
	if r := ws.VCSRepo; r != nil {
		s.Identifier, s.Branch, s.OAuthToken, s.App = r.Identifier, r.Branch, r.OAuthTokenID, r.GHAInstallationID
	}
	bindings, err := c.Workspaces.ListTagBindings(ctx, ws.ID)
	must(err)
	for _, b := range bindings {
		s.Bindings = append(s.Bindings, b.Key+"="+b.Value)
	}
	consumers, err := c.Workspaces.ListRemoteStateConsumers(ctx, ws.ID, nil)
	must(err)
	for _, w := range consumers.Items {
		s.Consumers = append(s.Consumers, w.Name)
	}
	variables, err := c.Variables.List(ctx, ws.ID, nil)
	must(err)
	for _, v := range variables.Items {
		s.Variables = append(s.Variables, fmt.Sprintf("%s %s hcl=%v sensitive=%v %q %s", v.Key, v.Category, v.HCL, v.Sensitive, v.Value, v.Description))
	}
	for _, list := range [][]string{s.Tags, s.Bindings, s.Consumers, s.Variables} {
		slices.Sort(list)
	}
	return s
}

// needs creates a project and an agent pool in an organization.
func (h *host) needs(t *testing.T, c *gotfe.Client, organization string) {
	t.Helper()
	if _, err := c.Projects.Create(t.Context(), organization, gotfe.ProjectCreateOptions{Name: "platform"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AgentPools.Create(t.Context(), organization, gotfe.AgentPoolCreateOptions{Name: gotfe.String("on-premises")}); err != nil {
		t.Fatal(err)
	}
}

// Values that must appear nowhere but at the server.
const (
	secretOfEnv  = "planted-secret-of-the-environment"
	secretOfFile = "planted-secret-of-the-file"
)

const fullDefaults = `defaults {
  create            = true
  project           = "platform"
  tags              = ["core", "env=prod"]
  terraform_version = "~> 1.11"
  auto_apply        = true
  source_name       = "importer"
  source_url        = "https://example.com/import/1"

  vcs_repository {
    oauth_token_id = "ot-abc"
    branch         = "main"
  }

  variable "region" {
    value = "eu"
  }
  variable "token" {
    sensitive  = true
    value_from = "env:PLANTED"
  }
  variable "KEY" {
    sensitive  = true
    category   = "env"
    value_from = "file:%s"
  }
}

match "ws-0*" {
  execution_mode = "agent"
  agent_pool     = "on-premises"
  description    = "an early one"
}

match "ws-1*" {
  execution_mode = "remote"
}
`

// fullManifest writes states and a manifest of workspaces ws-00, ws-01, … with all settings. Each
// may be read by the next one. It returns the manifest, and what the workspaces must have.
func fullManifest(t *testing.T, h *host, n int) (dir, manifest string, want map[string]setup) {
	t.Helper()
	dir = tree(t, many(n))
	secret := write(t, "secret", []byte(secretOfFile+"\n"))
	plan := filepath.Join(t.TempDir(), "haul.hcl")
	if r := h.tfhaul(t, "plan", dir, "--target", org, "--create", "--out", plan); r.code != 0 {
		t.Fatalf("plan: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "move ")[1:]
	names := make([]string, len(blocks))
	for i := range blocks {
		names[i] = fmt.Sprintf("ws-%02d", i)
	}
	want = map[string]setup{}
	var b strings.Builder
	fmt.Fprintf(&b, "target {\n  hostname = %q\n  organization = %q\n}\n\n"+fullDefaults, h.running.Host(), org, filepath.ToSlash(secret))
	for i, block := range blocks {
		source, _, _ := strings.Cut(block, " {")
		next := names[(i+1)%len(names)]
		fmt.Fprintf(&b, "\nmove %s {\n  workspace = %q\n  working_directory = \"live/%s\"\n  remote_state_consumers = [%q]\n\n"+
			"  vcs_repository {\n    identifier = \"acme/%s\"\n    trigger_patterns = [\"live/%s/**\"]\n  }\n"+
			"  variable \"sizes\" {\n    value = \"[1, 2]\"\n    hcl = true\n    description = \"of disks\"\n  }\n}\n", source, names[i], names[i], next, names[i], names[i])
		s := setup{Project: "platform", Terraform: "~> 1.11", Mode: "remote", Directory: "live/" + names[i], SourceName: "importer", SourceURL: "https://example.com/import/1",
			AutoApply: true, Tags: []string{"core"}, Bindings: []string{"env=prod"}, Patterns: []string{"live/" + names[i] + "/**"}, Consumers: []string{next},
			Identifier: "acme/" + names[i], Branch: "main", OAuthToken: "ot-abc", Variables: []string{
				`KEY env hcl=false sensitive=true "" `, `region terraform hcl=false sensitive=false "eu" `,
				`sizes terraform hcl=true sensitive=false "[1, 2]" of disks`, `token terraform hcl=false sensitive=true "" `}}
		if i < 10 {
			s.Mode, s.Pool, s.Description = "agent", "on-premises", "an early one"
		}
		want[names[i]] = s
	}
	manifest = filepath.Join(t.TempDir(), "full.hcl")
	if err := os.WriteFile(manifest, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, manifest, want
}

// watchRuns reports a failure if a workspace could run Terraform before it holds its state.
func (h *host) watchRuns(t *testing.T, organization string) {
	t.Helper()
	var reported sync.Once
	h.OnRequest(func(q tfesim.Request) {
		for _, name := range h.Workspaces(organization) {
			if raw, _, _ := h.Current(organization, name); raw == nil && h.RunsTerraform(organization, name) {
				reported.Do(func() { t.Errorf("before %s, workspace %s can start runs and has no state", q.Endpoint, name) })
			}
		}
	})
}

// A manifest makes 30 workspaces with all settings. go-tfe reads them as they were asked for.
// Nothing that could start a run is set before the state was read back and the workspace was
// unlocked. Secret values are only at the server.
func TestManifestSetsUpWholeWorkspaces(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	c := h.client(t)
	h.needs(t, c, org)
	_, manifest, want := fullManifest(t, h, 30)
	environ := h.with("PLANTED=" + secretOfEnv)
	plan := h.tfhaulIn(t, t.Context(), environ, nil, "migrate", manifest, "--dry-run", "--all")
	if plan.code != 0 || !strings.Contains(plan.stdout, "vcs_repository = acme/ws-00, branch main") || !strings.Contains(plan.stdout, "variable token (terraform)") {
		t.Errorf("the plan does not show the settings: %d\n%s%s", plan.code, plan.stdout, plan.stderr)
	}
	h.watchRuns(t, org)
	h.ResetRequests()
	journal := journalIn(t)
	r := h.tfhaulIn(t, t.Context(), environ, nil, "migrate", manifest, "--yes", "--json", "--journal", journal)
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	for name, wanted := range want {
		if d := cmp.Diff(wanted, setupOf(t, c, org, name)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	requests := h.Requests()
	for name := range want {
		ws, err := c.Workspaces.Read(t.Context(), org, name)
		if err != nil {
			t.Fatal(err)
		}
		at := func(method, suffix string, last bool) int {
			found := -1
			for i, q := range requests {
				if q.Method == method && q.Path == "/api/v2/workspaces/"+ws.ID+suffix && (last || found < 0) {
					found = i
				}
			}
			return found
		}
		changed, read, unlocked := at("PATCH", "", false), at("GET", "/current-state-version", true), at("POST", "/actions/unlock", true)
		if changed < 0 || read < 0 || changed < read || changed < unlocked {
			t.Errorf("%s: its settings were changed by request %d, its state was read back by %d, and it was unlocked by %d", name, changed, read, unlocked)
		}
	}
	recorded, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{secretOfEnv, secretOfFile} {
		if strings.Contains(r.stdout+r.stderr+plan.stdout+plan.stderr+string(recorded), secret) {
			t.Error("a secret value is in the output or the journal")
		}
	}
	again := h.tfhaulIn(t, t.Context(), environ, nil, "migrate", manifest, "--yes", "--journal", journal)
	if again.code != 0 {
		t.Errorf("the same command again: %d\n%s%s", again.code, again.stdout, again.stderr)
	}
	for _, q := range h.Requests()[len(requests)+len(want):] {
		if q.Method != http.MethodGet && !strings.Contains(q.Path, "lock") && q.Time.After(requests[len(requests)-1].Time) {
			t.Errorf("the same command again sends %s %s", q.Method, q.Path)
		}
	}
}

// From TFE to TFE, a new workspace has the settings of the source, apart from the values of
// sensitive variables, which are listed.
func TestSettingsAreTakenAlong(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	c := h.client(t)
	h.needs(t, c, org)
	h.needs(t, c, "other")
	_, manifest, want := fullManifest(t, h, 12)
	environ := h.with("PLANTED=" + secretOfEnv)
	if r := h.tfhaulIn(t, t.Context(), environ, nil, "migrate", manifest, "--yes", "--journal", journalIn(t)); r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	h.watchRuns(t, "other")
	source := "tfe://" + h.running.Host() + "/" + org
	plan := filepath.Join(t.TempDir(), "over.hcl")
	if r := h.tfhaul(t, "plan", source, "--target", "other", "--create", "--out", plan); r.code != 0 || !strings.Contains(r.stdout, "token (terraform)") {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	r := h.tfhaul(t, "migrate", plan, "--yes", "--journal", journalIn(t))
	if r.code != 4 || !strings.Contains(r.stderr, "oauth_token_id") {
		t.Fatalf("without a connection: exit code %d\n%s", r.code, r.stderr)
	}
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	connected := strings.Replace(string(text), "defaults {", "defaults {\n  vcs_repository {\n    oauth_token_id = \"ot-other\"\n  }\n", 1)
	if err := os.WriteFile(plan, []byte(connected), 0o600); err != nil {
		t.Fatal(err)
	}
	if r = h.tfhaul(t, "migrate", plan, "--yes", "--journal", journalIn(t)); r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	for name, wanted := range want {
		wanted.OAuthToken = "ot-other"
		wanted.Variables = slices.DeleteFunc(slices.Clone(wanted.Variables), func(v string) bool { return strings.Contains(v, "sensitive=true") })
		if d := cmp.Diff(wanted, setupOf(t, c, "other", name)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// Without a manifest, the settings are taken along, too, except for the connection of the
// repository.
func TestAMoveTakesSettingsAlong(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	c := h.client(t)
	if _, err := h.Seed(org, "net", state(3, 2)); err != nil {
		t.Fatal(err)
	}
	if err := h.SetVCSRepository(org, "net", "acme/net"); err != nil {
		t.Fatal(err)
	}
	if err := h.SetVariable(org, "net", "env", "REGION", "eu"); err != nil {
		t.Fatal(err)
	}
	if err := h.SetAutoApply(org, "net", true); err != nil {
		t.Fatal(err)
	}
	h.watchRuns(t, "other")
	r := h.tfhaul(t, "move", "tfe://"+h.running.Host()+"/"+org+"/net", "other/net", "--create", "--json")
	if r.code != 0 || !strings.Contains(r.stdout, "was not connected") {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	got := setupOf(t, c, "other", "net")
	if got.Identifier != "" || !got.AutoApply || got.Mode != "remote" || len(got.Variables) != 1 {
		t.Errorf("the workspace has %+v", got)
	}
}

// A workspace that exists keeps its settings, and the plan shows the difference, unless the user
// allows changes. Those come after the state.
func TestUpdateSettings(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	c := h.client(t)
	path := write(t, "net.tfstate", state(3, 2))
	if _, err := h.AddWorkspace(org, "net"); err != nil {
		t.Fatal(err)
	}
	manifest := func(more string) string {
		return write(t, "net.hcl", []byte(fmt.Sprintf("target {\n  hostname = %q\n  organization = %q\n}\nmove %q {\n  workspace = \"net\"\n  auto_apply = true\n  description = \"new\"\n  %s\n}\n",
			h.running.Host(), org, path, more)))
	}
	keeps, changes := manifest("create = true"), manifest("update_settings = true")
	r := h.tfhaul(t, "migrate", keeps, "--yes", "--journal", journalIn(t))
	if got := setupOf(t, c, org, "net"); r.code != 0 || got.AutoApply || got.Description != "" || !strings.Contains(r.stdout, "auto_apply = true (now false)") {
		t.Errorf("without update_settings: %d, %+v\n%s", r.code, got, r.stdout)
	}
	r = h.tfhaul(t, "migrate", changes, "--dry-run", "--json")
	var document struct {
		Moves []struct {
			Outcome  string
			Settings struct{ Changes []struct{ Name string } }
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil || document.Moves[0].Outcome != "planned" || len(document.Moves[0].Settings.Changes) != 2 {
		t.Errorf("the plan: %v\n%s", err, r.stdout)
	}
	r = h.tfhaul(t, "migrate", changes, "--yes", "--journal", journalIn(t))
	if got := setupOf(t, c, org, "net"); r.code != 0 || !got.AutoApply || got.Description != "new" {
		t.Errorf("with update_settings: %d, %+v\n%s%s", r.code, got, r.stdout, r.stderr)
	}
	if r = h.tfhaul(t, "migrate", changes, "--dry-run", "--detailed-exitcode"); r.code != 0 {
		t.Errorf("afterwards, there is work to do: %d\n%s", r.code, r.stdout)
	}
}

// A value that cannot be read is named, and nothing is made. A plan does not need it.
func TestMissingValueOfAVariable(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.needs(t, h.client(t), org)
	_, manifest, _ := fullManifest(t, h, 12)
	if r := h.tfhaul(t, "migrate", manifest, "--dry-run"); r.code != 0 || !strings.Contains(r.stdout, "PLANTED is not set") {
		t.Errorf("the plan: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	r := h.tfhaul(t, "migrate", manifest, "--yes", "--journal", journalIn(t))
	if r.code != 4 || !strings.Contains(r.stderr, "PLANTED is not set") || len(h.Workspaces(org)) > 0 {
		t.Errorf("exit code %d, workspaces %q\n%s", r.code, h.Workspaces(org), r.stderr)
	}
}

// The columns of a map set up workspaces.
func TestMapSetsUpWorkspaces(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, many(2))
	csv := write(t, "names.csv", fmt.Appendf(nil, "source,workspace,tags,description,auto_apply,vcs_repository,vcs_branch,oauth_token_id,remote_state_consumers,working_directory\n"+
		"%s,net,a;b=c,the net,true,acme/net,main,ot-1,app,live/net\n%s,app,,,,,,,,\n",
		filepath.Join(dir, "a-00", "terraform.tfstate"), filepath.Join(dir, "a-01", "terraform.tfstate")))
	args := []string{"migrate", dir, "--target", org, "--map", csv, "--yes", "--journal", journalIn(t)}
	if r := h.tfhaul(t, args...); r.code != 4 || !strings.Contains(r.stderr, "requires --create") {
		t.Errorf("without --create: exit code %d\n%s", r.code, r.stderr)
	}
	if r := h.tfhaul(t, append(args, "--create")...); r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	c := h.client(t)
	want := setup{Project: "Default Project", Description: "the net", Mode: "remote", Directory: "live/net", AutoApply: true, Tags: []string{"a"}, Bindings: []string{"b=c"},
		Consumers: []string{"app"}, Identifier: "acme/net", Branch: "main", OAuthToken: "ot-1"}
	got := setupOf(t, c, org, "net")
	want.Terraform, want.Patterns = got.Terraform, got.Patterns
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("net (-want +got):\n%s", d)
	}
	if got := setupOf(t, c, org, "app"); got.Mode != "remote" || got.AutoApply || got.Identifier != "" {
		t.Errorf("app: %+v", got)
	}
}

// What the server refuses after the state arrived is reported, and the same journal finishes it.
func TestSettingsThatTheServerRefuses(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	path := write(t, "net.tfstate", state(3, 2))
	manifest := func(token string) string {
		return write(t, "net.hcl", fmt.Appendf(nil, "target {\n  hostname = %q\n  organization = %q\n}\nmove %q {\n  workspace = \"net\"\n  create = true\n  vcs_repository {\n    identifier = \"acme/net\"\n    oauth_token_id = %q\n  }\n}\n",
			h.running.Host(), org, path, token))
	}
	journal := journalIn(t)
	r := h.tfhaul(t, "migrate", manifest("unknown"), "--yes", "--json", "--journal", journal)
	if r.code != 1 || !strings.Contains(r.stdout, `"code": "settings"`) || !strings.Contains(r.stdout, "The workspace holds the state") || h.RunsTerraform(org, "net") {
		t.Errorf("exit code %d\n%s", r.code, r.stdout)
	}
	if r = h.tfhaul(t, "migrate", manifest("ot-1"), "--yes", "--json", "--journal", journal); r.code != 0 {
		t.Errorf("with another token: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if got := setupOf(t, h.client(t), org, "net"); got.Identifier != "acme/net" || got.Mode != "remote" {
		t.Errorf("the workspace has %+v", got)
	}
}

// Settings of workspaces are refused for targets that are not workspaces.
func TestBucketsHaveNoWorkspaceSettings(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	path := write(t, "net.tfstate", state(3, 2))
	for _, blocks := range []string{"defaults {\n  create = true\n  auto_apply = true\n}\n%s", "match \"*\" {\n  update_settings = true\n  description = \"d\"\n}\n%s"} {
		target := t.TempDir()
		move := fmt.Sprintf("target {\n  address = %q\n}\nmove %q {\n  key = \"net.tfstate\"\n}\n", target+"/", path)
		manifest := write(t, "net.hcl", fmt.Appendf(nil, blocks, move))
		r := h.tfhaul(t, "migrate", manifest, "--yes", "--journal", journalIn(t))
		if files, _ := os.ReadDir(target); r.code != 4 || !strings.Contains(r.stderr, "is a setting of a workspace") || len(files) > 0 {
			t.Errorf("exit code %d, %d files\n%s", r.code, len(files), r.stderr)
		}
	}
}
