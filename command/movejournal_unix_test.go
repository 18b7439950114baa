//go:build unix

package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tfhaul/tfesim"
)

// A pipe in the place of a journal is passed over, not waited for.
func TestListOfLeftLocksPassesOverAPipe(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	home := t.TempDir()
	h.environ = h.with("XDG_STATE_HOME=" + home)
	pipe := filepath.Join(home, "tfhaul", "move-1.jsonl")
	if err := os.Mkdir(filepath.Dir(pipe), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := h.tfhaul(t, "unlock"); r.code != 0 || !strings.Contains(r.stderr, "not a regular file") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := h.tfhaul(t, "verify", pipe); r.code != 4 {
		t.Errorf("verify: exit code %d: %s", r.code, r.stderr)
	}
}
