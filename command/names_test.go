package command_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// sourceOf finds a move in a document by the part of its source.
func sourceOf(t *testing.T, r run, part string) map[string]any {
	t.Helper()
	moves, _ := r.document(t)["moves"].([]any)
	for _, m := range moves {
		if m := m.(map[string]any); strings.Contains(m["source"].(string), part) {
			return m
		}
	}
	t.Fatalf("no move of %s: %s", part, r.stdout)
	return nil
}

// A path that cannot name a workspace is refused, and the others are moved.
func TestPathsWithoutANameAreRefusedAlone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("file names are not bytes here")
	}
	h := start(t, tfesim.Options{})
	states := map[string][]byte{
		"net/terraform.tfstate":                             state(1, 1),
		"größe/ветка/terraform.tfstate":                     state(2, 1),
		"tg/日本/terraform.tfstate":                           state(3, 1),
		"bytes\xff/terraform.tfstate":                       state(4, 1),
		"bytes\xfe/terraform.tfstate":                       state(5, 1),
		"v1.2/terraform.tfstate":                            state(6, 1),
		"live/eu/network/prod-x.tfstate":                    state(7, 1),
		strings.Repeat("long/", 53) + "x/terraform.tfstate": state(8, 1),
	}
	dir := tree(t, states)
	for _, args := range [][]string{
		{"plan", dir, "--target", org, "--create", "--json"},
		{"rehearse", dir, "--json"},
		{"rehearse", dir, "--target", org, "--create", "--json"},
	} {
		h.tfhaul(t, args...).want(t, 3, "4 planned, 4 refused")
	}
	if r := h.tfhaul(t, "audit", dir, "--target", org, "--create", "--json"); r.code != 0 || !strings.Contains(r.stdout, "no-name") {
		t.Errorf("audit: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	journal := journalIn(t)
	r := h.tfhaul(t, "migrate", dir, "--target", org, "--create", "--yes", "--json", "--journal", journal)
	r.want(t, 3, "4 moved, 4 refused")
	for part, want := range map[string]string{"日本": "日本", `bytes\xff`: "UTF-8", `bytes\xfe`: "UTF-8", "long/long": "260"} {
		m := sourceOf(t, r, part)
		if m["code"] != "no-name" || !strings.Contains(m["message"].(string), want) || !strings.HasSuffix(m["target"].(string), "/"+org+"/") {
			t.Errorf("%s: %v", part, m)
		}
	}
	h.mustHold(t, "groesse-vetka", state(2, 1))
	h.mustHold(t, "net", state(1, 1))
	if len(h.Workspaces(org)) != 4 {
		t.Errorf("the workspaces are %q", h.Workspaces(org))
	}
	// What more was done than to join names is said; joining is not.
	for part, from := range map[string]string{"ветка": "größe-ветка", "v1.2": "v1.2"} {
		if notes, _ := sourceOf(t, r, part)["notes"].([]any); len(notes) != 1 || !strings.Contains(notes[0].(string), from) {
			t.Errorf("%s: the notes are %v", part, notes)
		}
	}
	if notes := sourceOf(t, r, "prod-x")["notes"]; notes != nil {
		t.Errorf("the notes are %v", notes)
	}
	if text := h.tfhaul(t, "plan", dir, "--target", org, "--create"); !strings.Contains(text.stdout, "groesse-vetka was derived from") {
		t.Errorf("the plan does not say how names were changed:\n%s", text.stdout)
	}
	// The journal can be used by all that read one.
	h.tfhaul(t, "verify", journal, "--json").want(t, 3, "4 already-there, 4 refused")
	if r := h.tfhaul(t, "report", journal); r.code != 0 && r.code != 3 {
		t.Errorf("report: exit code %d: %s", r.code, r.stderr)
	}
	if r := h.tfhaul(t, "unlock", journal); r.code != 0 {
		t.Errorf("unlock: exit code %d: %s", r.code, r.stderr)
	}
	h.tfhaul(t, "migrate", dir, "--target", org, "--create", "--yes", "--json", "--journal", journal).want(t, 3, "4 moved, 4 refused")
	// The ways out that the messages name.
	names := filepath.Join(t.TempDir(), "names.csv")
	writeFile(t, names, []byte(filepath.Join(dir, "tg/日本/terraform.tfstate")+",tg-nihon\n"))
	h.tfhaul(t, "migrate", dir, "--map", names, "--target", org, "--create", "--yes", "--json", "--journal", journalIn(t)).want(t, 0, "1 moved")
	h.mustHold(t, "tg-nihon", state(3, 1))
	if r := h.tfhaul(t, "move", filepath.Join(dir, "bytes\xff/terraform.tfstate"), org+"/bytes", "--create"); r.code != 0 {
		t.Errorf("move: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if text, err := os.ReadFile(journal); err != nil || strings.Contains(string(text), "\uFFFD") {
		t.Errorf("the journal holds U+FFFD (%v)", err)
	}
}
