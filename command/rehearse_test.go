package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/command"
	"tfhaul/fixtures"
	"tfhaul/tfesim"
)

// quick makes a rehearsal that takes no longer than it has to.
var quick = []string{"--rate", "0", "--latency", "0", "--json"}

func TestRehearsalNeedsNothingAndLeavesNothing(t *testing.T) {
	// It is to write nothing below the directory for temporary files.
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	states := many(5)
	states["b/terraform.tfstate"] = []byte(`{"version": 4`)
	dir := tree(t, states)
	environ := []string{"HOME=" + t.TempDir()}
	for _, c := range []struct {
		name string
		args []string
	}{{"workspaces that are there", nil}, {"workspaces to be made", []string{"--create"}}, {"of HCP", []string{"--personality", "hcp"}}} {
		t.Run(c.name, func(t *testing.T) {
			var out, log strings.Builder
			args := append(append([]string{"tfhaul", "rehearse", dir}, quick...), c.args...)
			r := run{code: command.Run(t.Context(), nil, args, nil, &out, &log, environ)}
			r.stdout, r.stderr = out.String(), log.String()
			r.mustBeValid(t, args)
			r.want(t, 3, "5 planned, 1 refused")
			rehearsal, _ := r.document(t)["rehearsal"].(map[string]any)
			if calls, _ := rehearsal["api_calls"].(float64); calls < 4*5 || calls > 6*5+5 {
				t.Errorf("%v API calls", rehearsal["api_calls"])
			}
			if m := moveOf(t, r, "a-00"); m["state_version_id"] != "" || !strings.HasPrefix(m["message"].(string), "Rehearsed") {
				t.Errorf("it looks as if something was moved: %v", m)
			}
		})
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
}

func TestRehearsalPlaysWhatTheTargetWouldSay(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{
		"fresh/terraform.tfstate": state(1, 10), "newer/terraform.tfstate": state(2, 10), "same/terraform.tfstate": state(3, 10),
		"stale/terraform.tfstate": state(4, 10), "bumped/terraform.tfstate": state(5, 10), "other/terraform.tfstate": state(6, 10),
		"replaced/terraform.tfstate": state(7, 10), "locked/terraform.tfstate": state(8, 10), "none/terraform.tfstate": state(9, 10),
	})
	h.addWorkspace(t, "fresh")
	h.addWorkspace(t, "locked")
	h.seed(t, "newer", state(2, 9))
	h.seed(t, "same", state(3, 10))
	h.seed(t, "stale", state(4, 11))
	h.seed(t, "bumped", fixtures.Spec{Seed: 5, Serial: 11, Resources: 1}.Bytes())
	h.seed(t, "other", state(99, 1))
	h.seed(t, "replaced", state(98, 1))
	if err := h.Lock(org, "locked", tfesim.SecondUser, "apply"); err != nil {
		t.Fatal(err)
	}
	if err := h.SetTerraformVersion(org, "newer", "0.11.0"); err != nil {
		t.Fatal(err)
	}
	h.ResetRequests()
	backups := filepath.Join(t.TempDir(), "backups")
	args := []string{dir, "--target", org, "--replace", "replaced", "--bump-serial", "bumped", "--lock-timeout", "1h", "--backup-dir", backups}
	r := h.tfhaul(t, append(append([]string{"rehearse"}, args...), quick...)...)
	r.want(t, 3, "1 already-there, 4 planned, 4 refused")
	for workspace, want := range map[string][2]string{
		"fresh": {"fresh", ""}, "newer": {"newer", ""}, "same": {"identical", ""}, "stale": {"stale", "stale"}, "bumped": {"stale", ""},
		"other": {"unrelated", "unrelated"}, "replaced": {"unrelated", ""}, "locked": {"fresh", "locked"}, "none": {"", "no-workspace"},
	} {
		if m := moveOf(t, r, workspace); m["relation"] != want[0] || m["code"] != want[1] {
			t.Errorf("%s: relation %v, code %v, want %q: %v", workspace, m["relation"], m["code"], want, m["message"])
		}
	}
	if !strings.Contains(r.stdout, `"terraform-version"`) || strings.Contains(r.stdout, "127.0.0.1:0") {
		t.Errorf("the findings are not those of the target: %s", r.stdout)
	}
	for _, q := range h.Requests() {
		if q.Method != "GET" {
			t.Errorf("the target was asked %s", q.Endpoint)
		}
	}
	if _, err := os.Stat(backups); err == nil {
		t.Error("backups of what was only rehearsed are where the real ones belong")
	}
	h.mustHold(t, "fresh", nil)
	text := h.tfhaul(t, append([]string{"rehearse", "--rate", "0", "--latency", "0"}, args...)...)
	if !strings.Contains(text.stdout, "Rehearsed: ") || !strings.Contains(text.stdout, org) {
		t.Errorf("it says:\n%s", text.stdout)
	}
}
