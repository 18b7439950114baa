package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// findings is the hand-written part about what profiles showed, after the figures.
//
//go:embed findings.md
var findings string

// A page is the document with the results. A section that is not measured again stays
// unchanged, with the date and machine that it names.
type page struct {
	machine  string
	quick    bool
	sections map[string]string // by title
}

// heading starts a section.
const heading = "## "

// read takes the sections from an existing page.
func (p *page) read(file string) error {
	p.sections = map[string]string{}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for part := range strings.SplitSeq("\n"+string(content), "\n"+heading) {
		title, body, ok := strings.Cut(part, "\n")
		if ok {
			p.sections[title] = strings.TrimSpace(body) + "\n"
		}
	}
	return err
}

// put sets a section.
func (p *page) put(title, body string) {
	if p.sections == nil {
		p.sections = map[string]string{}
	}
	sizes := ""
	if p.quick {
		sizes = " Measured with `-quick`: too small to quote."
	}
	p.sections[title] = fmt.Sprintf("%s\n_%s; %s.%s_\n", strings.TrimSpace(body)+"\n", time.Now().Format(time.DateOnly), p.machine, sizes)
}

// write writes the page to a file, unless the name is "".
func (p *page) write(file string) error {
	if file == "" {
		return nil
	}
	var b strings.Builder
	if err := p.print(&b); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

const preface = `# Performance

These measurements compare tfhaul with other ways to move state, and with the minimum that the server's rate limit or the
machine allows. All programs of a table ran on the same machine in the same run. The machine, named below each table, did
other work at the same time, so compare the ratios rather than the absolute figures.

To repeat the measurements and rewrite this page, run

    go run ./bench                    # everything: 20 minutes on two cores, and 10 GB of temporary files
    go run ./bench -only calls,cpu    # some sections; the rest of this page stays as it is
    go run ./bench -quick             # small sizes, to standard output, in a minute or two

The server is tfhaul's embedded Terraform Enterprise, in a separate process on loopback, with TLS. Wall times include the
server's time for every program; CPU times do not. After each program, the benchmark checks that every workspace holds a
state and none is locked. tfhaul is the released binary and keeps its journal on disk. The programs do not do the same
work: only tfhaul compares before it writes, reads every byte back, and keeps a record.
`

// print writes the page.
func (p *page) print(w io.Writer) error {
	var b strings.Builder
	b.WriteString(preface)
	for _, m := range measurements {
		if body, ok := p.sections[m.title]; ok {
			b.WriteString("\n" + heading + m.title + "\n\n" + body)
		}
	}
	b.WriteString("\n" + strings.TrimSpace(findings) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// A table is a Markdown table.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table; the first column is text, the others are numbers.
func (t *table) print(w io.Writer) {
	width := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	line := func(cells []string) {
		for i, cell := range cells {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i == 0 {
				fmt.Fprintf(w, "| %s%s ", cell, pad)
			} else {
				fmt.Fprintf(w, "| %s%s ", pad, cell)
			}
		}
		fmt.Fprintln(w, "|")
	}
	line(t.head)
	for i := range t.head {
		if i == 0 {
			fmt.Fprint(w, "|"+strings.Repeat("-", width[i]+2))
		} else {
			fmt.Fprint(w, "|"+strings.Repeat("-", width[i]+1)+":")
		}
	}
	fmt.Fprintln(w, "|")
	for _, row := range t.rows {
		line(row)
	}
	fmt.Fprintln(w)
}

// say writes a paragraph.
func say(w io.Writer, format string, args ...any) { fmt.Fprintf(w, format+"\n\n", args...) }

// seconds, ms, mb and times format numbers.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
func ms(d time.Duration) string      { return fmt.Sprintf("%.2f ms", d.Seconds()*1e3) }
func mb(bytes int64) string {
	if bytes == 0 {
		return "?"
	}
	return fmt.Sprintf("%.0f MB", float64(bytes)/1e6)
}
func times[T ~int64 | ~float64 | ~int](a, b T) string {
	if b == 0 {
		return "?"
	}
	return fmt.Sprintf("%.2f ×", float64(a)/float64(b))
}
