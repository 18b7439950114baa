package command_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tfhaul/command"
	"tfhaul/tfesim"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	snapshot := state(1, 10)
	for _, test := range []struct {
		name          string
		held          []byte
		exit          int
		outcome, code string
		says          string
	}{
		{name: "the-same", held: snapshot, outcome: "already-there", says: "the same: "},
		{name: "nothing", exit: 3, outcome: "refused", code: "absent", says: "not the same (absent): "},
		{name: "older", held: state(1, 9), exit: 3, outcome: "refused", code: "outdated", says: "not the same (outdated): "},
		{name: "newer", held: state(1, 11), exit: 3, outcome: "refused", code: "stale", says: "not the same (stale): "},
		{name: "another", held: state(2, 10), exit: 3, outcome: "refused", code: "unrelated", says: "not the same (unrelated): "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h.addWorkspace(t, test.name)
			if test.held != nil {
				h.seed(t, test.name, test.held)
			}
			// It takes no lock, so another user's lock does not matter.
			if err := h.Lock(org, test.name, tfesim.SecondUser, "apply"); err != nil {
				t.Fatal(err)
			}
			path := write(t, "terraform.tfstate", snapshot)
			r := h.tfhaulIn(t, t.Context(), h.with("TFE_TOKEN="+h.Token(tfesim.ReadOnly)), nil, "verify", path, org+"/"+test.name, "--json")
			document := r.document(t)
			summary, _ := document["summary"].(map[string]any)
			moves, _ := document["moves"].([]any)
			if r.code != test.exit || len(moves) != 1 || summary[test.outcome] != 1.0 {
				t.Fatalf("exit code %d, want %d: %s%s", r.code, test.exit, r.stdout, r.stderr)
			}
			if move := moves[0].(map[string]any); move["outcome"] != test.outcome || move["code"] != test.code || move["source"] != path {
				t.Errorf("the move is %v", move)
			}
			h.mustHold(t, test.name, test.held)
			if text := h.tfhaul(t, "verify", path, org+"/"+test.name); text.code != test.exit || !strings.HasPrefix(text.stdout, test.says) {
				t.Errorf("exit code %d: %s", text.code, text.stdout)
			}
		})
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	for serial := range int64(120) { // more than a page
		h.seed(t, "net", state(1, serial+1))
	}
	r := h.tfhaul(t, "history", org+"/net", "--json", "--limit=0")
	var document struct {
		Target   string
		Versions []struct {
			ID, Status string
			Serial     int64
			Size       int64
			Current    bool
		} `json:"state_versions"`
		More bool
	}
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil || r.code != 0 {
		t.Fatalf("exit code %d, %v: %s", r.code, err, r.stderr)
	}
	versions := h.Versions(org, "net")
	if len(document.Versions) != len(versions) || document.More {
		t.Fatalf("%d state versions and more: %v, the server has %d", len(document.Versions), document.More, len(versions))
	}
	for i, v := range document.Versions {
		held := versions[len(versions)-1-i]
		if v.ID != held.ID || v.Serial != held.Serial || v.Size != held.Size || v.Current != held.Current {
			t.Errorf("number %d is %+v, the server has %+v", i, v, held)
		}
	}
	if _, ok := r.document(t)["more"]; !ok {
		t.Error("the document does not say whether there are more")
	}

	few := h.tfhaul(t, "history", org+"/net", "--limit", "3", "--json").document(t)
	if list, _ := few["state_versions"].([]any); len(list) != 3 || few["more"] != true {
		t.Errorf("--limit 3 gives %d, more: %v", len(list), few["more"])
	}
	text := h.tfhaul(t, "history", org+"/net")
	lines := strings.Split(text.stdout, "\n")
	if text.code != 0 || len(lines) != 23 || !strings.HasPrefix(lines[1], "*     120  "+versions[119].ID) {
		t.Errorf("exit code %d, %d lines: %s", text.code, len(lines), text.stdout)
	}

	h.addWorkspace(t, "new")
	if r := h.tfhaul(t, "history", org+"/new"); r.code != 0 || !strings.Contains(r.stdout, "has no state version") {
		t.Errorf("of a new workspace: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := h.tfhaul(t, "history", org+"/none", "--json"); r.code != 1 || r.stdout != "" || !strings.HasPrefix(r.stderr, "tfhaul: ") {
		t.Errorf("of no workspace: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// unproven makes a move of which nobody knows whether it arrived, so that the
// workspace stays locked; it returns the document.
func unproven(t *testing.T, h *host, workspace string, more ...string) map[string]any {
	t.Helper()
	h.addWorkspace(t, workspace)
	// The state is stored, and what the server gives back of it is not the state.
	h.Inject(tfesim.Fault{Endpoint: "GET /_archivist/v1/object/:token", Times: -1, Kind: tfesim.FaultAnswer, Status: 200, Body: "{}"})
	path := write(t, "terraform.tfstate", state(1, 10))
	r := h.tfhaul(t, append([]string{"move", path, org + "/" + workspace, "--json"}, more...)...)
	h.ClearFaults()
	document := r.document(t)
	if r.code != 1 || document["code"] != "unproven" {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	return document
}

func TestUnlockFreesWhatAMoveLeftLocked(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	document := unproven(t, h, "net")
	if document["locked"] != true {
		t.Fatalf("it is not locked: %v", document)
	}
	command, _ := document["unlock_command"].(string)
	words := strings.Fields(command)
	if len(words) != 5 || words[0] != "tfhaul" {
		t.Fatalf("the unlock command is %q", command)
	}

	other := h.tfhaul(t, "unlock", org+"/net", "--haul", "20260101-000000-000000000000", "--json")
	if d := other.document(t); other.code != 3 || d["summary"].(map[string]any)["not-ours"] != 1.0 {
		t.Errorf("of another haul: exit code %d: %s", other.code, other.stdout)
	}
	if _, locked := h.LockHolder(org, "net"); !locked {
		t.Fatal("another haul unlocked it")
	}
	if r := h.tfhaul(t, words[1:]...); r.code != 0 || !strings.HasPrefix(r.stdout, "unlocked: ") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustBeFree(t, "net")
	if r := h.tfhaul(t, words[1:]...); r.code != 0 || !strings.HasPrefix(r.stdout, "not locked: ") {
		t.Errorf("again: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustHold(t, "net", state(1, 10))
}

func TestMoveUnlocksAfterAFailureWhenToldTo(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	if document := unproven(t, h, "net", "--on-failure=unlock"); document["locked"] != false {
		t.Errorf("locked is %v", document["locked"])
	}
	h.mustBeFree(t, "net")
}

func TestUnlockReadsTheJournal(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	journal := filepath.Join(t.TempDir(), "haul.jsonl")
	unproven(t, h, "one", "--journal", journal)
	h.addWorkspace(t, "two")
	path := write(t, "terraform.tfstate", state(2, 1))
	if r := h.tfhaul(t, "move", path, org+"/two", "--journal", journal); r.code != 0 {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	// The haul no longer holds "two": this lock belongs to another user.
	if err := h.Lock(org, "two", tfesim.Owner, "mine"); err != nil {
		t.Fatal(err)
	}
	r := h.tfhaul(t, "unlock", journal, "--json")
	document := r.document(t)
	if list, _ := document["workspaces"].([]any); r.code != 0 || len(list) != 1 || document["summary"].(map[string]any)["freed"] != 1.0 {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustBeFree(t, "one")
	if locked := h.Locked(org); len(locked) != 1 {
		t.Errorf("locked are %q", locked)
	}
	if r := h.tfhaul(t, "unlock", journal); r.code != 0 || !strings.Contains(r.stdout, "Nothing in this journal is still locked.") {
		t.Errorf("again: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestUnlockNothingAttempted(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	for name, args := range map[string][]string{
		"no journal":      {filepath.Join(t.TempDir(), "none.jsonl")},
		"an empty file":   {write(t, "empty.jsonl", nil)},
		"another file":    {write(t, "terraform.tfstate", state(1, 1))},
		"a directory":     {t.TempDir()},
		"no target":       {"--haul", "20260101-000000-000000000000"},
		"not a workspace": {"acme", "--haul", "20260101-000000-000000000000"},
		"not a haul's ID": {org + "/net", "--haul", "xyz"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := h.tfhaul(t, append([]string{"unlock"}, args...)...); r.code != 4 || r.stdout != "" || !strings.HasPrefix(r.stderr, "tfhaul: ") {
				t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
	if len(h.Requests()) != 0 {
		t.Errorf("the server was asked: %v", h.Requests())
	}
}

// serve runs a command that serves until its context ends, and returns the lines
// of its stdout, and a function that ends it and returns its exit code.
func serve(t *testing.T, args ...string) (lines *bufio.Scanner, end func() (code int, stderr string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	read, write := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- command.Run(ctx, nil, append([]string{"tfhaul"}, args...), nil, write, &stderr, nil)
		_ = write.Close() // it never fails
	}()
	return bufio.NewScanner(read), func() (int, string) {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, read) }()
		return <-code, stderr.String()
	}
}

func TestSimServesUntilItIsEnded(t *testing.T) {
	t.Parallel()
	envFile := filepath.Join(t.TempDir(), "sim.env")
	lines, end := serve(t, "sim", "--org=acme", "--org", "other", "--env-file", envFile)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "https://127.0.0.1:") {
		t.Fatalf("the first line is %q", lines.Text())
	}
	// The address is printed when the file is there.
	environ := readEnvFile(t, envFile)
	if info, err := os.Stat(envFile); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of the env file: %v, %v", info.Mode(), err)
	}
	path := write(t, "terraform.tfstate", state(1, 10))
	var out bytes.Buffer
	if code := command.Run(t.Context(), nil, []string{"tfhaul", "move", path, "other/net", "--create"}, nil, &out, &out, environ); code != 0 {
		t.Errorf("exit code %d: %s", code, &out)
	}
	if code, stderr := end(); code != 0 || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if left, err := filepath.Glob(envFile + "*"); err != nil || len(left) != 0 {
		t.Errorf("files are left: %q, %v", left, err)
	}
}

func TestSimRefusesWhatOthersCouldReach(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--listen", "0.0.0.0:0"}, {"--listen=:8443"}, {"--listen=8443"}, {"--personality=aws"}, {"--rate=-1"}, {"extra"}} {
		var stdout, stderr bytes.Buffer
		if code := command.Run(t.Context(), nil, append([]string{"tfhaul", "sim"}, args...), nil, &stdout, &stderr, nil); code != 4 || stdout.Len() != 0 {
			t.Errorf("%q: exit code %d: %s%s", args, code, &stdout, &stderr)
		}
	}
}

// TestDemo must not run beside others: it looks at what is left in the directory
// for temporary files.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	var stdout, stderr bytes.Buffer
	if code := command.Run(t.Context(), nil, []string{"tfhaul", "demo"}, nil, &stdout, &stderr, nil); code != 0 || stderr.Len() != 0 {
		t.Fatalf("exit code %d: %s%s", code, &stdout, &stderr)
	}
	for _, want := range []string{"moved (5)", "already there (1)", "refused (3)", "stale", "unrelated", "encrypted", "tfhaul demo --keep"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &stdout)
		}
	}
	if strings.Contains(stdout.String(), dir) {
		t.Errorf("it shows where its files were:\n%s", &stdout)
	}
	(&host{Server: mustNew(t)}).mustNotShow(t, run{stdout: stdout.String()})

	lines, end := serve(t, "demo", "--keep")
	envFile := ""
	for lines.Scan() && !strings.Contains(lines.Text(), "curl") {
		if file, ok := strings.CutPrefix(lines.Text(), "  . "); ok {
			envFile = file
		}
	}
	environ := readEnvFile(t, envFile)
	var out bytes.Buffer
	if code := command.Run(t.Context(), nil, []string{"tfhaul", "history", "demo/network"}, nil, &out, &out, environ); code != 0 {
		t.Errorf("exit code %d: %s", code, &out)
	}
	if code, stderr := end(); code != 0 || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "tfhaul-demo-*")); err != nil || len(left) != 0 {
		t.Errorf("directories are left: %q, %v", left, err)
	}
}

// mustNew makes a server that only knows what its secrets look like.
func mustNew(t *testing.T) *tfesim.Server {
	t.Helper()
	s, err := tfesim.New(tfesim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tfhaul runs the program without a server.
func tfhaul(t *testing.T, args ...string) run {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := command.Run(t.Context(), nil, append([]string{"tfhaul"}, args...), nil, &stdout, &stderr, nil)
	r := run{code, stdout.String(), stderr.String()}
	return r.mustBeValid(t, args)
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var v command.Version
	if r := tfhaul(t, "version", "--json"); r.code != 0 || json.Unmarshal([]byte(r.stdout), &v) != nil || v.Go != runtime.Version() || !strings.Contains(r.stdout, `"format": "tfhaul/1"`) {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	for _, args := range [][]string{{"version"}, {"--version"}, {"-v"}} {
		if r := tfhaul(t, args...); r.code != 0 || !strings.HasPrefix(r.stdout, "tfhaul ") {
			t.Errorf("%q: exit code %d: %s%s", args, r.code, r.stdout, r.stderr)
		}
	}
}

func TestUnknownCommands(t *testing.T) {
	t.Parallel()
	for given, says := range map[string]string{
		"mvoe": "did you mean move?", "hist": "did you mean history?", "frobnicate": "the commands are ", "--json": "after the command",
		"--nothing": "unknown flag --nothing", "": "unknown command",
	} {
		if r := tfhaul(t, given); r.code != 4 || r.stdout != "" || !strings.Contains(r.stderr, says) {
			t.Errorf("%q: exit code %d, stderr does not say %q: %s%s", given, r.code, says, r.stdout, r.stderr)
		}
	}
	if r := tfhaul(t); r.code != 4 || r.stdout != "" || !strings.Contains(r.stderr, "no command given") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := tfhaul(t, "help", "mvoe"); r.code != 4 || !strings.Contains(r.stderr, "did you mean move?") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// TestVariablesOfTheProcess sets wrong variables in a real process, because urfave/cli
// would read them there. Only a command that uses them refuses them: help and completion
// must still work.
func TestVariablesOfTheProcess(t *testing.T) {
	t.Parallel()
	const refused = "tfhaul: TFHAUL_DRY_RUN cannot be \"oui\": use true or false\n"
	for line, want := range map[string]string{
		"move a.tfstate acme/net": refused, "move a.tfstate acme/net --dry-run=false": refused,
		"move --help": "tfhaul move - ", "help move": "tfhaul move - ", "complete --word=--l -- move": "--lock-timeout",
	} {
		move := exec.CommandContext(t.Context(), binary(t), strings.Fields(line)...)
		move.Env = append(os.Environ(), "TFHAUL_DRY_RUN=oui", "TFHAUL_RATE=fast")
		said, err := move.CombinedOutput()
		code := move.ProcessState.ExitCode()
		if want == refused && (code != 4 || string(said) != want) || want != refused && (code != 0 || !strings.Contains(string(said), want) || strings.Contains(string(said), "tfhaul:")) {
			t.Errorf("%q: exit code %d (%v): %s", line, code, err, said)
		}
	}
}
