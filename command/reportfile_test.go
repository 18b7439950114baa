package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// A report replaces a report of tfhaul, and nothing else without --force; what may be a
// state or a journal it never replaces. What is refused is refused before the work.
func TestReportsReplaceOnlyReports(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": state(1, 10)})
	journal := journalIn(t)
	h.tfhaul(t, "migrate", dir, "--target", org, "--create", "--yes", "--json", "--journal", journal).want(t, 0, "1 moved")
	for name, command := range map[string][]string{
		"a page of an audit": {"audit", dir, "--html"},
		"a page of a haul":   {"report", journal, "--html"},
		"JUnit":              {"report", journal, "--junit"},
	} {
		file := filepath.Join(t.TempDir(), "report")
		run := func(more ...string) run { return h.tfhaul(t, append(append(command, file), more...)...) }
		mustBe := func(what, want string) {
			t.Helper()
			if got, err := os.ReadFile(file); err != nil || string(got) != want {
				t.Errorf("%s: %s was changed: %v", name, what, err)
			}
		}
		if r := run(); r.code != 0 {
			t.Fatalf("%s: exit code %d: %s", name, r.code, r.stderr)
		}
		if r := run(); r.code != 0 {
			t.Errorf("%s does not replace one of its own: exit code %d: %s", name, r.code, r.stderr)
		}
		for what, content := range map[string]string{
			"a profile": "export PATH=/bin\n", "another page": "<!DOCTYPE html>\n<title>mine</title>\n", "another tool's JUnit": `<testsuite name="mine"/>`, "one byte": "x",
		} {
			writeFile(t, file, []byte(content))
			if r := run(); r.code != 4 || !strings.Contains(r.stderr, "--force") {
				t.Errorf("%s over %s: exit code %d: %s", name, what, r.code, r.stderr)
			}
			mustBe(what, content)
		}
		if r := run("--force"); r.code != 0 {
			t.Errorf("%s with --force: exit code %d: %s", name, r.code, r.stderr)
		}
		writeFile(t, file, state(1, 10))
		if r := run("--force"); r.code != 4 {
			t.Errorf("%s over a state: exit code %d: %s", name, r.code, r.stderr)
		}
		mustBe("a state", string(state(1, 10)))
		writeFile(t, file, nil)
		if r := run(); r.code != 0 {
			t.Errorf("%s over an empty file: exit code %d: %s", name, r.code, r.stderr)
		}
	}
	held := filepath.Join(t.TempDir(), "terraform.tfstate")
	writeFile(t, held, state(1, 10))
	if r := h.tfhaul(t, "plan", dir, "--target", org, "--out", held, "--force"); r.code != 4 {
		t.Errorf("a manifest over a state: exit code %d: %s", r.code, r.stderr)
	}
	if got, err := os.ReadFile(held); err != nil || string(got) != string(state(1, 10)) {
		t.Error("a manifest has replaced a state")
	}
}

// A journal file that was there before is not removed when nothing was done.
func TestEmptyJournalFileOfTheUserStays(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": state(1, 10)})
	journal := filepath.Join(t.TempDir(), "haul.jsonl")
	writeFile(t, journal, nil)
	fault := tfesim.AnswerError(401, "unauthorized", "")
	fault.Times = -1
	h.Inject(fault)
	if r := h.tfhaul(t, "migrate", dir, "--target", org, "--yes", "--journal", journal); r.code != 1 {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	if _, err := os.Stat(journal); err != nil {
		t.Errorf("the file that was there before is gone: %v", err)
	}
}
