package azurerm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/command"
	"tfhaul/fixtures"
	"tfhaul/lockwait"
	"tfhaul/migrate"
	"tfhaul/prove"
	"tfhaul/tfesim"
)

// configuration is a directory in which the real terraform uses the azurerm backend.
type configuration struct {
	t         *testing.T
	dir       string
	terraform string
}

const resources = `
variable "note" { default = "first" }
variable "size" { default = 1 }
resource "terraform_data" "one" { input = var.note }
resource "terraform_data" "large" { input = join("", [for i in range(var.size) : join("", [for j in range(200) : "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"])]) }
output "note" { value = terraform_data.one.output }
`

// newConfiguration writes and initializes a configuration whose backend keeps its states at
// key, and in the blobs of other workspaces.
func newConfiguration(t *testing.T, b *container, key string) *configuration {
	t.Helper()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("NOT TESTED against the real terraform, which is not on PATH")
	}
	c := &configuration{t: t, dir: t.TempDir(), terraform: terraform}
	text := fmt.Sprintf("terraform {\n  backend \"azurerm\" {\n    storage_account_name = %q\n    container_name = %q\n    key = %q\n  }\n}\n%s", account, b.name, key, resources)
	if err := os.WriteFile(filepath.Join(c.dir, "main.tf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c.must("init", "-input=false")
	return c
}

func (c *configuration) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), c.terraform, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "HOME="+c.dir, "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "NO_COLOR=1")
	return cmd
}

// run runs terraform and returns its output.
func (c *configuration) run(args ...string) (string, error) {
	out, err := c.command(append(args, "-no-color")...).CombinedOutput()
	return string(out), err
}

func (c *configuration) must(args ...string) string {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c *configuration) apply(note string) {
	c.t.Helper()
	c.must("apply", "-auto-approve", "-input=false", "-var=note="+note)
}

// wantNoChanges fails unless terraform plans no changes.
func (c *configuration) wantNoChanges(note string) {
	c.t.Helper()
	if out, err := c.run("plan", "-detailed-exitcode", "-input=false", "-var=note="+note); err != nil {
		c.t.Errorf("terraform plans changes, or the plan failed: %v\n%s", err, out)
	}
}

// lock holds the state's lock with a running console until the returned function is called.
func (c *configuration) lock(b *container, key string) (release func()) {
	c.t.Helper()
	console := c.command("console")
	in, err := console.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := console.Start(); err != nil {
		c.t.Fatal(err)
	}
	// It takes the lock when it starts, and keeps it until its input ends.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !b.locked(key) {
		select {
		case <-tick.C:
		case <-late:
			c.t.Fatal("terraform console holds no lock")
		}
	}
	return func() {
		c.t.Helper()
		if err := in.Close(); err != nil {
			c.t.Error(err)
		}
		if err := console.Wait(); err != nil {
			c.t.Error(err)
		}
	}
}

// A program is the command line, and an embedded TFE that it finds.
type program struct {
	*tfesim.Server
	environ []string
}

func newProgram(t *testing.T) *program {
	t.Helper()
	sim, err := tfesim.New(tfesim.Options{})
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
	azure, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, append(running.CAPEM(), azure...), 0o600); err != nil {
		t.Fatal(err)
	}
	return &program{sim, append(os.Environ(), "HOME="+t.TempDir(), "TFE_HOSTNAME="+running.Host(), "TFE_TOKEN="+sim.Token(tfesim.Owner), "TFHAUL_CA_FILE="+ca, "TF_CLI_CONFIG_FILE="+os.DevNull)}
}

// tfhaul runs the command line in this process.
func (p *program) tfhaul(t *testing.T, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	exit = command.Run(context.WithoutCancel(t.Context()), nil, append([]string{"tfhaul"}, args...), strings.NewReader(""), &out, &errs, p.environ)
	if shown := out.String() + errs.String(); strings.Contains(shown, string(key)) || strings.Contains(shown, os.Getenv("ARM_ACCESS_KEY")) {
		t.Error("the output shows the account's key")
	}
	return exit, out.String(), errs.String()
}

func (p *program) must(t *testing.T, args ...string) string {
	t.Helper()
	exit, stdout, stderr := p.tfhaul(t, args...)
	if exit != 0 {
		t.Fatalf("tfhaul %s: exit %d\n%s%s", strings.Join(args, " "), exit, stdout, stderr)
	}
	return stdout
}

// Terraform writes the default workspace, with a large state, and a named one. An audit finds
// them, and a haul moves them into workspaces, byte for byte.
func TestFromAContainerIntoWorkspaces(t *testing.T) {
	b := newContainer(t)
	c := newConfiguration(t, b, "live/network.tfstate")
	c.must("apply", "-auto-approve", "-input=false", "-var=note=first", "-var=size=200")
	c.must("workspace", "new", "prod")
	c.apply("prod")
	if large := len(b.text("live/network.tfstate")); large < 4<<20 {
		t.Errorf("the large state has only %d bytes", large)
	}
	p := newProgram(t)
	var audit struct {
		Snapshots []struct{ Source string }
	}
	exit, stdout, stderr := p.tfhaul(t, "audit", "--json", b.ref(""))
	if err := json.Unmarshal([]byte(stdout), &audit); err != nil || exit != 0 && exit != 3 || len(audit.Snapshots) != 2 {
		t.Fatalf("exit %d, %v\n%s%s", exit, err, stdout, stderr)
	}
	p.must(t, "migrate", b.ref("live/"), "--target", "demo", "--create", "--yes", "--journal", filepath.Join(t.TempDir(), "haul.jsonl"))
	for key, workspace := range map[string]string{"live/network.tfstate": "network", "live/network.tfstateenv:prod": "network-prod"} {
		if held, _, _ := p.Current("demo", workspace); len(held) == 0 || !bytes.Equal(held, b.text(key)) {
			t.Errorf("%s does not have the bytes of %s", workspace, key)
		}
	}
}

// With snapshot = true, Terraform keeps older versions as snapshots.
func TestSnapshotsAreOlderVersions(t *testing.T) {
	t.Setenv("ARM_SNAPSHOT", "true")
	b := newContainer(t)
	c := newConfiguration(t, b, "network.tfstate")
	for _, note := range []string{"first", "second", "third"} {
		c.apply(note)
	}
	p := newProgram(t)
	var history struct {
		Versions []struct{ ID string } `json:"state_versions"`
	}
	stdout := p.must(t, "history", "--json", b.ref("network.tfstate"))
	if err := json.Unmarshal([]byte(stdout), &history); err != nil || len(history.Versions) < 3 {
		t.Errorf("%v\n%s", err, stdout)
	}
	p.must(t, "move", "--history", "all", "--create", "--journal", filepath.Join(t.TempDir(), "move.jsonl"), b.ref("network.tfstate"), "demo/network")
	if held, _, _ := p.Current("demo", "network"); !bytes.Equal(held, b.text("network.tfstate")) {
		t.Error("the workspace has other bytes than the blob")
	}
}

// A lock that a running terraform holds stops moves from and to its state.
func TestTerraformsLockStopsMoves(t *testing.T) {
	b := newContainer(t)
	c := newConfiguration(t, b, "network.tfstate")
	c.apply("first")
	p := newProgram(t)
	newer, before := filepath.Join(t.TempDir(), "terraform.tfstate"), b.text("network.tfstate")
	if err := os.WriteFile(newer, bytes.Replace(before, []byte(`"serial": `), []byte(`"serial": 1`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	release := c.lock(b, "network.tfstate")
	for _, args := range [][]string{
		{"move", "--create", b.ref("network.tfstate"), "demo/network"},
		{"move", "--lock-source", "--create", b.ref("network.tfstate"), "demo/network"},
		{"move", "--backup-dir", t.TempDir(), newer, b.ref("network.tfstate")},
	} {
		if exit, stdout, stderr := p.tfhaul(t, args...); exit != 3 || !strings.Contains(stdout, "locked") {
			t.Errorf("tfhaul %s: exit %d\n%s%s", strings.Join(args, " "), exit, stdout, stderr)
		}
	}
	release()
	if b.locked("network.tfstate") || !bytes.Equal(b.text("network.tfstate"), before) {
		t.Error("the state is locked, or was changed")
	}
	p.must(t, "move", "--lock-source", "--create", b.ref("network.tfstate"), "demo/network")
	if b.locked("network.tfstate") {
		t.Error("the source is still locked")
	}
}

// A frozen source stops terraform, which shows the lock and removes it by the ID that tfhaul
// shows.
func TestAFrozenSourceStopsTerraform(t *testing.T) {
	b := newContainer(t)
	c := newConfiguration(t, b, "network.tfstate")
	c.apply("first")
	p := newProgram(t)
	exit, stdout, stderr := p.tfhaul(t, "move", "--create", "--freeze-source", "--json", b.ref("network.tfstate"), "demo/network")
	var r migrate.Result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || exit != 0 || r.SourceFrozen == "" {
		t.Fatalf("exit %d, %v\n%s%s", exit, err, stdout, stderr)
	}
	out, err := c.run("apply", "-auto-approve", "-input=false", "-var=note=second")
	if err == nil {
		t.Fatalf("terraform applied although the source is frozen:\n%s", out)
	}
	for _, want := range []string{"Error acquiring the state lock", r.SourceFrozen, "OperationTypeMigrate", b.name + "/network.tfstate"} {
		if !strings.Contains(out, want) {
			t.Errorf("terraform does not show %q:\n%s", want, out)
		}
	}
	c.must("force-unlock", "-force", r.SourceFrozen)
	c.apply("second")
}

// A Terraform that is killed between taking the lease and describing it leaves a lease that
// neither it nor a move can release. tfhaul shows how to free it.
func TestALeaseWithoutADescription(t *testing.T) {
	b := newContainer(t)
	c := newConfiguration(t, b, "network.tfstate")
	c.apply("first")
	b.must(201, "PUT", "network.tfstate", "comp=lease", map[string]string{"x-ms-lease-action": "acquire", "x-ms-lease-duration": "-1", "x-ms-proposed-lease-id": leaseOfTheSuite}, nil)
	p := newProgram(t)
	exit, stdout, _ := p.tfhaul(t, "move", "--create", b.ref("network.tfstate"), "demo/network")
	if want := "az storage blob lease break --account-name " + account + " --container-name " + b.name + " --blob-name network.tfstate"; exit != 3 || !strings.Contains(strings.Join(strings.Fields(stdout), " "), want) {
		t.Errorf("exit %d; the output does not show %s\n%s", exit, want, stdout)
	}
	if out, err := c.run("force-unlock", "-force", leaseOfTheSuite); err == nil {
		t.Errorf("terraform releases it:\n%s", out)
	}
	// What the command sends.
	b.must(202, "PUT", "network.tfstate", "comp=lease", map[string]string{"x-ms-lease-action": "break"}, nil)
	p.must(t, "move", "--create", b.ref("network.tfstate"), "demo/network")
	c.apply("second")
}

// A killed move leaves a lock that stops Terraform, that terraform force-unlock releases, and
// that tfhaul unlock releases, too.
func TestTerraformUnlocksAfterAMove(t *testing.T) {
	b := newContainer(t)
	c := newConfiguration(t, b, "network.tfstate")
	c.apply("first")
	target := openTarget(t, b.ref(""))
	s, err := target.Look(t.Context(), "network.tfstate")
	if err != nil {
		t.Fatal(err)
	}
	w := target.Writer(s, backend.WriterOptions{Reason: "a test works here"})
	if _, err := lockwait.Acquire(t.Context(), w, lockwait.Options{}); err != nil {
		t.Fatal(err)
	}
	if s, err = target.Look(t.Context(), "network.tfstate"); err != nil || !s.Locked {
		t.Fatalf("%+v, %v", s, err)
	}
	out, err := c.run("apply", "-auto-approve", "-input=false")
	if err == nil || !strings.Contains(out, s.Holder.ID) || !strings.Contains(out, "a test works here") {
		t.Errorf("terraform does not show the lock %s: %v\n%s", s.Holder.ID, err, out)
	}
	c.must("force-unlock", "-force", s.Holder.ID)
	c.apply("second")
}

// States go from files into a container. Terraform and tfhaul prove plan no changes there, and
// Terraform applies the next change. A newer state then replaces it, after a backup.
func TestTerraformUsesWhatWasMovedToAContainer(t *testing.T) {
	old, b := newContainer(t), newContainer(t)
	from := newConfiguration(t, old, "network.tfstate")
	from.apply("first")
	from.must("workspace", "new", "prod")
	from.apply("prod")
	from.must("workspace", "select", "default")
	p, backups := newProgram(t), t.TempDir()
	p.must(t, "migrate", old.ref(""), "--target", b.ref("live/"), "--yes", "--journal", filepath.Join(t.TempDir(), "haul.jsonl"), "--backup-dir", backups)
	for _, name := range []string{"network.tfstate", "network.tfstateenv:prod"} {
		if got := b.text("live/" + name); len(got) == 0 || !bytes.Equal(got, old.text(name)) {
			t.Errorf("%s differs from the source", name)
		}
	}
	var proof prove.Result
	bare := t.TempDir()
	if err := os.WriteFile(filepath.Join(bare, "main.tf"), []byte(resources), 0o600); err != nil {
		t.Fatal(err)
	}
	exit, stdout, stderr := p.tfhaul(t, "prove", "--local", "--json", bare, b.ref("live/network.tfstate"))
	if err := json.Unmarshal([]byte(stdout), &proof); err != nil || exit != 0 || proof.Verdict != prove.Proven {
		t.Errorf("proof: exit %d, %v\n%s%s", exit, err, stdout, stderr)
	}
	to := newConfiguration(t, b, "live/network.tfstate")
	to.wantNoChanges("first")
	to.apply("next")
	to.must("workspace", "select", "prod")
	to.wantNoChanges("prod")
	to.apply("next")
	for _, note := range []string{"second", "third"} { // to overtake it
		from.apply(note)
	}
	former := b.text("live/network.tfstate")
	p.must(t, "move", old.ref("network.tfstate"), b.ref("live/network.tfstate"), "--backup-dir", backups)
	wantCopied(t, backups, former)
	to.must("workspace", "select", "default")
	to.wantNoChanges("third")
	to.apply("fourth")
	if b.locked("live/network.tfstate") {
		t.Error("a lock was left")
	}
}

// wantCopied fails unless a backup has the bytes of a state that was replaced.
func wantCopied(t *testing.T, backups string, former []byte) {
	t.Helper()
	found := false
	err := filepath.WalkDir(backups, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		found = found || bytes.Equal(text, former)
		return err
	})
	if err != nil || !found {
		t.Errorf("the former state is not in a backup (%v)", err)
	}
}

// states is small by default, because Azurite takes about two minutes for 500.
var states = flag.Int("states", 60, "how many states to haul")

// A haul brings many states into workspaces, and another one back out.
func TestManyStatesInAndBackOut(t *testing.T) {
	b, back := newContainer(t), newContainer(t)
	p := newProgram(t)
	want := map[string][]byte{}
	for i := range *states {
		name := fmt.Sprintf("net-%03d", i)
		want[name] = fixtures.Spec{Seed: uint64(i + 1), Serial: int64(i%40 + 1), Resources: 1, MinSize: int64(2_000 + i*977%30_000)}.Bytes()
		b.put("live/"+name+".tfstate", want[name])
	}
	journal := filepath.Join(t.TempDir(), "out.jsonl")
	p.must(t, "migrate", b.ref("live/"), "--target", "demo", "--create", "--yes", "--parallelism", "12", "--journal", filepath.Join(t.TempDir(), "in.jsonl"))
	p.must(t, "migrate", "tfe://demo", "--target", back.ref("live/"), "--yes", "--parallelism", "12", "--journal", journal)
	p.must(t, "verify", journal)
	for name, text := range want {
		if held, _, _ := p.Current("demo", name); !bytes.Equal(held, text) {
			t.Errorf("the workspace %s differs", name)
		}
		blob := "live/" + name + "/terraform.tfstate"
		if got, h := back.get(blob); !bytes.Equal(got, text) || h.Get("x-ms-lease-status") != "unlocked" || h.Get("x-ms-meta-terraformlockid") != "" {
			t.Errorf("%s differs, or is locked: %d bytes, %v", blob, len(got), h)
		}
	}
	text, err := os.ReadFile(journal)
	if err != nil || bytes.Contains(text, []byte(os.Getenv("ARM_ACCESS_KEY"))) {
		t.Errorf("the journal shows the account's key (%v)", err)
	}
}
