package gcs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/command"
	"tfhaul/migrate"
	"tfhaul/prove"
	"tfhaul/tfesim"
)

// configuration is a directory in which the real terraform uses the gcs backend.
type configuration struct {
	t         *testing.T
	dir       string
	terraform string
}

const resources = `
variable "note" { default = "first" }
resource "terraform_data" "one" { input = var.note }
output "note" { value = terraform_data.one.output }
`

// newConfiguration writes and initializes a configuration whose backend keeps its states in b
// below prefix.
func newConfiguration(t *testing.T, b *bucket, prefix string) *configuration {
	t.Helper()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("NOT TESTED against the real terraform, which is not on PATH")
	}
	c := &configuration{t: t, dir: t.TempDir(), terraform: terraform}
	text := fmt.Sprintf("terraform {\n  backend \"gcs\" {\n    bucket = %q\n    prefix = %q\n  }\n}\n%s", b.name, prefix, resources)
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
func (c *configuration) lock(b *bucket, key string) (release func()) {
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
	for b.get(key) == nil {
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
	if err := os.WriteFile(ca, running.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return &program{sim, append(os.Environ(), "HOME="+t.TempDir(), "TFE_HOSTNAME="+running.Host(), "TFE_TOKEN="+sim.Token(tfesim.Owner), "TFHAUL_CA_FILE="+ca, "TF_CLI_CONFIG_FILE="+os.DevNull)}
}

// tfhaul runs the command line in this process.
func (p *program) tfhaul(t *testing.T, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	exit = command.Run(context.WithoutCancel(t.Context()), nil, append([]string{"tfhaul"}, args...), strings.NewReader(""), &out, &errs, p.environ)
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

// Terraform writes the default workspace and a named one. An audit finds them, and a haul
// moves them into workspaces, byte for byte.
func TestFromABucketIntoWorkspaces(t *testing.T) {
	b := newBucket(t, true)
	c := newConfiguration(t, b, "live/network")
	c.apply("first")
	c.must("workspace", "new", "prod")
	c.apply("prod")
	p := newProgram(t)
	var audit struct {
		Snapshots []struct{ Source string }
	}
	exit, stdout, stderr := p.tfhaul(t, "audit", "--json", b.ref(""))
	if err := json.Unmarshal([]byte(stdout), &audit); err != nil || exit != 0 && exit != 3 || len(audit.Snapshots) != 2 {
		t.Fatalf("exit %d, %v\n%s%s", exit, err, stdout, stderr)
	}
	p.must(t, "migrate", b.ref("live/"), "--target", "demo", "--create", "--yes", "--journal", filepath.Join(t.TempDir(), "haul.jsonl"))
	for key, workspace := range map[string]string{"live/network/default.tfstate": "network", "live/network/prod.tfstate": "network-prod"} {
		if held, _, _ := p.Current("demo", workspace); len(held) == 0 || !bytes.Equal(held, b.get(key)) {
			t.Errorf("%s does not have the bytes of %s", workspace, key)
		}
	}
	if out := p.must(t, "history", b.ref("live/network/prod.tfstate")); strings.Count(out, "generation=") < 2 {
		t.Errorf("the history is\n%s", out)
	}
}

// A lock that a running terraform holds stops moves from and to its state.
func TestTerraformsLockStopsMoves(t *testing.T) {
	b := newBucket(t, false)
	c := newConfiguration(t, b, "network")
	c.apply("first")
	p := newProgram(t)
	newer, before := filepath.Join(t.TempDir(), "terraform.tfstate"), b.get("network/default.tfstate")
	if err := os.WriteFile(newer, bytes.Replace(before, []byte(`"serial": `), []byte(`"serial": 1`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	release := c.lock(b, "network/default.tflock")
	for _, args := range [][]string{
		{"move", "--create", b.ref("network/default.tfstate"), "demo/network"},
		{"move", "--lock-source", "--create", b.ref("network/default.tfstate"), "demo/network"},
		{"move", "--backup-dir", t.TempDir(), newer, b.ref("network/default.tfstate")},
	} {
		if exit, stdout, stderr := p.tfhaul(t, args...); exit != 3 || !strings.Contains(stdout, "locked") {
			t.Errorf("tfhaul %s: exit %d\n%s%s", strings.Join(args, " "), exit, stdout, stderr)
		}
	}
	release()
	if b.get("network/default.tflock") != nil || !bytes.Equal(b.get("network/default.tfstate"), before) {
		t.Error("the state is locked, or was changed")
	}
	p.must(t, "move", "--lock-source", "--create", b.ref("network/default.tfstate"), "demo/network")
	if b.get("network/default.tflock") != nil {
		t.Error("the source is still locked")
	}
}

// A frozen source stops terraform, which shows the lock and removes it by the number that
// tfhaul shows.
func TestAFrozenSourceStopsTerraform(t *testing.T) {
	b := newBucket(t, false)
	c := newConfiguration(t, b, "network")
	c.apply("first")
	p := newProgram(t)
	exit, stdout, stderr := p.tfhaul(t, "move", "--create", "--freeze-source", "--json", b.ref("network/default.tfstate"), "demo/network")
	var r migrate.Result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || exit != 0 || r.SourceFrozen == "" {
		t.Fatalf("exit %d, %v\n%s%s", exit, err, stdout, stderr)
	}
	out, err := c.run("apply", "-auto-approve", "-input=false", "-var=note=second")
	if err == nil {
		t.Fatalf("terraform applied although the source is frozen:\n%s", out)
	}
	for _, want := range []string{"Error acquiring the state lock", r.SourceFrozen, "OperationTypeMigrate", "gs://" + b.name + "/network/default.tflock"} {
		if !strings.Contains(out, want) {
			t.Errorf("terraform does not show %q:\n%s", want, out)
		}
	}
	c.must("force-unlock", "-force", r.SourceFrozen)
	c.apply("second")
}

// States go from files into a bucket. Terraform and tfhaul prove plan no changes there, and
// Terraform applies the next change. A newer state then replaces it, after a backup.
func TestTerraformUsesWhatWasMovedToABucket(t *testing.T) {
	for name, versioned := range map[string]bool{"unversioned": false, "versioned": true} {
		t.Run(name, func(t *testing.T) {
			old, b := newBucket(t, false), newBucket(t, versioned)
			from := newConfiguration(t, old, "network")
			from.apply("first")
			from.must("workspace", "new", "prod")
			from.apply("prod")
			from.must("workspace", "select", "default")
			p, backups := newProgram(t), t.TempDir()
			p.must(t, "migrate", old.ref(""), "--target", b.ref("live/"), "--yes", "--journal", filepath.Join(t.TempDir(), "haul.jsonl"), "--backup-dir", backups)
			for _, workspace := range []string{"default", "prod"} {
				if got := b.get("live/network/" + workspace + ".tfstate"); len(got) == 0 || !bytes.Equal(got, old.get("network/"+workspace+".tfstate")) {
					t.Errorf("%s differs from the source", workspace)
				}
			}
			var proof prove.Result
			bare := t.TempDir()
			if err := os.WriteFile(filepath.Join(bare, "main.tf"), []byte(resources), 0o600); err != nil {
				t.Fatal(err)
			}
			exit, stdout, stderr := p.tfhaul(t, "prove", "--local", "--json", bare, b.ref("live/network/default.tfstate"))
			if err := json.Unmarshal([]byte(stdout), &proof); err != nil || exit != 0 || proof.Verdict != prove.Proven {
				t.Errorf("proof: exit %d, %v\n%s%s", exit, err, stdout, stderr)
			}
			to := newConfiguration(t, b, "live/network")
			to.wantNoChanges("first")
			to.apply("next")
			to.must("workspace", "select", "prod")
			to.wantNoChanges("prod")
			to.apply("next")
			for _, note := range []string{"second", "third"} { // to overtake it
				from.apply(note)
			}
			former := b.get("live/network/default.tfstate")
			p.must(t, "move", old.ref("network/default.tfstate"), b.ref("live/network/default.tfstate"), "--backup-dir", backups)
			wantKept(t, b, versioned, backups, former)
			to.must("workspace", "select", "default")
			to.wantNoChanges("third")
			to.apply("fourth")
			if b.get("live/network/default.tflock") != nil {
				t.Error("a lock was left")
			}
		})
	}
}

// wantKept fails unless a state that was replaced is in the bucket's history, or was copied.
func wantKept(t *testing.T, b *bucket, versioned bool, backups string, former []byte) {
	t.Helper()
	if versioned {
		target := openTarget(t, b.ref("live/"))
		for v, err := range target.Versions(t.Context(), &backend.Standing{ID: "live/network/default.tfstate"}) {
			if err != nil {
				t.Fatal(err)
			}
			body, err := target.Read(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if _, err := text.ReadFrom(body); err != nil {
				t.Error(err)
			}
			_ = body.Close() // only read
			if bytes.Equal(text.Bytes(), former) {
				return
			}
		}
	}
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
		t.Errorf("the former state is neither in the bucket nor in a backup (%v)", err)
	}
}

// stateOf is a state with this lineage.
const stateOf = `{"version":4,"terraform_version":"1.11.4","serial":3,"lineage":%q,"outputs":{"note":{"value":"a","type":"string"}},"resources":[]}`

// leaving is how many workspaces an organization that leaves has.
const leaving = 60

// A haul out of an organization lays out its states as Terraform's gcs backend does. A backup
// copies them once, and another haul brings them back.
func TestLeavingForABucket(t *testing.T) {
	b, backups := newBucket(t, true), newBucket(t, false)
	p := newProgram(t)
	for i := range leaving {
		name := fmt.Sprintf("net-%03d", i)
		if _, err := p.AddWorkspace("demo", name); err != nil {
			t.Fatal(err)
		}
		lineage := fmt.Sprintf("8a3c4b52-9f7d-4f25-9d80-0b6c2f6f7%03d", i)
		if _, err := p.SeedVersion("demo", name, fmt.Appendf(nil, stateOf, lineage), 3, lineage); err != nil {
			t.Fatal(err)
		}
	}
	journal := filepath.Join(t.TempDir(), "haul.jsonl")
	p.must(t, "migrate", "tfe://demo", "--target", b.ref("live/"), "--yes", "--journal", journal)
	p.must(t, "verify", journal)
	p.must(t, "backup", b.ref("live/"), backups.ref("copies/"))
	for i := range leaving {
		name := fmt.Sprintf("net-%03d", i)
		want, _, _ := p.Current("demo", name)
		if got := b.get("live/" + name + "/default.tfstate"); !bytes.Equal(got, want) {
			t.Errorf("%s differs from its workspace: %q", name, got)
		}
	}
	if out := p.must(t, "backup", b.ref("live/"), backups.ref("copies/")); !strings.Contains(out, "unchanged") {
		t.Errorf("a second backup copies again:\n%s", out)
	}
	// All of them go back, into workspaces of other names.
	p.must(t, "migrate", b.ref("live/"), "--target", "demo", "--create", "--workspace-name", "back-{{ .Dir }}", "--yes", "--journal", filepath.Join(t.TempDir(), "back.jsonl"))
	for i := range leaving {
		want, _, _ := p.Current("demo", fmt.Sprintf("net-%03d", i))
		if got, _, _ := p.Current("demo", fmt.Sprintf("back-net-%03d", i)); !bytes.Equal(got, want) {
			t.Errorf("back-net-%03d has other bytes than net-%03[1]d", i)
		}
	}
}
