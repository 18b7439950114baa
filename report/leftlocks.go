package report

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// A LeftLock describes the locks that a move left, according to its journal.
type LeftLock struct {
	Journal string    `json:"journal"`
	Haul    string    `json:"haul"`
	Since   time.Time `json:"since,omitzero"` // when the move started
	// Running reports whether the process is still running. It unlocks when it ends.
	Running bool `json:"running"`
	// Workspaces are those that are or may be locked.
	Workspaces []string `json:"workspaces"`
	// Sources are states whose own lock the move holds.
	Sources       []string `json:"sources,omitempty"`
	UnlockCommand string   `json:"unlock_command"`
}

// LeftLocksJSON writes left locks as a JSON document.
func LeftLocksJSON(w io.Writer, left []LeftLock) error {
	d := newDocument(w)
	putList(d, "journals", left)
	return d.end()
}

// LeftLocks writes left locks as text.
func LeftLocks(w io.Writer, s Style, left []LeftLock) error {
	var b bytes.Buffer
	if len(left) == 0 {
		b.WriteString("No move on this machine left a lock behind. For a haul, pass its journal: tfhaul unlock JOURNAL\n")
	}
	for _, l := range left {
		for _, at := range append(l.Workspaces, l.Sources...) {
			fmt.Fprintf(&b, "%s: %s\n", s.Odd("may be locked"), PlainLine(at))
		}
		if len(l.Workspaces)+len(l.Sources) == 0 {
			fmt.Fprintf(&b, "%s: %s\n", s.Good("not locked yet"), PlainLine(l.Journal))
		}
		when := "The move started " + l.Since.Local().Format(time.DateTime)
		if l.Running {
			s.indented(&b, "  ", when+" and is still running. It unlocks when it ends.")
			continue
		}
		s.indented(&b, "  ", when+". To unlock: "+l.UnlockCommand+". If the server no longer exists, delete the journal: "+l.Journal)
	}
	return flush(w, &b)
}
