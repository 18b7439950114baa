package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

// A column of a table.
type column struct {
	title string
	right bool // numbers
	// elastic says that cells may be shortened where the table is wider than the
	// terminal; middle, that they lose their middle then, as paths do, and not
	// their end.
	elastic, middle bool
	// common says that, where the table is too wide, what all cells begin and end with
	// is told once above it and stands in them as "…".
	common bool
	// path says that cells are paths: where they must be shortened, what most of them
	// end with goes first.
	path bool
	// spare columns are left out, the last one first, where an elastic column would
	// be too narrow to tell its cells apart.
	spare bool
}

// A table is rows of cells that line up. Its cells hold neither colours nor
// control characters.
type table struct {
	columns []column
	rows    [][]string
}

const columnGap = 2

// write draws the table, every row behind the indent and on one line of the
// style's width.
func (t *table) write(w io.Writer, s Style, indent string) {
	for _, line := range t.factorOut(s.Width - len(indent)) {
		s.indented(w, indent, line)
	}
	t.makeRoom(s.Width - len(indent))
	widths := t.widths(s.Width - len(indent))
	fmt.Fprintf(w, "%s%s\n", indent, s.Faint(t.line(widths, func(i int) string { return t.columns[i].title })))
	for _, row := range t.rows {
		fmt.Fprintf(w, "%s%s\n", indent, t.line(widths, func(i int) string { return row[i] }))
	}
}

// narrowest is how far an elastic column is shortened, and not below its title.
const narrowest = 9

// widths gives every column what it needs, and takes from the widest elastic
// column until the table fits; most ≤ 0 takes nothing.
func (t *table) widths(most int) []int {
	widths := make([]int, len(t.columns))
	total := -columnGap
	for i, c := range t.columns {
		widths[i] = runewidth.StringWidth(c.title)
		for _, row := range t.rows {
			widths[i] = max(widths[i], runewidth.StringWidth(row[i]))
		}
		total += widths[i] + columnGap
	}
	for ; most > 0 && total > most; total-- {
		widest := -1
		for i, c := range t.columns {
			if c.elastic && widths[i] > max(narrowest, runewidth.StringWidth(c.title)) && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// roomy is the width from which an elastic column tells its cells apart.
const roomy = 28

// makeRoom leaves out spare columns, the last one first, until each path has room, or no
// spare one is left; most ≤ 0 leaves out none.
func (t *table) makeRoom(most int) {
	for i := len(t.columns) - 1; i >= 0 && most > 0; i-- {
		if !t.columns[i].spare || !t.cramped(most) {
			continue
		}
		t.columns = slices.Delete(slices.Clone(t.columns), i, i+1)
		for k, row := range t.rows {
			t.rows[k] = slices.Delete(slices.Clone(row), i, i+1)
		}
	}
}

// cramped reports whether a path would lose of what tells it apart.
func (t *table) cramped(most int) bool {
	widths := t.widths(most)
	for i, c := range t.columns {
		if !c.path {
			continue
		}
		for _, row := range t.rows {
			if widths[i] < min(runewidth.StringWidth(gist(row[i])), roomy) {
				return true
			}
		}
	}
	return false
}

// factorOut takes what all cells of a column have in common out of them, where the
// table is wider than most, and returns what to say about it.
func (t *table) factorOut(most int) []string {
	var said []string
	for i, c := range t.columns {
		if !c.common || len(t.rows) < 2 || most <= 0 || t.width() <= most {
			continue
		}
		head, tail := t.commonEnds(i)
		if c.path {
			// A name stays whole, and so does what ends it: what is asked of a server is none of it.
			head = head[:strings.LastIndexByte(head, '/')+1]
			if k := strings.IndexByte(tail, '?'); k >= 0 {
				tail = tail[k:]
			} else {
				tail = ""
			}
		}
		if runewidth.StringWidth(head) <= 1 {
			head = ""
		}
		if runewidth.StringWidth(tail) <= 1 {
			tail = ""
		}
		if head+tail == "" {
			continue
		}
		for _, row := range t.rows {
			row[i] = ellipsis(head) + row[i][len(head):len(row[i])-len(tail)] + ellipsis(tail)
		}
		said = append(said, fmt.Sprintf("%s: %s…%s", c.title, head, tail))
	}
	return said
}

func ellipsis(of string) string {
	if of == "" {
		return ""
	}
	return "…"
}

// width is that of the table when nothing is shortened.
func (t *table) width() int {
	total := -columnGap
	for _, w := range t.widths(0) {
		total += w + columnGap
	}
	return total
}

// boundaries are where a name may be cut so that a person still recognises its parts.
const boundaries = "/-_.:?"

// commonEnds are what all cells of a column begin and end with, cut at boundaries, so
// that something is left of each.
func (t *table) commonEnds(column int) (head, tail string) {
	head, tail = t.rows[0][column], t.rows[0][column]
	for _, row := range t.rows[1:] {
		n := 0
		for n < min(len(head), len(row[column])) && head[n] == row[column][n] {
			n++
		}
		head = head[:n]
		n = 0
		for n < min(len(tail), len(row[column])) && tail[len(tail)-1-n] == row[column][len(row[column])-1-n] {
			n++
		}
		tail = tail[len(tail)-n:]
	}
	head = head[:strings.LastIndexAny(head, boundaries)+1]
	if i := strings.IndexAny(tail, boundaries); i >= 0 {
		tail = tail[i:]
	} else {
		tail = ""
	}
	for _, row := range t.rows {
		if len(row[column]) <= len(head)+len(tail) {
			return head, "" // one name is the beginning of another
		}
	}
	return head, tail
}

func (t *table) line(widths []int, cell func(int) string) string {
	var b strings.Builder
	for i, c := range t.columns {
		text := cell(i)
		switch {
		case c.path:
			text = shortenPath(text, widths[i])
		case c.middle:
			text = shortenMiddle(text, widths[i])
		default:
			text = runewidth.Truncate(text, widths[i], "…")
		}
		padding := strings.Repeat(" ", max(0, widths[i]-runewidth.StringWidth(text)))
		if c.right {
			text = padding + text
		} else {
			text += padding
		}
		b.WriteString(text)
		b.WriteString(strings.Repeat(" ", columnGap))
	}
	return strings.TrimRight(b.String(), " ")
}

// shortenMiddle keeps both ends of a text.
func shortenMiddle(text string, width int) string {
	if runewidth.StringWidth(text) <= width {
		return text
	}
	head := (width - 1) / 2
	left := runewidth.Truncate(text, head, "")
	rest := width - 1 - runewidth.StringWidth(left)
	runes := []rune(text)
	start, used := len(runes), 0
	for start > 0 {
		next := runewidth.RuneWidth(runes[start-1])
		if used+next > rest {
			break
		}
		used += next
		start--
	}
	return left + "…" + string(runes[start:])
}

// shortenPath leaves out what the paths of states have in common, and then the middle.
func shortenPath(text string, width int) string {
	if runewidth.StringWidth(text) <= width {
		return text
	}
	return shortenMiddle(gist(text), width)
}

// gist is a path without the names that Terraform gives to files and directories of its
// own accord.
func gist(path string) string {
	if dir, ok := strings.CutSuffix(strings.TrimSuffix(path, "…"), "/terraform.tfstate"); ok {
		path = dir + "/…"
	}
	return strings.Replace(path, "/terraform.tfstate.d/", "/…/", 1)
}
