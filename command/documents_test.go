package command_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

var update = flag.Bool("update", false, "write the documents that are made from the program")

// TestCommandsDocument keeps docs/commands.md what tfhaul help prints.
func TestCommandsDocument(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString("# The commands\n\nThis page contains the output of `tfhaul help COMMAND`. `go test ./command -run Document -update` writes it.\n")
	chapter := func(title, help string) {
		b.WriteString("\n## " + title + "\n\n```text\n" + strings.TrimSpace(help) + "\n```\n")
	}
	chapter("tfhaul", tfhaul(t, "help").stdout)
	for _, name := range commandNames(t) {
		chapter("tfhaul "+name, tfhaul(t, "help", name).stdout)
	}
	path := filepath.Join("..", "docs", "commands.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.ReplaceAll(written, []byte("\r\n"), []byte("\n")), b.Bytes()) {
		t.Error("docs/commands.md is not what tfhaul help prints: go test ./command -run Document -update")
	}
}

// commandNames returns the commands that tfhaul --help lists.
func commandNames(t *testing.T) []string {
	t.Helper()
	_, list, _ := strings.Cut(tfhaul(t, "--help").stdout, "\nCommands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var names []string
	for line := range strings.Lines(list) {
		if !strings.HasPrefix(line, "   ") {
			names = append(names, strings.Fields(line)[0])
		}
	}
	if len(names) < 8 {
		t.Fatalf("tfhaul --help lists only %q", names)
	}
	return names
}

// TestFlagsMayStandAnywhere has the orders in which people type.
func TestFlagsMayStandAnywhere(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "-odd.tfstate", state(1, 10))
	dir, target := filepath.Dir(path), org+"/net"
	for _, args := range [][]string{
		{"move", path, target, "--dry-run", "--json"},
		{"move", "--dry-run", path, "--json", target},
		{"move", "-dry-run", "-json", path, target},
		{"move", path, "--lock-timeout", "1s", target, "--json", "--dry-run", "--log-level", "error"},
		{"--log-level", "error", "move", path, target, "--json", "--dry-run=true"},
		{"--log-level=error", "move", "--json", "--dry-run", "--", path, target},
		{"move", "--backup-dir", "-x", path, target, "--json", "--dry-run"},
		{"move", "--json", "--dry-run", "--on-failure", "unlock", path, target, "--exclude-nothing"},
	} {
		want := 0
		if args[len(args)-1] == "--exclude-nothing" {
			want = 4
		}
		r := h.tfhaul(t, args...)
		if r.code != want {
			t.Errorf("%q: exit code %d: %s%s", args, r.code, r.stdout, r.stderr)
			continue
		}
		if want == 0 && r.document(t)["outcome"] != "planned" {
			t.Errorf("%q: %s", args, r.stdout)
		}
	}
	h.mustHold(t, "net", nil)
	t.Run("after two dashes", func(t *testing.T) {
		// Only there can a name look like a flag.
		relative, err := filepath.Rel(mustWD(t), dir)
		if err != nil {
			t.Skip("the temporary directory is on another drive")
		}
		if r := h.tfhaul(t, "move", "--dry-run", "--", filepath.Join(relative, "-odd.tfstate"), target); r.code != 0 {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
		if r := h.tfhaul(t, "move", "--dry-run", "--", "-odd.tfstate", target); r.code != 4 || !strings.Contains(r.stderr, `"-odd.tfstate"`) {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
	})
}

func mustWD(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDebugLogShowsNoSecret has every request of a move in the log.
func TestDebugLogShowsNoSecret(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	path := write(t, "terraform.tfstate", state(1, 10))
	r := h.tfhaul(t, "move", path, org+"/net", "--create", "--upload=signed", "--log-level=debug") // checked by tfhaul
	if r.code != 0 || !strings.Contains(r.stderr, "level=DEBUG") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}
