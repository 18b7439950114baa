package pairing

import "tfhaul/backend"

// A LeftOut is something that was found at a source but is not part of any move.
type LeftOut struct {
	Source  string `json:"source"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// The codes of a state that is not in the map, and of one that its configuration already uses
// at the target. The other codes are those of backend.Skip.
const (
	LeftOutUnmapped = "unmapped"
	LeftOutThere    = "already-there"
)

// MayBeState reports whether this may be a state that would otherwise be forgotten, so that
// the user should look at it.
func (l LeftOut) MayBeState() bool {
	switch l.Code {
	case backend.SkipErrored, backend.SkipUnreadable, backend.SkipBrokenLink, backend.SkipNotRegular, backend.SkipOtherName, backend.SkipUnknownState, backend.SkipSharedState, LeftOutUnmapped:
		return true
	}
	return false
}
