package command_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/tfesim"
)

// tree writes states below a directory of its own and returns it.
func tree(t *testing.T, states map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range states {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// many are n states in directories a-00, a-01, …, which name their workspaces.
func many(n int) map[string][]byte {
	states := map[string][]byte{}
	for i := range n {
		states[fmt.Sprintf("a-%02d/terraform.tfstate", i)] = state(uint64(i+1), int64(i+1))
	}
	return states
}

// outcomes counts a document's outcomes.
func outcomes(t *testing.T, r run) map[string]int {
	t.Helper()
	summary, _ := r.document(t)["summary"].(map[string]any)
	count := map[string]int{}
	for outcome, n := range summary {
		count[outcome] = int(n.(float64))
	}
	return count
}

// moveOf finds a move in a document by its workspace.
func moveOf(t *testing.T, r run, workspace string) map[string]any {
	t.Helper()
	moves, _ := r.document(t)["moves"].([]any)
	for _, m := range moves {
		if m := m.(map[string]any); strings.HasSuffix(m["target"].(string), "/"+workspace) {
			return m
		}
	}
	t.Fatalf("there is no move into %s: %s", workspace, r.stdout)
	return nil
}

func (r run) want(t *testing.T, code int, outcomesWanted string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	var got []string
	count := outcomes(t, r)
	for _, outcome := range slices.Sorted(maps.Keys(count)) {
		got = append(got, fmt.Sprintf("%d %s", count[outcome], outcome))
	}
	if text := strings.Join(got, ", "); text != outcomesWanted {
		t.Errorf("got %s, want %s\n%s", text, outcomesWanted, r.stderr)
	}
}

// journalIn is a journal's path in a directory of the test's own.
func journalIn(t *testing.T) string { return filepath.Join(t.TempDir(), "haul.jsonl") }

func TestPlanDecidesAndWritesNothing(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{
		"fresh/terraform.tfstate":                        state(1, 10),
		"newer/terraform.tfstate":                        state(2, 10),
		"same/terraform.tfstate":                         state(3, 10),
		"stale/terraform.tfstate":                        state(4, 10),
		"other/terraform.tfstate":                        state(5, 10),
		"none/terraform.tfstate":                         state(6, 10),
		"env/terraform.tfstate.d/prod/terraform.tfstate": state(7, 10),
		"x/errored.tfstate":                              state(8, 10),
	})
	for _, w := range []string{"fresh", "env-prod"} {
		h.addWorkspace(t, w)
	}
	h.seed(t, "newer", state(2, 9))
	h.seed(t, "same", state(3, 10))
	h.seed(t, "stale", state(4, 11))
	h.seed(t, "other", state(99, 1))
	h.ResetRequests()
	r := h.tfhaul(t, "plan", dir, "--target", org, "--json")
	r.want(t, 3, "1 already-there, 3 planned, 3 refused")
	for workspace, code := range map[string]string{"stale": "stale", "other": "unrelated", "none": "no-workspace", "fresh": "", "env-prod": ""} {
		if m := moveOf(t, r, workspace); m["code"] != code {
			t.Errorf("%s: code %v, want %q", workspace, m["code"], code)
		}
	}
	if !strings.Contains(r.stdout, `"errored"`) {
		t.Error("errored.tfstate was left out in silence")
	}
	for _, q := range h.Requests() {
		if q.Method != "GET" {
			t.Errorf("the plan made the request %s", q.Endpoint)
		}
	}
	// One listing returns all workspaces but one, which is looked up by name.
	if n := h.Count("GET /organizations/:organization/workspaces/:workspace"); n != 1 {
		t.Errorf("%d workspaces were asked for one by one", n)
	}
	text := h.tfhaul(t, "plan", dir, "--target", org)
	for _, want := range []string{"planned (3)", "refused (3)", "errored.tfstate", "7 moves: "} {
		if !strings.Contains(text.stdout, want) {
			t.Errorf("the plan does not say %q:\n%s", want, text.stdout)
		}
	}
	if r := h.tfhaul(t, "plan", filepath.Join(dir, "newer"), "--target", org, "--workspace-name", "newer", "--detailed-exitcode"); r.code != 2 {
		t.Errorf("exit code %d, want 2: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestManifestIsReviewedEditedAndCarriedOut(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	states := many(4)
	dir := tree(t, states)
	h.seed(t, "a-01", state(77, 3)) // of something else
	manifest := filepath.Join(t.TempDir(), "haul.hcl")
	planned := h.tfhaul(t, "plan", dir, "--target", org, "--create", "--replace", "a-01", "--out", manifest, "--json")
	planned.want(t, 0, "4 planned")
	if again := h.tfhaul(t, "plan", dir, "--target", org, "--out", manifest); again.code != 4 || !strings.Contains(again.stderr, "--force") {
		t.Errorf("a manifest was overwritten: exit code %d: %s", again.code, again.stderr)
	}
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("replace   = true")) && !bytes.Contains(text, []byte("replace = true")) {
		t.Errorf("the manifest does not say what is to be replaced:\n%s", text)
	}
	// A reviewer changes a workspace, and a source changes at the same time.
	edited := bytes.Replace(text, []byte(`"a-02"`), []byte(`"renamed"`), 1)
	if err := os.WriteFile(manifest, edited, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a-03", "terraform.tfstate"), state(4, 99), 0o600); err != nil {
		t.Fatal(err)
	}
	journal := journalIn(t)
	r := h.tfhaul(t, "migrate", manifest, "--yes", "--json", "--journal", journal, "--backup-dir", t.TempDir())
	r.want(t, 3, "3 moved, 1 refused")
	if m := moveOf(t, r, "a-03"); m["code"] != "source-changed" {
		t.Errorf("the changed source is %v", m["code"])
	}
	h.mustHold(t, "a-00", states["a-00/terraform.tfstate"])
	h.mustHold(t, "a-01", states["a-01/terraform.tfstate"])
	h.mustHold(t, "renamed", states["a-02/terraform.tfstate"])
	h.mustHold(t, "a-03", nil)
	if r.document(t)["continue"] == nil {
		t.Error("nobody is told how to continue")
	}
	verified := h.tfhaul(t, "verify", journal, "--json")
	verified.want(t, 3, "3 already-there, 1 refused")
}

func TestMigrateAsksOrIsToldTo(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, many(1))
	h.addWorkspace(t, "a-00")
	r := h.tfhaul(t, "migrate", dir, "--target", org, "--journal", journalIn(t))
	if r.code != 4 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("without a terminal and --yes: exit code %d: %s", r.code, r.stderr)
	}
	if n := h.Count(""); n != 0 {
		t.Errorf("%d requests were made before the question", n)
	}
	h.tfhaul(t, "migrate", dir, "--target", org, "--dry-run", "--json").want(t, 0, "1 planned")
	h.mustHold(t, "a-00", nil)
}

func TestMigrateContinuesFromItsJournal(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	const n = 12
	states := many(n)
	dir := tree(t, states)
	for i := range n {
		h.addWorkspace(t, fmt.Sprintf("a-%02d", i))
	}
	journal := journalIn(t)
	args := []string{"migrate", dir, "--target", org, "--yes", "--json", "--journal", journal, "--parallelism", "2"}
	// The token expires half-way.
	fault := tfesim.AnswerError(401, "unauthorized", "")
	fault.Endpoint, fault.Nth, fault.Times = "POST /workspaces/:workspace_id/actions/lock", 6, -1
	h.Inject(fault)
	r := h.tfhaul(t, args...)
	count := outcomes(t, r)
	// Five were locked before; the one that ran beside the first failure was moved, or
	// given up before anything was sent.
	done := count["moved"]
	if r.code != 1 || done < 4 || done > 5 || count["failed"] < 1 || count["failed"] > 2 || count["skipped"] != n-done-count["failed"] {
		t.Errorf("exit code %d, %v: %s", r.code, count, r.stderr)
	}
	h.ClearFaults()
	planned := h.tfhaul(t, "plan", dir, "--target", org, "--json", "--journal", journal)
	if count := outcomes(t, planned); count["moved"] != done || count["planned"] != n-done {
		t.Errorf("the plan of how to go on: %v", count)
	}
	h.ResetRequests()
	h.tfhaul(t, args...).want(t, 0, "12 moved")
	if locks := h.Count("POST /workspaces/:workspace_id/actions/lock"); locks != n-done {
		t.Errorf("%d workspaces were locked, want the %d that were not done", locks, n-done)
	}
	for name, content := range states {
		h.mustHold(t, filepath.Dir(name), content)
		if v := h.Versions(org, filepath.Dir(name)); len(v) != 1 {
			t.Errorf("%s has %d state versions", name, len(v))
		}
	}
	h.tfhaul(t, "verify", journal, "--json").want(t, 0, "12 already-there")
	// Another run only confirms the moves: the report still has what they took.
	h.tfhaul(t, args...).want(t, 0, "12 moved")
	report := h.tfhaul(t, "report", journal, "--json")
	for name := range states {
		if m := moveOf(t, report, filepath.Dir(name)); m["api_calls"] != 4.0 && m["api_calls"] != 5.0 {
			t.Errorf("the report shows %v API calls for %s", m["api_calls"], name)
		}
	}
}

// Failures are grouped by cause.
func TestMigrateTellsACauseOnce(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, many(12))
	for i := range 12 {
		h.addWorkspace(t, fmt.Sprintf("a-%02d", i))
	}
	fault := tfesim.AnswerError(422, "unprocessable entity", "the moon is full")
	fault.Endpoint, fault.Times = "POST /workspaces/:workspace_id/state-versions", -1
	h.Inject(fault)
	r := h.tfhaul(t, "migrate", dir, "--target", org, "--yes", "--journal", journalIn(t))
	if r.code != 1 || strings.Count(r.stdout, "the moon is full") != 1 || !strings.Contains(r.stdout, "and 11 more") {
		t.Errorf("exit code %d:\n%s", r.code, r.stdout)
	}
	if locked := h.Locked(org); len(locked) > 0 {
		t.Errorf("%q are locked", locked)
	}
}

func TestMigrateIsInterruptedAndContinued(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	const n = 10
	states := many(n)
	dir := tree(t, states)
	for i := range n {
		h.addWorkspace(t, fmt.Sprintf("a-%02d", i))
	}
	ctx, interrupt := context.WithCancel(t.Context())
	h.OnRequest(func(q tfesim.Request) {
		if q.Endpoint == "POST /workspaces/:workspace_id/state-versions" && h.Count(q.Endpoint) == 4 {
			interrupt()
		}
	})
	journal := journalIn(t)
	args := []string{"migrate", dir, "--target", org, "--yes", "--json", "--journal", journal, "--parallelism", "1"}
	r := h.tfhaulIn(t, ctx, h.environ, nil, args...)
	if r.code != 130 {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if again, _ := r.document(t)["continue"].(string); !strings.Contains(again, "--journal "+journal) {
		t.Errorf("how to continue: %q", again)
	}
	if locked := h.Locked(org); len(locked) > 0 {
		t.Errorf("%q are locked", locked)
	}
	h.tfhaul(t, args...).want(t, 0, fmt.Sprintf("%d moved", n))
	for name, content := range states {
		h.mustHold(t, filepath.Dir(name), content)
	}
}

func TestMapNamesTheWorkspaces(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, many(3))
	at := func(i int) string { return filepath.Join(dir, fmt.Sprintf("a-%02d", i), "terraform.tfstate") }
	cases := []struct {
		name, csv string
		code      int
		says      string
	}{
		{"with a header", "source,workspace\n" + at(0) + ",one\n" + at(1) + ", two\n", 0, "unmapped"},
		{"without, with comments", "# mine\n" + at(0) + ",one\n", 0, "unmapped"},
		{"a source that is not there", at(0) + ",one\n" + dir + "/b/terraform.tfstate,two\n", 4, ":2: "},
		{"a source twice", at(0) + ",one\n" + at(0) + ",two\n", 4, "already in line 1"},
		{"a bad name", at(0) + ",one\n" + at(1) + ",t/o\n", 4, ":2: "},
		{"an empty name", at(0) + ",\n", 4, ":1: "},
		{"three fields", at(0) + ",one,x\n", 4, ":1: "},
		{"a quote that does not end", "\"" + at(0) + ",one\n", 4, ":1: "},
		{"nothing", "source,workspace\n", 4, "nothing to do"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, "names.csv", []byte(c.csv))
			r := h.tfhaul(t, "plan", dir, "--target", org, "--map", path, "--create", "--json")
			if r.code != c.code || !strings.Contains(r.stdout+r.stderr, c.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s%s", r.code, c.code, c.says, r.stdout, r.stderr)
			}
			if c.code == 0 && moveOf(t, r, "one")["outcome"] != "planned" {
				t.Error("it is not planned")
			}
		})
	}
	t.Run("without sources", func(t *testing.T) {
		path := write(t, "names.csv", []byte(at(2)+",three\n"))
		h.tfhaul(t, "plan", "--target", org, "--map", path, "--create", "--json").want(t, 0, "1 planned")
	})
}

func TestHaulUsageErrors(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, many(2))
	manifest := write(t, "haul.hcl", []byte("target {\n  hostname = \"h.example\"\n  organization = \"acme\"\n}\nmove \"x\" {\n  workspace = \"y z\"\n}\n"))
	cases := []struct {
		name string
		args []string
		says string
	}{
		{"no source", []string{"plan", "--target", org}, "SOURCE is missing"},
		{"no target", []string{"plan", dir}, "--target is missing"},
		{"no such source", []string{"plan", dir + "/nope", "--target", org}, "cannot find"},
		{"nothing in it", []string{"plan", dir, "--target", org, "--include", "*.json"}, "no state found"},
		{"a workspace as the target", []string{"plan", dir, "--target", org + "/net"}, "[HOST/]ORG"},
		{"a manifest and a source", []string{"migrate", manifest, dir, "--yes"}, "cannot be combined with other sources"},
		{"a manifest and a target", []string{"migrate", manifest, "--target", org, "--yes"}, "--target cannot be combined with a manifest"},
		{"a workspace that cannot be", []string{"migrate", manifest, "--yes"}, `"y z"`},
		{"a manifest that is none", []string{"migrate", write(t, "bad.hcl", []byte("move {")), "--yes"}, "bad.hcl:1"},
		{"no manifest", []string{"migrate", dir + "/no.hcl", "--yes"}, "cannot be read"},
		{"replace what is not there", []string{"plan", dir, "--target", org, "--replace", "a-10"}, "did you mean a-0"},
		{"bump what is not there", []string{"plan", dir, "--target", org, "--bump-serial", "zzz"}, `"zzz"`},
		{"no parallelism", []string{"plan", dir, "--target", org, "--parallelism", "0"}, "--parallelism cannot be 0"},
		{"a template that is none", []string{"plan", dir, "--target", org, "--workspace-name", "{{ .Nope }}"}, "the fields are .Dir"},
		{"a template that gives nothing", []string{"plan", dir, "--target", org, "--workspace-name", "{{ .Bucket }}"}, "no workspace name"},
		{"a journal that is none", []string{"migrate", dir, "--target", org, "--yes", "--journal", manifest}, "check that this is a tfhaul journal"},
		{"verify a file that is none", []string{"verify", manifest}, "to compare one state"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := h.tfhaul(t, c.args...)
			if r.code != 4 || !strings.Contains(r.stderr, c.says) {
				t.Errorf("exit code %d, want 4 and %q: %s%s", r.code, c.says, r.stdout, r.stderr)
			}
		})
	}
	if n := h.Count("POST *"); n != 0 {
		t.Errorf("%d requests wrote something", n)
	}
}

func TestVerifyJournalSaysHowThingsStand(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	states := many(6)
	dir := tree(t, states)
	for i := range 6 {
		h.addWorkspace(t, fmt.Sprintf("a-%02d", i))
	}
	journal := journalIn(t)
	h.tfhaul(t, "migrate", dir, "--target", org, "--yes", "--json", "--journal", journal).want(t, 0, "6 moved")
	h.seed(t, "a-01", state(2, 50)) // an apply
	h.seed(t, "a-02", state(99, 1)) // something else
	if err := h.DeleteWorkspace(org, "a-03"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a-04", "terraform.tfstate"), state(5, 60), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "a-05")); err != nil {
		t.Fatal(err)
	}
	h.ResetRequests()
	r := h.tfhaul(t, "verify", journal, "--json")
	r.want(t, 1, "2 already-there, 1 failed, 3 refused")
	for workspace, code := range map[string]string{"a-00": "", "a-01": "stale", "a-02": "unrelated", "a-03": "forbidden-or-missing", "a-04": "source-changed", "a-05": ""} {
		if m := moveOf(t, r, workspace); m["code"] != code {
			t.Errorf("%s: code %v, want %q: %v", workspace, m["code"], code, m["message"])
		}
	}
	for workspace, note := range map[string]string{"a-01": "in the workspace's history, unchanged", "a-05": "The source no longer exists."} {
		if notes := fmt.Sprint(moveOf(t, r, workspace)["notes"]); !strings.Contains(notes, note) {
			t.Errorf("%s: %s does not say %q", workspace, notes, note)
		}
	}
	if m := moveOf(t, r, "a-00"); m["api_calls"] != 1.0 {
		t.Errorf("%v API calls to find what arrived still there, want 1", m["api_calls"])
	}
	for _, q := range h.Requests() {
		if q.Method != "GET" {
			t.Errorf("verify made the request %s", q.Endpoint)
		}
	}
	text := h.tfhaul(t, "verify", journal)
	if !strings.Contains(text.stdout, "6 moves: 2 the same, 3 not the same, 1 failed") {
		t.Errorf("it says:\n%s", text.stdout)
	}
}

// Secrets of states show nowhere in a haul's outputs, its journal or its manifest.
func TestHaulShowsNoSecret(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := t.TempDir()
	if _, err := fixtures.Landscape(dir, 10, 3, fixtures.WithOddities(), fixtures.WithMedianSize(2000)); err != nil {
		t.Fatal(err)
	}
	journal, manifest := journalIn(t), filepath.Join(t.TempDir(), "haul.hcl")
	for _, args := range [][]string{
		{"plan", dir, "--target", org, "--create", "--out", manifest, "--all"}, // outputs are checked by tfhaul
		{"migrate", dir, "--target", org, "--create", "--yes", "--journal", journal, "--json"},
		{"verify", journal, "--all"},
	} {
		if r := h.tfhaul(t, args...); r.code == 4 {
			t.Errorf("%q: %s", args, r.stderr)
		}
	}
	for _, path := range []string{journal, manifest} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		h.mustNotShow(t, run{stdout: string(text)})
	}
}
