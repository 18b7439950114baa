package report

import (
	"bytes"
	"fmt"
	"io"
)

// Results of an unlock.
const (
	Freed       = "freed"        // the haul's lock was released
	Free        = "free"         // the workspace was not locked
	NotOurs     = "not-ours"     // another user holds it
	StillLocked = "still-locked" // it could not be unlocked, or its holder could not be determined
)

// An Unlocking is the result of unlocking one workspace.
type Unlocking struct {
	Target  string `json:"target"`
	Outcome string `json:"outcome"`
	Message string `json:"message"`
}

// UnlockingsJSON writes the results as a JSON document.
func UnlockingsJSON(w io.Writer, unlockings []Unlocking) error {
	summary := map[string]int{}
	for _, u := range unlockings {
		summary[u.Outcome]++
	}
	d := newDocument(w)
	d.put("summary", summary)
	putList(d, "workspaces", unlockings)
	return d.end()
}

// Unlockings writes the results as text.
func Unlockings(w io.Writer, s Style, unlockings []Unlocking) error {
	var b bytes.Buffer
	if len(unlockings) == 0 {
		b.WriteString("Nothing in this journal is still locked.\n")
	}
	for _, u := range unlockings {
		word := map[string]string{
			Freed: s.Good("unlocked"), Free: s.Good("not locked"), NotOurs: s.Odd("not this haul's lock"), StillLocked: s.Bad("not unlocked"),
		}[u.Outcome]
		fmt.Fprintf(&b, "%s: %s\n", word, PlainLine(u.Target))
		s.indented(&b, "  ", u.Message)
	}
	return flush(w, &b)
}
