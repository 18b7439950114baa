package command_test

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// listing lists the files below a directory with their digests, sizes and times.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			fmt.Fprintln(&b, path)
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		fmt.Fprintf(&b, "%s %x %v %v\n", path, md5.Sum(data), info.ModTime(), info.Mode())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A state in a file is proven by the real terraform where it is. Nothing is written: neither
// to the state, nor a lock, nor to the configuration, whose own backend is another.
func TestProveAFile(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	h := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	h.environ = append(h.environ, "PATH="+os.Getenv("PATH"))
	dir := configured(t, configurationOfOne)
	places := t.TempDir()
	at := filepath.Join(places, "net", "terraform.tfstate.d", "prod", "terraform.tfstate")
	if r := h.tfhaul(t, "move", filepath.Join(dir, "terraform.tfstate"), at); r.code != 0 {
		t.Fatalf("move: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	const elsewhere = "terraform {\n  backend \"local\" {\n    path = \"/nowhere/terraform.tfstate\"\n  }\n}\n"
	for _, tt := range []struct {
		does, main, at string
		exit           int
		verdict, code  string
	}{
		{"the same configuration", configurationOfOne + elsewhere, at, 0, "proven", ""},
		{"in its workspace", configurationOfOne + "output \"w\" { value = terraform.workspace }\n", at, 3, "changes", ""},
		{"another value", strings.Replace(configurationOfOne, "first", "second", 1), at, 3, "changes", ""},
		{"a missing variable", configurationOfOne + "variable \"region\" {}\n", at, 1, "unproven", "missing-variable"},
		{"no state", configurationOfOne, strings.Replace(at, "prod", "staging", 1), 1, "unproven", "no-state"},
	} {
		t.Run(tt.does, func(t *testing.T) {
			rewrite(t, filepath.Join(dir, "main.tf"), tt.main)
			configuration, states := listing(t, dir), listing(t, places)
			r := h.tfhaul(t, "prove", "--local", "--json", dir, tt.at)
			var got struct {
				Verdict, Code string
				Target        string
				Changes       []struct{ Address string }
			}
			if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != tt.exit || got.Verdict != tt.verdict || got.Code != tt.code || got.Target != tt.at {
				t.Fatalf("exit code %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
			}
			if now := listing(t, dir); now != configuration {
				t.Errorf("the configuration was changed from\n%s\nto\n%s", configuration, now)
			}
			if now := listing(t, places); now != states {
				t.Errorf("the states were changed from\n%s\nto\n%s", states, now)
			}
		})
	}
}

// A haul into a directory is proven there.
func TestMigrateProvesInADirectory(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	h := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	h.environ = append(h.environ, "PATH="+os.Getenv("PATH"))
	root, journal := landscapeOf(t, 4), journalIn(t)
	args := []string{"migrate", root, "--target", t.TempDir() + "/", "--yes", "--prove", "--journal", journal}
	r := h.tfhaul(t, append(args, "--json")...)
	if got, _ := json.Marshal(r.document(t)["proofs"]); r.code != 1 || string(got) != `{"changes":1,"proven":2,"unproven":1}` {
		t.Errorf("exit code %d, %s\n%s%s", r.code, got, r.stdout, r.stderr)
	}
	// A second run proves again what was not proven.
	h.environ = append(h.environ, "TF_VAR_region=eu")
	if r := h.tfhaul(t, args...); r.code != 3 || !strings.Contains(r.stdout, "4 proofs: 3 proven, 1 changes") {
		t.Errorf("continued: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// Without terraform, a haul that is to be proven here does not begin.
func TestMigrateDoesNotBeginWithoutTerraform(t *testing.T) {
	h := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
	t.Setenv("PATH", t.TempDir())
	places := t.TempDir()
	r := h.tfhaul(t, "migrate", tree(t, many(2)), "--target", places+"/", "--yes", "--prove", "--journal", journalIn(t))
	if r.code != 4 || !strings.Contains(r.stderr, "terraform is not on PATH") || strings.Contains(listing(t, places), "tfstate") {
		t.Errorf("exit code %d: %s%s\n%s", r.code, r.stdout, r.stderr, listing(t, places))
	}
}

// The recipe that a move into a file prints, run as printed, ends with a plan without changes:
// with the state in the directory, in another local backend, and in a workspace.
func TestRecipeAfterAMoveIntoAFile(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	for _, tt := range []struct {
		name, backend, to string
		selected          bool // another workspace is selected in the directory
	}{
		{"no backend", "", "net.tfstate", false},
		{"another backend", "terraform {\n  backend \"local\" {\n    path = \"terraform.tfstate\"\n  }\n}\n", "net.tfstate", false},
		{"into a workspace", "", "net/terraform.tfstate.d/prod/terraform.tfstate", false},
		{"with a workspace selected", "", "net.tfstate", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{Terraform: tfesim.NoTerraform})
			dir, places := configured(t, configurationOfOne+tt.backend), t.TempDir()
			if tt.selected {
				if code, output := h.shell(t, dir, "terraform workspace new old"); code != 0 {
					t.Fatal(output)
				}
			}
			journal := journalIn(t)
			r := h.tfhaul(t, "move", filepath.Join(dir, "terraform.tfstate"), filepath.Join(places, tt.to), "--journal", journal)
			if r.code != 0 {
				t.Fatalf("move: %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			block, commands := recipeIn(t, r.stderr)
			told := h.tfhaul(t, "report", journal)
			if again, same := recipeIn(t, told.stdout); again != block || !slices.Equal(same, commands) {
				t.Errorf("report shows a different recipe:\n%s", told.stdout)
			}
			rewrite(t, filepath.Join(dir, "main.tf"), configurationOfOne+block+"\n")
			before := listing(t, places)
			for _, command := range commands {
				if code, output := h.shell(t, t.TempDir(), command); code != 0 {
					t.Fatalf("%s: exit code %d\n%s\n%s", command, code, output, r.stderr)
				}
			}
			if now := listing(t, places); now != before {
				t.Errorf("the states were changed from\n%s\nto\n%s", before, now)
			}
		})
	}
}
