package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"tfhaul/migrate"
)

// Move tells a person of one move: what became of it, why, and what to do next.
func Move(w io.Writer, s Style, r migrate.Result) error {
	return s.move(w, s.outcome(r.Outcome), r)
}

// Verification tells a person whether a workspace holds what a source holds.
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
	if r.Backup != "" {
		s.indented(&b, indent, "What was there before is kept in "+r.Backup)
	}
	if r.Locked && r.UnlockCommand != "" && !strings.Contains(r.Message, r.UnlockCommand) {
		fmt.Fprintf(&b, "%s%s %s\n", indent, s.Bad("The workspace is still locked by this haul. To unlock it:"), PlainLine(r.UnlockCommand))
	}
	return flush(w, &b)
}

// moveFacts is a line of what identifies the snapshot, and what the move cost.
func moveFacts(r migrate.Result) string {
	serial, size, took, created := "", "", "", ""
	sn := r.Snapshot
	if sn == nil {
		sn = &migrate.Snapshot{}
	} else {
		size = Size(sn.Size)
	}
	// Of what could not be read, 0 is no serial.
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

// word is what an outcome is called.
func (s Style) word(o migrate.Outcome) string {
	if word := s.words[o]; word != "" {
		return word
	}
	return strings.ReplaceAll(PlainLine(o), "-", " ")
}

// outcome draws an outcome in its colour.
func (s Style) outcome(o migrate.Outcome) string { return s.toned(Tone(o), s.word(o)) }
