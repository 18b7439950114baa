package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// The workspace was deleted after the move, and created again under the same name.
func TestVerifyJournalNoticesANewWorkspace(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "terraform.tfstate", state(1, 10))
	journal := filepath.Join(t.TempDir(), "move.jsonl")
	if r := h.tfhaul(t, "move", path, org+"/net", "--journal", journal); r.code != 0 {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.deleteWorkspace(t, "net")
	h.addWorkspace(t, "net")
	if r := h.tfhaul(t, "verify", journal); r.code != 3 || !strings.Contains(r.stdout, "another one has its name") {
		t.Errorf("empty: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.seed(t, "net", state(1, 10))
	if r := h.tfhaul(t, "verify", journal); r.code != 0 || !strings.Contains(r.stdout, "another one has its name") {
		t.Errorf("with the same bytes: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// The workspace that a killed move left locked is deleted: there is nothing to free, and
// the message says what that may mean.
func TestUnlockOfADeletedWorkspace(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "terraform.tfstate", state(1, 10))
	journal := filepath.Join(t.TempDir(), "move.jsonl")
	c := h.spawn(t, "move", path, org+"/net", "--journal", journal)
	h.Inject(tfesim.Fault{Endpoint: endpointOf(createVersion), Kind: tfesim.FaultHang})
	h.on(createVersion, func() { c.signal(t, os.Kill) })
	c.start(t)
	c.wait(t, h)
	h.deleteWorkspace(t, "net")
	h.addWorkspace(t, "net")
	if r := h.tfhaul(t, "unlock", journal); r.code != 1 || !strings.Contains(r.stdout, "If it was deleted, its lock is gone") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := h.tfhaul(t, "move", path, org+"/net", "--journal", journal); r.code != 0 || !strings.Contains(r.stdout, "Another workspace has its name") {
		t.Errorf("the move again: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustHold(t, "net", state(1, 10))
	h.mustBeFree(t, "net")
}

func (h *host) deleteWorkspace(t *testing.T, name string) {
	t.Helper()
	if err := h.DeleteWorkspace(org, name); err != nil {
		t.Fatal(err)
	}
}
