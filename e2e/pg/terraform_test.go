package pg_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tfhaul/fixtures"
)

// A configuration is a directory in which the real terraform, or OpenTofu, uses the pg backend.
type configuration struct {
	t       testing.TB
	dir     string
	program string
	env     []string
}

// newConfiguration writes and initializes a configuration whose backend is the database.
func (d *testDatabase) newConfiguration(program string) *configuration {
	d.t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		cache, _ := os.UserCacheDir() // where .ci/run keeps OpenTofu
		found, _ := filepath.Glob(filepath.Join(cache, "tfhaul-tests", program+"-*", program))
		if len(found) == 0 {
			d.t.Skipf("NOT TESTED against the real %s: it is not on PATH", program)
		}
		path = found[len(found)-1]
	}
	dir := d.t.TempDir()
	c := &configuration{t: d.t, dir: dir, program: path, env: append(os.Environ(),
		"HOME="+dir, "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "NO_COLOR=1",
		"PG_CONN_STR="+d.server.url(d.user, d.name, d.password))}
	text := fmt.Sprintf(`
terraform {
  backend "pg" {
    schema_name = %q
  }
}
variable "note" { default = "first" }
resource "terraform_data" "one" { input = var.note }
output "note" { value = terraform_data.one.output }
`, d.schema)
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	c.must("init", "-input=false")
	return c
}

func (c *configuration) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), c.program, args...)
	cmd.Dir, cmd.Env = c.dir, c.env
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

// wantNoChanges fails the test if terraform plans changes.
func (c *configuration) wantNoChanges(note string) {
	c.t.Helper()
	c.must("plan", "-detailed-exitcode", "-input=false", "-var=note="+note) // exits 2 with changes
}

// waiting runs terraform apply, which holds the lock until its question is answered.
func (c *configuration) waiting() (stop func()) {
	c.t.Helper()
	cmd := c.command("apply", "-no-color", "-var=note=waiting")
	in, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	var said bytes.Buffer
	for b := make([]byte, 1); !bytes.HasSuffix(said.Bytes(), []byte("Enter a value:")); {
		if _, err := out.Read(b); err != nil {
			c.t.Fatalf("terraform apply does not ask: %v\n%s", err, said.String())
		}
		said.Write(b)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // until it ends
	return func() {
		if _, err := io.WriteString(in, "no\n"); err != nil {
			c.t.Error(err)
		}
		_ = cmd.Wait() // it fails, because it was canceled
	}
}

// Terraform writes the default workspace, another one and a large state. tfhaul finds, audits
// and moves them, byte for byte.
func TestTerraformsStatesAreMoved(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := d.newConfiguration("terraform")
	c.apply("first")
	c.must("workspace", "new", "prod")
	c.apply("prod")
	large := fixtures.Spec{Seed: 1, Serial: 7, Resources: 3, MinSize: 20 << 20}.Bytes()
	d.put("large", large)
	want := map[string][]byte{"default": d.stored("default"), "prod": d.stored("prod"), "large": large}

	dir := t.TempDir()
	tfhaul(t, dir, nil, "audit", d.address("")).want(t, 0).has(t, "3 states")
	sim, environment := startTFE(t)
	tfhaul(t, dir, environment, "migrate", d.address(""), "--target", haulOrg, "--create", "--yes", "--workspace-name", "{{ .Workspace }}").want(t, 0)
	for workspace, text := range want {
		if got, _, ok := sim.Current(haulOrg, workspace); !ok || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes arrived, which differ from the %d in the database", workspace, len(got), len(text))
		}
	}
	if n := d.locks(); n != 0 {
		t.Errorf("%d locks are left", n)
	}
	c.wantNoChanges("prod")
}

// tfhaul does not move a state that terraform is working on, and shows who holds the lock.
func TestTerraformsLockOfTheSource(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"terraform", "tofu"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			c := d.newConfiguration(program)
			c.apply("first")
			stop := c.waiting()
			_, environment := startTFE(t)
			args := []string{"move", d.address("default"), haulOrg + "/net", "--create"}
			tfhaul(t, t.TempDir(), environment, args...).want(t, 3).has(t, d.user+"@127.0.0.1", "PostgreSQL session", "pg_terminate_backend")
			tfhaul(t, t.TempDir(), environment, append(args, "--freeze-source")...).want(t, 3).has(t, "its locks end with their connection")
			stop()
			tfhaul(t, t.TempDir(), environment, args...).want(t, 0)
		})
	}
}

// tfhaul writes the default workspace and another one. Terraform plans no changes and applies the
// next change. Both respect each other's lock.
func TestTerraformContinuesFromAMovedState(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"terraform", "tofu"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			made := newDatabase(t)
			source := made.newConfiguration(program)
			source.apply("moved")
			text := made.stored("default")
			dir := t.TempDir()
			file := filepath.Join(dir, "terraform.tfstate")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}

			d := newDatabase(t)
			tfhaul(t, dir, nil, "move", file, d.address("prod")).want(t, 1).has(t, "has no table states", "--create")
			tfhaul(t, dir, nil, "move", file, d.address("prod"), "--create").want(t, 0).has(t, "moved")
			c := d.newConfiguration(program) // the table is like terraform's: it is not created again
			c.must("workspace", "select", "prod")
			c.wantNoChanges("moved")
			if got := d.stored("prod"); !bytes.Equal(got, text) {
				t.Error("the bytes differ")
			}

			stop := c.waiting()
			newer := regexp.MustCompile(`"serial": ?`).ReplaceAll(text, []byte(`"serial":9`))
			if err := os.WriteFile(file, newer, 0o600); err != nil {
				t.Fatal(err)
			}
			tfhaul(t, dir, nil, "move", file, d.address("prod")).want(t, 3).has(t, "locked by "+d.user)
			stop()
			tfhaul(t, dir, nil, "move", file, d.address("prod")).want(t, 0).has(t, "backup")
			c.wantNoChanges("moved")
			c.apply("next")
			c.wantNoChanges("next")

			held := holdLock(t, d, "prod")
			if out, err := c.run("plan", "-input=false"); err == nil || !strings.Contains(strings.ToLower(out), "already locked") {
				t.Errorf("%s does not respect the lock: %v\n%s", program, err, out)
			}
			held()
			creates := holdLock(t, d, "new")
			if out, err := c.run("workspace", "new", "other"); err == nil || !strings.Contains(strings.ToLower(out), "already locked") {
				t.Errorf("%s does not respect the lock for creating a workspace: %v\n%s", program, err, out)
			}
			creates()
			c.wantNoChanges("next")
		})
	}
}

// --create creates the same schema and table as terraform.
func TestCreatedTableIsTerraforms(t *testing.T) {
	t.Parallel()
	describe := func(d *testDatabase) string {
		var text string
		err := d.QueryRow(`SELECT
 (SELECT string_agg(concat_ws(' ', column_name, data_type, is_nullable, column_default), ', ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'states')
 || E'\n' || (SELECT string_agg(indexdef, E'\n' ORDER BY indexname) FROM pg_indexes WHERE schemaname = $1)
 || E'\n' || (SELECT concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmax) FROM pg_sequence WHERE seqrelid = 'public.global_states_id_seq'::regclass)
 || E'\n' || (SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = $1) || (SELECT tableowner FROM pg_tables WHERE schemaname = $1)`, d.schema).Scan(&text)
		if err != nil {
			d.t.Fatal(err)
		}
		return strings.ReplaceAll(text, d.user, "USER")
	}
	theirs, ours := newDatabase(t), newDatabase(t)
	theirs.schema, ours.schema = `with "quotes`, `with "quotes`
	ours.params = "&sslmode=disable"
	theirs.newConfiguration("terraform")
	file := filepath.Join(t.TempDir(), "terraform.tfstate")
	if err := os.WriteFile(file, fixtures.Spec{Seed: 1, Serial: 1, Resources: 1}.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	ours.schema = `with%20%22quotes`
	address := ours.address("default")
	ours.schema = `with "quotes`
	tfhaul(t, t.TempDir(), nil, "move", file, address, "--create", "--dry-run").want(t, 0).has(t, "would be created")
	tfhaul(t, t.TempDir(), nil, "move", file, address, "--create").want(t, 0)
	if got, want := describe(ours), describe(theirs); got != want {
		t.Errorf("tfhaul creates\n%s\nterraform creates\n%s", got, want)
	}
}

// holdLock takes the lock of a workspace as a move does, and returns how to release it.
func holdLock(t *testing.T, d *testDatabase, workspace string) (release func()) {
	t.Helper()
	lease := acquire(t, d.target(d.kinds()), workspace)
	return func() {
		start := time.Now()
		if err := lease.Release(t.Context()); err != nil || time.Since(start) > 10*time.Second {
			t.Errorf("releasing the lock: %v", err)
		}
	}
}

// Terraform plans with a moved state where it is, and the recipe after a move works.
func TestProofOfAMovedState(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.schema = "net"
	c := d.newConfiguration("terraform")
	c.apply("first")
	state := filepath.Join(t.TempDir(), "terraform.tfstate")
	if err := os.WriteFile(state, d.stored("default"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(c.program)
	environment := []string{"PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH"), "CHECKPOINT_DISABLE=1"}
	tfhaul(t, c.dir, environment, "move", state, d.address("prod")).want(t, 0).has(t, `backend "pg"`, "schema_name", "PGPASSWORD")
	tfhaul(t, c.dir, environment, "prove", "--local", c.dir, d.address("prod")).want(t, 0).has(t, "proven", "No changes")
	if n := d.locks(); n != 0 {
		t.Errorf("%d locks are left", n)
	}
}

// The moves of one haul can create the table and rows at the same time.
func TestMovesThatCreateAtTheSameTime(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	dir := t.TempDir()
	for i := range 20 {
		path := filepath.Join(dir, fmt.Sprintf("net-%d", i))
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "terraform.tfstate"), fixtures.Spec{Seed: uint64(i + 1), Serial: 1, Resources: 1}.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tfhaul(t, t.TempDir(), nil, "migrate", dir, "--target", d.address(""), "--create", "--yes", "--parallelism", "20").want(t, 0).has(t, "20 moves: 20 moved")
}
