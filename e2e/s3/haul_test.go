package s3_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/command"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A destination is an embedded TFE and the environment in which the command line finds it.
type destination struct {
	*tfesim.Server
	environ []string
}

// newDestination starts an embedded TFE with some organizations; without names, with demo.
func newDestination(t *testing.T, organizations ...string) *destination {
	t.Helper()
	sim, err := tfesim.New(tfesim.Options{Organizations: organizations})
	if err != nil {
		t.Fatal(err)
	}
	running, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Close(); err != nil {
			t.Error(err)
		}
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, running.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return &destination{sim, []string{"HOME=" + t.TempDir(), "TFE_HOSTNAME=" + running.Host(), "TFE_TOKEN=" + sim.Token(tfesim.Owner), "TFHAUL_CA_FILE=" + ca}}
}

// tfhaul runs the command line in this process.
func (d *destination) tfhaul(t *testing.T, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	exit = command.Run(t.Context(), nil, append([]string{"tfhaul"}, args...), strings.NewReader(""), &out, &errs, d.environ)
	return exit, out.String(), errs.String()
}

// A frozen source stops the real terraform, the state has arrived, and the command in the
// result removes the freeze.
func TestFreezeSourceStopsTerraform(t *testing.T) {
	b := gateway.bucket(t)
	c := newConfiguration(t, b, "network/terraform.tfstate", "", "use_lockfile = true")
	if out, err := c.apply("first"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d := newDestination(t)
	exit, stdout, stderr := d.tfhaul(t, "move", "--create", "--freeze-source", "--json", b.ref("network/terraform.tfstate"), "demo/network")
	var r migrate.Result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || exit != 0 || r.SourceFrozen == "" {
		t.Fatalf("exit %d, %v\n%s%s", exit, err, stdout, stderr)
	}
	if held, _, _ := d.Current("demo", "network"); !bytes.Equal(held, b.get("network/terraform.tfstate")) {
		t.Error("the workspace does not have the bytes of the object")
	}
	if out, err := c.apply("second"); err == nil || !strings.Contains(out, r.SourceFrozen) {
		t.Errorf("terraform applied against a frozen source, or does not say why not: %v\n%s", err, out)
	}
	// Another haul sees the lock and its owner.
	if exit, stdout, _ := d.tfhaul(t, "move", b.ref("network/terraform.tfstate"), "demo/network"); exit != 3 || !strings.Contains(stdout, "tfhaul froze the source") {
		t.Errorf("exit %d\n%s", exit, stdout)
	}
	c.must("force-unlock", "-force", r.SourceFrozen)
	if out, err := c.apply("second"); err != nil {
		t.Errorf("after the freeze was removed: %v\n%s", err, out)
	}
}

// The journal of a haul that died frees its lock on the source.
func TestUnlockJournalFreesTheSource(t *testing.T) {
	b := gateway.bucket(t)
	b.put("network/terraform.tfstate", []byte(`{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"l","outputs":{},"resources":[]}`))
	ref := b.ref("network/terraform.tfstate")
	listing, err := kinds().Find(t.Context(), ref, backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	object := listing.States[0]
	lease, err := object.(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{Operation: "OperationTypeMigrate"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	journal, _, err := migrate.OpenJournal(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	e := migrate.Event{Event: migrate.EventSourceLocked, Haul: journal.Haul(), Source: ref, Target: "h/o/w", SourceLockID: lease.Lock().ID}
	if err := journal.Append(e); err != nil {
		t.Fatal(err)
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	d := newDestination(t)
	for range 2 { // the second time there is nothing left to do
		if exit, stdout, stderr := d.tfhaul(t, "unlock", path); exit != 0 {
			t.Errorf("exit %d\n%s%s", exit, stdout, stderr)
		}
		if lock, err := object.Holder(t.Context()); lock != nil || err != nil {
			t.Errorf("the source is still locked: %+v, %v", lock, err)
		}
	}
}
