package command_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/tfesim"
)

// A workspace whose name differs only in case is the one that the state goes into, under the
// server's name.
func TestExistingWorkspaceInOtherCase(t *testing.T) {
	t.Parallel()
	for _, existing := range []string{"empty", "older"} {
		t.Run(existing, func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			h.addWorkspace(t, "app")
			if existing == "older" {
				h.seed(t, "app", state(1, 3))
			}
			dir := tree(t, map[string][]byte{"App/terraform.tfstate": state(1, 4)})
			manifest := filepath.Join(t.TempDir(), "haul.hcl")
			h.tfhaul(t, "plan", dir, "--target", org, "--json", "--out", manifest).want(t, 0, "1 planned")
			if text, err := os.ReadFile(manifest); err != nil || !strings.Contains(string(text), `workspace = "app"`) {
				t.Errorf("the manifest does not have the server's name: %s (%v)", text, err)
			}
			h.ResetRequests()
			r := h.tfhaul(t, "migrate", dir, "--target", org, "--create", "--yes", "--json", "--journal", journalIn(t))
			r.want(t, 0, "1 moved")
			m := moveOf(t, r, "app")
			if m["created"] != nil || !strings.Contains(notesOf(m), "The workspace is called app on the server, not App.") {
				t.Errorf("%v", m)
			}
			h.mustHold(t, "app", state(1, 4))
			h.mustBeFree(t, "app")
			if got := h.Workspaces(org); !slices.Equal(got, []string{"app"}) {
				t.Errorf("the workspaces are %q", got)
			}
			if n := h.Count("POST /organizations/:organization/workspaces") + h.Count("GET /organizations/:organization/workspaces/:workspace"); n != 0 {
				t.Errorf("%d requests to create or find a workspace that was listed", n)
			}
			// One move, the same.
			file := filepath.Join(t.TempDir(), "next.tfstate")
			writeFile(t, file, state(1, 5))
			if r := h.tfhaul(t, "move", file, org+"/APP", "--create"); r.code != 0 || !strings.Contains(r.stdout, "The workspace is called app on the server, not APP.") {
				t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
			}
			h.mustHold(t, "app", state(1, 5))
		})
	}
}

// A permission holds for the workspace's name as the server has it, and for no other spelling.
func TestPermissionsHoldForTheServersName(t *testing.T) {
	t.Parallel()
	other, unusable := state(9, 1), []byte(craftedState("providers on the instances"))
	for _, c := range []struct {
		name, code, flag, wrong, right, manifest string
		held, sent                               []byte
	}{
		{"replace", "unrelated", "--replace", "app", "App", "replace = true", other, state(1, 4)},
		{"bump", "stale", "--bump-serial", "app", "App", "bump_serial = true", state(1, 8), state(1, 4)},
		{"allow", "unusable", "--allow", "app=unusable", "App=unusable", `allow = ["unusable"]`, nil, unusable},
	} {
		for _, way := range []string{"migrate", "move", "manifest", "template"} {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				h := start(t, tfesim.Options{})
				h.addWorkspace(t, "App")
				if c.held != nil {
					h.seed(t, "App", c.held)
				}
				name := "app"
				if way == "template" { // the move has the server's name, and the flag has not
					name = "App"
				}
				dir := tree(t, map[string][]byte{name + "/terraform.tfstate": c.sent})
				file := filepath.Join(dir, name, "terraform.tfstate")
				try := func(permitted string) run {
					backups := filepath.Join(t.TempDir(), "backups")
					switch way {
					case "move":
						return h.tfhaul(t, "move", file, org+"/app", "--json", c.flag, permitted, "--backup-dir", backups)
					case "manifest":
						workspace, _, _ := strings.Cut(permitted, "=")
						manifest := filepath.Join(t.TempDir(), "haul.hcl")
						writeFile(t, manifest, fmt.Appendf(nil, "target {\n  hostname = %q\n  organization = %q\n}\nmove %q {\n  workspace = %q\n  %s\n}\n",
							h.running.Host(), org, file, workspace, c.manifest))
						return h.tfhaul(t, "migrate", manifest, "--yes", "--json", "--journal", journalIn(t), "--backup-dir", backups)
					}
					return h.tfhaul(t, "migrate", dir, "--target", org, "--yes", "--json", "--journal", journalIn(t), c.flag, permitted, "--backup-dir", backups)
				}
				of := func(r run) map[string]any {
					if way == "move" {
						return r.document(t)
					}
					return moveOf(t, r, "App")
				}
				r := try(c.wrong)
				exact := c.flag + " " + c.right
				if way == "manifest" {
					exact = `workspace = "App" in the manifest`
				}
				if m := of(r); r.code != 3 || m["code"] != c.code || !strings.Contains(notesOf(m), exact) {
					t.Errorf("permitted for another spelling: exit code %d: %v", r.code, m)
				}
				h.mustHold(t, "App", c.held)
				if r := try(c.right); r.code != 0 {
					t.Errorf("permitted: exit code %d: %s%s", r.code, r.stdout, r.stderr)
				}
				if got, _, _ := h.Current(org, "App"); c.name != "bump" && string(got) != string(c.sent) || len(h.Versions(org, "App")) == 0 {
					t.Error("the state did not arrive")
				}
				h.mustBeFree(t, "App")
			})
		}
	}
}

// A permission in two spellings is a mistake: at most one of them is the workspace's name.
func TestPermissionsInTwoSpellings(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"app/terraform.tfstate": state(1, 1)})
	for _, args := range [][]string{
		{"move", filepath.Join(dir, "app", "terraform.tfstate"), org + "/app"},
		{"plan", dir, "--target", org},
	} {
		r := h.tfhaul(t, append(args, "--replace", "app", "--bump-serial", "App")...)
		if r.code != 4 || !strings.Contains(r.stderr, `"App"`) || !strings.Contains(r.stderr, `"app"`) {
			t.Errorf("%s: exit code %d: %s%s", args[0], r.code, r.stdout, r.stderr)
		}
	}
}

// A listing goes page by page and loses a row when a workspace before it is deleted meanwhile.
// What it lacks is asked for before anything is said or created.
func TestListingThatLosesARow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		args     []string
		outcomes string
		code     int
		asked    int // by name, in the plan
	}{
		{"plan", []string{"plan"}, "1 already-there, 1 refused", 3, 2},
		{"plan --create", []string{"plan", "--create"}, "1 already-there, 1 planned", 0, 2},
		{"migrate", []string{"migrate", "--yes"}, "1 already-there, 1 refused", 3, 2},
		{"migrate --create", []string{"migrate", "--create", "--yes"}, "1 already-there, 1 moved", 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			for i := range 101 {
				h.addWorkspace(t, fmt.Sprintf("a-%03d", i))
			}
			lost := "" // the first row of the second page, which moves to the first
			h.seed(t, "z", state(1, 1))
			all := h.Workspaces(org)
			lost = all[100]
			if lost != "z" {
				h.seed(t, lost, state(1, 1))
			}
			h.OnRequest(func(q tfesim.Request) {
				if strings.Contains(q.Query, "page%5Bnumber%5D=2") || strings.Contains(q.Query, "page[number]=2") {
					_ = h.DeleteWorkspace(org, all[0])
				}
			})
			dir := tree(t, map[string][]byte{lost + "/terraform.tfstate": state(1, 1), "missing/terraform.tfstate": state(2, 1)})
			args := append(slices.Clone(c.args), dir, "--target", org, "--json")
			if c.args[0] == "migrate" {
				args = append(args, "--journal", journalIn(t))
			}
			h.ResetRequests()
			r := h.tfhaul(t, args...)
			r.want(t, c.code, c.outcomes)
			if m := moveOf(t, r, lost); m["relation"] != "identical" {
				t.Errorf("%s: %v", lost, m)
			}
			if n := h.Count("GET /organizations/:organization/workspaces/:workspace"); n != c.asked {
				t.Errorf("%d workspaces were asked for by name, want %d", n, c.asked)
			}
		})
	}
}

// The result, and the block that the recipe prints, have the workspace's name as the server
// has it: Terraform would not find another spelling on every server.
func TestRecipeHasTheNameOnTheServer(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	r := h.tfhaul(t, "move", write(t, "a.tfstate", state(1, 10)), org+"/NET")
	if block, _ := recipeIn(t, r.stderr); r.code != 0 || !strings.Contains(block, `name = "net"`) || !strings.Contains(r.stdout, "/"+org+"/net\n") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// After a bump, the same source is not said to be older, and no other bump is recommended.
func TestOnlyTheSerialDiffers(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.seed(t, "net", state(1, 10))
	path := write(t, "a.tfstate", fixtures.Spec{Seed: 1, Serial: 9, Resources: 2, Outputs: 3}.Bytes())
	if r := h.tfhaul(t, "move", path, org+"/net", "--bump-serial", "net", "--backup-dir", t.TempDir()); r.code != 0 {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	r := h.tfhaul(t, "move", path, org+"/net")
	if r.code != 3 || !strings.Contains(r.stdout, "with serial 11 instead of 9. Nothing else differs") || strings.Contains(r.stdout, "--bump-serial") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if n := len(h.Versions(org, "net")); n != 2 {
		t.Errorf("the workspace has %d state versions", n)
	}
}

// A plan and a move say that a state has an old format, as the audit does, and a creation
// that fails names the organization.
func TestOldFormatsAreNoted(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "a.tfstate", []byte(`{"version":3,"terraform_version":"0.11.14","serial":1,"lineage":"00000000-0000-4000-8000-000000000003","modules":[{"path":["root"],"outputs":{"a":{"sensitive":false,"type":"string","value":"x"}},"resources":{},"depends_on":[]}]}`))
	for _, args := range [][]string{{"move", "--dry-run", path, org + "/net"}, {"move", "--dry-run", "--create", path, org + "/new"}, {"move", path, org + "/net"}} {
		if r := h.tfhaul(t, args...); r.code != 0 || strings.Count(r.stdout, "The state has format 3") != 1 {
			t.Errorf("%q: exit code %d: %s%s", args, r.code, r.stdout, r.stderr)
		}
	}
	if r := h.tfhaul(t, "move", path, "nope/net", "--create"); r.code != 1 || !strings.Contains(r.stdout, "organization nope does not exist, or this token cannot create workspaces in it") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
