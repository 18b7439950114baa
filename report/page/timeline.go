package page

import (
	"fmt"
	"html/template"
	"time"

	"tfhaul/plainwords"
)

// A column is a period of a timeline.
type column struct {
	Label, Text string
	Tick        string // below the column
	Y, Height   string // in percent
	Filter      template.URL
}

// A period is a month, a quarter or a year: what a timeline counts in.
type period int // in months

// maxColumns is how many columns a timeline has if months or quarters can do.
const maxColumns = 24

// periodFor returns the shortest period of which few enough lie between two times.
func periodFor(oldest, newest time.Time) period {
	for _, p := range []period{1, 3} {
		if p.number(newest)-p.number(oldest) < maxColumns {
			return p
		}
	}
	return 12
}

// number counts the periods up to a time.
func (p period) number(t time.Time) int {
	t = t.UTC()
	return (t.Year()*12 + int(t.Month()) - 1) / int(p)
}

// label names a period by its number.
func (p period) label(number int) string {
	month := number * int(p)
	year, month := month/12, month%12
	switch p {
	case 1:
		return fmt.Sprintf("%s %d", time.Month(month + 1).String()[:3], year)
	case 3:
		return fmt.Sprintf("Q%d %d", month/3+1, year)
	}
	return fmt.Sprint(year)
}

// tick returns the year where one begins, and at the first column.
func (p period) tick(number int, first bool) string {
	if month := number * int(p); first || month%12 == 0 {
		return fmt.Sprint(month / 12)
	}
	return ""
}

// minColumns is how far back a timeline reaches at least.
const minColumns = 12

// timeline counts, for each period from the oldest to the newest, the rows of its facet.
func (x *facetIndex) timeline(question, kind string, p period, oldest, newest time.Time) plot {
	last, tallest := p.number(newest), ""
	first, most := min(p.number(oldest), last-minColumns+1), 0
	for n := first; n <= last; n++ {
		if count := x.count(kind, p.label(n)); count > most {
			most, tallest = count, p.label(n)
		}
	}
	t := plot{Question: question, Note: fmt.Sprintf("Tallest column: %s, %s.", tallest, plainwords.Counted(most, "state"))}
	for n := first; n <= last; n++ {
		label := p.label(n)
		count := x.count(kind, label)
		t.Columns = append(t.Columns, column{Label: label, Text: plainwords.Counted(count, "state"), Tick: p.tick(n, n == first),
			Y: percent(most-count, most), Height: percent(count, most), Filter: x.address(kind, label)})
	}
	return t
}
