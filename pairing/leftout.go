package pairing

import "tfhaul/backend"

// A LeftOut is something that was found at a source and that no move takes.
type LeftOut struct {
	Source  string `json:"source"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// LeftOutUnmapped is the code of a state that a map of names does not name. The other
// codes are those of a backend.Skip.
const LeftOutUnmapped = "unmapped"

// MayBeState reports whether this may be state that would otherwise be forgotten, so that
// a person should look at it.
func (l LeftOut) MayBeState() bool {
	switch l.Code {
	case backend.SkipErrored, backend.SkipUnreadable, backend.SkipBrokenLink, backend.SkipNotRegular, LeftOutUnmapped:
		return true
	}
	return false
}
