package command_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// A badInput is something that a person, or a machine, gets wrong, and the exit
// code it ends with. What is said of it stands in testdata/badinput.
type badInput struct {
	name string
	// args are typed in a directory of the case's own, in which files lie.
	args  []string
	files map[string]string
	// prepare makes in that directory what a file cannot be.
	prepare func(t *testing.T, dir string)
	// environ is added to the environment that makes clients use the server.
	environ []string
	stdin   string
	exit    int
}

// TestBadInput has what people get wrong. Each gets its exit code, a message that
// was reviewed (testdata/badinput), nothing but JSON on stdout with --json, and
// leaves the target alone. It is not parallel, because every case has a working
// directory of its own.
func TestBadInput(t *testing.T) {
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	h.seed(t, "full", state(1, 10))
	hermeticAWS(t)
	total := 0
	for _, group := range []struct {
		name  string
		cases []badInput
	}{
		{"files", badFiles()},
		{"sources", badSources()},
		{"targets", badTargets()},
		{"flags", badFlags()},
		{"journals", badJournals(h)},
		{"manifests", badManifests(h)},
		{"maps", badMaps()},
		{"proofs", badProofs()},
		{"credentials", badCredentials()},
		{"hosts", badHosts(t)},
	} {
		t.Run(group.name, func(t *testing.T) {
			var said bytes.Buffer
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) { h.tryBadInput(t, c, &said) })
			}
			compareGolden(t, filepath.Join("testdata", "badinput", group.name+".golden"), said.Bytes())
		})
		total += len(group.cases)
	}
	t.Logf("%d bad inputs", total)
	h.mustHold(t, "net", nil)
	h.mustHold(t, "full", state(1, 10))
	for _, q := range h.Requests() {
		if q.Method != http.MethodGet && q.Method != http.MethodHead {
			t.Errorf("the target was written to: %s %s", q.Method, q.Endpoint)
		}
	}
}

// hermeticAWS keeps this machine's own AWS configuration out, and gives keys that
// open nothing.
func hermeticAWS(t *testing.T) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "AKIANOBODY", "AWS_SECRET_ACCESS_KEY": "nobody", "AWS_REGION": "us-east-1",
		"AWS_MAX_ATTEMPTS": "1", "AWS_PROFILE": "", "AWS_SESSION_TOKEN": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "",
	} {
		t.Setenv(name, value)
	}
}

func (h *host) tryBadInput(t *testing.T, c badInput, said *bytes.Buffer) {
	dir := t.TempDir()
	for name, content := range c.files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c.prepare != nil {
		c.prepare(t, dir)
	}
	t.Chdir(dir)
	before := filesIn(t, dir)

	r := h.tfhaulIn(t, t.Context(), h.with(c.environ...), []byte(c.stdin), c.args...)
	if r.code != c.exit {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, c.exit, r.stdout, r.stderr)
	}
	mustReadWell(t, r.stdout+r.stderr)
	if strings.TrimSpace(r.stdout+r.stderr) == "" {
		t.Error("nothing is said")
	}
	if r.code == 4 && r.stdout != "" {
		t.Errorf("stdout is not empty: %s", r.stdout)
	}
	if after := filesIn(t, dir); !slices.Equal(before, after) {
		t.Errorf("files changed:\n%q\n%q", before, after)
	}
	said.WriteString(h.transcript(c, dir, r))

	if takesJSON(c.args) {
		again := h.tfhaulIn(t, t.Context(), h.with(c.environ...), []byte(c.stdin), append(slices.Clone(c.args), "--json")...)
		if again.code != r.code {
			t.Errorf("with --json the exit code is %d, and without %d", again.code, r.code)
		}
		if again.stdout != "" {
			again.document(t)
		} else if again.stderr == "" {
			t.Error("with --json nothing is said")
		}
	}
}

// takesJSON reports whether --json can be added to the arguments.
func takesJSON(args []string) bool {
	return len(args) > 0 && slices.Contains([]string{"audit", "move", "verify", "unlock", "history", "plan", "migrate", "rehearse", "report"}, args[0]) &&
		!slices.Contains(args, "--json") && !slices.Contains(args, "--")
}

// filesIn lists files with their sizes and modes.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return nil // what cannot be looked at is part of some cases
		}
		size := info.Size()
		if info.IsDir() {
			size = 0
		}
		all = append(all, fmt.Sprintf("%s %v %d", path, info.Mode(), size))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// badStyle is what no message for a person holds: what Go and its libraries say
// among themselves.
var badStyle = regexp.MustCompile(`unexpected end of JSON|\bEOF\b|\bjson: |strconv\.|goroutine \d|\bpanic\b|runtime error|\.go:\d+|0x[0-9a-f]{6,}|<nil>|%!|invalid memory|interface conversion|\*[a-z]+\.[A-Z]|map\[|bufio|tls: |x509: |idna: |tfesim: |\bopen [^ ]+: |\bstat [^ ]+: |\bmkdir [^ ]+: |context (?:canceled|deadline exceeded)`)

var endsTwice = regexp.MustCompile(`[\pL)"](?:\.\.|\.;|\?\.)(?:\s|$)`)

// mustReadWell fails on what a person would not understand, or not want to read.
func mustReadWell(t *testing.T, said string) {
	t.Helper()
	if m := badStyle.FindString(said); m != "" {
		t.Errorf("a person reads %q in: %s", m, said)
	}
	for line := range strings.Lines(said) {
		if len(line) > 700 {
			t.Errorf("a line of %d bytes: %s", len(line), line)
		}
	}
	if endsTwice.MatchString(said) {
		t.Errorf("a sentence ends twice: %s", said)
	}
}

// The parts of a message that differ from run to run.
var varying = []struct {
	pattern *regexp.Regexp
	shown   string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d{2,}`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`127\.0\.0\.1_\d{2,}`), "127.0.0.1_PORT"},
	{regexp.MustCompile(`sv-[A-Za-z0-9]{16}`), "sv-ID"},
	{regexp.MustCompile(`\d+\.\d\d s\b`), "N s"},
	{regexp.MustCompile(`the commands are [a-z, ]+`), "the commands are …"},
	{regexp.MustCompile(`a URL that starts with [a-z0-9+:/, ]+ or [a-z0-9+]+://`), "a URL that starts with …"},
	{regexp.MustCompile(`(?s)  tfhaul - move Terraform.*  tfhaul: no command given`), "  (the help)\n  tfhaul: no command given"},
	{regexp.MustCompile(`\d{8}-\d{6}-[0-9a-f]{12}`), "HAUL"},
	{regexp.MustCompile(`expired on \d{4}-\d\d-\d\d`), "expired on YESTERDAY"},
}

// transcript is what was typed and what was said to it.
func (h *host) transcript(c badInput, dir string, r run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n$ ", c.name)
	for _, variable := range c.environ {
		name, value, _ := strings.Cut(variable, "=")
		if strings.Contains(name, "TOKEN") && value != "" {
			value = "…"
		}
		fmt.Fprintf(&b, "%s=%q ", name, value)
	}
	b.WriteString("tfhaul")
	for _, arg := range c.args {
		if arg == "" || strings.ContainsAny(arg, " \t\n*?&;'\"\\\x1b") {
			arg = fmt.Sprintf("%q", arg)
		}
		if len(arg) > 100 {
			arg = arg[:100] + "…"
		}
		b.WriteString(" " + arg)
	}
	fmt.Fprintf(&b, "\nexit %d\n", r.code)
	for line := range strings.Lines(r.stdout + r.stderr) {
		b.WriteString("  " + line)
	}
	text := strings.ReplaceAll(b.String(), h.running.Host(), "HOST")
	text = strings.ReplaceAll(text, dir, "DIR")
	for _, variable := range h.environ {
		if home, ok := strings.CutPrefix(variable, "HOME="); ok {
			text = strings.ReplaceAll(text, home, "HOME")
		}
	}
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.shown)
	}
	return text + "\n"
}

// compareGolden compares with a reviewed file, which -update writes. Where the
// words of the system are part of messages, they are those of Linux.
func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("other messages than in %s (read them, then go test ./command -run TestBadInput -update):\n%s", path, firstDifference(string(got), string(want)))
	}
}

// firstDifference shows the first case of two transcripts that differs.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n\n"), strings.Split(want, "\n\n")
	for i := range max(len(g), len(w)) {
		a, b := "(nothing)", "(nothing)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return "got\n" + a + "\nwant\n" + b
		}
	}
	return ""
}
