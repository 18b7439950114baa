package command_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

// withoutCodes are commands without exit codes of their own, or with those of another command.
var withoutCodes = map[string]bool{"backends": true, "schema": true, "version": true, "help": true, "completion": true, "man": true, "sim": true, "demo": true, "report": true, "rehearse": true}

// TestHelpTeaches wants an example of every command, and its exit codes.
func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	for _, name := range commandNames(t) {
		r := tfhaul(t, "help", name)
		if r.code != 0 || !strings.Contains(r.stdout, "Example") {
			t.Errorf("help %s has no example, exit code %d: %s", name, r.code, r.stderr)
		}
		if !withoutCodes[name] {
			for _, code := range []string{"Exit codes: 0 ", "1 ", "4 ", "130 "} {
				if !strings.Contains(strings.Join(strings.Fields(r.stdout), " "), code) {
					t.Errorf("help %s does not explain the exit code %q", name, code)
				}
			}
		}
		if all := tfhaul(t, name, "--help", "--all"); all.stdout != r.stdout || r.stderr != "" {
			t.Errorf("tfhaul %s --help --all is not tfhaul help %s", name, name)
		}
	}
}

// flagsOf returns the flags that a help text lists.
func flagsOf(help string) map[string]bool {
	flags := map[string]bool{}
	for line := range strings.Lines(help) {
		if flag, ok := strings.CutPrefix(line, "  --"); ok {
			flags[strings.Trim(strings.Fields(flag)[0], ",")] = true
		}
	}
	return flags
}

// TestHelpShowsTheMostUsedFlags counts what --help leaves out.
func TestHelpShowsTheMostUsedFlags(t *testing.T) {
	t.Parallel()
	for _, name := range commandNames(t) {
		brief, all := tfhaul(t, name, "--help").stdout, tfhaul(t, "help", name).stdout
		some, every := flagsOf(brief), flagsOf(all)
		if len(some) < min(5, len(every)) || len(some) > 14 {
			t.Errorf("%s --help shows %d of %d flags", name, len(some), len(every))
		}
		for flag := range some {
			if !every[flag] {
				t.Errorf("help %s does not show --%s", name, flag)
			}
		}
		last := brief[strings.LastIndex(strings.TrimSpace(brief), "\n")+1:]
		if hidden := len(every) - len(some); hidden > 0 && last != strconv.Itoa(hidden)+" more flags: tfhaul help "+name+"\n" {
			t.Errorf("%s --help leaves out %d flags and ends with %q", name, hidden, last)
		}
	}
	for flag, title := range map[string]string{
		"target": "Target flags", "include": "Selection flags", "fail-fast": "Flags", "json": "Output flags", "ca-file": "Connection flags",
	} {
		_, group, _ := strings.Cut(tfhaul(t, "help", "migrate").stdout, "\n"+title+":\n")
		if group, _, _ = strings.Cut(group, "\n\n"); !flagsOf(group)[flag] {
			t.Errorf("--%s is not under %q", flag, title)
		}
	}
}

// TestHelpFitsEightyColumns wants no line that a terminal would break, except commands.
func TestHelpFitsEightyColumns(t *testing.T) {
	t.Parallel()
	for _, name := range append(commandNames(t), "") {
		args := []string{"help", name}
		if name == "" {
			args = args[:1]
		}
		for line := range strings.Lines(tfhaul(t, args...).stdout) {
			if line = strings.TrimSuffix(line, "\n"); runewidth.StringWidth(line) > 80 && !strings.HasPrefix(line, "  tfhaul ") && !strings.HasPrefix(line, "  . ") {
				t.Errorf("help %s has a line of %d columns: %s", name, runewidth.StringWidth(line), line)
			}
		}
	}
}

func TestHelpOfNothing(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"help mvoe": "did you mean move?", "help move migrate": `unexpected argument "migrate"`, "man mvoe": "did you mean move?",
		"man complete": "unknown command", "man --dir . move": `unexpected argument "move"`, "unlock --all": "unknown flag --all",
	} {
		if r := tfhaul(t, strings.Fields(line)...); r.code != 4 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit code %d: %s%s", line, r.code, r.stdout, r.stderr)
		}
	}
}

// TestManualPages reads all pages as the programs do that show them.
func TestManualPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if r := tfhaul(t, "man", "--dir", dir); r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) != len(commandNames(t))+1 {
		t.Fatalf("%v %q", err, pages)
	}
	packaged, err := os.ReadFile(filepath.Join("..", ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pages {
		if listed := "- man/" + filepath.Base(path) + ".gz\n"; !strings.Contains(string(packaged), listed) {
			t.Errorf(".goreleaser.yaml does not list %q", listed)
		}
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		args := strings.Split(strings.TrimSuffix(filepath.Base(path), ".1"), "-")
		args[0] = "man"
		if r := tfhaul(t, args...); r.stdout != string(page) {
			t.Errorf("%q prints another page than %s", args, path)
		}
		at := 0
		for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS\n.TP\n\\fB0\\fR", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"} {
			i := strings.Index(string(page[at:]), "\n.SH "+section+"\n")
			if i < 0 {
				t.Errorf("%s has no section %q, or it is in the wrong place", path, section)
				continue
			}
			at += i
		}
		for _, wrong := range []string{"Usage:", "Exit codes:", "`", "\n\n", "\n ."} {
			if strings.Contains(string(page), wrong) {
				t.Errorf("%s contains %q", path, wrong)
			}
		}
		lint(t, path, "mandoc", "-Tlint", "-W", "warning")
		lint(t, path, "groff", "-man", "-Tutf8", "-ww", "-z")
	}
	move, err := os.ReadFile(filepath.Join(dir, "tfhaul-move.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`.TH TFHAUL\-MOVE 1`, `tfhaul\-move \- move one state into a workspace, bucket or file`, `\fBtfhaul move [flags] SOURCE TARGET\fR`,
		"\\fB\\-\\-journal FILE\\fR\n", "\\fB3\\fR\nrefused, and needs a decision\n", "TFE_TOKEN, TF_TOKEN_<host>", ".SH FILES\n", `tfhaul\-backup/`, `  tfhaul move \-\-dry\-run terraform.tfstate`,
		".BR tfhaul\\-migrate (1) ,\n",
	} {
		if !strings.Contains(string(move), want) {
			t.Errorf("the page does not contain %q", want)
		}
	}
	if r := tfhaul(t, "man", "--dir", filepath.Join(dir, "none")); r.code != 1 || !strings.Contains(r.stderr, "cannot write the manual page") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

// lint runs a program that checks a manual page, where there is one.
func lint(t *testing.T, page, program string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Logf("SKIPPED: there is no %s, so the manual pages are not checked with it", program)
		return
	}
	out, err := exec.CommandContext(t.Context(), path, append(args, page)...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "missing date") { // builds are reproducible
			t.Errorf("%s: %s", program, line)
		}
	}
	if len(out) == 0 && err != nil {
		t.Errorf("%s: %v", program, err)
	}
}
