package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

// A column is a column of a table.
type column struct {
	title string
	right bool // for numbers
	// elastic cells are shortened if the table is wider than the terminal. With middle
	// they lose their middle, like paths, instead of the end.
	elastic, middle bool
	// If the table is too wide, the start and end that all cells of a common column share
	// are written once above the table and replaced with "…" in the cells.
	common bool
	// Cells of a path column are paths. Shortening first removes the ending that most of
	// them share.
	path bool
	// Spare columns are left out, the last one first, if an elastic column would be too
	// narrow to distinguish its cells.
	spare bool
}

// A table is rows of aligned cells without colors and control characters.
type table struct {
	columns []column
	rows    [][]string
}

const columnGap = 2

// write writes the table. Each row is one line within the style's width, including the
// indent.
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

// narrowest is the minimum width of an elastic column, if its title is not longer.
const narrowest = 9

// widths returns the widths of the columns. It narrows the widest elastic column until
// the table fits; most ≤ 0 means no limit.
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

// roomy is the width from which an elastic column distinguishes its cells.
const roomy = 28

// makeRoom leaves out spare columns, the last one first, until paths have enough room;
// most ≤ 0 means no limit.
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

// cramped reports whether a path would lose what distinguishes it.
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

// factorOut removes the parts that all cells of a column share if the table is wider than
// most. It returns what to write about them.
func (t *table) factorOut(most int) []string {
	var said []string
	for i, c := range t.columns {
		if !c.common || len(t.rows) < 2 || most <= 0 || t.width() <= most {
			continue
		}
		head, tail := t.commonEnds(i)
		if c.path {
			// A name stays whole, and so does its end. A query is not part of the name.
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

// width returns the table's width if nothing is shortened.
func (t *table) width() int {
	total := -columnGap
	for _, w := range t.widths(0) {
		total += w + columnGap
	}
	return total
}

// boundaries are the characters at which a name may be cut so that its parts stay
// recognizable.
const boundaries = "/-_.:?"

// commonEnds returns the start and end that all cells of a column share, cut at
// boundaries so that something is left of each cell.
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
			return head, "" // one name is a prefix of another
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

// shortenPath removes what most state paths share, and then the middle.
func shortenPath(text string, width int) string {
	if runewidth.StringWidth(text) <= width {
		return text
	}
	return shortenMiddle(gist(text), width)
}

// gist returns a path without file and directory names that Terraform chooses.
func gist(path string) string {
	if dir, ok := strings.CutSuffix(strings.TrimSuffix(path, "…"), "/terraform.tfstate"); ok {
		path = dir + "/…"
	}
	return strings.Replace(path, "/terraform.tfstate.d/", "/…/", 1)
}
