package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// A column is a column of a table.
type column struct {
	title string
	right bool // for numbers
	// Cells of an elastic column, such as names, can be long. If the table is wider than the
	// terminal, the column is narrowed, and longer cells take a line of their own. They are
	// never cut, so that they can be copied.
	elastic bool
	// Spare columns are left out, the last one first, if each row then fits in one line.
	spare bool
}

// A table is rows of aligned cells without colors and control characters.
type table struct {
	columns []column
	rows    [][]string
}

const columnGap = 2

// write writes the table within the style's width, including the indent. Only a name that
// is longer than a line exceeds it.
func (t *table) write(w io.Writer, s Style, indent string) {
	most := s.Width - len(indent)
	titles, rows := t.layout(most)
	if lines := len(slices.Concat(rows...)); t.columns[0].elastic && lines > len(rows) {
		stackedTitles, stackedRows := t.stacked(most)
		if len(slices.Concat(stackedRows...)) <= lines {
			titles, rows = stackedTitles, stackedRows
		}
	}
	for _, line := range titles {
		fmt.Fprintf(w, "%s%s\n", indent, s.Faint(line))
	}
	for _, line := range slices.Concat(rows...) {
		fmt.Fprintf(w, "%s%s\n", indent, line)
	}
}

// layout returns the lines of the titles and of each row; most ≤ 0 means no limit.
func (t *table) layout(most int) (titles []string, rows [][]string) {
	t = t.reduced(most)
	widths := t.widths(most)
	row := make([]string, len(t.columns))
	for i, c := range t.columns {
		row[i] = c.title
	}
	titles = t.lines(row, widths, most)
	for _, row := range t.rows {
		rows = append(rows, t.lines(row, widths, most))
	}
	return titles, rows
}

// stacked is layout, but the first cell of each row has a line of its own above the others,
// which are indented.
func (t *table) stacked(most int) (titles []string, rows [][]string) {
	const indent = "  "
	stack := func(first string, others []string) []string {
		lines := []string{first}
		for _, line := range others {
			lines = append(lines, indent+line)
		}
		return lines
	}
	titles, rows = t.without(0).layout(most - len(indent))
	for i, others := range rows {
		rows[i] = stack(t.rows[i][0], others)
	}
	return stack(t.columns[0].title, titles), rows
}

// narrowest is the minimum width of an elastic column, if its title is not longer.
const narrowest = 9

// widths returns the widths of the columns. It narrows the widest elastic column until
// the table fits; most ≤ 0 means no limit.
func (t *table) widths(most int) []int {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = columnsOf(c.title)
		for _, row := range t.rows {
			widths[i] = max(widths[i], columnsOf(row[i]))
		}
	}
	for total := tableWidth(widths); most > 0 && total > most; total-- {
		widest := -1
		for i, c := range t.columns {
			if c.elastic && widths[i] > max(narrowest, columnsOf(c.title)) && (widest < 0 || widths[i] > widths[widest]) {
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

func tableWidth(widths []int) int {
	total := -columnGap
	for _, w := range widths {
		total += w + columnGap
	}
	return total
}

// reduced returns the table without spare columns, the last one first: as few as make each
// row fit in a line or, if that is not possible, as make the rest of a row fit in the line
// after a long name. most ≤ 0 means no limit.
func (t *table) reduced(most int) *table {
	smaller := t
	for _, limit := range []int{0, most} {
		smaller = t
		for i := len(t.columns) - 1; most > 0 && tableWidth(smaller.widths(limit)) > most && i >= 0; i-- {
			if t.columns[i].spare {
				smaller = smaller.without(i)
			}
		}
		if most <= 0 || tableWidth(smaller.widths(limit)) <= most {
			break
		}
	}
	return smaller
}

// without returns a table without one column.
func (t *table) without(column int) *table {
	smaller := &table{columns: slices.Delete(slices.Clone(t.columns), column, column+1)}
	for _, row := range t.rows {
		smaller.rows = append(smaller.rows, slices.Delete(slices.Clone(row), column, column+1))
	}
	return smaller
}

// lines returns a row. A cell that is longer than its column ends its line, and a cell that
// would not fit beside those before it begins one.
func (t *table) lines(row []string, widths []int, most int) []string {
	var lines []string
	line, column := "", 0
	next := func() {
		if line = strings.TrimRight(line, " "); line != "" {
			lines = append(lines, line)
		}
		line = ""
	}
	for i, c := range t.columns {
		text, length := row[i], columnsOf(row[i])
		at := column
		column += widths[i] + columnGap
		if length > widths[i] && at > 0 && at+length > most {
			next()
			at = max(0, most-length)
		}
		if c.right {
			at += max(0, widths[i]-length)
		}
		if text != "" {
			line += strings.Repeat(" ", max(0, at-columnsOf(line))) + text
		}
		if length > widths[i] {
			next()
		}
	}
	next()
	return lines
}
