package command_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// journalsOf are the journals that moves have left in a state directory.
func journalsOf(t *testing.T, state string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(state, "tfhaul", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A move that is killed under the lock leaves a journal that is listed and that frees the
// workspace. One that ends leaves none.
func TestKilledMoveLeavesAJournalOfItsOwn(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	state9 := state(1, 9)
	h.seed(t, "net", state9)
	path := write(t, "terraform.tfstate", state(1, 10))
	home := t.TempDir()
	h.environ = h.with("XDG_STATE_HOME=" + home)
	c := h.spawn(t, "move", path, org+"/net")
	h.Inject(tfesim.Fault{Endpoint: endpointOf(createVersion), Kind: tfesim.FaultHang})
	whileItRan := make(chan run, 1)
	h.on(createVersion, func() {
		whileItRan <- h.tfhaul(t, "unlock", "--json")
		c.signal(t, os.Kill)
	})
	c.start(t)
	c.wait(t, h)
	running := <-whileItRan
	if entries := running.document(t)["journals"].([]any); running.code != 0 || len(entries) != 1 || entries[0].(map[string]any)["running"] != true {
		t.Errorf("while it ran: exit code %d: %s%s", running.code, running.stdout, running.stderr)
	}
	journals := journalsOf(t, home)
	if len(journals) != 1 {
		t.Fatalf("the move left %d journals, want 1", len(journals))
	}
	if runtime.GOOS != "windows" {
		if info, err := os.Stat(journals[0]); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the journal is %v, %v", info.Mode(), err)
		}
		if info, err := os.Stat(filepath.Dir(journals[0])); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("its directory is %v, %v", info.Mode(), err)
		}
	}
	// Another move does not continue from it, and leaves it alone.
	if r := h.tfhaul(t, "move", path, org+"/net"); r.code != 3 || !strings.Contains(r.stdout, "locked") {
		t.Errorf("the next move: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	listed := h.tfhaul(t, "unlock")
	_, printed, ok := strings.Cut(strings.Join(strings.Fields(listed.stdout), " "), "To unlock: tfhaul ")
	printed, dismiss, _ := strings.Cut(printed, ". If the server no longer exists, delete the journal: ")
	if listed.code != 0 || !ok || !strings.HasSuffix(printed, dismiss) || !strings.Contains(listed.stdout, org+"/net") {
		t.Fatalf("exit code %d: %s%s", listed.code, listed.stdout, listed.stderr)
	}
	if _, locked := h.LockHolder(org, "net"); !locked {
		t.Fatal("the list has unlocked something")
	}
	if r := h.tfhaul(t, strings.Fields(printed)...); r.code != 0 || !strings.HasPrefix(r.stdout, "unlocked: ") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustBeFree(t, "net")
	h.mustHold(t, "net", state9)
	if left := journalsOf(t, home); len(left) != 0 {
		t.Errorf("%d journals are left", len(left))
	}
	if r := h.tfhaul(t, "unlock"); r.code != 0 || !strings.Contains(r.stdout, "No move on this machine left a lock behind") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// What a move keeps of itself does not outlive it, however it ends.
func TestMoveThatEndsLeavesNoJournal(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	home := t.TempDir()
	h.environ = h.with("XDG_STATE_HOME=" + home)
	path := write(t, "terraform.tfstate", state(1, 10))
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"moved":   {[]string{"move", path, org + "/net"}, 0},
		"refused": {[]string{"move", path, org + "/missing"}, 3},
		"dry run": {[]string{"move", "--dry-run", path, org + "/net"}, 0},
	} {
		if r := h.tfhaul(t, c.args...); r.code != c.code || strings.Contains(r.stderr, "recorded in") {
			t.Errorf("%s: exit code %d: %s%s", name, r.code, r.stdout, r.stderr)
		}
		if left := journalsOf(t, home); len(left) != 0 {
			t.Errorf("%s: %d journals are left", name, len(left))
		}
	}
}

// A workspace that stays locked keeps the journal, and the haul's ID frees both.
func TestMoveThatLeavesALockKeepsItsJournal(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	home := t.TempDir()
	h.environ = h.with("XDG_STATE_HOME=" + home)
	path := write(t, "terraform.tfstate", state(1, 10))
	fault := tfesim.AnswerError(403, "forbidden", "")
	fault.Endpoint, fault.Times = endpointOf(unlockAction), -1
	h.Inject(fault)
	r := h.tfhaul(t, "move", path, org+"/net", "--json")
	if r.code != 1 || !strings.Contains(r.stderr, "What the move left locked is recorded in") || len(journalsOf(t, home)) != 1 {
		t.Fatalf("exit code %d, %d journals: %s%s", r.code, len(journalsOf(t, home)), r.stdout, r.stderr)
	}
	h.ClearFaults()
	unlock, _ := r.document(t)["unlock_command"].(string)
	if freed := h.tfhaul(t, strings.Fields(unlock)[1:]...); freed.code != 0 || !strings.HasPrefix(freed.stdout, "unlocked: ") {
		t.Errorf("exit code %d: %s%s", freed.code, freed.stdout, freed.stderr)
	}
	h.mustBeFree(t, "net")
	if left := journalsOf(t, home); len(left) != 0 {
		t.Errorf("%d journals are left", len(left))
	}
}

// Where no journal can be kept the move says so once, before it locks, and goes on.
func TestMoveGoesOnWithoutAJournal(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	path := write(t, "terraform.tfstate", state(1, 10))
	blocked := write(t, "a-file", []byte("not a directory"))
	for name, environ := range map[string][]string{
		"no home":     {"XDG_STATE_HOME=", "HOME=", "LocalAppData="},
		"not allowed": {"XDG_STATE_HOME=" + blocked},
	} {
		workspace := strings.ReplaceAll(name, " ", "-")
		h.addWorkspace(t, workspace)
		r := h.tfhaulIn(t, t.Context(), h.with(environ...), nil, "move", path, org+"/"+workspace, "--json")
		if r.code != 0 || strings.Count(r.stderr, "this move is not recorded") != 1 {
			t.Errorf("%s: exit code %d: %s", name, r.code, r.stderr)
		}
		h.mustHold(t, workspace, state(1, 10))
	}
}

// A journal that may fail reports the first failure and then keeps quiet.
func TestJournalThatMayFail(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "move.jsonl")
	failures := 0
	journal, err := migrate.CreateJournal(t.Context(), path, migrate.NewHaulID(), func(error) { failures++ })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrate.CreateJournal(t.Context(), path, migrate.NewHaulID(), nil); err == nil {
		t.Error("a journal was created over another")
	}
	if err := journal.Close(); err != nil { // so that nothing can be written
		t.Fatal(err)
	}
	for range 2 {
		if err := journal.Append(migrate.Event{Event: migrate.EventLocking}); err != nil {
			t.Errorf("the failure is returned: %v", err)
		}
	}
	if failures != 1 {
		t.Errorf("%d failures were reported, want 1", failures)
	}
}

// A state directory that cannot be listed is not taken for an empty one.
func TestLeftLocksOfAnUnreadableDirectory(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	home := t.TempDir()
	writeFile(t, filepath.Join(home, "tfhaul"), []byte("a file where the directory should be"))
	h.environ = h.with("XDG_STATE_HOME=" + home)
	if r := h.tfhaul(t, "unlock"); r.code != 4 || !strings.Contains(r.stderr, "Name a journal: tfhaul unlock JOURNAL") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
