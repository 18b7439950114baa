package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// The manifest contains everything that plan's flags decide, and the command that plan
// prints needs no further flags.
func TestManifestIsTheWholeCommand(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.ask(t, "POST", "organizations/"+org+"/projects", `{"data":{"type":"projects","attributes":{"name":"network"}}}`)
	h.ask(t, "POST", "organizations/"+org+"/agent-pools", `{"data":{"type":"agent-pools","attributes":{"name":"on-premises"}}}`)
	states := many(3)
	dir := tree(t, states)
	manifest := filepath.Join(t.TempDir(), "haul.hcl")
	planned := h.tfhaul(t, "plan", dir, "--target", org, "--create", "--project", "network", "--execution-mode", "agent", "--agent-pool", "on-premises",
		"--terraform-version", "~> 1.11", "--tag", "core", "--tag", "env=prod", "--lock-timeout", "1s", "--out", manifest)
	if planned.code != 0 {
		t.Fatalf("exit code %d: %s%s", planned.code, planned.stdout, planned.stderr)
	}
	_, command, ok := strings.Cut(planned.stderr, "Review it, then run: tfhaul ")
	if !ok {
		t.Fatalf("plan does not say how to continue: %s", planned.stderr)
	}
	// A reviewer makes one of them a local workspace with its own version.
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(text, []byte("workspace = \"a-02\"\n"),
		[]byte("workspace = \"a-02\"\n  execution_mode = \"local\"\n  terraform_version = \"1.9.8\"\n  tags = []\n"), 1)
	if err := os.WriteFile(manifest, edited, 0o600); err != nil {
		t.Fatal(err)
	}
	h.tfhaul(t, append(strings.Fields(command), "--yes", "--json", "--journal", journalIn(t))...).want(t, 0, "3 moved")
	for workspace, c := range map[string]struct{ has, lacks []string }{
		"a-00": {[]string{`"execution-mode":"agent"`, `"terraform-version":"~\u003e 1.11"`, `"core"`, `"key":"env"`}, nil},
		"a-02": {[]string{`"execution-mode":"local"`, `"terraform-version":"1.9.8"`}, []string{`"core"`, `"key":"env"`}},
	} {
		h.mustHold(t, workspace, states[workspace+"/terraform.tfstate"])
		got := h.ask(t, "GET", "organizations/"+org+"/workspaces/"+workspace+"?include=effective_tag_bindings,project", "")
		for _, part := range append(c.has, `"name":"network"`) {
			if !strings.Contains(got, part) {
				t.Errorf("%s lacks %s: %s", workspace, part, got)
			}
		}
		for _, part := range c.lacks {
			if strings.Contains(got, part) {
				t.Errorf("%s has %s", workspace, part)
			}
		}
	}
}

// A version that the server does not offer is refused with the attribute to write, and
// the move goes on once it is written.
func TestManifestTakesAnotherTerraformVersion(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{OfferedTerraform: []string{"1.9.8"}})
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": state(1, 10)})
	head := "target {\n  hostname = \"" + h.running.Host() + "\"\n  organization = \"" + org + "\"\n}\ndefaults {\n  create = true\n%}\n"
	manifest := func(version string) string {
		return write(t, "haul.hcl", []byte(strings.Replace(head, "%", version, 1)+
			"move \""+filepath.ToSlash(filepath.Join(dir, "net", "terraform.tfstate"))+"\" {\n  workspace = \"net\"\n}\n"))
	}
	refused := h.tfhaul(t, "migrate", manifest(""), "--yes", "--json", "--journal", journalIn(t))
	refused.want(t, 3, "1 refused")
	if !strings.Contains(refused.stdout, `terraform_version = \"latest\" in the manifest's defaults or move block`) || strings.Contains(refused.stdout, "--terraform-version") {
		t.Errorf("the refusal does not name the attribute: %s", refused.stdout)
	}
	h.mustHold(t, "net", nil)
	h.tfhaul(t, "migrate", manifest("  terraform_version = \"latest\"\n"), "--yes", "--json", "--journal", journalIn(t)).want(t, 0, "1 moved")
	h.mustHold(t, "net", state(1, 10))
}

// acceptsInManifest fails the test unless the manifest can be read with a setting where the
// advice says.
func (h *host) acceptsInManifest(t *testing.T, manifest, setting, block string) {
	t.Helper()
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(setting, "create ") {
		setting += "\n  create = true"
	}
	if strings.HasPrefix(setting, "agent_pool ") {
		setting += "\n  execution_mode = \"agent\""
	}
	edited := strings.Replace(string(text), "workspace =", setting+"\n  workspace =", 1)
	if block == "defaults" {
		edited = string(text) + "defaults {\n  " + setting + "\n}\n"
	}
	if r := h.tfhaul(t, "migrate", write(t, "haul.hcl", []byte(edited)), "--dry-run"); r.code == 4 {
		t.Errorf("%s in the %s block: %s", setting, block, r.stderr)
	}
}

// Flags that decide a move are a mistake beside a manifest. Those that say how to connect
// and what to print are not, and variables do not decide either.
func TestFlagsBesideAManifest(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": state(1, 10)})
	manifest := write(t, "haul.hcl", []byte("target {\n  hostname = \""+h.running.Host()+"\"\n  organization = \""+org+"\"\n}\nmove \""+
		filepath.ToSlash(filepath.Join(dir, "net", "terraform.tfstate"))+"\" {\n  workspace = \"net\"\n}\n"))
	for _, flag := range []string{"--create", "--project=p", "--terraform-version=latest", "--execution-mode=local", "--agent-pool=p", "--tag=t",
		"--include-empty", "--lock-timeout=1s", "--lock-source", "--freeze-source", "--replace=net", "--bump-serial=net", "--allow=net=unusable"} {
		flags := []string{flag}
		if flag == "--project=p" || flag == "--terraform-version=latest" || flag == "--tag=t" || flag == "--execution-mode=local" {
			flags = append(flags, "--create")
		}
		if flag == "--agent-pool=p" {
			flags = append(flags, "--create", "--execution-mode=agent")
		}
		for _, command := range []string{"migrate", "rehearse"} {
			args := append([]string{command, manifest}, flags...)
			if command == "migrate" {
				args = append(args, "--yes", "--journal", journalIn(t))
			}
			r := h.tfhaul(t, args...)
			advice := regexp.MustCompile(`cannot be combined with a manifest.*\. Write (\w+ = .+) into the (move|defaults) block`).FindStringSubmatch(r.stderr)
			if r.code != 4 || advice == nil {
				t.Fatalf("%s %v: exit code %d: %s", command, flags, r.code, r.stderr)
			}
			h.acceptsInManifest(t, manifest, advice[1], advice[2])
		}
	}
	created := h.tfhaulIn(t, t.Context(), h.with("TFHAUL_CREATE=true"), nil, "migrate", manifest, "--yes", "--json", "--journal", journalIn(t))
	created.want(t, 3, "1 refused")
	if !strings.Contains(created.stdout, "create = true in the manifest's defaults or move block") {
		t.Errorf("the refusal does not name the attribute: %s", created.stdout)
	}
	h.addWorkspace(t, "net")
	h.tfhaul(t, "migrate", manifest, "--yes", "--json", "--journal", journalIn(t), "--parallelism", "2", "--timeout", "30s", "--upload", "signed").want(t, 0, "1 moved")
	h.mustHold(t, "net", state(1, 10))
}

// A haul that is continued does not say of the workspaces that it created itself that
// their settings were not applied.
func TestContinuedHaulKnowsTheWorkspacesThatItCreated(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": state(1, 10)})
	journal := journalIn(t)
	args := []string{"migrate", dir, "--target", org, "--create", "--tag", "core", "--yes", "--json", "--journal", journal}
	fault := tfesim.AnswerError(422, "unprocessable entity", "Serial is not a number")
	fault.Endpoint = endpointOf(createVersion)
	h.Inject(fault)
	h.tfhaul(t, args...).want(t, 1, "1 failed")
	again := h.tfhaul(t, args...)
	again.want(t, 0, "1 moved")
	if strings.Contains(again.stdout, "not applied") {
		t.Errorf("the haul disowns the workspace that it created: %s", again.stdout)
	}
}

// The advice for a lock that a run holds is to confirm or discard the run, not only to wait.
func TestARunThatHoldsTheLockIsConfirmedOrDiscarded(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	if _, err := h.LockByRun(org, "net"); err != nil {
		t.Fatal(err)
	}
	path := write(t, "terraform.tfstate", state(1, 10))
	for _, flags := range [][]string{{"--dry-run"}, nil} {
		r := h.tfhaul(t, append([]string{"move", path, org + "/net"}, flags...)...)
		if r.code != 3 || !strings.Contains(strings.Join(strings.Fields(r.stdout), " "), "confirm or discard it") {
			t.Errorf("%v: exit code %d: %s", flags, r.code, r.stdout)
		}
	}
}

// A map without end is refused before it fills the memory.
func TestMapsAreBounded(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	path := filepath.Join(t.TempDir(), "names.csv")
	if err := os.WriteFile(path, []byte("source,workspace\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 10<<30); err != nil {
		t.Fatal(err)
	}
	r := h.tfhaul(t, "plan", "--target", org, "--map", path)
	if r.code != 4 || !strings.Contains(r.stderr, "a line is longer than 2 MB") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

// TestManifestOfCopies moves the newest copy of a state alone, and counts what it moves.
func TestManifestOfCopies(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"live/terraform.tfstate": state(7, 12), "same/terraform.tfstate": state(7, 12)})
	out := filepath.Join(t.TempDir(), "haul.hcl")
	r := h.tfhaul(t, "plan", dir, "--target", org, "--create", "--out", out)
	if r.code != 0 || !strings.Contains(r.stderr, "what would be moved (1)") || !strings.Contains(r.stderr, "1 move as comments") {
		t.Errorf("plan: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := h.tfhaul(t, "migrate", out, "--yes", "--journal", journalIn(t)); r.code != 0 {
		t.Errorf("migrate: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustHold(t, "live", state(7, 12))
	if exists := strings.Contains(h.ask(t, "GET", "organizations/"+org+"/workspaces", ""), `"same"`); exists {
		t.Error("the copy was moved, too")
	}
	r = h.tfhaul(t, "plan", dir, "--target", org, "--create", "--out", out, "--force")
	if r.code != 0 || !strings.Contains(r.stderr, "nothing to move but copies") {
		t.Errorf("plan of what is there: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
