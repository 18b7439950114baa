package backend

import "context"

// AllVersions, as a number of versions, means every one that is kept.
const AllVersions = -1

// A HistoryTarget is a Target that can store the older versions of a state, too.
type HistoryTarget interface {
	// OlderName returns the name of the state in which an older version with this serial and
	// ID is stored, if the versions of the state called name are kept apart. Otherwise, it
	// returns name: older versions are then written before the current one, oldest first.
	OlderName(name string, serial int64, id string) (string, error)
	// CheckHistory returns an *Error with the code NoHistory if older versions must not be
	// written to the state, because they would not be kept, or because something would use
	// them while they are current.
	CheckHistory(ctx context.Context, s *Standing) error
	// HistoryCalls returns how many API calls it takes to store n older versions.
	HistoryCalls(n int) int
}
