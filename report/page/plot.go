package page

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"

	"tfhaul/plainwords"
)

// A plot is a question and what answers it: bars, which are a table to a screen reader, or
// columns, which are a list.
type plot struct {
	Question string
	Of, Unit string // what the bars and the numbers are
	Bars     []bar
	Columns  []column
	Note     string
}

// A bar has one part or, stacked, several.
type bar struct {
	Label, Text string
	Filter      template.URL
	Parts       []part
}

// A part is a rectangle; X and Width are in percent.
type part struct {
	Tone     string
	X, Width string
	count    int
}

// newBar returns a bar that is as long as its count is high.
func newBar(label, tone string, count int, filter template.URL) bar {
	return bar{Label: label, Text: plainwords.Grouped(count), Filter: filter, Parts: []part{{Tone: tone, count: count}}}
}

// count returns the length of the whole bar.
func (b *bar) count() int {
	total := 0
	for _, p := range b.Parts {
		total += p.count
	}
	return total
}

// percent formats a part of a whole for an attribute.
func percent(part, whole int) string {
	return fmt.Sprintf("%.1f", 100*float64(part)/float64(max(whole, 1)))
}

// addPlot adds a plot, unless there are no bars. The longest bar fills the plot's width, and
// so does each stacked bar: it shows shares.
func (p *page) addPlot(question, of, unit string, bars []bar) {
	if len(bars) == 0 {
		return
	}
	longest := 0
	for i := range bars {
		longest = max(longest, bars[i].count())
	}
	for i := range bars {
		at, whole := 0, longest
		if len(bars[i].Parts) > 1 {
			whole = bars[i].count()
		}
		for k := range bars[i].Parts {
			part := &bars[i].Parts[k]
			part.X, part.Width = percent(at, whole), percent(part.count, whole)
			at += part.count
		}
	}
	p.Plots = append(p.Plots, plot{Question: question, Of: of, Unit: unit, Bars: bars})
}

// A scale sorts numbers into bins.
type scale []struct {
	below float64
	label string
}

// bin returns the label of the bin that a number falls into.
func (s scale) bin(n float64) string {
	for _, b := range s {
		if n < b.below {
			return b.label
		}
	}
	return s[len(s)-1].label
}

// declare numbers the bins in order.
func (s scale) declare(x *facetIndex, kind string) {
	for _, b := range s {
		x.find(kind, b.label)
	}
}

// bars returns a bar for each facet of a kind.
func (x *facetIndex) bars(kind string) []bar {
	var bars []bar
	for _, f := range x.facets {
		if f.Kind == kind {
			bars = append(bars, newBar(f.Label, "", f.Count, x.address(kind, f.Label)))
		}
	}
	return bars
}

// longestFirst returns the bars of a kind, the longest first.
func (x *facetIndex) longestFirst(kind string) []bar {
	bars := x.bars(kind)
	slices.SortFunc(bars, func(a, b bar) int { return cmp.Or(cmp.Compare(b.count(), a.count()), cmp.Compare(a.Label, b.Label)) })
	return bars
}

// fromFirstToLast returns the bars of a scale without the empty ones at both ends.
func (x *facetIndex) fromFirstToLast(kind string) []bar {
	bars := x.bars(kind)
	for len(bars) > 0 && bars[0].count() == 0 {
		bars = bars[1:]
	}
	for len(bars) > 0 && bars[len(bars)-1].count() == 0 {
		bars = bars[:len(bars)-1]
	}
	return bars
}
