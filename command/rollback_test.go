package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// A haul into an organization is rolled back: what it continued comes back, what was fresh stays.
func TestRollback(t *testing.T) {
	h := start(t, tfesim.Options{})
	former, fresh := state(1, 3), state(2, 5)
	dir := tree(t, map[string][]byte{"a-00/terraform.tfstate": state(1, 5), "a-01/terraform.tfstate": fresh})
	h.seed(t, "a-00", former)
	h.addWorkspace(t, "a-01")
	work := t.TempDir()
	journal, backups := filepath.Join(work, "haul.jsonl"), filepath.Join(work, "backup")
	if r := h.tfhaul(t, "migrate", dir, "--target", org, "--journal", journal, "--yes", "--json"); r.code != 0 {
		t.Fatalf("the haul exited %d: %s", r.code, r.stderr)
	}

	r := h.tfhaul(t, "rollback", journal, "--backup-dir", backups, "--json")
	if got := outcomes(t, r); r.code != 3 || got["planned"] != 1 || got["refused"] != 1 {
		t.Errorf("the dry run exited %d with %v: %s", r.code, got, r.stderr)
	}
	h.mustHold(t, "a-00", state(1, 5))
	r = h.tfhaul(t, "rollback", journal, "--backup-dir", backups, "--yes", "--json")
	if got := outcomes(t, r); r.code != 3 || got["moved"] != 1 || got["refused"] != 1 {
		t.Errorf("the rollback exited %d with %v: %s", r.code, got, r.stderr)
	}
	if code := moveOf(t, r, "a-01")["code"]; code != "nothing-before" {
		t.Errorf("what was fresh has the code %q", code)
	}
	h.mustHold(t, "a-00", former)
	h.mustHold(t, "a-01", fresh)
	h.mustBeFree(t, "a-00")

	// Again, with the command that it names, and the other commands that take its journal.
	if r := h.tfhaul(t, "rollback", journal, "--backup-dir", backups, "--yes"); r.code != 3 || !strings.Contains(r.stdout, "a-00") {
		t.Errorf("the second rollback exited %d: %s%s", r.code, r.stdout, r.stderr)
	}
	own := strings.TrimSuffix(journal, ".jsonl") + ".rollback.jsonl"
	for _, args := range [][]string{{"unlock", own}, {"report", own}} {
		if r := h.tfhaul(t, args...); r.code != 0 && r.code != 3 {
			t.Errorf("%q exited %d: %s%s", args, r.code, r.stdout, r.stderr)
		}
	}
	if n := len(h.Versions(org, "a-00")); n != 3 {
		t.Errorf("the workspace has %d state versions, want the former, the haul's and the rollback's", n)
	}
}

// A rollback that is killed at any of its requests is continued by the same command.
func TestRollbackKilled(t *testing.T) {
	t.Parallel()
	for _, at := range []string{
		"POST /workspaces/:workspace_id/actions/lock", "PATCH /workspaces/:workspace_id/state-versions", unlockAction,
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			former, work := state(1, 3), t.TempDir()
			h.seed(t, "a-00", former)
			dir := tree(t, map[string][]byte{"a-00/terraform.tfstate": state(1, 5)})
			journal, backups := filepath.Join(work, "haul.jsonl"), filepath.Join(work, "backup")
			if r := h.tfhaul(t, "migrate", dir, "--target", org, "--journal", journal, "--yes"); r.code != 0 {
				t.Fatalf("the haul exited %d: %s", r.code, r.stderr)
			}
			args := []string{"rollback", journal, "--backup-dir", backups, "--yes"}
			c := h.spawn(t, args...)
			killed := false
			h.on(at, func() { killed = true; c.signal(t, os.Kill) })
			c.start(t)
			if r := c.wait(t, h); !killed || r.code != -1 {
				t.Fatalf("the process was not killed: exit code %d: %s", r.code, r.stderr)
			}
			if r := h.tfhaul(t, args...); r.code != 0 {
				t.Errorf("the second run exited %d: %s%s", r.code, r.stdout, r.stderr)
			}
			h.mustHold(t, "a-00", former)
			h.mustBeFree(t, "a-00")
			if n := len(h.Versions(org, "a-00")); n != 3 {
				t.Errorf("the workspace has %d state versions, want the former, the haul's and the rollback's", n)
			}
		})
	}
}

// Files get their former bytes from the backup.
func TestRollbackOfFiles(t *testing.T) {
	h := start(t, tfesim.Options{})
	former := state(1, 3)
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": state(1, 5)})
	target := tree(t, map[string][]byte{"net/terraform.tfstate": former})
	work := t.TempDir()
	journal, backups := filepath.Join(work, "haul.jsonl"), filepath.Join(work, "backup")
	if r := h.tfhaul(t, "migrate", dir, "--target", target+"/", "--journal", journal, "--backup-dir", backups, "--yes"); r.code != 0 {
		t.Fatalf("the haul exited %d: %s%s", r.code, r.stdout, r.stderr)
	}
	path := filepath.Join(target, "net", "terraform.tfstate")
	mustBe := func(want []byte) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the file does not hold serial %s: %v", want[:60], err)
		}
	}
	mustBe(state(1, 5))
	if r := h.tfhaul(t, "rollback", journal, "--backup-dir", backups, "--yes"); r.code != 0 {
		t.Errorf("the rollback exited %d: %s%s", r.code, r.stdout, r.stderr)
	}
	mustBe(former)

	if err := os.WriteFile(path, state(1, 9), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := h.tfhaul(t, "rollback", journal, "--backup-dir", backups, "--yes", "--json"); r.code != 3 || outcomes(t, r)["refused"] != 1 {
		t.Errorf("the rollback of an advanced file exited %d: %s%s", r.code, r.stdout, r.stderr)
	}
	mustBe(state(1, 9))
}

func TestRollbackUsage(t *testing.T) {
	h := start(t, tfesim.Options{})
	empty := filepath.Join(t.TempDir(), "empty.jsonl")
	if err := os.WriteFile(empty, []byte("no journal\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"no journal":        {"rollback"},
		"missing":           {"rollback", empty + ".none"},
		"not a journal":     {"rollback", empty},
		"both":              {"rollback", empty, "--yes", "--dry-run"},
		"detailed and real": {"rollback", empty, "--yes", "--detailed-exitcode"},
	} {
		if r := h.tfhaul(t, args...); r.code != 4 {
			t.Errorf("%s: exit code %d: %s", name, r.code, r.stderr)
		}
	}
}

// A workspace that the haul created is deleted with --delete-created alone, by the commands as
// they are printed.
func TestRollbackDeletesWhatTheHaulCreated(t *testing.T) {
	h := start(t, tfesim.Options{})
	former, made := state(1, 3), state(2, 5)
	dir := tree(t, map[string][]byte{"a-00/terraform.tfstate": state(1, 5), "a-01/terraform.tfstate": made})
	h.seed(t, "a-00", former)
	work := t.TempDir()
	journal, backups := filepath.Join(work, "haul.jsonl"), filepath.Join(work, "backup")
	if r := h.tfhaul(t, "migrate", dir, "--target", org, "--create", "--journal", journal, "--yes"); r.code != 0 {
		t.Fatalf("the haul exited %d: %s", r.code, r.stderr)
	}
	if r := h.tfhaul(t, "rollback", journal, "--backup-dir", backups); r.code != 3 || !strings.Contains(r.stdout+r.stderr, "--delete-created") {
		t.Errorf("without the flag, it exited %d: %s%s", r.code, r.stdout, r.stderr)
	}
	r := h.tfhaul(t, "rollback", journal, "--backup-dir", backups, "--delete-created")
	if r.code != 0 || !strings.Contains(r.stdout+r.stderr, "1 delete") || !strings.Contains(r.stdout+r.stderr, "--delete-created --yes") {
		t.Errorf("the dry run exited %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustHold(t, "a-01", made)
	r = h.tfhaul(t, "rollback", journal, "--backup-dir", backups, "--delete-created", "--yes", "--json")
	if got := outcomes(t, r); r.code != 0 || got["moved"] != 2 {
		t.Errorf("the rollback exited %d with %v: %s", r.code, got, r.stderr)
	}
	if deleted := moveOf(t, r, "a-01")["deleted"]; deleted != true {
		t.Errorf("the result has deleted: %v", deleted)
	}
	h.mustHold(t, "a-00", former)
	if left := h.Workspaces(org); len(left) != 1 || left[0] != "a-00" {
		t.Errorf("the workspaces are %q", left)
	}
	r = h.tfhaul(t, "rollback", journal, "--backup-dir", backups, "--delete-created", "--yes", "--json")
	if got := outcomes(t, r); r.code != 0 || got["already-there"] != 1 && got["already-there"] != 2 {
		t.Errorf("the second rollback exited %d with %v: %s", r.code, got, r.stderr)
	}
	own := strings.TrimSuffix(journal, ".jsonl") + ".rollback.jsonl"
	for _, args := range [][]string{{"unlock", own}, {"report", own}, {"verify", own}} {
		r := h.tfhaul(t, args...)
		if r.code != 0 {
			t.Errorf("%q exited %d: %s%s", args, r.code, r.stdout, r.stderr)
		}
		// The configurations use what they used before, and the source is an earlier version.
		for _, misleading := range []string{"make the configuration", "make each configuration", "The source no longer exists"} {
			if strings.Contains(r.stdout+r.stderr, misleading) {
				t.Errorf("%q says %q:\n%s%s", args, misleading, r.stdout, r.stderr)
			}
		}
	}
}
