package command_test

import (
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// pagesIn reads the pages of a handover.
func pagesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(file)] = string(text)
	}
	return pages
}

// commandsIn returns the lines of the blocks of commands on a page.
func commandsIn(page string) []string {
	var commands []string
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)\n```$").FindAllStringSubmatch(page, -1) {
		commands = append(commands, strings.Split(block[1], "\n")...)
	}
	return commands
}

// printed runs a command as printed, in another directory than that of the haul.
func (h *host) printed(t *testing.T, command string) run {
	t.Helper()
	words := strings.Fields(command)
	if words[0] != "tfhaul" {
		t.Fatalf("%s is not a command of tfhaul", command)
	}
	return h.tfhaulIn(t, t.Context(), h.with("TFHAUL_BACKUP_DIR="+t.TempDir()), nil, words[1:]...)
}

// A handover has a page for each repository. Every command on it works as printed.
func TestHandover(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	repositories := tree(t, map[string][]byte{
		"live-net/a/terraform.tfstate": state(1, 4), "live-net/b/terraform.tfstate": state(2, 5), "live-app/c/terraform.tfstate": state(3, 6),
		"live-net/.git/HEAD": nil, "live-app/.git/HEAD": nil,
	})
	h.addWorkspace(t, "live-net-b")
	h.seed(t, "live-net-b", state(2, 3)) // which a rollback puts back
	h.addWorkspace(t, "live-app-c")
	h.seed(t, "live-app-c", state(9, 1)) // another state: refused
	journal := journalIn(t)
	r := h.tfhaul(t, "migrate", repositories, "--target", org, "--create", "--yes", "--journal", journal)
	if r.code != 3 {
		t.Fatalf("migrate: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	dir := filepath.Join(t.TempDir(), "handover")
	for range 2 { // it replaces its own pages
		if r = h.tfhaul(t, "report", journal, "--handover", dir); r.code != 0 {
			t.Fatalf("report: %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	}
	pages := pagesIn(t, dir)
	if len(pages) != 3 || pages["README.md"] == "" || pages["live-net.md"] == "" || pages["live-app.md"] == "" {
		t.Fatalf("the pages are %v", pages)
	}
	raw, _, _ := h.Current(org, "live-net-a")
	version := h.Versions(org, "live-net-a")[0].ID
	for _, part := range []string{"live-net-a", fmt.Sprintf("%x", md5.Sum(raw)), version, "Next: make", "terraform init -input=false"} {
		if !strings.Contains(pages["live-net.md"], part) {
			t.Errorf("the page of live-net lacks %q:\n%s", part, pages["live-net.md"])
		}
	}
	if page := pages["live-app.md"]; !strings.Contains(page, "Not moved (unrelated)") || strings.Contains(page, "Next: make") {
		t.Errorf("the page of live-app:\n%s", page)
	}
	if !strings.Contains(pages["README.md"], "was not moved (unrelated)") {
		t.Errorf("the page of the haul:\n%s", pages["README.md"])
	}
	exits := map[string]int{"verify": 3, "rollback": 3, "rollback --delete-created": 0, "rollback --yes": 3, "rollback --delete-created --yes": 0, "migrate": 3}
	var done []string
	for _, command := range commandsIn(pages["README.md"]) {
		name := strings.Join(strings.Fields(strings.Replace(strings.TrimPrefix(command, "tfhaul "), journal, "", 1)), " ")
		if strings.HasPrefix(name, "migrate") {
			name = "migrate"
		}
		want, known := exits[name]
		if r := h.printed(t, command); !known || r.code != want {
			t.Errorf("%s: exit code %d, want %d\n%s%s", command, r.code, want, r.stdout, r.stderr)
		}
		done = append(done, name)
	}
	if len(done) != len(exits) {
		t.Errorf("the commands are %q", done)
	}
	if names := h.Workspaces(org); slices.Contains(names, "live-net-a") {
		t.Errorf("after the rollback, the workspaces are %q", names)
	}
	if raw, serial, _ := h.Current(org, "live-net-b"); string(raw) != string(state(2, 3)) {
		t.Errorf("after the rollback, live-net-b has serial %d, want its former state", serial)
	}
}

// The steps on a team's page, typed as printed, end with a plan without changes.
func TestStepsOfAHandover(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	h := start(t, tfesim.Options{})
	dir := configured(t, configurationOfOne)
	journal := journalIn(t)
	if r := h.tfhaul(t, "migrate", dir, "--target", org, "--create", "--yes", "--journal", journal, "--workspace-name", "net"); r.code != 0 {
		t.Fatalf("migrate: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	out := t.TempDir()
	if r := h.tfhaul(t, "report", journal, "--handover", out); r.code != 0 {
		t.Fatalf("report: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	block, commands := recipeIn(t, pagesIn(t, out)["other-states.md"])
	rewrite(t, filepath.Join(dir, "main.tf"), configurationOfOne+block+"\n")
	for _, command := range commands {
		if strings.HasPrefix(command, "```") || command == "" {
			break
		}
		if code, output := h.shell(t, t.TempDir(), command); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", command, code, output)
		}
	}
}

// A handover replaces no file of others.
func TestHandoverLeavesFilesOfOthersAlone(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	journal := journalIn(t)
	if r := h.tfhaul(t, "migrate", tree(t, many(1)), "--target", org, "--create", "--yes", "--journal", journal); r.code != 0 {
		t.Fatalf("migrate: %d", r.code)
	}
	readme := write(t, "README.md", []byte("# Ours\n"))
	if r := h.tfhaul(t, "report", journal, "--handover", filepath.Dir(readme)); r.code != 4 {
		t.Errorf("exit code %d, want 4\n%s", r.code, r.stderr)
	}
	if r := h.tfhaul(t, "report", journal, "--handover", readme); r.code != 4 || !strings.Contains(r.stderr, "takes a directory") {
		t.Errorf("a file: exit code %d, want 4\n%s", r.code, r.stderr)
	}
	if text, err := os.ReadFile(readme); err != nil || string(text) != "# Ours\n" {
		t.Errorf("the file is now %q (%v)", text, err)
	}
}
