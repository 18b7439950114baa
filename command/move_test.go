package command_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/tfesim"
)

// TestMove has every outcome that the state, the workspace, its lock and the flags
// decide on, and looks at what the server holds afterwards.
func TestMove(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	lockedBy := func(id tfesim.Identity) func(*testing.T, string) {
		return func(t *testing.T, workspace string) {
			if err := h.Lock(org, workspace, id, "apply"); err != nil {
				t.Fatal(err)
			}
		}
	}
	snapshot := state(1, 10)
	for _, test := range []struct {
		name    string
		source  []byte // nil for snapshot
		file    string // "" for terraform.tfstate
		held    []byte // nil for nothing
		missing bool   // there is no such workspace
		prepare func(t *testing.T, workspace string)
		flags   []string
		environ []string

		exit                    int
		outcome, relation, code string
		moved                   bool // the server holds the source afterwards
		locked                  bool // the workspace is locked afterwards
	}{
		{name: "fresh", outcome: "moved", relation: "fresh", moved: true},
		{name: "newer", held: state(1, 9), outcome: "moved", relation: "newer", moved: true},
		{name: "identical", held: snapshot, outcome: "already-there", relation: "identical"},
		{name: "diverged", held: fixtures.Spec{Seed: 1, Serial: 10, Resources: 4}.Bytes(), exit: 3, outcome: "refused", relation: "diverged", code: "diverged"},
		{name: "stale", held: state(1, 11), exit: 3, outcome: "refused", relation: "stale", code: "stale"},
		{name: "unrelated", held: state(2, 3), exit: 3, outcome: "refused", relation: "unrelated", code: "unrelated"},
		{name: "missing", missing: true, exit: 3, outcome: "refused", code: "no-workspace"},
		{name: "missing-create", missing: true, flags: []string{"--create"}, outcome: "moved", relation: "fresh", moved: true},
		{name: "missing-create-more", missing: true, flags: []string{"--create", "--tag", "a", "--tag=b", "--terraform-version", "latest", "--execution-mode", "local"}, outcome: "moved", relation: "fresh", moved: true},
		{name: "locked-by-another", prepare: lockedBy(tfesim.SecondUser), exit: 3, outcome: "refused", relation: "fresh", code: "locked", locked: true},
		{name: "locked-by-ourselves", prepare: lockedBy(tfesim.Owner), exit: 3, outcome: "refused", relation: "fresh", code: "locked", locked: true},

		{name: "empty", source: fixtures.SampleNamed("v4-workspace-new.tfstate").Bytes(), outcome: "skipped", code: "empty"},
		{name: "empty-included", source: fixtures.SampleNamed("v4-workspace-new.tfstate").Bytes(), flags: []string{"--include-empty"}, outcome: "moved", relation: "fresh", moved: true},
		{name: "errored", file: "errored.tfstate", exit: 3, outcome: "refused", code: "errored"},

		{name: "unusable", source: []byte(craftedState("providers on the instances")), exit: 3, outcome: "refused", code: "unusable"},
		{name: "unusable-dry-run", source: []byte(craftedState("a legacy provider")), flags: []string{"--dry-run"}, exit: 3, outcome: "refused", code: "unusable"},
		{name: "unusable-allowed", source: []byte(craftedState("providers on the instances")), flags: []string{"--allow=unusable-allowed=unusable"}, outcome: "moved", relation: "fresh", moved: true},
		{name: "duplicate", source: []byte(craftedState("one instance twice")), exit: 3, outcome: "refused", code: "invalid"},

		{name: "dry-run", flags: []string{"--dry-run"}, outcome: "planned", relation: "fresh"},
		{name: "dry-run-detailed", flags: []string{"--dry-run", "--detailed-exitcode"}, exit: 2, outcome: "planned", relation: "fresh"},
		{name: "dry-run-detailed-nothing", held: snapshot, flags: []string{"--dry-run", "--detailed-exitcode"}, outcome: "already-there", relation: "identical"},
		{name: "dry-run-refused", held: state(1, 11), flags: []string{"--dry-run", "--detailed-exitcode"}, exit: 3, outcome: "refused", relation: "stale", code: "stale"},
		{name: "dry-run-missing", missing: true, flags: []string{"--dry-run", "--create"}, outcome: "planned", relation: "fresh"},
		{name: "dry-run-variable", environ: []string{"TFHAUL_DRY_RUN=true"}, outcome: "planned", relation: "fresh"},
		{name: "dry-run-variable-overridden", environ: []string{"TFHAUL_DRY_RUN=true"}, flags: []string{"--dry-run=false"}, outcome: "moved", relation: "fresh", moved: true},

		{name: "replace-unrelated", held: state(2, 3), flags: []string{"--replace", "replace-unrelated"}, outcome: "moved", relation: "unrelated", moved: true},
		{name: "replace-stale", held: state(1, 11), flags: []string{"--replace=replace-stale"}, outcome: "moved", relation: "stale", moved: true},
		{name: "replace-variable", held: state(1, 11), environ: []string{"TFHAUL_REPLACE=replace-variable\nreplace-variable"}, outcome: "moved", relation: "stale", moved: true},

		{name: "inline", flags: []string{"--upload", "inline"}, outcome: "moved", relation: "fresh", moved: true},
		{name: "signed", flags: []string{"--upload", "signed"}, outcome: "moved", relation: "fresh", moved: true},

		{name: "expired-token", environ: []string{"TFE_TOKEN=" + h.Token(tfesim.Expired)}, exit: 1, outcome: "failed", code: "unauthorized"},
		{name: "outsider", environ: []string{"TFE_TOKEN=" + h.Token(tfesim.Outsider)}, exit: 3, outcome: "refused", code: "no-workspace"},
		{name: "read-only-token", environ: []string{"TFE_TOKEN=" + h.Token(tfesim.ReadOnly)}, exit: 1, outcome: "failed", code: "forbidden-or-missing"},
		{name: "unreachable", environ: []string{"TFE_ADDRESS=https://127.0.0.1:1"}, exit: 1, outcome: "failed", code: "unreachable"},
		{name: "unreachable-for-discovery", environ: []string{"TFE_ADDRESS=", "TFE_HOSTNAME=127.0.0.1:1"}, exit: 1, outcome: "failed", code: "unreachable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			workspace := test.name
			switch {
			case test.held != nil:
				h.seed(t, workspace, test.held)
			case !test.missing:
				h.addWorkspace(t, workspace)
			}
			if test.prepare != nil {
				test.prepare(t, workspace)
			}
			source, file := test.source, test.file
			if source == nil {
				source = snapshot
			}
			if file == "" {
				file = "terraform.tfstate"
			}
			path := write(t, file, source)
			args := append([]string{"move", path, org + "/" + workspace, "--json", "--backup-dir", t.TempDir()}, test.flags...)
			r := h.tfhaulIn(t, t.Context(), h.with(test.environ...), nil, args...)

			if r.code != test.exit {
				t.Errorf("exit code %d, want %d\n%s%s", r.code, test.exit, r.stdout, r.stderr)
			}
			document := r.document(t)
			for key, want := range map[string]any{
				"source": path, "outcome": test.outcome, "relation": test.relation, "code": test.code, "locked": false,
			} {
				if document[key] != want {
					t.Errorf("%s is %q, want %q: %s", key, document[key], want, document["message"])
				}
			}
			if message, _ := document["message"].(string); message == "" {
				t.Error("there is no message")
			}
			if r.stderr != "" {
				t.Errorf("stderr is not empty: %s", r.stderr)
			}
			want := test.held
			if test.moved {
				want = source
			}
			h.mustHold(t, workspace, want)
			if _, locked := h.LockHolder(org, workspace); locked != test.locked {
				t.Errorf("locked is %v, want %v", locked, test.locked)
			}
		})
	}
}

// TestMoveSamples moves every sample of package fixtures: what is a state arrives
// byte for byte, and of anything else nothing does.
func TestMoveSamples(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	for _, sample := range fixtures.Samples() {
		t.Run(sample.Name, func(t *testing.T) {
			t.Parallel()
			workspace := strings.NewReplacer(".", "-", "/", "-").Replace(sample.Name)
			h.addWorkspace(t, workspace)
			// A release that looks up the namespaces of legacy providers, which old samples have.
			if err := h.SetTerraformVersion(org, workspace, "0.13.7"); err != nil {
				t.Fatal(err)
			}
			// Always by this name, so that the content decides alone.
			path := write(t, "terraform.tfstate", sample.Bytes())
			r := h.tfhaul(t, "move", path, org+"/"+workspace, "--json", "--include-empty")
			document := r.document(t)
			want, exit, code := sample.Bytes(), 0, ""
			if sample.Code != "" {
				want, exit, code = nil, 3, sample.Code
			}
			if sample.Code == "empty" {
				exit = 0
			}
			if r.code != exit || document["code"] != code {
				t.Errorf("exit code %d (%v), want %d (%s): %s", r.code, document["code"], exit, code, document["message"])
			}
			h.mustHold(t, workspace, want)
			h.mustBeFree(t, workspace)
		})
	}
}

func TestMoveBumpsTheSerialWhenToldTo(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.seed(t, "net", fixtures.Spec{Seed: 1, Serial: 41, Resources: 5}.Bytes())
	path := write(t, "terraform.tfstate", state(1, 7))
	bump := func() run {
		return h.tfhaul(t, "move", "--bump-serial", "net", "--backup-dir", t.TempDir(), path, org+"/net", "--json")
	}
	r := bump()
	if document := r.document(t); r.code != 0 || document["outcome"] != "moved" || document["bumped_to"] != 42.0 {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	want := strings.Replace(string(state(1, 7)), `"serial": 7,`, `"serial": 42,`, 1)
	h.mustHold(t, "net", []byte(want))
	// Once more: nothing but the serial differs.
	if again := bump(); again.code != 0 || again.document(t)["outcome"] != "already-there" {
		t.Errorf("the second time: exit code %d: %s", again.code, again.stdout)
	}
	h.mustHold(t, "net", []byte(want))
}

func TestMoveKeepsABackupOfWhatItReplaces(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.seed(t, "net", state(2, 3))
	path := write(t, "terraform.tfstate", state(1, 10))
	dir := t.TempDir()
	r := h.tfhaul(t, "move", path, org+"/net", "--replace=net", "--json", "--backup-dir="+dir)
	backup, _ := r.document(t)["backup"].(string)
	if !strings.HasPrefix(backup, dir) {
		t.Fatalf("the backup is not in the directory: %q", backup)
	}
	kept, err := os.ReadFile(backup)
	if err != nil || string(kept) != string(state(2, 3)) {
		t.Errorf("the backup is not what was replaced: %v", err)
	}
	if again := h.tfhaul(t, "move", path, org+"/net"); again.code != 0 || !strings.HasPrefix(again.stdout, "already there: ") {
		t.Errorf("the second time: exit code %d: %s", again.code, again.stdout)
	}
}

func TestMoveReadsStandardInput(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	r := h.tfhaulIn(t, t.Context(), h.environ, state(1, 10), "move", "-", org+"/net")
	if r.code != 0 || !strings.HasPrefix(r.stdout, "moved: ") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustHold(t, "net", state(1, 10))
}

func TestMoveTakesAnExplicitHost(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "terraform.tfstate", state(1, 10))
	// The host has to be discovered, and its token comes from the CLI configuration.
	r := h.tfhaulIn(t, t.Context(), h.with("TFE_ADDRESS=", "TFE_HOSTNAME=", "TFE_TOKEN="), nil,
		"move", path, h.running.Host()+"/"+org+"/net")
	if r.code != 0 {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	h.mustHold(t, "net", state(1, 10))
}

// TestMoveDocument fixes the keys of the contract.
func TestMoveDocument(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "terraform.tfstate", state(1, 10))
	document := h.tfhaul(t, "move", path, org+"/net", "--json").document(t)
	wantKeys := []string{"api_calls", "code", "format", "locked", "message", "outcome", "relation", "seconds", "snapshot", "source", "state_version_id", "target"}
	if keys := slices.Sorted(maps.Keys(document)); !slices.Equal(keys, wantKeys) {
		t.Errorf("the keys are %q, want %q", keys, wantKeys)
	}
	if want := h.running.Host() + "/" + org + "/net"; document["target"] != want {
		t.Errorf("target is %v, want %s", document["target"], want)
	}
	versions := h.Versions(org, "net")
	if len(versions) != 1 || document["state_version_id"] != versions[0].ID {
		t.Errorf("state_version_id is %v, and the server has %v", document["state_version_id"], versions)
	}
	snapshot, _ := document["snapshot"].(map[string]any)
	for key, want := range map[string]any{
		"format": 4.0, "terraform_version": "1.11.4", "serial": 10.0, "size": float64(len(state(1, 10))),
		"lineage": versions[0].Lineage, "md5": versions[0].MD5,
	} {
		if snapshot[key] != want {
			t.Errorf("snapshot.%s is %v, want %v", key, snapshot[key], want)
		}
	}
	if len(snapshot) != 6 {
		t.Errorf("the snapshot's keys are %q", slices.Sorted(maps.Keys(snapshot)))
	}
}

// TestMoveNothingAttempted has the mistakes that must be found before anything is
// asked of the server.
func TestMoveNothingAttempted(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	path := write(t, "terraform.tfstate", state(1, 10))
	several := write(t, "a/terraform.tfstate", state(1, 10))
	if err := os.WriteFile(filepath.Join(filepath.Dir(several), "b.tfstate"), state(2, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	notPEM := write(t, "ca.pem", []byte("none"))
	for _, test := range []struct {
		name    string
		args    []string
		environ []string
		says    string
	}{
		{name: "no target", args: []string{path}, says: "TARGET is missing"},
		{name: "nothing", says: "SOURCE is missing"},
		{name: "too many", args: []string{path, "acme/net", "acme/other"}, says: "unexpected argument"},
		{name: "no source", args: []string{path + "x", "acme/net"}, says: "terraform.tfstatex"},
		{name: "several states", args: []string{filepath.Dir(several), "acme/net"}, says: "b.tfstate"},
		{name: "a directory without a state", args: []string{t.TempDir(), "acme/net"}, says: "*.tfstate"},
		{name: "no workspace", args: []string{path, "acme"}, says: "[HOST/]ORG/WORKSPACE"},
		{name: "plain http", args: []string{path, "http://tfe.example.com/acme/net"}, says: "https"},
		{name: "no token", args: []string{path, "acme/net"}, environ: []string{"TFE_TOKEN=", "TF_CLI_CONFIG_FILE="}, says: "TFE_TOKEN"},
		{name: "no CA file", args: []string{path, "acme/net", "--ca-file", path + "x"}, says: "terraform.tfstatex"},
		{name: "not a CA file", args: []string{path, "acme/net", "--ca-file", notPEM}, says: "PEM"},
		{name: "no token file", args: []string{path, "acme/net", "--token-file", path + "x"}, says: "terraform.tfstatex"},
		{name: "replace another", args: []string{path, "acme/net", "--replace", "other"}, says: "--replace=net"},
		{name: "bump another", args: []string{path, "acme/net", "--bump-serial", "other"}, says: "--bump-serial=net"},
		{name: "bad policy", args: []string{path, "acme/net", "--on-failure", "maybe"}, says: "keep or unlock"},
		{name: "bad upload", args: []string{path, "acme/net", "--upload", "ftp"}, says: "auto, inline or signed"},
		{name: "bad mode", args: []string{path, "acme/net", "--create", "--execution-mode", "cloud"}, says: "remote, local or agent"},
		{name: "project without create", args: []string{path, "acme/net", "--project", "p"}, says: "--create"},
		{name: "detailed without dry run", args: []string{path, "acme/net", "--detailed-exitcode"}, says: "--dry-run"},
		{name: "negative timeout", args: []string{path, "acme/net", "--lock-timeout", "-5s"}, says: "negative"},
		{name: "bad duration", args: []string{path, "acme/net", "--lock-timeout", "5 minutes"}, says: `"5 minutes": use a duration`},
		{name: "bad variable", args: []string{path, "acme/net"}, environ: []string{"TFHAUL_RATE=fast"}, says: `TFHAUL_RATE cannot be "fast": use a number`},
		{name: "bad boolean", args: []string{path, "acme/net", "--dry-run=perhaps"}, says: "true or false"},
		{name: "unknown flag", args: []string{path, "acme/net", "--dryrun"}, says: "did you mean --dry-run?"},
		{name: "value missing", args: []string{path, "acme/net", "--backup-dir"}, says: "--backup-dir requires a value"},
		{name: "flag for a value", args: []string{path, "acme/net", "--backup-dir", "--json"}, says: "--json follows it"},
		{name: "token on the command line", args: []string{path, "acme/net", "--token=" + h.Token(tfesim.Owner)}, says: "TFE_TOKEN"},
		{name: "bad log level", args: []string{path, "acme/net", "--log-level=loud"}, says: "debug, info, warn or error"},
		{name: "journal in no directory", args: []string{path, "acme/net", "--journal", filepath.Join(t.TempDir(), "no", "journal")}, says: "journal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := h.tfhaulIn(t, t.Context(), h.with(test.environ...), nil, append([]string{"move"}, test.args...)...)
			if r.code != 4 {
				t.Errorf("exit code %d, want 4", r.code)
			}
			if r.stdout != "" {
				t.Errorf("stdout is not empty: %s", r.stdout)
			}
			if !strings.HasPrefix(r.stderr, "tfhaul: ") || !strings.Contains(r.stderr, test.says) {
				t.Errorf("stderr does not say %q: %s", test.says, r.stderr)
			}
			if asked := h.Requests(); len(asked) != 0 {
				t.Errorf("the server was asked: %v", asked)
			}
		})
	}
}

// TestMoveIsInterrupted ends the context at every step of a move: nothing stays
// locked, and the exit code shows whether the state arrived.
func TestMoveIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{
		"GET /organizations/:organization/workspaces/:workspace", "POST /workspaces/:workspace_id/actions/lock",
		"POST /workspaces/:workspace_id/state-versions", "POST /workspaces/:workspace_id/actions/unlock",
	} {
		t.Run(endpoint, func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			h.seed(t, "net", state(1, 9))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			seen := false
			h.OnRequest(func(q tfesim.Request) {
				if matches(q.Endpoint, endpoint) {
					seen = true
					cancel()
				}
			})
			path := write(t, "terraform.tfstate", state(1, 10))
			r := h.tfhaulIn(t, ctx, h.environ, nil, "move", path, org+"/net", "--json")
			document := r.document(t)
			if !seen {
				t.Fatalf("%s was not asked", endpoint)
			}
			switch document["outcome"] {
			case "moved":
				h.mustHold(t, "net", state(1, 10))
				if r.code != 0 {
					t.Errorf("exit code %d though it was moved", r.code)
				}
			default:
				h.mustHold(t, "net", state(1, 9))
				if r.code != 130 || document["code"] != "interrupted" {
					t.Errorf("exit code %d (%v), want 130: %s", r.code, document["code"], document["message"])
				}
			}
			h.mustBeFree(t, "net")
		})
	}
}

// matches compares endpoints, whatever their variable parts are called.
func matches(endpoint, pattern string) bool {
	a, b := strings.Split(endpoint, "/"), strings.Split(pattern, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && (!strings.HasPrefix(a[i], ":") || !strings.HasPrefix(b[i], ":")) {
			return false
		}
	}
	return true
}

// craftedState is the crafted state of that name.
func craftedState(name string) string {
	for _, c := range fixtures.CraftedStates() {
		if c.Name == name {
			return c.State
		}
	}
	panic("no crafted state is named " + name)
}
