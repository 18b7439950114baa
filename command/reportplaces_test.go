package command_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tfhaul/report"
	"tfhaul/tfesim"
)

// What a report's path names decides whether it is written: links are followed and stay,
// and what cannot hold a report is refused before the work.
func TestReportsAtOddPlaces(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege there")
	}
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": state(1, 10)})
	audit := func(path string) run { return h.tfhaul(t, "audit", dir, "--html", path) }
	link := func(to string) string {
		path := filepath.Join(t.TempDir(), "report.html")
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	isLink := func(path string) bool {
		info, err := os.Lstat(path)
		return err == nil && info.Mode()&os.ModeSymlink != 0
	}

	t.Run("a link to a report", func(t *testing.T) {
		real := filepath.Join(t.TempDir(), "real.html")
		writeFile(t, real, nil)
		if err := os.Chmod(real, 0o600); err != nil {
			t.Fatal(err)
		}
		path := link(real)
		r := audit(path)
		text, err := os.ReadFile(real)
		info, _ := os.Stat(real)
		if r.code != 0 || err != nil || !strings.Contains(string(text), "<!DOCTYPE html>") || !isLink(path) || info.Mode().Perm() != 0o600 {
			t.Errorf("exit code %d, %v, still a link: %v: %s", r.code, err, isLink(path), r.stderr)
		}
	})
	t.Run("a link to another user's file", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "profile")
		writeFile(t, other, []byte("export PATH=/bin\n"))
		path := link(other)
		r := audit(path)
		if text, err := os.ReadFile(other); r.code != 4 || err != nil || string(text) != "export PATH=/bin\n" || !isLink(path) {
			t.Errorf("exit code %d, %v: %s", r.code, err, r.stderr)
		}
	})
	for name, c := range map[string]struct{ path, says string }{
		"a link to nowhere": {link(filepath.Join(t.TempDir(), "gone.html")), "does not exist"},
		"a directory":       {t.TempDir(), "is a directory"},
	} {
		if r := audit(c.path); r.code != 4 || !strings.Contains(r.stderr, c.says) || r.stdout != "" {
			t.Errorf("%s: exit code %d: %s", name, r.code, r.stderr)
		}
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		if r := audit("/dev/full"); r.code != 1 || !strings.Contains(r.stderr, "no space left on device") {
			t.Errorf("/dev/full: exit code %d: %s", r.code, r.stderr)
		}
	}
}

// With > FILE, that file holds what tfhaul prints, and is not replaced. The link is one of
// the test's own: what a mistake here replaces must not be the machine's /dev/stdout.
func TestReportsDoNotReplaceTheOutput(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": state(1, 10)})
	path := filepath.Join(t.TempDir(), "out.txt")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	reports := []string{path}
	const descriptor = "/proc/self/fd/1" // where /dev/stdout leads on Linux
	if link := filepath.Join(t.TempDir(), "stdout"); os.Symlink(descriptor, link) == nil {
		if _, err := os.Stat(descriptor); err == nil {
			reports = append(reports, link)
		}
	}
	for _, report := range reports {
		var stderr bytes.Buffer
		c := exec.CommandContext(t.Context(), binary(t), "audit", dir, "--html", report)
		c.Env, c.Stdout, c.Stderr = h.environ, out, &stderr
		exit, ok := errors.AsType[*exec.ExitError](c.Run())
		if !ok || exit.ExitCode() != 4 || !strings.Contains(stderr.String(), "where the output of tfhaul itself goes") {
			t.Errorf("%s: %v: %s", report, exit, &stderr)
		}
		before, err := out.Stat()
		if now, statErr := os.Stat(path); err != nil || statErr != nil || !os.SameFile(before, now) {
			t.Errorf("%s: the output was replaced: %v, %v", report, err, statErr)
		}
	}
}

// What audit, plan, migrate and report write for other programs is in the named files, and
// nothing of it damages a file of another.
func TestReportsForPipelines(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, found())
	out := t.TempDir()
	journal := journalIn(t)
	for command, args := range map[string][]string{
		"audit":   {"audit", dir},
		"plan":    {"plan", dir, "--target", org, "--create"},
		"migrate": {"migrate", dir, "--target", org, "--create", "--yes", "--journal", journal},
	} {
		file := func(name string) string { return filepath.Join(out, command+name) }
		rewrite(t, file(".summary"), "what was there")
		args = append(args, "--sarif", file(".sarif"), "--markdown", file(".md"), "--markdown-append", file(".summary"))
		if r := h.tfhaul(t, args...); r.code != 0 && r.code != 3 {
			t.Fatalf("%q: exit code %d: %s", args, r.code, r.stderr)
		}
		read := func(name string) string {
			t.Helper()
			text, err := os.ReadFile(file(name))
			if err != nil {
				t.Fatal(err)
			}
			h.mustNotShow(t, run{stdout: string(text)})
			return string(text)
		}
		if text := read(".sarif"); !strings.HasPrefix(text, report.SARIFHead) || !strings.Contains(text, "diverged") {
			t.Errorf("%s: %.400s", command, text)
		}
		text := read(".md")
		if !strings.HasPrefix(text, "<!-- tfhaul "+command+" -->\n") || !strings.Contains(text, "diverged") {
			t.Errorf("%s: %.400s", command, text)
		}
		// They can be written again, and appended again.
		if r := h.tfhaul(t, args...); r.code != 0 && r.code != 3 {
			t.Errorf("%q again: exit code %d: %s", args, r.code, r.stderr)
		}
		if summary := read(".summary"); !strings.HasPrefix(summary, "what was there\n"+text[:40]) || strings.Count(summary, "<!-- tfhaul "+command) != 2 {
			t.Errorf("%s: %.400s", command, summary)
		}
	}
	told := filepath.Join(out, "report.md")
	if r := h.tfhaul(t, "report", journal, "--markdown", told, "--sarif", filepath.Join(out, "report.sarif")); r.code != 0 || r.stdout != "" {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if text, err := os.ReadFile(told); err != nil || !strings.Contains(string(text), "diverged") {
		t.Errorf("%v: %s", err, text)
	}
	junit := filepath.Join(out, "audit.xml")
	if r := h.tfhaul(t, "audit", dir, "--junit", junit); r.code != 0 {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	if text, err := os.ReadFile(junit); err != nil || !strings.Contains(string(text), `<failure type="diverged"`) {
		t.Errorf("%v: %s", err, text)
	}

	held := filepath.Join(dir, "plain", "terraform.tfstate")
	before, err := os.ReadFile(held)
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--sarif", "--markdown", "--markdown-append", "--junit"} {
		for _, path := range []string{held, journal, dir, "-", filepath.Join(dir, "absent", "x")} {
			if r := h.tfhaul(t, "audit", dir, flag, path, "--force"); r.code != 4 {
				t.Errorf("%s %s: exit code %d: %s", flag, path, r.code, r.stderr)
			}
		}
	}
	if after, err := os.ReadFile(held); err != nil || string(after) != string(before) {
		t.Errorf("%v: the state was changed", err)
	}
}
