package report

import (
	"bytes"
	"fmt"
	"io"
)

// What became of a lock.
const (
	Freed       = "freed"        // it was the haul's, and is no more
	Free        = "free"         // the workspace was not locked
	NotOurs     = "not-ours"     // somebody else holds it
	StillLocked = "still-locked" // it could not be freed, or not be found out
)

// An Unlocking is what became of one workspace's lock.
type Unlocking struct {
	Target  string `json:"target"`
	Outcome string `json:"outcome"`
	Message string `json:"message"`
}

// UnlockingsJSON writes the document of locks that were to be freed.
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

// Unlockings tells a person what became of locks.
func Unlockings(w io.Writer, s Style, unlockings []Unlocking) error {
	var b bytes.Buffer
	if len(unlockings) == 0 {
		b.WriteString("No workspace in this journal is still locked.\n")
	}
	for _, u := range unlockings {
		word := map[string]string{
			Freed: s.Good("freed"), Free: s.Good("free"), NotOurs: s.Odd("not ours"), StillLocked: s.Bad("not freed"),
		}[u.Outcome]
		fmt.Fprintf(&b, "%s: %s\n", word, PlainLine(u.Target))
		s.indented(&b, "  ", u.Message)
	}
	return flush(w, &b)
}
