package command

import (
	"io"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/term"

	"tfhaul/report"
)

// A terminal is stdout or stderr. It is safe for use by many goroutines.
type terminal struct {
	mu  sync.Mutex
	w   io.Writer
	via io.Writer // what is written goes through it, if not nil; see through

	interactive bool // a person is looking
	colour      bool
}

func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.via != nil {
		return t.via.Write(b)
	}
	return t.w.Write(b)
}

// through has lines go to via, which draws them above what it keeps at the bottom
// of the terminal, until direct is called.
func (t *terminal) through(via io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.via = via
}

// clearLine moves the cursor to the start of its line, and clears the line.
const clearLine = "\r\x1b[K"

// drawn reports whether something is drawn at the bottom of the terminal.
func (t *terminal) drawn() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.via != nil
}

// direct ends through.
func (t *terminal) direct() { t.through(nil) }

// styleTerminals finds out who reads stdout and stderr.
func (p *process) styleTerminals() {
	for _, t := range []*terminal{p.stdout, p.stderr} {
		file, ok := t.w.(*os.File)
		t.interactive = ok && term.IsTerminal(int(file.Fd()))
		// https://no-color.org
		t.colour = t.interactive && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb" && p.understandsANSI()
	}
}

// understandsANSI reports whether the terminal supports ANSI colors. The old console
// of Windows does not; those that do set one of these variables.
func (p *process) understandsANSI() bool {
	return runtime.GOOS != "windows" || p.getenv("WT_SESSION") != "" || p.getenv("TERM") != ""
}

// show prints a value: as JSON with --json, else for a person.
func show[T any](p *process, value T, document func(io.Writer, T) error, view func(io.Writer, report.Style, T) error) error {
	if p.json {
		return document(p.stdout, value)
	}
	return view(p.stdout, p.stdout.style(), value)
}

// message writes a text of any origin in one call, wrapped to the terminal's width, with
// first before its first line.
func (t *terminal) message(first, text string) {
	var b strings.Builder
	if t.drawn() {
		b.WriteString(clearLine) // what a key, such as Ctrl-C, left beside the bar
	}
	t.style().Message(&b, first, text)
	// Nothing can be done about a terminal that is gone.
	_, _ = io.WriteString(t, b.String())
}

// style is how a view is to be drawn here: on a terminal, in its width.
func (t *terminal) style() report.Style {
	s := report.Style{Colour: t.colour}
	if file, ok := t.w.(*os.File); ok && t.interactive {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			s.Width = width
		}
	}
	return s
}
