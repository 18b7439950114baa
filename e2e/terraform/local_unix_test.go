//go:build unix

package terraform

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tfhaul/lockwait"
)

// While terraform applies, its lock stops a move. Named pipes report when terraform is in the
// middle of the apply, and hold it there.
func TestTerraformsLockOfAFileStopsAMove(t *testing.T) {
	dir := localFolder(t)
	mustLocal(t, dir, "apply", "-no-color", "-auto-approve")
	for _, pipe := range []string{"reached", "go-on"} {
		if err := syscall.Mkfifo(filepath.Join(dir, pipe), 0o600); err != nil {
			t.Skipf("NOT TESTED: cannot create named pipes: %v", err)
		}
	}
	slow := resources + "\nresource \"terraform_data\" \"slow\" {\n  provisioner \"local-exec\" { command = \"echo at work > reached && cat go-on\" }\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(slow), 0o600); err != nil {
		t.Fatal(err)
	}
	apply := exec.CommandContext(t.Context(), "terraform", "apply", "-no-color", "-auto-approve")
	apply.Dir = dir
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(filepath.Join(dir, "reached")); err != nil { // until terraform is in the middle of the apply
		t.Fatal(err)
	}
	m := startFileMove(t, dir, "terraform.tfstate")
	if err := m.lock(); !errors.Is(err, lockwait.ErrHeld) || !strings.Contains(err.Error(), "OperationTypeApply") {
		t.Errorf("error %v", err)
	}
	// Its description alone does not protect it.
	if err := os.Remove(filepath.Join(dir, ".terraform.tfstate.lock.info")); err != nil {
		t.Fatal(err)
	}
	if err := m.lock(); err == nil {
		t.Error("terraform's lock was taken")
	}
	if err := os.WriteFile(filepath.Join(dir, "go-on"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := apply.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := startFileMove(t, dir, "terraform.tfstate").lock(); err != nil {
		t.Errorf("it cannot be locked after the apply: %v", err)
	}
}
