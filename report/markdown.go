package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"tfhaul/audit"
	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// MaxMarkdown is the maximum size of a Markdown report, in bytes. A comment on GitHub takes
// 65,536 characters; a job's summary takes 1 MiB for all its steps together.
const MaxMarkdown = 60_000

// MarkdownMark is what a Markdown report begins with, followed by the command's name.
const MarkdownMark = "<!-- tfhaul "

// InventoryMarkdown writes an audit as Markdown for the summary of a job or a comment on a
// pull request: the counts, and the findings that are in no baseline, the most serious first.
// It stays within MaxMarkdown and counts what it leaves out.
func InventoryMarkdown(w io.Writer, i *audit.Inventory) error {
	m := newMarkdown("audit")
	s := i.Summary()
	counts := s.Findings
	if i.Baseline != nil {
		counts = s.New
	}
	m.row("States", fmt.Sprintf("%s, %s", plainwords.Grouped(s.States), Size(s.Bytes)))
	if other := s.Snapshots - s.States; other > 0 {
		m.row("Without a readable state", plainwords.Counted(other, "file"))
	}
	m.row("Resources", fmt.Sprintf("%s managed, %s data", plainwords.Grouped(s.Managed), plainwords.Grouped(s.Data)))
	bill := i.Bill()
	m.row("Billable", billed(bill))
	m.row("In directories", markdownText(billedDirectories(bill)))
	var parts []string
	for _, severity := range audit.Severities {
		if n := counts[severity]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", plainwords.Grouped(n), severity))
		}
	}
	m.row("Findings", cmp.Or(strings.Join(parts, ", "), "none"))
	if a := i.Baseline; a != nil {
		m.row("Known", fmt.Sprintf("%s in %s", plainwords.Counted(a.Known, "finding"), markdownCode(a.File)))
		m.row("Expired", markdownText(Entries(a.Expired)))
		m.row("Unused", markdownText(Entries(a.Unused)))
	}
	m.problems(unknown(problemsOf(i)), "--json, --csv and --html contain all")
	return m.end(w)
}

// HaulMarkdown writes a plan or a haul as Markdown, like InventoryMarkdown. command is "plan"
// or "migrate".
func HaulMarkdown(w io.Writer, h Haul, command string) error {
	m := newMarkdown(command)
	if h.Target != "" {
		m.row("Target", markdownCode(h.Target))
	}
	summary := Summarize(h.Results)
	for _, outcome := range groupOrder(summary) {
		m.row(strings.ReplaceAll(string(outcome), "-", " "), plainwords.Grouped(summary[outcome]))
	}
	m.row("Left out", ifAny(len(h.LeftOut)))
	if h.APICalls > 0 {
		m.row("Cost", cost(h.APICalls, h.Seconds))
	}
	if h.Journal != "" {
		m.row("Journal", markdownCode(h.Journal))
	}
	if h.Continue != "" {
		m.row("To continue", markdownCode(h.Continue))
	}
	for _, l := range h.HeldLocks {
		m.row("May still be locked", markdownCode(l.Target))
	}
	m.problems(problemsIn(h), "--json contains all")
	m.moves(h)
	return m.end(w)
}

func ifAny(n int) string {
	if n == 0 {
		return ""
	}
	return plainwords.Grouped(n)
}

// A markdown is a report that is being written. What does not fit is not written.
type markdown struct {
	text strings.Builder
}

// room is what problems and moves leave for the sentences about what is left out.
const room = 500

func newMarkdown(command string) *markdown {
	m := &markdown{}
	fmt.Fprintf(&m.text, "%s%s -->\n### tfhaul %s\n\n| | |\n|---|---|\n", MarkdownMark, command, command)
	return m
}

// row writes a row of the first table, unless its value is "" or there is no room.
func (m *markdown) row(name, value string) {
	if value != "" {
		m.fits(fmt.Sprintf("| %s | %s |\n", markdownText(name), value))
	}
}

// fits writes a text if there is room for it, and reports whether there was.
func (m *markdown) fits(text string) bool {
	if m.text.Len()+len(text) > MaxMarkdown-room {
		return false
	}
	m.text.WriteString(text)
	return true
}

// problems writes problems by code. Once one does not fit, the rest is only counted.
func (m *markdown) problems(list []problem, elsewhere string) {
	type kind struct {
		severity audit.Severity
		code     string
	}
	left := len(list)
	for _, g := range GroupBy(list, func(p problem) kind { return kind{p.severity, p.code} }) {
		head := fmt.Sprintf("\n#### %s: %s (%s)\n\n", markdownText(string(g.Key.severity)), markdownCode(g.Key.code), plainwords.Grouped(len(g.Of)))
		if title := titleOf(g.Key.code); title != "" {
			head += title + "\n\n"
		}
		for k := range g.Of {
			if !m.fits(head + m.item(&g.Of[k])) {
				m.left(left, elsewhere)
				return
			}
			head = ""
			left--
		}
	}
}

// left writes how many items do not fit.
func (m *markdown) left(n int, elsewhere string) {
	fmt.Fprintf(&m.text, "\n… and %s more, which do not fit here: %s.\n", plainwords.Grouped(n), elsewhere)
}

// item returns a problem as an item of a list.
func (m *markdown) item(p *problem) string {
	const mostPlaces = 10
	var b strings.Builder
	fmt.Fprintf(&b, "- %s\n", markdownText(p.text()))
	shown := atMost(len(p.places), mostPlaces)
	for k, name := range p.places[:shown] {
		fmt.Fprintf(&b, "  - %s%s\n", markdownCode(name), labelled(" ", markdownText(p.notes[k])))
	}
	if hidden := len(p.places) - shown; hidden > 0 {
		fmt.Fprintf(&b, "  - … and %s more\n", plainwords.Grouped(hidden))
	}
	return b.String()
}

// moves writes the moves in a table that is folded away.
func (m *markdown) moves(h Haul) {
	if len(h.Results) == 0 || !m.fits("\n<details><summary>Moves</summary>\n\n| Source | Target | Relation | Outcome |\n|---|---|---|---|\n") {
		return
	}
	for k, r := range h.Results {
		row := fmt.Sprintf("| %s | %s | %s | %s |\n", markdownCode(r.Source), markdownCode(r.Target), markdownText(cmp.Or(string(r.Relation), string(r.Code))), markdownText(string(r.Outcome)))
		if !m.fits(row) {
			m.text.WriteString("\n</details>\n")
			m.left(len(h.Results)-k, "--json contains all")
			return
		}
	}
	m.text.WriteString("\n</details>\n")
}

func (m *markdown) end(w io.Writer) error {
	_, err := io.WriteString(w, m.text.String())
	return err
}

// markdownText escapes a text of any origin, so that it is neither markup nor HTML, and
// mentions no user, issue or address that a page would link.
func markdownText(text string) string {
	var b strings.Builder
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, Plain(text)))
	for k, r := range text {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '@' || r == '#' || r == '!':
			b.WriteRune(r)
			b.WriteString("<span></span>") // ends what would be a mention
		case r == ':' && strings.HasPrefix(text[k:], "://"):
			b.WriteString(":<span></span>")
		case strings.ContainsRune("\\`*_[]|~$^", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// markdownCode returns a name of any origin as code, also within a table.
func markdownCode[T ~string](name T) string {
	text := PlainLine(name)
	var b strings.Builder
	b.WriteString("<code>")
	for _, r := range text {
		switch r {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '\\', '`', '*', '_', '[', ']', '|', '~', '$', '^', '@', '#', '!', ':':
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteString("</code>")
	return b.String()
}

// HaulOf returns what a journal records in the form of a haul.
func HaulOf(h HaulReport) Haul {
	haul := Haul{Results: h.All(), Journal: h.Journal, Continue: h.Continue}
	for _, target := range h.Locked {
		haul.HeldLocks = append(haul.HeldLocks, migrate.HeldLock{Target: target})
	}
	if !h.Open() {
		haul.Continue = ""
	}
	return haul
}
