package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"tfhaul/migrate"
)

// Move writes one move as text: the outcome, the reason, and what to do next.
func Move(w io.Writer, s Style, r migrate.Result) error {
	return s.move(w, s.outcome(r.Outcome), r)
}

// Verification writes whether a workspace holds the same as a source.
func Verification(w io.Writer, s Style, r migrate.Result) error {
	head := map[migrate.Outcome]string{
		migrate.AlreadyThere: s.Good("the same"), migrate.Refused: s.Odd("not the same"),
	}[r.Outcome]
	if head == "" {
		head = s.Bad("not verified")
	}
	return s.move(w, head, r)
}

func (s Style) move(w io.Writer, head string, r migrate.Result) error {
	var b bytes.Buffer
	const indent = "  "
	if r.Code != "" {
		head += " (" + PlainLine(r.Code) + ")"
	}
	fmt.Fprintf(&b, "%s: %s → %s\n", head, PlainLine(r.Source), PlainLine(r.Target))
	s.indented(&b, indent, r.Message, r.UnlockCommand)
	if facts := moveFacts(r); facts != "" {
		s.indented(&b, indent, facts)
	}
	for _, note := range r.Notes {
		s.indented(&b, indent, note, r.UnlockCommand)
	}
	if settings := r.Settings.String(); settings != "" {
		s.indented(&b, indent, settings)
	}
	s.older(&b, r.History)
	if r.Backup != "" {
		s.indented(&b, indent, "The previous state was saved to "+r.Backup)
	}
	if r.Locked && r.UnlockCommand != "" && !strings.Contains(r.Message, r.UnlockCommand) {
		fmt.Fprintf(&b, "%s%s %s\n", indent, s.Bad("The "+PlaceNoun([]migrate.Result{r})+" is still locked by this haul. To unlock it:"), PlainLine(r.UnlockCommand))
	}
	return flush(w, &b)
}

// moveFacts returns a line that identifies the snapshot, and the move's cost.
func moveFacts(r migrate.Result) string {
	serial, size, took, created := "", "", "", ""
	sn := r.Snapshot
	if sn == nil {
		sn = &migrate.Snapshot{}
	} else {
		size = Size(sn.Size)
	}
	// If the header could not be read, 0 is not the serial.
	if sn.Format > 0 && (sn.Serial > 0 || r.Relation != "") {
		serial = fmt.Sprintf("serial %d", sn.Serial)
	}
	if r.Created {
		created = "workspace created"
	}
	if r.APICalls > 0 {
		took = cost(r.APICalls, r.Seconds)
	}
	return dotted(serial, size, labelled("Terraform ", sn.TerraformVersion), labelled("lineage ", sn.Lineage), labelled("MD5 ", sn.MD5), created, took)
}

// word returns the word for an outcome.
func (s Style) word(o migrate.Outcome) string {
	if word := s.words[o]; word != "" {
		return word
	}
	return strings.ReplaceAll(PlainLine(o), "-", " ")
}

// outcome paints an outcome in its color.
func (s Style) outcome(o migrate.Outcome) string { return s.toned(Tone(o), s.word(o)) }
