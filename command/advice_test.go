package command_test

import (
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// A letter that other programs use for a flag suggests our flag for the same purpose.
func TestOneLetterFlagsSuggestTheUsualFlag(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	for given, want := range map[string]string{
		"move -n": "(did you mean --dry-run?)", "migrate -y": "(did you mean --yes?)", "plan -o": "(did you mean --out?)",
		"move -o": "unknown flag -o: see", "move -x": "unknown flag -x: see",
	} {
		if r := h.tfhaul(t, strings.Fields(given)...); r.code != 4 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit code %d: %s", given, r.code, r.stderr)
		}
	}
}

// A journal that is given as a source names the command that continues its haul, and that
// command works.
func TestJournalAsSourceNamesItsCommand(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, many(2))
	journal := filepath.Join(t.TempDir(), "haul.jsonl")
	if r := h.tfhaul(t, "migrate", dir, "--target", org, "--create", "--yes", "--journal", journal); r.code != 0 {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	r := h.tfhaul(t, "migrate", journal, "--yes")
	_, command, found := strings.Cut(strings.TrimSpace(r.stderr), "is the journal of a haul, not a source. To continue that haul: tfhaul ")
	if r.code != 4 || !found {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	if r := h.tfhaul(t, strings.Fields(command)...); r.code != 0 || !strings.Contains(r.stdout, "2 already there") && !strings.Contains(r.stdout, "2 moved") {
		t.Errorf("%s: exit code %d: %s%s", command, r.code, r.stdout, r.stderr)
	}
}

// Nothing changes while a certificate is not trusted, so one attempt is enough.
func TestUntrustedCertificateIsNotRetried(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	path := write(t, "terraform.tfstate", state(1, 10))
	r := h.tfhaulIn(t, t.Context(), h.with("TFHAUL_CA_FILE=", "SSL_CERT_FILE="), nil, "move", path, org+"/net", "--json")
	document := r.document(t)
	message, _ := document["message"].(string)
	if r.code != 1 || document["api_calls"] != 1.0 || strings.Count(message, "--ca-file") != 1 {
		t.Errorf("exit code %d, %v API calls: %s", r.code, document["api_calls"], message)
	}
}

// Files that look like copies of states are listed, so that none is forgotten.
func TestCopiesOfStatesAreListedAsLeftOut(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": state(1, 3), "net/terraform.tfstate.prod": state(2, 3), "net/main.tf": nil})
	r := h.tfhaul(t, "plan", dir, "--target", org, "--create")
	want := filepath.Join(dir, "net", "terraform.tfstate.prod") + " is named like a copy of a state: to move it, name this file"
	if r.code != 0 || !strings.Contains(r.stdout, "left out (1): 1 other-name") || !strings.Contains(r.stdout, want) {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	r = h.tfhaul(t, "plan", filepath.Join(dir, "net", "terraform.tfstate.prod"), "--target", org, "--create")
	if r.code != 0 || !strings.Contains(r.stdout, "1 planned") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
