//go:build unix

// Package docs runs the commands of the README and of docs/ as a reader would, against
// tfhaul sim, and compares what they print.
//
// In these documents, a block marked sh holds commands, and a block marked text right after
// it holds what they print; a line that is only "…" stands for any lines. A block marked hcl
// with a file name is the content of that file. Indented blocks are not run. The documents
// print the server's address as app.terraform.io.
package docs

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfhaul/fixtures/testenv"
)

var update = flag.Bool("update", false, "write what the commands print into the documents")

// repository is the root of the repository.
var repository = filepath.Join("..", "..")

var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testenv.RunWithProgram(m, &program))
}

func TestDocumentsSayWhatHappens(t *testing.T) {
	for _, d := range []struct {
		name, dir string
		terraform bool // without it, nothing in the document can be run
	}{
		{name: "README.md", dir: "infra/network"},
		{name: "docs/tutorial.md", terraform: true},
		{name: "docs/finishing.md", terraform: true},
		{name: "docs/proving.md", dir: "infra", terraform: true},
		{name: "docs/audit.md", dir: "infra"},
		{name: "docs/pipelines.md", dir: "infra"},
		{name: "docs/settings.md", dir: "infra"},
	} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			if d.terraform {
				needTerraform(t)
			}
			text, err := os.ReadFile(filepath.Join(repository, d.name))
			if err != nil {
				t.Fatal(err)
			}
			doc := parse(string(text))
			s := newSite(t)
			s.follow(doc, filepath.Join(s.home, d.dir))
			if *update {
				if err := os.WriteFile(filepath.Join(repository, d.name), []byte(doc.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// canRunTerraform reports whether the commands that run terraform are run, too.
func canRunTerraform() bool {
	_, err := exec.LookPath("terraform")
	// Elsewhere, terraform does not trust the authorities in SSL_CERT_FILE.
	return err == nil && runtime.GOOS == "linux" && testenv.Full()
}

func needTerraform(t *testing.T) {
	testenv.NeedFull(t, "runs the real terraform")
	if !canRunTerraform() {
		t.Skip("SKIPPED: terraform is not on PATH, or this is not Linux, so the document was not followed")
	}
}

// A site is a home directory with the example infrastructure, and a server.
type site struct {
	*testing.T
	home, host string
	env        []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, home: t.TempDir()}
	if err := os.CopyFS(filepath.Join(s.home, "infra"), os.DirFS(filepath.Join("testdata", "infra"))); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"HOME=" + s.home, "PATH=" + filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"CHECKPOINT_DISABLE=1", "TMPDIR=" + t.TempDir(), "LANG=C.UTF-8"}
	sim := exec.Command(program, "sim", "--allow-runs", "--org", "acme", "--env-file", "sim.env")
	sim.Dir, sim.Env = s.home, s.env
	var output bytes.Buffer
	sim.Stderr = &output
	stdout, err := sim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		_ = sim.Wait() // it ends by the signal
	})
	// It prints its address when it is ready, and the env file is complete before that.
	address := make([]byte, 256)
	n, err := stdout.Read(address)
	if err != nil {
		t.Fatalf("tfhaul sim: %v\n%s", err, output.String())
	}
	s.host = strings.TrimPrefix(strings.TrimSpace(string(address[:n])), "https://")
	return s
}

// follow runs the commands of a document in one shell, and compares what they print.
func (s *site) follow(d *document, dir string) {
	s.Helper()
	var script strings.Builder
	script.WriteString(". ~/sim.env\ntrap 'failed=$?' ERR\n")
	const end = "@@ end of block"
	ran, terraformRuns := []*block{}, canRunTerraform()
	for _, b := range d.blocks {
		switch {
		case b.language == "hcl" && b.file != "":
			fmt.Fprintf(&script, "cat >%s <<'END OF FILE'\n%sEND OF FILE\n", b.file, strings.ReplaceAll(b.text(), documented, s.host))
		case b.language == "sh":
			commands := b.text()
			if !terraformRuns && terraformCommand.MatchString(commands) {
				s.Log("terraform is not run, because it is not on PATH, this is not Linux, or the suite is not full:", commands)
				commands, b.output = terraformCommand.ReplaceAllString(commands, ""), nil
			}
			fmt.Fprintf(&script, "%s\necho; echo \"%s ${failed:-0}\"; failed=\n", commands, end)
			ran = append(ran, b)
		}
	}
	shell := exec.CommandContext(s.Context(), "bash", "-s")
	shell.Dir, shell.Env, shell.Stdin = dir, s.env, strings.NewReader(script.String())
	shell.Cancel = func() error { return shell.Process.Signal(syscall.SIGTERM) }
	shell.WaitDelay = 10 * time.Second
	out, err := shell.CombinedOutput()
	if err != nil {
		s.Errorf("bash: %v", err)
	}
	parts := strings.Split(string(out), "\n"+end+" ")
	if len(parts) != len(ran)+1 {
		s.Fatalf("%d of %d blocks were run:\n%s", len(parts)-1, len(ran), out)
	}
	for i, b := range ran {
		// The part begins with the exit code of the last failure in the block before it.
		printed := parts[i]
		if i > 0 {
			_, printed, _ = strings.Cut(printed, "\n")
		}
		code, _, _ := strings.Cut(parts[i+1], "\n")
		if code != "0" {
			s.Errorf("exit code %s:\n%s\n%s", code, b.text(), printed)
		}
		s.compare(b, s.asDocumented(printed))
	}
}

// What the documents use as the address of the server, and as the home directory.
const (
	documented     = "app.terraform.io"
	documentedHome = "/home/jo"
)

// colour is what terraform prints even if nobody sees it.
var colour = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// asDocumented returns output without colour and with the names that the documents use.
func (s *site) asDocumented(output string) string {
	output = colour.ReplaceAllString(output, "")
	output = strings.ReplaceAll(strings.ReplaceAll(output, "https://"+s.host, documented), s.host, documented)
	output = strings.ReplaceAll(output, s.home, documentedHome)
	return strings.Trim(output, "\n") + "\n"
}

// compare compares what a block printed with the block after it, if that is its output.
func (s *site) compare(b *block, printed string) {
	s.Helper()
	if b.output == nil {
		return
	}
	if want := b.output.text(); !matches(want, printed) {
		if *update {
			b.output.lines = strings.Split(strings.TrimSuffix(printed, "\n"), "\n")
			return
		}
		s.Errorf("%s\nprints (-document +real; -update writes it):\n%s", b.text(), cmp.Diff(steady(want), steady(printed)))
	}
}

// changing are the parts of the output that differ in every run.
var changing = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`\b(sv|ws|run)-[A-Za-z0-9]{16}\b`), "$1-ID"},
	{regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "MD5"},
	{regexp.MustCompile(`\b\d+(\.\d+)? s\b`), "N s"},
	{regexp.MustCompile(`(?m)[ \t]+$`), ""},
}

func steady(text string) string {
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.stands)
	}
	return text
}

// matches reports whether output is what a document says.
func matches(said, output string) bool {
	var pattern strings.Builder
	for line := range strings.Lines(steady(said)) {
		if strings.TrimSpace(line) == "…" {
			pattern.WriteString(`(?:.*\n)*`)
			continue
		}
		pattern.WriteString(regexp.QuoteMeta(line))
	}
	return regexp.MustCompile(`\A` + pattern.String() + `\z`).MatchString(steady(output))
}

// A document is Markdown, cut into blocks: those within fences, and the text between them.
type document struct{ blocks []*block }

// A block is fenced if it has a language, and text otherwise.
type block struct {
	fence, language, file string
	lines                 []string
	output                *block
}

func (b *block) text() string { return strings.Join(b.lines, "\n") + "\n" }

// terraformCommand is a line that runs terraform.
var terraformCommand = regexp.MustCompile(`(?m)^terraform .*$`)

func parse(text string) *document {
	d := &document{}
	current := &block{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		mark, fenced := strings.CutPrefix(line, "```")
		switch {
		case fenced && current.fence == "":
			info := append(strings.Fields(mark), "plain", "")
			d.blocks = append(d.blocks, current)
			current = &block{fence: line, language: info[0]}
			if mark != "" {
				current.file = strings.TrimSuffix(info[1], "plain")
			}
		case fenced:
			d.blocks = append(d.blocks, current)
			current = &block{}
		default:
			current.lines = append(current.lines, line)
		}
	}
	d.blocks = append(d.blocks, current)
	var commands *block
	for _, b := range d.blocks {
		switch {
		case b.language == "sh":
			commands = b
		case b.language == "text" && commands != nil:
			commands.output, commands = b, nil
		case b.fence != "" || strings.TrimSpace(b.text()) != "":
			commands = nil
		}
	}
	return d
}

// String returns the document as Markdown.
func (d *document) String() string {
	var out strings.Builder
	for _, b := range d.blocks {
		if b.fence != "" {
			fmt.Fprintf(&out, "%s\n%s```\n", b.fence, b.text())
		} else if len(b.lines) > 0 {
			out.WriteString(b.text())
		}
	}
	return out.String()
}

// The test does not pass whatever the commands print.
func TestComparisonNoticesOtherOutput(t *testing.T) {
	for _, c := range []struct {
		said, printed string
		want          bool
	}{
		{"moved: a\n", "moved: a\n", true},
		{"moved: a\n", "moved: b\n", false},
		{"moved: a\n", "moved: a\nand more\n", false},
		{"first\n…\nlast\n", "first\nlast\n", true},
		{"first\n…\nlast\n", "first\n1\n2\nlast\n", true},
		{"first\n…\nlast\n", "first\n1\n2\nlast\nand more\n", false},
		{"5 API calls in 0.01 s (sv-aaaaaaaaaaaaaaaa)\n", "5 API calls in 1.20 s (sv-Abcdefgh01234567)\n", true},
		{"5 API calls in 0.01 s\n", "6 API calls in 0.01 s\n", false},
	} {
		if got := matches(c.said, c.printed); got != c.want {
			t.Errorf("%q and %q: %v", c.said, c.printed, got)
		}
	}
}

func TestDocumentsSurviveAnUpdate(t *testing.T) {
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(text), parse(string(text)).String()); diff != "" {
			t.Errorf("%s:\n%s", path, diff)
		}
	}
}
