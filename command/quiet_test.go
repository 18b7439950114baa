package command_test

import (
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// TestQuiet runs the commands that print the most on stderr.
func TestQuiet(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir, journal := tree(t, many(2)), journalIn(t)
	h.addWorkspace(t, "a-00")
	manifest := filepath.Join(t.TempDir(), "haul.hcl")
	for _, args := range [][]string{
		{"audit", dir}, {"plan", dir, "--target", org, "--create", "--out", manifest}, {"migrate", manifest, "--yes", "--journal", journal},
		{"verify", journal}, {"report", journal},
	} {
		if r := h.tfhaul(t, append(args, "--quiet")...); r.code != 0 || r.stderr != "" || r.stdout == "" {
			t.Errorf("%q: exit code %d: %q, %q", args, r.code, r.stdout, r.stderr)
		}
	}
	if r := h.tfhaul(t, "migrate", dir, "--target", org, "--yes", "--journal", journalIn(t), "--json", "--quiet"); r.code != 0 || r.stderr != "" {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	if r := h.tfhaul(t, "move", dir, "acme/net", "--quiet"); r.code == 0 || !strings.HasPrefix(r.stderr, "tfhaul: ") {
		t.Errorf("an error is not printed: exit code %d: %s", r.code, r.stderr)
	}
	if r := h.tfhaul(t, "report", journal, "--html", filepath.Join(t.TempDir(), "report.html"), "--quiet"); r.code != 0 || r.stderr != "" {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	if r := h.tfhaul(t, "audit", dir); !strings.Contains(r.stderr, "Next: ") {
		t.Errorf("without --quiet: %s", r.stderr)
	}
}
