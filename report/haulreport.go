package report

import (
	"slices"
	"time"

	"tfhaul/migrate"
)

// A HaulReport is what the journal of a haul records.
type HaulReport struct {
	// Journal names the file.
	Journal string
	// Haul is the haul's id.
	Haul string
	// Started and Ended are the times of the journal's first and last event.
	Started, Ended time.Time
	// Results are the last outcomes of all moves that have one.
	Results []migrate.Result
	// Unfinished are the moves that were cut off: source and target of each.
	Unfinished []migrate.Result
}

// CutOff is shown as the outcome of a move that has none.
const CutOff migrate.Outcome = "cut-off"

// All returns the results of all moves. Those that were cut off say so.
func (h *HaulReport) All() []migrate.Result {
	all := slices.Concat(h.Results, h.Unfinished)
	for i := len(h.Results); i < len(all); i++ {
		all[i].Outcome = CutOff
		all[i].Message = "The haul was cut off in the middle of this move. The same command with the same journal takes it up again."
	}
	return all
}
