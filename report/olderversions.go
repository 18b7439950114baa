package report

import (
	"bytes"
	"fmt"
	"time"

	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// OlderVersions counts the older versions in the moves of a haul.
type OlderVersions struct {
	// Versions are to be moved, of States states, with LockCycles lock cycles and about
	// APICalls API calls; Moved arrived.
	Versions, States, LockCycles, APICalls, Moved int
}

// CountOlder counts the older versions of all moves, except those that a plan found and refused.
func CountOlder(results []migrate.Result) OlderVersions {
	var o OlderVersions
	for i := range results {
		h := results[i].History
		if h == nil {
			continue
		}
		o.Moved += h.Moved
		if left := h.Versions - h.Moved; results[i].Outcome == migrate.WouldMove && left > 0 {
			o.Versions += left
			o.States++
			o.APICalls += h.APICalls
			o.LockCycles += h.LockCycles
		}
	}
	return o
}

// text returns the counts as a sentence; "" without older versions. done says what was done with
// those that arrived.
func (o OlderVersions) text(done string) string {
	switch {
	case o.Versions > 0:
		text := fmt.Sprintf("Older versions: %s to move first (%s)", plainwords.Grouped(o.Versions), plainwords.Counted(o.States, "state"))
		if o.LockCycles > 0 {
			text += ", each in a lock cycle of its own"
		}
		if o.APICalls > 0 {
			text += fmt.Sprintf(". That takes about %s, or at least %s at 30 per second", plainwords.Counted(o.APICalls, "more API call"), Seconds(float64(o.APICalls)/30))
		}
		return text + "."
	case o.Moved > 0:
		return fmt.Sprintf("Older versions: %s %s.", plainwords.Grouped(o.Moved), done)
	}
	return ""
}

// olderMoved is what a haul did with older versions.
const olderMoved = "moved and read back"

// olderLine writes the older versions of all moves, if there are any.
func (s Style) olderLine(b *bytes.Buffer, results []migrate.Result, done string) {
	if text := CountOlder(results).text(done); text != "" {
		s.indented(b, "", text)
	}
}

// mostOlder is how many older versions are listed after a move.
const mostOlder = 20

// older lists what became of a move's older versions.
func (s Style) older(b *bytes.Buffer, h *migrate.History) {
	if h == nil || len(h.Carried) == 0 {
		return
	}
	fmt.Fprintf(b, "  older versions (%s):\n", plainwords.Grouped(len(h.Carried)))
	shown := min(len(h.Carried), mostOlder)
	for _, c := range h.Carried[:shown] {
		s.indented(b, "    ", OlderText(c))
	}
	andMore(b, len(h.Carried)-shown, inJSON)
}

// OlderText returns an older version in a line, with what could not be recreated.
func OlderText(c migrate.Carried) string {
	created := ""
	if !c.Created.IsZero() {
		created = "created " + c.Created.UTC().Format(time.RFC3339)
	}
	return dotted(fmt.Sprintf("serial %d", c.Serial), PlainLine(c.SourceID)+" → "+PlainLine(c.ID), created, labelled("by ", PlainLine(c.Author)), labelled("in ", PlainLine(c.Run)))
}
