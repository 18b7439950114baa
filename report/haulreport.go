package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"time"

	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// A HaulReport is what a haul's journal records.
type HaulReport struct {
	// Journal is the name of the file.
	Journal string
	// Continue is the command that continues the haul; "" if the journal does not record it.
	Continue string
	// Haul is the haul's ID.
	Haul string
	// Started and Ended are the times of the journal's first and last event.
	Started, Ended time.Time
	// Results are the last outcomes of all moves with one.
	Results []migrate.Result
	// Unfinished are the interrupted moves: source and target of each.
	Unfinished []migrate.Result
	// NotAttempted is the number of moves that the latest run did not start.
	NotAttempted int
	// SourcesUnchecked is the number of results that are provisional, because the haul ended
	// before it checked the sources.
	SourcesUnchecked int
	// Locked are workspaces that the haul may have left locked.
	Locked []string
}

// HaulReportJSON writes the document of what a journal records.
func HaulReportJSON(w io.Writer, h HaulReport) error {
	d := newDocument(w)
	d.put("summary", Summarize(h.Results))
	putList(d, "moves", h.Results)
	putList(d, "cut_off", h.Unfinished)
	d.put("not_attempted", h.NotAttempted)
	d.put("sources_unchecked", h.SourcesUnchecked)
	putList(d, "locked", h.Locked)
	return d.end()
}

// Rest writes what the results do not show: interrupted moves, moves that were never
// started, sources that were not checked, and workspaces that may still be locked.
func (h *HaulReport) Rest(w io.Writer, s Style) error {
	var b bytes.Buffer
	names := make([]string, len(h.Unfinished))
	for i, r := range h.Unfinished {
		names[i] = r.Target
	}
	list := func(what string, names []string, advice string) {
		if len(names) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n%s (%s):\n", s.Odd(what), plainwords.Grouped(len(names)))
		for i, name := range names {
			if i == maxNamed {
				fmt.Fprintf(&b, "  … and %s more\n", plainwords.Grouped(len(names)-i))
				break
			}
			fmt.Fprintf(&b, "  %s\n", PlainLine(name))
		}
		s.indented(&b, "  ", advice)
	}
	again := h.again()
	list("cut off before they ended", names, again)
	if h.NotAttempted > 0 {
		fmt.Fprintf(&b, "\n%s: %s\n", s.Odd("not attempted"), plainwords.Grouped(h.NotAttempted))
		s.indented(&b, "  ", again)
	}
	if h.SourcesUnchecked > 0 {
		fmt.Fprintf(&b, "\n%s: %s\n", s.Odd("sources not checked"), plainwords.Grouped(h.SourcesUnchecked))
		s.indented(&b, "  ", h.unchecked())
	}
	list("may be locked by this haul", h.Locked, "To unlock them: tfhaul unlock "+Plain(h.Journal))
	return flush(w, &b)
}

// Open reports whether anything is left to do: moves to continue or decide, or locks.
func (h *HaulReport) Open() bool {
	return len(h.Unfinished)+h.NotAttempted+h.SourcesUnchecked+len(h.Locked) > 0 || slices.ContainsFunc(h.Results, func(r migrate.Result) bool {
		return r.Outcome != migrate.Moved && r.Outcome != migrate.AlreadyThere && r.Code != migrate.CodeEmpty
	})
}

// unchecked explains what it means that sources were not checked.
func (h *HaulReport) unchecked() string {
	return "These states arrived, but the haul ended before it checked that their sources did not change meanwhile. " + h.again()
}

// again says how the moves that are left are continued.
func (h *HaulReport) again() string {
	if h.Continue != "" {
		return "To continue: " + Plain(h.Continue)
	}
	return "Run the same command again with --journal " + Plain(h.Journal) + " to continue them."
}

// maxNamed is how many workspaces Rest lists.
const maxNamed = 20

// CutOff is shown as the outcome of an interrupted move.
const CutOff migrate.Outcome = "cut-off"

// All returns the results of all moves. Interrupted ones have the outcome CutOff.
func (h *HaulReport) All() []migrate.Result {
	all := slices.Concat(h.Results, h.Unfinished)
	for i := len(h.Results); i < len(all); i++ {
		all[i].Outcome = CutOff
		all[i].Message = "The haul was cut off in the middle of this move. Run the same command with the same journal to resume it."
	}
	return all
}
