package command_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// recipeIn returns the block and the commands of the recipe in an output.
func recipeIn(t *testing.T, output string) (block string, commands []string) {
	t.Helper()
	_, recipe, found := strings.Cut(output, "Next: make ")
	if !found {
		t.Fatalf("there is no recipe:\n%s", output)
	}
	block = regexp.MustCompile(`(?ms)^ {7}terraform \{$.*?^ {7}\}$`).FindString(recipe)
	for line := range strings.Lines(strings.Replace(recipe, block, "", 1)) {
		if command, ok := strings.CutPrefix(line, "       "); ok {
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	return block, commands
}

// shell runs a command as a user would after a move: in a shell, with the real terraform.
func (h *host) shell(t *testing.T, dir, command string) (code int, output string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = dir
	cmd.Env = slices.Concat(h.environ, []string{"PATH=" + os.Getenv("PATH"), "TF_IN_AUTOMATION=1"})
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// The recipe that a move prints, run as printed, ends with a plan without changes, whatever
// backend the configuration had: none, or one whose settings Terraform remembers; in the
// directory of the configuration or another; with cloud, or with the remote backend as the
// recipe says. The plan is a run of the server.
func TestRecipeAfterAMoveLeadsToNoChanges(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	const local = "terraform {\n  backend \"local\" {\n    path = \"terraform.tfstate\"\n  }\n}\n"
	for _, test := range []struct {
		name, backend string
		remote        bool
	}{
		{"no backend", "", false},
		{"remembered backend", local, false},
		{"no backend, then remote", "", true},
		{"remembered backend, then remote", local, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			dir := configured(t, configurationOfOne+test.backend)
			r := h.tfhaul(t, "move", "--create", filepath.Join(dir, "terraform.tfstate"), org+"/net")
			if r.code != 0 {
				t.Fatalf("move: %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			block, commands := recipeIn(t, r.stderr)
			if test.remote {
				block = strings.Replace(block, "cloud {", `backend "remote" {`, 1)
				commands[len(commands)-2] = strings.Replace(commands[len(commands)-2], "init ", "init -reconfigure ", 1)
			}
			rewrite(t, filepath.Join(dir, "main.tf"), configurationOfOne+block+"\n")
			// Without the recipe's second step it would not work.
			if code, output := h.shell(t, dir, "terraform init -input=false -no-color && terraform plan -detailed-exitcode"); code == 0 {
				t.Errorf("the old files do no harm, so this test shows nothing:\n%s", output)
			}
			for _, command := range commands {
				if code, output := h.shell(t, t.TempDir(), command); code != 0 {
					t.Fatalf("%s: exit code %d\n%s", command, code, output)
				}
			}
			if got := h.Workspaces(org); !slices.Equal(got, []string{"net"}) {
				t.Errorf("the server has the workspaces %q", got)
			}
			if n := len(h.Versions(org, "net")); n != 1 {
				t.Errorf("the workspace has %d state versions, want the one that was moved", n)
			}
		})
	}
}

// A mistyped name: Terraform creates that workspace without asking, as the recipe warns, and
// plans to create everything again.
func TestTerraformCreatesAMistypedWorkspace(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	h := start(t, tfesim.Options{})
	dir := configured(t, configurationOfOne)
	r := h.tfhaul(t, "move", "--create", filepath.Join(dir, "terraform.tfstate"), org+"/net")
	block, commands := recipeIn(t, r.stderr)
	rewrite(t, filepath.Join(dir, "main.tf"), configurationOfOne+strings.Replace(block, `"net"`, `"nte"`, 1)+"\n")
	for i, command := range commands {
		want := 0
		if i == len(commands)-1 {
			want = 2 // the plan has changes
		}
		if code, output := h.shell(t, t.TempDir(), command); code != want {
			t.Errorf("%s: exit code %d, want %d\n%s", command, code, want, output)
		}
	}
	if got := h.Workspaces(org); !slices.Equal(got, []string{"net", "nte"}) {
		t.Errorf("the server has the workspaces %q", got)
	}
}

// After a haul of several states the recipe is for each configuration, also in the report.
func TestRecipeAfterAHaul(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	journal := journalIn(t)
	r := h.tfhaul(t, "migrate", tree(t, many(2)), "--target", org, "--create", "--yes", "--journal", journal)
	told := h.tfhaul(t, "report", journal)
	for name, output := range map[string]string{"migrate": r.stderr, "report": told.stdout} {
		if !strings.Contains(output, "Next: tfhaul verify "+journal+" ") {
			t.Errorf("%s does not recommend to verify:\n%s", name, output)
		}
		block, commands := recipeIn(t, output)
		want := "hostname     = \"" + h.running.Host() + "\""
		if !strings.Contains(block, want) || !slices.Equal(commands, []string{"terraform init -input=false", "terraform plan -detailed-exitcode"}) {
			t.Errorf("%s:\n%s", name, output)
		}
	}
	if r := h.tfhaul(t, "verify", journal); r.code != 0 || !strings.Contains(r.stderr, "tfhaul report "+journal+" shows how") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// The commands that plan and audit recommend work as printed, and each leads to the next.
func TestOneCommandLeadsToTheNext(t *testing.T) {
	h := start(t, tfesim.Options{})
	states := many(2)
	t.Chdir(tree(t, states))
	next := func(r run, code int, before string) []string {
		t.Helper()
		_, said, ok := strings.Cut(r.stderr, before+"tfhaul ")
		if r.code != code || !ok {
			t.Fatalf("exit code %d, want %d and %q: %s%s", r.code, code, before, r.stdout, r.stderr)
		}
		line, _, _ := strings.Cut(said, "\n")
		return strings.Fields(line)
	}
	audited := h.tfhaul(t, "audit", ".", "--html", filepath.Join(t.TempDir(), "audit.html"))
	if !strings.HasPrefix(audited.stderr, "Wrote /") {
		t.Errorf("it does not say what it wrote: %s", audited.stderr)
	}
	if got := next(audited, 0, "Next: "); !slices.Equal(got, strings.Fields("plan . --target [HOST/]ORG --create --out haul.hcl")) {
		t.Errorf("after an audit: %q", got)
	}
	create := next(h.tfhaul(t, "plan", ".", "--target", org), 3, "Next: if the missing workspaces are to be created: ")
	write := next(h.tfhaul(t, create...), 0, "Next: write this plan to a file, to review and run it: ")
	migrate := next(h.tfhaul(t, write...), 0, "Review it, then run: ")
	journal := journalIn(t)
	verify := next(h.tfhaul(t, append(migrate, "--yes", "--journal", journal)...), 0, "Next: ")
	if !slices.Equal(verify[:2], []string{"verify", journal}) {
		t.Errorf("after a haul: %q", verify)
	}
	h.mustHoldAll(t, states)
}
