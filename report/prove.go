package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"tfhaul/plainwords"
	"tfhaul/prove"
)

// Proof writes one proof as text: the verdict, what would change, and drift, which does
// not affect the verdict.
func Proof(w io.Writer, s Style, r prove.Result) error {
	var b bytes.Buffer
	const indent = "  "
	head := s.verdict(r.Verdict)
	if r.Code != "" {
		head += " (" + PlainLine(r.Code) + ")"
	}
	fmt.Fprintf(&b, "%s: %s\n", head, PlainLine(r.Target))
	s.indented(&b, indent, r.Message)
	if facts := proofFacts(r); facts != "" {
		s.indented(&b, indent, facts)
	}
	s.changes(&b, "Would change:", r.Changes)
	s.changes(&b, "Changed outside of Terraform since the state was written (this does not affect the verdict):", r.Drift)
	for _, note := range r.Notes {
		s.indented(&b, indent, note)
	}
	if r.RunURL != "" {
		fmt.Fprintf(&b, "%s%s\n", indent, s.Faint(PlainLine(r.RunURL)))
	}
	return flush(w, &b)
}

// verdict paints a verdict in its color.
func (s Style) verdict(v prove.Verdict) string { return s.toned(Tone(v), PlainLine(v)) }

// proofFacts returns a line about the proof's subject and cost.
func proofFacts(r prove.Result) string {
	var facts []string
	if r.StateVersionID != "" {
		facts = append(facts, fmt.Sprintf("serial %d", r.Serial), r.StateVersionID, plainwords.Counted(r.Instances, "resource instance"))
	}
	terraform, took := labelled("Terraform ", r.TerraformVersion), ""
	if terraform != "" && r.Local {
		terraform += " on this machine"
	}
	if r.APICalls > 0 {
		took = cost(r.APICalls, r.Seconds)
	}
	return dotted(append(facts, terraform, r.RunID, took)...)
}

// maxChanges is how many changes a table shows.
const maxChanges = 50

// changes writes a table of changes.
func (s Style) changes(b *bytes.Buffer, title string, changes []prove.Change) {
	if len(changes) == 0 {
		return
	}
	const indent = "  "
	s.indented(b, indent, title)
	t := table{columns: []column{{title: "ADDRESS", elastic: true}, {title: "ACTION"}, {title: "WHY", elastic: true}}}
	shown := min(len(changes), maxChanges)
	for _, c := range changes[:shown] {
		why := strings.ReplaceAll(c.Reason, "_", " ")
		if c.PreviousAddress != "" {
			why = strings.TrimSpace("from " + c.PreviousAddress + " " + why)
		}
		t.rows = append(t.rows, []string{PlainLine(c.Address), PlainLine(strings.Join(c.Actions, ", ")), PlainLine(why)})
	}
	t.write(b, s, indent+"  ")
	if shown < len(changes) {
		b.WriteString(indent)
	}
	andMore(b, len(changes)-shown, inJSON)
}
