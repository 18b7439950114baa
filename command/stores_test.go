package command_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/memory"
	"tfhaul/command"
	"tfhaul/tfesim"
)

// A store is a target with keys, and a server of workspaces.
type store struct {
	*host
	*memory.Store
}

func startStore(t *testing.T) *store {
	return &store{start(t, tfesim.Options{}), memory.New()}
}

// tfhaul runs the program with the store among its kinds of backends.
func (s *store) tfhaul(t *testing.T, args ...string) run {
	t.Helper()
	return s.tfhaulIn(t, t.Context(), args...)
}

func (s *store) tfhaulIn(t *testing.T, ctx context.Context, args ...string) run {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := command.RunWith(ctx, s.Kind(), append([]string{"tfhaul"}, args...), strings.NewReader(""), &stdout, &stderr, s.environ)
	r := run{code, stdout.String(), stderr.String()}
	s.mustNotShow(t, r)
	return r.mustBeValid(t, args)
}

// holds returns what the store holds for a key; nil for nothing.
func (s *store) holds(t *testing.T, key string) []byte {
	t.Helper()
	target := s.Target("")
	standing, err := target.Look(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if standing.Locked {
		t.Errorf("%s is locked: %s", key, standing.Holder.Reason)
	}
	v, err := target.Current(t.Context(), standing)
	if err != nil || v == nil {
		return nil
	}
	return readAll(t, target, v)
}

func readAll(t *testing.T, target backend.Target, v *backend.Version) []byte {
	t.Helper()
	body, err := target.Read(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (s *store) mustHoldAt(t *testing.T, key string, want []byte) {
	t.Helper()
	if got := s.holds(t, key); !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes, want %d", key, len(got), len(want))
	}
}

// noWorkspaces fails the test if a message about a store speaks of workspaces.
func noWorkspaces(t *testing.T, r run) {
	t.Helper()
	for _, word := range []string{"orkspace", "tate version", "oken"} {
		for line := range strings.Lines(r.stdout + r.stderr) {
			if strings.Contains(line, word) {
				t.Errorf("it speaks of a %s: %s", word, line)
			}
		}
	}
}

func TestMoveIntoAStore(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	older, newer, foreign := state(1, 4), state(1, 5), state(2, 9)
	for _, step := range []struct {
		args  []string
		exit  int
		want  string
		holds []byte
	}{
		{[]string{"move", "--dry-run", "SRC", "memory://live/net.tfstate"}, 0, "holds no state", nil},
		{[]string{"move", "SRC", "memory://live/net.tfstate"}, 0, "current state", older},
		{[]string{"verify", "SRC", "memory://live/net.tfstate"}, 0, "identical", older},
		{[]string{"move", "SRC", "memory://live/net.tfstate"}, 0, "already holds", older},
		{[]string{"move", "NEW", "memory://live/net.tfstate"}, 0, "moved", newer},
		{[]string{"move", "SRC", "memory://live/net.tfstate"}, 3, "--replace net.tfstate", newer},
		{[]string{"move", "ALIEN", "memory://live/net.tfstate"}, 3, "--replace net.tfstate", newer},
		{[]string{"move", "ALIEN", "memory://live/net.tfstate", "--replace", "other.tfstate"}, 4, "but the target is", newer},
		{[]string{"move", "ALIEN", "memory://live/net.tfstate", "--replace", "net.tfstate", "--backup-dir", t.TempDir()}, 0, "moved", foreign},
		{[]string{"move", "SRC", "memory://live/net.tfstate", "--replace", "memory://live/net.tfstate", "--backup-dir", t.TempDir()}, 0, "moved", older},
	} {
		paths := map[string]string{"SRC": write(t, "a.tfstate", older), "NEW": write(t, "a.tfstate", newer), "ALIEN": write(t, "a.tfstate", foreign)}
		args := make([]string, len(step.args))
		for i, a := range step.args {
			if args[i] = a; paths[a] != "" {
				args[i] = paths[a]
			}
		}
		r := s.tfhaul(t, args...)
		r.says(t, step.exit, step.want)
		noWorkspaces(t, r)
		s.mustHoldAt(t, "live/net.tfstate", step.holds)
	}
}

// The paths below the source are those below the target, whichever way the state goes.
func TestHaulsBetweenStores(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	net, prod := state(1, 4), state(2, 5)
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": net, "net/terraform.tfstate.d/prod/terraform.tfstate": prod})
	journal := journalIn(t)
	r := s.tfhaul(t, "migrate", dir, "--target", "memory://live/", "--journal", journal, "--yes")
	r.says(t, 0, "2 moved")
	noWorkspaces(t, r)
	s.mustHoldAt(t, "live/net/terraform.tfstate", net)
	s.mustHoldAt(t, "live/env:/prod/net/terraform.tfstate", prod)

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"verify", journal}, "identical"},
		{[]string{"report", journal}, "2 moved"},
		{[]string{"unlock", journal}, "Nothing in"},
		{[]string{"migrate", dir, "--target", "memory://live/", "--journal", journal, "--yes"}, "moved by an earlier run"},
	} {
		r := s.tfhaul(t, c.args...)
		r.says(t, 0, c.want)
		noWorkspaces(t, r)
	}

	r = s.tfhaul(t, "migrate", "memory://live/", "--target", "memory://copy/", "--journal", journalIn(t), "--yes", "--json")
	r.says(t, 0, "memory://copy/net/terraform.tfstate")
	s.mustHoldAt(t, "copy/net/terraform.tfstate", net)
	r = s.tfhaul(t, "migrate", "memory://live/", "--target", "memory://live/", "--journal", journalIn(t), "--yes")
	r.says(t, 4, "the same")
	r = s.tfhaul(t, "move", "memory://live/net/terraform.tfstate", "memory://live/net/terraform.tfstate")
	r.says(t, 4, "the same")
}

func TestKeyNames(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	dir := tree(t, map[string][]byte{"live/a/terraform.tfstate": state(1, 1), "live/b/terraform.tfstate": state(2, 1)})
	for _, c := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"--target", "memory://x/", "--key-name", "{{ .Dir | trimPrefix \"live/\" }}.tfstate"}, 0, "a.tfstate  fresh"},
		{[]string{"--target", "memory://x/", "--key-name", "one.tfstate"}, 3, "--key-name"},
		{[]string{"--target", "memory://x/", "--key-name", "{{ .Nothing }}"}, 4, "no field .Nothing"},
		{[]string{"--target", "memory://x/", "--workspace-name", "a"}, 4, "use --key-name"},
		{[]string{"--target", "memory://x/", "--create"}, 4, "leave it out"},
		{[]string{"--target", org, "--key-name", "a"}, 4, "use --workspace-name"},
		{[]string{"--target", "memory://x"}, 4, "names one state"},
		{[]string{"--target", "gcs://x/"}, 4, "cannot write state to gcs://"},
		{[]string{"--target", "memory://x/", "--replace", "live/c/terraform.tfstate"}, 4, "no move goes there"},
	} {
		r := s.tfhaul(t, append([]string{"plan", dir}, c.args...)...)
		r.says(t, c.exit, c.want)
	}
}

// A manifest and a map name keys.
func TestManifestsAndMapsOfStores(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	a := state(1, 1)
	dir := tree(t, map[string][]byte{"a/terraform.tfstate": a})
	manifest := filepath.Join(t.TempDir(), "haul.hcl")
	s.tfhaul(t, "plan", dir, "--target", "memory://m/", "--out", manifest).says(t, 0, "1 planned")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`address = "memory://m/"`, `key `, `"a/terraform.tfstate"`} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the manifest has no %s:\n%s", line, text)
		}
	}
	s.tfhaul(t, "migrate", manifest, "--journal", journalIn(t), "--yes").says(t, 0, "1 moved")
	s.mustHoldAt(t, "m/a/terraform.tfstate", a)

	table := write(t, "names.csv", []byte("source,key\n"+dir+"/a/terraform.tfstate,by/map.tfstate\n"))
	s.tfhaul(t, "migrate", dir, "--map", table, "--target", "memory://m/", "--journal", journalIn(t), "--yes").says(t, 0, "1 moved")
	s.mustHoldAt(t, "m/by/map.tfstate", a)
	for from, to := range map[string]string{"key ": "workspace", `address = "memory://m/"`: "hostname = \"app.terraform.io\"\n organization = \"acme\""} {
		wrong := write(t, "wrong.hcl", bytes.Replace(text, []byte(from), []byte(to+" "), 1))
		s.tfhaul(t, "migrate", wrong, "--journal", journalIn(t), "--yes").says(t, 4, "wrong.hcl: the move of")
	}
}

// A rehearsal reads the store and changes nothing there.
func TestRehearseIntoAStore(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	older, foreign := state(1, 4), state(3, 9)
	s.Put("live/a/terraform.tfstate", older)
	s.Put("live/c/terraform.tfstate", foreign)
	dir := tree(t, map[string][]byte{"a/terraform.tfstate": state(1, 5), "b/terraform.tfstate": state(2, 1), "c/terraform.tfstate": state(4, 1)})
	r := s.tfhaul(t, "rehearse", dir, "--target", "memory://live/", "--json")
	r.want(t, 3, "2 planned, 1 refused")
	r.says(t, 3, `"target": "memory://live/b/terraform.tfstate"`)
	noWorkspaces(t, s.tfhaul(t, "rehearse", dir, "--target", "memory://live/"))
	s.mustHoldAt(t, "live/a/terraform.tfstate", older)
	s.mustHoldAt(t, "live/b/terraform.tfstate", nil)
	s.tfhaul(t, "rehearse", dir, "--target", "memory://live/", "--rate", "3").says(t, 4, "leave it out")
}

func TestHistoryOfAStore(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	s.Put("net.tfstate", state(1, 4))
	s.Put("net.tfstate", state(1, 5))
	r := s.tfhaul(t, "history", "memory://net.tfstate")
	r.says(t, 0, "* ")
	noWorkspaces(t, r)
	s.tfhaul(t, "history", "memory://net.tfstate", "--limit", "1", "--json").says(t, 0, `"serial": null`)
	s.tfhaul(t, "history", "memory://").says(t, 4, "does not name a state")
}

// A settings file may be another user's, so it sends no state to a store.
func TestASettingsFileNamesNoStore(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	settings := write(t, ".tfhaul.hcl", []byte(`target = "memory://theirs/"`))
	dir := tree(t, map[string][]byte{"a/terraform.tfstate": state(1, 5)})
	s.environ = append(s.environ, "TFHAUL_CONFIG="+settings)
	s.tfhaul(t, "migrate", dir, "--yes", "--journal", journalIn(t)).says(t, 4, "use --target")
	s.tfhaul(t, "migrate", dir, "--yes", "--journal", journalIn(t), "--target", "memory://ours/").says(t, 0, "1 moved")
	s.mustHoldAt(t, "theirs/a/terraform.tfstate", nil)
}

// says fails the test unless the run ended with the exit code and printed the text.
func (r run) says(t *testing.T, exit int, text string) {
	t.Helper()
	if r.code != exit || !strings.Contains(r.stdout+r.stderr, text) {
		t.Errorf("exit code %d, want %d and %q\n%s%s", r.code, exit, text, r.stdout, r.stderr)
	}
}

// A file is overwritten only after its state is in the backup directory.
func TestMoveFileToFile(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	older, newer, foreign := state(1, 4), state(1, 5), state(2, 9)
	dir, backups := t.TempDir(), t.TempDir()
	target := filepath.Join(dir, "net", "terraform.tfstate")
	for _, step := range []struct {
		raw   []byte
		flags []string
		exit  int
		want  string
		holds []byte
	}{
		{older, []string{"--dry-run"}, 0, "holds no state", nil},
		{older, nil, 0, "is the file's current state", older},
		{newer, nil, 0, "moved", newer},
		{older, nil, 3, "--replace terraform.tfstate", newer},
		{foreign, []string{"--replace", target}, 0, "moved", foreign},
	} {
		src := write(t, "a.tfstate", step.raw)
		r := s.tfhaul(t, append([]string{"move", src, target, "--backup-dir", backups}, step.flags...)...)
		r.says(t, step.exit, step.want)
		noWorkspaces(t, r)
		got, _ := os.ReadFile(target)
		if step.holds != nil && !bytes.Equal(got, step.holds) {
			t.Errorf("it holds %d bytes, want %d", len(got), len(step.holds))
		}
	}
	kept := map[string]bool{}
	_ = filepath.WalkDir(backups, func(path string, _ os.DirEntry, _ error) error {
		text, _ := os.ReadFile(path)
		kept[string(text)] = true
		return nil
	})
	if !kept[string(older)] || !kept[string(newer)] {
		t.Error("what was overwritten is not in the backup directory")
	}
}

// unlock frees what a haul left in a store, and nothing else.
func TestUnlockAStore(t *testing.T) {
	t.Parallel()
	const haul, other = "20260102-150405-0123456789ab", "20260102-150405-ba9876543210"
	for _, byJournal := range []bool{true, false} {
		s := startStore(t)
		s.lockFor(t, "live/net.tfstate", haul)
		s.lockFor(t, "live/theirs.tfstate", other)
		if byJournal {
			journal := write(t, "haul.jsonl", []byte(`{"time":"2026-01-02T15:04:05Z","event":"haul","format":"tfhaul-journal/1","haul":"`+haul+`"}
{"time":"2026-01-02T15:04:06Z","event":"locked","haul":"`+haul+`","source":"a.tfstate","target":"memory://live/net.tfstate","workspace_id":"live/net.tfstate"}
`))
			r := s.tfhaul(t, "unlock", journal)
			r.says(t, 0, "The entry is unlocked.")
			noWorkspaces(t, r)
		} else {
			s.tfhaul(t, "unlock", "memory://live/theirs.tfstate", "--haul", haul).says(t, 3, "tfhaul unlock memory://live/theirs.tfstate --haul "+other)
			s.tfhaul(t, "unlock", "memory://live/net.tfstate", "--haul", haul).says(t, 0, "unlocked")
		}
		s.mustHoldAt(t, "live/net.tfstate", nil) // and is unlocked
	}
}

// lockFor locks a key as a haul does.
func (s *store) lockFor(t *testing.T, key, haul string) {
	t.Helper()
	target := s.Target("")
	standing, err := target.Look(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	w := target.Writer(standing, backend.WriterOptions{Reason: "tfhaul moves a state here (haul " + haul + ")"})
	if err := w.Lock(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// Workspaces go out of an organization, into a store, files, and another organization.
func TestWorkspacesGoOut(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	net, dns := state(1, 4), state(2, 7)
	for workspace, raw := range map[string][]byte{"net-prod": net, "default": dns} {
		s.addWorkspace(t, workspace)
		s.seed(t, workspace, raw)
	}
	s.addWorkspace(t, "empty")
	dir := t.TempDir()

	journal := journalIn(t)
	s.tfhaul(t, "migrate", "tfe://"+org, "--target", dir+"/", "--journal", journal, "--yes").says(t, 0, "2 moved")
	for name, want := range map[string][]byte{"net-prod": net, "default": dns} {
		if got, err := os.ReadFile(filepath.Join(dir, name, "terraform.tfstate")); !bytes.Equal(got, want) {
			t.Errorf("%s: the file holds %d bytes, want %d (%v)", name, len(got), len(want), err)
		}
	}
	s.tfhaul(t, "verify", journal).says(t, 0, "identical")
	s.tfhaul(t, "migrate", "tfe://"+org, "--target", dir+"/", "--journal", journal, "--yes").says(t, 0, "moved by an earlier run")

	s.tfhaul(t, "migrate", "tfe://"+org, "--target", "memory://out/", "--key-name", "{{ .Organization }}/{{ .Workspace }}.tfstate", "--journal", journalIn(t), "--yes").says(t, 0, "2 moved")
	s.mustHoldAt(t, "out/"+org+"/net-prod.tfstate", net)

	s.tfhaul(t, "migrate", "tfe://"+org, "--target", "other", "--create", "--journal", journalIn(t), "--yes").says(t, 0, "2 moved")
	for workspace, want := range map[string][]byte{"net-prod": net, "default": dns} {
		if got, _, _ := s.Current("other", workspace); !bytes.Equal(got, want) {
			t.Errorf("other/%s holds %d bytes, want %d", workspace, len(got), len(want))
		}
	}
	s.tfhaul(t, "move", "tfe://"+org+"/net-prod", org+"/net-prod").says(t, 4, "the same")
	s.tfhaul(t, "migrate", "tfe://"+org, "--target", org, "--yes", "--journal", journalIn(t)).says(t, 4, "the same")
	s.tfhaul(t, "move", "tfe://"+org+"/net-prod", filepath.Join(dir, "one.tfstate")).says(t, 0, "moved")
}
