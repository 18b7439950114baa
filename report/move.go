package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// Format names the JSON documents of this program, and their version.
const Format = "tfhaul/1"

// MoveJSON writes the document of one move.
func MoveJSON(w io.Writer, r migrate.Result) error {
	return JSON(w, struct {
		Format string `json:"format"`
		migrate.Result
	}{Format, r})
}

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
		head += " (" + plainLine(string(r.Code)) + ")"
	}
	fmt.Fprintf(&b, "%s: %s → %s\n", head, plainLine(r.Source), plainLine(r.Target))
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
		fmt.Fprintf(&b, "%s%s %s\n", indent, s.Bad("The workspace is still locked by this haul. To free it:"), plainLine(r.UnlockCommand))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// moveFacts is a line of what identifies the snapshot, and what the move cost.
func moveFacts(r migrate.Result) string {
	var facts []string
	if sn := r.Snapshot; sn != nil {
		// Of what could not be read, 0 is no serial.
		if sn.Format > 0 && (sn.Serial > 0 || r.Relation != "") {
			facts = append(facts, fmt.Sprintf("serial %d", sn.Serial))
		}
		facts = append(facts, Size(sn.Size))
		if sn.TerraformVersion != "" {
			facts = append(facts, "Terraform "+sn.TerraformVersion)
		}
		if sn.Lineage != "" {
			facts = append(facts, "lineage "+sn.Lineage)
		}
		if sn.MD5 != "" {
			facts = append(facts, "MD5 "+sn.MD5)
		}
	}
	if r.Created {
		facts = append(facts, "workspace created")
	}
	if r.APICalls > 0 {
		facts = append(facts, fmt.Sprintf("%s in %s", plainwords.Counted(r.APICalls, "API call"), Seconds(r.Seconds)))
	}
	return strings.Join(facts, " · ")
}

// word is what an outcome is called.
func (s Style) word(o migrate.Outcome) string {
	if word := s.words[o]; word != "" {
		return word
	}
	return strings.ReplaceAll(plainLine(string(o)), "-", " ")
}

// outcome draws an outcome in its colour.
func (s Style) outcome(o migrate.Outcome) string {
	text := s.word(o)
	switch o {
	case migrate.Moved, migrate.AlreadyThere:
		return s.Good(text)
	case migrate.Failed:
		return s.Bad(text)
	case migrate.Refused:
		return s.Odd(text)
	}
	return s.Strong(text)
}
