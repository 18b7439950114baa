package command_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/tfesim"
)

// found are states with what only an audit sees: a newer backup, an apply that was not
// stored, two versions of one state, and a resource in two states.
func found() map[string][]byte {
	const shared = `{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"LINEAGE","outputs":{},"resources":[{"mode":"managed","type":"aws_vpc","name":"a","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[{"schema_version":0,"attributes":{"id":"vpc-0a1b2c3d4e5f60718"}}]}],"check_results":null}`
	return map[string][]byte{
		"replaced/terraform.tfstate":        state(1, 5),
		"replaced/terraform.tfstate.backup": state(1, 6),
		"unsaved/terraform.tfstate":         state(2, 5),
		"unsaved/errored.tfstate":           state(2, 6),
		"left/terraform.tfstate":            state(3, 7),
		"right/terraform.tfstate":           fixtures.Spec{Seed: 3, Serial: 7, Resources: 2, Outputs: 3}.Bytes(),
		"shared-a/terraform.tfstate":        []byte(strings.Replace(shared, "LINEAGE", "00000000-0000-4000-8000-000000000001", 1)),
		"shared-b/terraform.tfstate":        []byte(strings.Replace(shared, "LINEAGE", "00000000-0000-4000-8000-000000000002", 1)),
		"plain/terraform.tfstate":           state(4, 1),
	}
}

// A plan and a haul refuse what an audit objects to, unless it is allowed, and show its other
// errors.
func TestHaulsHeedTheAudit(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	states := found()
	dir := tree(t, states)
	codes := map[string]string{"replaced": "backup-newer", "unsaved": "errored", "left": "diverged", "right": "diverged"}
	check := func(r run, allowed ...string) {
		t.Helper()
		for workspace, code := range codes {
			m := moveOf(t, r, workspace)
			if refused := m["outcome"] == "refused" && m["code"] == code; refused == slices.Contains(allowed, workspace) {
				t.Errorf("%s, allowed %v: %v", workspace, slices.Contains(allowed, workspace), m)
			}
		}
		findings, _ := r.document(t)["findings"].([]any)
		if !slices.ContainsFunc(findings, func(f any) bool { return f.(map[string]any)["code"] == "shared-resource" }) {
			t.Errorf("the shared resource is not shown: %v", findings)
		}
	}
	plan := h.tfhaul(t, "plan", dir, "--target", org, "--create", "--json")
	plan.want(t, 3, "3 planned, 4 refused")
	check(plan)
	rehearsed := h.tfhaul(t, append([]string{"rehearse", dir, "--json"}, quick...)...)
	rehearsed.want(t, 3, "3 planned, 4 refused")
	// What is refused creates no workspace.
	migrated := h.tfhaul(t, "migrate", dir, "--target", org, "--create", "--yes", "--json", "--journal", journalIn(t), "--allow", "replaced=backup-newer", "--allow", "left=diverged")
	migrated.want(t, 3, "5 moved, 2 refused")
	check(migrated, "replaced", "left")
	if got := h.Workspaces(org); !slices.Equal(got, []string{"left", "plain", "replaced", "shared-a", "shared-b"}) {
		t.Errorf("the server has the workspaces %q", got)
	}
	h.mustHold(t, "left", states["left/terraform.tfstate"])
	notes, _ := moveOf(t, migrated, "left")["notes"].([]any)
	if len(notes) == 0 || !strings.Contains(notes[0].(string), "allowed by --allow left=diverged") {
		t.Errorf("the move does not say that it was allowed: %v", notes)
	}
}

// The manifest records the verdict: a refused move is a comment, and is refused also when the
// comment is removed, until the manifest allows it. migrate does not judge again.
func TestManifestsRecordTheAudit(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	states := found()
	delete(states, "right/terraform.tfstate")
	dir := tree(t, states)
	manifest := filepath.Join(t.TempDir(), "haul.hcl")
	h.tfhaul(t, "plan", dir, "--target", org, "--create", "--json", "--out", manifest).want(t, 3, "4 planned, 2 refused")
	raw, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(raw), "# Not moved: The backup has serial 6") != 1 || strings.Count(string(raw), "# Not moved: Terraform wrote this file") != 1 {
		t.Fatalf("the reasons are missing:\n%s", raw)
	}
	lines := strings.Split(string(raw), "\n")
	for i, line := range lines {
		if text, ok := strings.CutPrefix(line, "# "); ok && !strings.HasPrefix(text, "Not moved") && !strings.HasPrefix(text, "Relative") {
			lines[i] = text
		}
	}
	live := strings.Join(lines, "\n")
	rewrite(t, manifest, live)
	args := []string{"migrate", manifest, "--yes", "--json", "--journal", journalIn(t)}
	refused := h.tfhaul(t, args...)
	refused.want(t, 3, "4 moved, 2 refused")
	if m := moveOf(t, refused, "unsaved"); m["code"] != "errored" || !strings.Contains(m["message"].(string), `allow = ["errored"] in the manifest's move block`) {
		t.Errorf("%v", m)
	}
	rewrite(t, manifest, strings.Replace(live, `["errored"]`, "[\"errored\"]\n  allow = [\"errored\"]", 1))
	h.tfhaul(t, args...).want(t, 3, "5 moved, 1 refused")
	h.mustHold(t, "unsaved", states["unsaved/terraform.tfstate"])
}

// A state that is there already is not refused: nothing would be written.
func TestAuditDoesNotStopWhatIsThere(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	states := found()
	h.seed(t, "replaced", states["replaced/terraform.tfstate"])
	dir := tree(t, map[string][]byte{"replaced/terraform.tfstate": states["replaced/terraform.tfstate"], "replaced/terraform.tfstate.backup": states["replaced/terraform.tfstate.backup"]})
	h.tfhaul(t, "plan", dir, "--target", org, "--json").want(t, 0, "1 already-there")
}

// errored.tfstate can be moved if it is allowed.
func TestErroredStateIsAllowed(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "errored.tfstate", state(1, 10))
	if r := h.tfhaul(t, "move", path, org+"/net"); r.code != 3 || !strings.Contains(r.stdout, "--allow net=errored") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := h.tfhaul(t, "move", path, org+"/net", "--allow", "net=errored"); r.code != 0 {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustHold(t, "net", state(1, 10))
}
