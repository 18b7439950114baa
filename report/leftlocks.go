package report

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// A LeftLock is what the journal of a move says is left to free.
type LeftLock struct {
	Journal string    `json:"journal"`
	Haul    string    `json:"haul"`
	Since   time.Time `json:"since,omitzero"` // when the move began
	// Running says that the process still runs, and unlocks at its end.
	Running bool `json:"running"`
	// Workspaces are locked, or may be.
	Workspaces []string `json:"workspaces"`
	// Sources are states whose own lock the move holds.
	Sources       []string `json:"sources,omitempty"`
	UnlockCommand string   `json:"unlock_command"`
}

// LeftLocksJSON writes the document of what moves left to free.
func LeftLocksJSON(w io.Writer, left []LeftLock) error {
	d := newDocument(w)
	putList(d, "journals", left)
	return d.end()
}

// LeftLocks tells a person what moves left to free.
func LeftLocks(w io.Writer, s Style, left []LeftLock) error {
	var b bytes.Buffer
	if len(left) == 0 {
		b.WriteString("No move on this machine left a lock behind. For a haul, name its journal: tfhaul unlock JOURNAL\n")
	}
	for _, l := range left {
		for _, at := range append(l.Workspaces, l.Sources...) {
			fmt.Fprintf(&b, "%s: %s\n", s.Odd("may be locked"), PlainLine(at))
		}
		if len(l.Workspaces)+len(l.Sources) == 0 {
			fmt.Fprintf(&b, "%s: %s\n", s.Good("not locked yet"), PlainLine(l.Journal))
		}
		when := "The move began " + l.Since.Local().Format(time.DateTime)
		if l.Running {
			s.indented(&b, "  ", when+" and still runs. It unlocks when it ends.")
			continue
		}
		s.indented(&b, "  ", when+". To unlock: "+l.UnlockCommand+". If the server no longer exists, delete the journal: "+l.Journal)
	}
	return flush(w, &b)
}
