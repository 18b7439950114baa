package pairing

import "tfhaul/backend"

// A LeftOut is something that was found at a source but is not part of any move.
type LeftOut struct {
	Source  string `json:"source"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// LeftOutUnmapped is the code of a state that is not in the map. The other codes are those
// of backend.Skip.
const LeftOutUnmapped = "unmapped"

// MayBeState reports whether this may be a state that would otherwise be forgotten, so that
// the user should look at it.
func (l LeftOut) MayBeState() bool {
	switch l.Code {
	case backend.SkipErrored, backend.SkipUnreadable, backend.SkipBrokenLink, backend.SkipNotRegular, backend.SkipOtherName, backend.SkipUnknownState, LeftOutUnmapped:
		return true
	}
	return false
}
