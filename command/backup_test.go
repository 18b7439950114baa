package command_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// A workspace that was deleted comes back from a backup with the same bytes and with the
// settings that --create can set.
func TestBackupBringsWorkspacesBack(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.ask(t, "POST", "organizations/"+org+"/projects", `{"data":{"type":"projects","attributes":{"name":"core"}}}`)
	raw := state(7, 10)
	path := write(t, "terraform.tfstate", raw)
	if r := h.tfhaul(t, "move", path, org+"/network", "--create", "--project", "core", "--execution-mode", "local", "--terraform-version", "1.9.8", "--tag", "team:core"); r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	dir := filepath.Join(t.TempDir(), "backup")
	r := h.tfhaul(t, "backup", "tfe://"+org, dir, "--json")
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	var report struct {
		Format  string
		Summary map[string]int
		States  []struct{ Name, Outcome string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || report.Format != "tfhaul/1" || report.Summary["stored"] != 1 || report.States[0].Name != "network" {
		t.Fatalf("%v: %s", err, r.stdout)
	}

	h.deleteWorkspace(t, "network")
	r = h.tfhaul(t, "migrate", dir, "--target", org, "--create", "--yes", "--journal", filepath.Join(t.TempDir(), "j.jsonl"))
	if r.code != 0 {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustHold(t, "network", raw)
	got := h.ask(t, "GET", "organizations/"+org+"/workspaces/network?include=project", "")
	for _, part := range []string{`"execution-mode":"local"`, `"terraform-version":"1.9.8"`, `"team:core"`, `"name":"core"`} {
		if !strings.Contains(got, part) {
			t.Errorf("the restored workspace lacks %s", part)
		}
	}
}

// A copy that is missing, or is not the one that was made, is not passed over silently.
func TestDamagedCopiesAreNoticed(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.seed(t, "network", state(5, 1))
	h.seed(t, "app", state(6, 1))
	dir := filepath.Join(t.TempDir(), "backup")
	if r := h.tfhaul(t, "backup", "tfe://"+org, dir); r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	copies, err := filepath.Glob(filepath.Join(dir, "network", "*.tfstate"))
	if err != nil || len(copies) != 1 {
		t.Fatal(copies, err)
	}
	restore := func() run {
		return h.tfhaul(t, "migrate", dir, "--target", "other", "--create", "--yes", "--journal", filepath.Join(t.TempDir(), "j.jsonl"))
	}
	if err := os.WriteFile(copies[0], state(5, 7), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := restore(); r.code != 1 || !strings.Contains(r.stdout, "is not the copy that was made") {
		t.Errorf("other bytes: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if err := os.Remove(copies[0]); err != nil {
		t.Fatal(err)
	}
	if r := restore(); r.code != 1 || !strings.Contains(r.stdout+r.stderr, "is missing, although the index") {
		t.Errorf("no copy: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestABackupDoesNotCopyItself(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	source := filepath.Join(t.TempDir(), "source")
	writeTo(t, filepath.Join(source, "network", "terraform.tfstate"), state(5, 1))
	for n, want := range []string{"1 stored", "1 unchanged", "1 unchanged"} {
		r := h.tfhaul(t, "backup", source, filepath.Join(source, "backup"))
		if r.code != 0 || !strings.Contains(r.stdout, "1 state: "+want) {
			t.Errorf("backup %d: exit code %d, want %s: %s%s", n, r.code, want, r.stdout, r.stderr)
		}
	}
	if r := h.tfhaul(t, "backup", source, source+"/"); r.code != 4 || !strings.Contains(r.stderr, "is the source itself") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if _, err := os.Stat(filepath.Join(source, "tfhaul-backup.json")); err == nil {
		t.Error("an index was written into the source")
	}
}

func TestABackupBelowAnotherKeepsItsStates(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := t.TempDir()
	for i, below := range []string{"", "a", "zz"} {
		h.seed(t, "of-"+string(rune('x'+i)), state(5, int64(i+1)))
		if r := h.tfhaul(t, "backup", "tfe://"+org+"/of-"+string(rune('x'+i)), filepath.Join(dir, below)); r.code != 0 {
			t.Fatalf("exit code %d: %s", r.code, r.stderr)
		}
	}
	r := h.tfhaul(t, "plan", dir, "--target", "other", "--create", "--json")
	for _, name := range []string{"/other/of-x", "/other/of-y", "/other/of-z"} {
		if !strings.Contains(r.stdout, name) {
			t.Errorf("the plan lacks %s: %s%s", name, r.stdout, r.stderr)
		}
	}
}

// A search of a backup takes the newest version of each state, also beside other states.
func TestOnlyNewestVersionsOfABackupAreTaken(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := t.TempDir()
	for serial := range int64(3) {
		h.seed(t, "network", state(5, serial+1))
		if r := h.tfhaul(t, "backup", "tfe://"+org, filepath.Join(dir, "backup")); r.code != 0 {
			t.Fatalf("exit code %d: %s", r.code, r.stderr)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "app.tfstate"), state(1, 20), 0o600); err != nil {
		t.Fatal(err)
	}
	r := h.tfhaul(t, "plan", dir, "--target", "other", "--create", "--json")
	var plan struct {
		Moves []struct {
			Target   string
			Snapshot struct{ Serial int }
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &plan); err != nil || len(plan.Moves) != 2 {
		t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	for _, m := range plan.Moves {
		if strings.HasSuffix(m.Target, "/other/network") && m.Snapshot.Serial != 3 {
			t.Errorf("serial %d of network is planned, want 3", m.Snapshot.Serial)
		}
		if !strings.HasSuffix(m.Target, "/other/network") && !strings.Contains(m.Target, "app") {
			t.Errorf("planned for %s", m.Target)
		}
	}
}

func TestBackupExitCodes(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.seed(t, "network", state(1, 10))
	dir := t.TempDir()
	for _, args := range [][]string{
		{"backup"}, {"backup", "tfe://" + org}, {"backup", "-", dir}, {"backup", "tfe://" + org, org}, {"backup", "tfe://" + org, dir, "--history", "0"},
		{"backup", "tfe://" + org, dir, "--history", "some"}, {"backup", "tfe://" + org, dir, "--history", "all", "--keep", "3"},
		{"backup", "tfe://" + org, dir, "--keep", "-1"}, {"backup", "tfe://" + org, dir, "--parallelism", "0"}, {"backup", "tfe://" + org, dir, "--include", "["},
	} {
		if r := h.tfhaul(t, args...); r.code != 4 || r.stderr == "" {
			t.Errorf("%q: exit code %d, want 4: %s", args, r.code, r.stderr)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("usage errors left %v, %v", files, err)
	}
	if r := h.tfhaul(t, "backup", "tfe://"+org, dir, "--dry-run"); r.code != 0 || !strings.Contains(r.stdout, "1 to store") {
		t.Errorf("dry run: exit code %d: %s", r.code, r.stdout)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("a dry run wrote %v, %v", files, err)
	}
	h.Inject(tfesim.Fault{Endpoint: "GET /_archivist/v1/object/:token", Times: -1, Status: 500})
	if r := h.tfhaul(t, "backup", "tfe://"+org, dir); r.code != 1 || !strings.Contains(r.stdout, "network") {
		t.Errorf("a state that cannot be read: exit code %d: %s", r.code, r.stdout)
	}
}

// --include and --exclude match the names of the workspaces in a backup, and paths beside it.
func TestSomeWorkspacesComeBack(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := t.TempDir()
	for i, name := range []string{"net-a", "net-b", "app"} {
		h.seed(t, name, state(uint64(i), 3))
	}
	if r := h.tfhaul(t, "backup", "tfe://"+org, filepath.Join(dir, "backup")); r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	for i, name := range []string{"net-c.tfstate", "other.tfstate"} {
		if err := os.WriteFile(filepath.Join(dir, name), state(uint64(10+i), 20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	planned := func(code int, args ...string) []string {
		t.Helper()
		r := h.tfhaul(t, append([]string{"plan", "--target", "other", "--create", "--json"}, args...)...)
		var plan struct{ Moves []struct{ Target string } }
		if err := json.Unmarshal([]byte(r.stdout), &plan); code != r.code || code == 0 && err != nil {
			t.Errorf("%q: exit code %d, %v: %s%s", args, r.code, err, r.stdout, r.stderr)
		}
		var names []string
		for _, m := range plan.Moves {
			names = append(names, m.Target[strings.LastIndexByte(m.Target, '/')+1:])
		}
		slices.Sort(names)
		return names
	}
	backup := filepath.Join(dir, "backup")
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{backup, "--include", "net-*"}, []string{"net-a", "net-b"}},
		{[]string{backup, "--include", "net-*", "--exclude", "*-b"}, []string{"net-a"}},
		{[]string{backup, "--exclude", "app"}, []string{"net-a", "net-b"}},
		{[]string{dir, "--include", "net-*"}, []string{"net-a", "net-b", "net-c"}},
		{[]string{dir, "--exclude", "net-*"}, []string{"app", "other"}},
		{[]string{dir, "--exclude", "backup"}, []string{"net-c", "other"}},
	} {
		var got []string
		for _, name := range planned(0, tt.args...) {
			got = append(got, strings.TrimPrefix(name, filepath.Base(dir)+"-"))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q plans %q, want %q", tt.args, got, tt.want)
		}
	}
	planned(4, backup, "--include", "nte-*")
	// A missing copy matters only if its workspace is selected.
	copies, err := filepath.Glob(filepath.Join(backup, "app", "*.tfstate"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("%v, %v", copies, err)
	}
	if err := os.Remove(copies[0]); err != nil {
		t.Fatal(err)
	}
	planned(0, backup, "--include", "net-*")
	planned(1, backup, "--include", "*")
}
