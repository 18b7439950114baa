package command_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// landscapeOf makes n directories with a configuration and a local state each, of
// which the real terraform made the first. The last two have a configuration that
// would change something, and one that lacks a variable.
func landscapeOf(t *testing.T, n int) string {
	t.Helper()
	made := configured(t, configurationOfOne)
	raw, err := os.ReadFile(filepath.Join(made, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ Lineage string }
	if err := json.Unmarshal(raw, &header); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for i := range n {
		dir := filepath.Join(root, fmt.Sprintf("team-%02d", i))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		main := configurationOfOne
		switch i {
		case n - 2:
			main = strings.Replace(main, "first", "second", 1)
		case n - 1:
			main += `variable "region" {}`
		}
		rewrite(t, filepath.Join(dir, "main.tf"), main)
		lineage := fmt.Sprintf("%s%04d", header.Lineage[:len(header.Lineage)-4], i)
		rewrite(t, filepath.Join(dir, "terraform.tfstate"), strings.Replace(string(raw), header.Lineage, lineage, 1))
	}
	return root
}

// A haul of twenty with --prove has twenty verdicts in its summary, its journal and
// its report; continued, it proves again what was not proven, and only that.
func TestMigrateProves(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	h := start(t, tfesim.Options{Runs: 4})
	const n = 20
	root := landscapeOf(t, n)
	journal := filepath.Join(t.TempDir(), "haul.jsonl")
	args := []string{"migrate", root, "--target", org, "--create", "--yes", "--prove", "--journal", journal}

	r := h.tfhaul(t, append(args, "--json")...)
	if r.code != 1 {
		t.Errorf("exit code %d, want 1: one is unproven\n%s", r.code, r.stderr)
	}
	document := r.document(t)
	if got, _ := json.Marshal(document["proofs"]); string(got) != `{"changes":1,"proven":18,"unproven":1}` {
		t.Errorf("the summary of the proofs: %s", got)
	}
	verdicts := map[string]int{}
	for _, m := range document["moves"].([]any) {
		move := m.(map[string]any)
		proof, ok := move["proof"].(map[string]any)
		if !ok || move["outcome"] != "moved" || proof["state_version_id"] != move["state_version_id"] {
			t.Fatalf("a move: %v", move)
		}
		verdicts[proof["verdict"].(string)]++
	}
	if verdicts["proven"] != 18 || verdicts["changes"] != 1 || verdicts["unproven"] != 1 {
		t.Errorf("the verdicts: %v", verdicts)
	}

	b, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(b), `"event":"proof"`); got != n {
		t.Errorf("the journal holds %d verdicts", got)
	}
	page, tests := filepath.Join(t.TempDir(), "haul.html"), filepath.Join(t.TempDir(), "haul.xml")
	if r := h.tfhaul(t, "report", journal, "--html", page, "--junit", tests); r.code != 0 {
		t.Fatalf("report: %d\n%s", r.code, r.stderr)
	}
	if b, err = os.ReadFile(page); err != nil || !strings.Contains(string(b), "18 of 20") || !strings.Contains(string(b), "1 would change, 1 unproven") {
		t.Errorf("the page lacks the proofs (%v)", err)
	}
	if b, err = os.ReadFile(tests); err != nil || strings.Count(string(b), "<failure ") != 1 || strings.Count(string(b), "<error ") != 1 {
		t.Errorf("the tests do not tell of the proofs (%v)", err)
	}

	if err := h.SetVariable(org, "team-19", "terraform", "region", "eu"); err != nil {
		t.Fatal(err)
	}
	made := h.Count("POST /runs")
	r = h.tfhaul(t, args...)
	if r.code != 3 || !strings.Contains(r.stdout, "20 proofs: 19 proven, 1 changes") || !strings.Contains(r.stdout, "team-18: Terraform would change 2 objects: terraform_data.a (update)") {
		t.Errorf("continued: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if again := h.Count("POST /runs") - made; again != 2 {
		t.Errorf("continued, %d runs were made, want 2", again)
	}
}

// Where the configurations lie is said for states that are elsewhere.
func TestMigrateProveDir(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	states := t.TempDir()
	for i, name := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(states, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(states, name, "terraform.tfstate"), state(uint64(i), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configurations := filepath.Dir(write(t, "live/a/main.tf", []byte(configurationOfOne)))
	configurations = filepath.Dir(configurations)
	for _, dir := range []string{filepath.Join(configurations), configurations + "/{{ .Dir }}"} {
		t.Run(fmt.Sprint(strings.Contains(dir, "{{")), func(t *testing.T) {
			journal := filepath.Join(t.TempDir(), "haul.jsonl")
			r := h.tfhaul(t, "migrate", states, "--target", org, "--create", "--yes", "--json", "--journal", journal, "--prove", "--prove-dir", dir)
			codes := map[string]any{}
			for _, m := range r.document(t)["moves"].([]any) {
				move := m.(map[string]any)
				codes[filepath.Base(move["target"].(string))] = move["proof"].(map[string]any)["code"]
			}
			// Without terraform the server cannot plan; what matters is what was found.
			if r.code != 1 || codes["a"] != "run-errored" || codes["b"] != "configuration" {
				t.Errorf("%d, %v\n%s", r.code, codes, r.stderr)
			}
		})
	}
	if r := h.tfhaul(t, "migrate", states, "--target", org, "--yes", "--prove-dir", configurations); r.code != 4 || !strings.Contains(r.stderr, "--prove") {
		t.Errorf("--prove-dir alone: %d\n%s", r.code, r.stderr)
	}
	if r := h.tfhaul(t, "migrate", states, "--target", org, "--yes", "--prove", "--prove-dir", "{{ .Nothing }}"); r.code != 4 || !strings.Contains(r.stderr, ".Nothing") {
		t.Errorf("a template that is none: %d\n%s", r.code, r.stderr)
	}
}
