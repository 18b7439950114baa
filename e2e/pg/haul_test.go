package pg_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"tfhaul/fixtures"
)

// states is how many states move into the organization, and back out.
const states = 500

// killAt runs the program and kills it at a request with this text, before the request arrives
// or after it took effect. number counts such requests.
func killAt(t *testing.T, p *proxy, cmd *exec.Cmd, text string, number int64, what fate) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var seen atomic.Int64
	started := make(chan struct{})
	killed := make(chan struct{})
	p.aim(func(_ int, request []byte) fate {
		<-started
		if !bytes.Contains(request, []byte(text)) || seen.Add(1) != number {
			return forwarded
		}
		if what == cutBefore {
			_ = cmd.Process.Kill() // Wait reports how it ended
			close(killed)
		}
		return what
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	err := cmd.Wait()
	p.aim(nil)
	if err == nil || seen.Load() < number {
		t.Fatalf("the program was not killed: it ended with %v after %d requests\n%s", err, seen.Load(), out.String())
	}
	<-killed
}

// 500 states move from the database into the organization, and back into another schema, in
// one migrate each, killed and resumed with the same command.
func TestFiveHundredStatesInAndBackOut(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	want := map[string][]byte{}
	for i := range states {
		size := int64(2_000 + i*977%60_000)
		if i%100 == 0 {
			size = 2 << 20
		}
		workspace := fmt.Sprintf("net-%03d", i)
		want[workspace] = fixtures.Spec{Seed: uint64(i + 1), Serial: int64(i%40 + 1), Resources: 1, MinSize: size}.Bytes()
		d.put(workspace, want[workspace])
	}
	sim, environment := startTFE(t)
	p := d.newProxy()
	dir := t.TempDir()

	in := []string{"migrate", d.address(""), "--target", haulOrg, "--create", "--yes", "--workspace-name", "{{ .Workspace }}", "--parallelism", "12", "--journal", "in.jsonl"}
	for _, number := range []int64{700} { // reads of states
		killAt(t, p, command(t, dir, environment, in...), "CROSS JOIN LATERAL generate_series", number, cutBefore)
	}
	tfhaul(t, dir, environment, in...).want(t, 0)
	for workspace, text := range want {
		if got, _, ok := sim.Current(haulOrg, workspace); !ok || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes arrived, which differ from the %d in the database", workspace, len(got), len(text))
		}
	}
	if locked := sim.Locked(haulOrg); len(locked) > 0 {
		t.Errorf("locked: %v", locked)
	}

	d.schema = "back"
	out := []string{"migrate", "tfe://" + haulOrg, "--target", d.address(""), "--create", "--yes", "--parallelism", "12", "--journal", "out.jsonl"}
	for _, number := range []int64{150} {
		killAt(t, p, command(t, dir, environment, out...), "INSERT INTO", number, cutBefore)
		d.awaitNoLocks()
	}
	tfhaul(t, dir, environment, out...).want(t, 0)
	for workspace, text := range want {
		if got, _ := d.has(workspace); !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes came back, which differ from the %d before", workspace, len(got), len(text))
		}
	}
	rows := 0
	if err := d.QueryRow("SELECT count(*) FROM " + d.table()).Scan(&rows); err != nil || rows != states {
		t.Errorf("%d rows, %v; want %d", rows, err, states)
	}
	d.awaitNoLocks()
	journal, err := os.ReadFile(filepath.Join(dir, "out.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{`"event":"lock`, `"event":"unlock`, "lock_reason", d.password, "canary"} {
		if strings.Contains(string(journal), never) {
			t.Errorf("the journal contains %s", never)
		}
	}
	tfhaul(t, dir, environment, "verify", "out.jsonl").want(t, 0)
	tfhaul(t, dir, environment, "unlock", "out.jsonl").want(t, 0)
}

// The program is killed while it holds the lock: the server ends the lock, and the same command
// finishes the move.
func TestKilledWithTheLock(t *testing.T) {
	t.Parallel()
	for name, exists := range map[string]bool{"creates a row": false, "replaces a row": true} {
		t.Run(name, func(t *testing.T) {
			d := newDatabase(t)
			d.createTable()
			text, request := fixtures.Spec{Seed: 5, Serial: 4, Resources: 1}.Bytes(), "INSERT INTO"
			if exists {
				d.put("prod", fixtures.Spec{Seed: 5, Serial: 3, Resources: 1}.Bytes())
				request = "UPDATE "
			}
			p := d.newProxy()
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "src", "prod"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "src", "prod", "terraform.tfstate"), text, 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"migrate", "src", "--target", d.address(""), "--yes", "--journal", "haul.jsonl"}
			killAt(t, p, command(t, dir, nil, args...), request, 1, cutBefore)
			d.awaitNoLocks()
			tfhaul(t, dir, nil, args...).want(t, 0)
			if got, _ := d.has("prod"); !bytes.Equal(got, text) {
				t.Error("the state is not there")
			}
			if !exists {
				tfhaul(t, dir, nil, "rollback", "haul.jsonl", "--yes", "--delete-created").want(t, 0)
				if _, there := d.has("prod"); there {
					t.Error("the rollback leaves what the haul created")
				}
			} else {
				tfhaul(t, dir, nil, "rollback", "haul.jsonl", "--yes").want(t, 0)
				if got, _ := d.has("prod"); !bytes.Equal(got, fixtures.Spec{Seed: 5, Serial: 3, Resources: 1}.Bytes()) {
					t.Error("the rollback does not put back the former state")
				}
			}
		})
	}
}
