//go:build unix

package s3_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"tfhaul/backend"
)

// Named pipes report when terraform is in the middle of an apply, and hold it there.
func TestTerraformsLockIsSeen(t *testing.T) {
	b := gateway.bucket(t)
	c := newConfiguration(t, b, "network/terraform.tfstate", `
resource "terraform_data" "slow" {
  triggers_replace = var.note
  provisioner "local-exec" { command = "echo at work > reached && cat go-on" }
}`, "use_lockfile = true")
	for _, pipe := range []string{"reached", "go-on"} {
		if err := syscall.Mkfifo(filepath.Join(c.dir, pipe), 0o600); err != nil {
			t.Skipf("NOT TESTED: cannot create named pipes: %v", err)
		}
	}
	c.must("apply", "-auto-approve", "-input=false", "-target=terraform_data.one")
	apply := c.command("apply", "-auto-approve", "-input=false", "-no-color")
	var out bytes.Buffer
	apply.Stdout, apply.Stderr = &out, &out
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(filepath.Join(c.dir, "reached")); err != nil { // until terraform is in the middle of an apply
		t.Fatal(err)
	}

	o := findOne(t, b.ref("network/terraform.tfstate"))
	lock, err := o.Holder(t.Context())
	if err != nil || lock == nil {
		t.Errorf("Holder = %+v, %v; terraform is applying", lock, err)
	} else if lock.ID == "" || lock.Who == "" || lock.Operation != "OperationTypeApply" || lock.Created.IsZero() {
		t.Errorf("Holder = %+v: terraform's description was not read", lock)
	}
	var held *backend.LockedError
	if _, err := o.(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{}); !errors.As(err, &held) {
		t.Errorf("TakeLock: %v, want a *LockedError", err)
	} else if lock != nil && held.Lock != *lock {
		t.Errorf("the lock is held by %+v, want %+v", held.Lock, *lock)
	}

	if err := os.WriteFile(filepath.Join(c.dir, "go-on"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := apply.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if lock, err := o.Holder(t.Context()); lock != nil || err != nil {
		t.Errorf("Holder = %+v, %v; terraform has ended", lock, err)
	}
}
