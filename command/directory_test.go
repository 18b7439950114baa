package command_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// A manifest and a journal name their sources relative to the directory in which they were
// made. From another directory, nothing that is said of a source is wrong. The test is not
// parallel, because it changes the working directory.
func TestManifestAndJournalFromAnotherDirectory(t *testing.T) {
	h := start(t, tfesim.Options{})
	home, other := t.TempDir(), t.TempDir()
	source := filepath.Join(home, "st", "net", "terraform.tfstate")
	if err := os.MkdirAll(filepath.Dir(source), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source, state(1, 10), 0o600); err != nil {
		t.Fatal(err)
	}
	manifest, journal := filepath.Join(home, "haul.hcl"), filepath.Join(home, "haul.jsonl")
	migration := []string{"migrate", manifest, "--yes", "--journal", journal}

	t.Chdir(home)
	h.tfhaul(t, "plan", "st", "--target", org, "--create", "--out", "haul.hcl").mustExit(t, 0, "")
	t.Chdir(other)
	h.tfhaul(t, migration...).mustExit(t, 4, home+": run the command there")
	for name, text := range map[string]string{"moved.hcl": manifest, "old.hcl": manifest} {
		content, err := os.ReadFile(text)
		if err != nil {
			t.Fatal(err)
		}
		if name == "old.hcl" { // without the comment
			content = regexp.MustCompile("^#.*\n").ReplaceAll(content, nil)
			name = filepath.Join(home, name)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		h.tfhaul(t, "migrate", name, "--dry-run").mustExit(t, 4, home+": run the command there")
	}
	if _, err := os.Stat(journal); err == nil {
		t.Error("a journal was begun")
	}
	t.Chdir(home)
	h.tfhaul(t, migration...).mustExit(t, 0, "")
	h.mustHold(t, "net", state(1, 10))

	t.Chdir(other)
	if r := h.tfhaul(t, "verify", journal); r.code != 0 || strings.Contains(r.stdout, "The source") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	lines, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	old := write(t, "old.jsonl", regexp.MustCompile(`,"dir":"[^"]*"`).ReplaceAll(lines, nil))
	h.tfhaul(t, "verify", old).mustExit(t, 0, "run the command in the directory where the haul began.")
	if err := os.WriteFile(source, state(1, 11), 0o600); err != nil {
		t.Fatal(err)
	}
	h.tfhaul(t, "verify", journal).mustExit(t, 3, "source-changed")
	if err := os.Remove(source); err != nil {
		t.Fatal(err)
	}
	h.tfhaul(t, "verify", journal).mustExit(t, 0, "The source no longer exists.")
	if err := os.RemoveAll(home + "/st"); err != nil {
		t.Fatal(err)
	}
}

// A haul that was killed: what it did not begin, and what it left locked, is said by report
// and verify, and verify does not succeed.
func TestJournalOfAKilledHaul(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	journal := journalIn(t)
	h.tfhaul(t, "migrate", tree(t, map[string][]byte{"net/terraform.tfstate": state(1, 10)}), "--target", org, "--create", "--yes", "--journal", journal).mustExit(t, 0, "")
	file, err := os.OpenFile(journal, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	const haul = `{"time":"2026-03-01T10:00:00Z","haul":"20260301-100000-0123456789ab","event":`
	_, err = file.WriteString(haul + `"planned","moves":4}` + "\n" + haul + `"locking","source":"a","target":"` + h.running.Host() + `/acme/a"}` + "\n")
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	for command, code := range map[string]int{"verify": 1, "report": 0} {
		r := h.tfhaul(t, command, journal)
		r.mustExit(t, code, "not attempted: 2")
		r.mustExit(t, code, "may be locked by this haul (1): "+h.running.Host()+"/acme/a To unlock them: tfhaul unlock "+journal)
	}
}

// mustExit fails the test unless a run ended with an exit code and printed a text, wherever
// its lines were broken.
func (r run) mustExit(t *testing.T, code int, text string) {
	t.Helper()
	if r.code != code || !strings.Contains(strings.Join(strings.Fields(r.stdout+r.stderr), " "), text) {
		t.Errorf("exit code %d, want %d and %q: %s%s", r.code, code, text, r.stdout, r.stderr)
	}
}

// A journal of another haul would mix two hauls: nothing is moved, and it stays as it is.
func TestJournalOfAnotherHaulIsRefused(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	one, two := tree(t, map[string][]byte{"one/terraform.tfstate": state(1, 10)}), tree(t, map[string][]byte{"two/terraform.tfstate": state(2, 10)})
	byMove, byHaul := journalIn(t), journalIn(t)
	h.tfhaul(t, "move", one+"/one/terraform.tfstate", org+"/one", "--create", "--journal", byMove).mustExit(t, 0, "")
	h.tfhaul(t, "migrate", one, "--target", org, "--create", "--yes", "--journal", byHaul).mustExit(t, 0, "")
	for _, journal := range []string{byMove, byHaul} {
		before, err := os.ReadFile(journal)
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"migrate", two, "--target", org, "--create", "--yes", "--journal", journal},
			{"plan", two, "--target", org, "--create", "--journal", journal},
		} {
			h.tfhaul(t, args...).mustExit(t, 4, "records another haul")
		}
		if after, err := os.ReadFile(journal); err != nil || string(before) != string(after) {
			t.Errorf("the journal changed (%v)", err)
		}
	}
	h.tfhaul(t, "move", two+"/two/terraform.tfstate", org+"/two", "--create", "--journal", byHaul).mustExit(t, 4, "records another haul")
	// Its own haul continues, and single moves may share a journal.
	h.tfhaul(t, "migrate", one, "--target", org, "--create", "--yes", "--journal", byHaul).mustExit(t, 0, "")
	h.tfhaul(t, "move", two+"/two/terraform.tfstate", org+"/two", "--create", "--journal", byMove).mustExit(t, 0, "")
}
