package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"

	"tfhaul/diff"
	"tfhaul/plainwords"
)

// fewItems is how many addresses of a list Diff shows, unless all is set.
const fewItems = 50

// Diff writes how two states differ. It shows a part of long lists, unless all is set.
func Diff(w io.Writer, s Style, r *diff.Result, all bool) error {
	var b bytes.Buffer
	t := table{columns: []column{{title: ""}, {title: "STATE", elastic: true}, {title: "SERIAL", right: true}, {title: "SIZE", right: true, spare: true}, {title: "TF", spare: true}, {title: "LINEAGE", elastic: true, spare: true}}}
	for k, side := range []diff.Side{r.A, r.B} {
		name := PlainLine(side.Name)
		if side.Version != "" {
			name += " (" + PlainLine(side.Version) + ")"
		}
		t.rows = append(t.rows, []string{"AB"[k : k+1], name, fmt.Sprint(side.Serial), Size(side.Size), plainwords.Brief(PlainLine(side.TerraformVersion)), plainwords.Brief(PlainLine(side.Lineage))})
	}
	t.write(&b, s, "")
	b.WriteByte('\n')
	most := fewItems
	if all {
		most = diff.MaxListed
	}
	s.diffList(&b, s.Bad("-"), r.Removed, r.RemovedCount, most)
	s.diffList(&b, s.Good("+"), r.Added, r.AddedCount, most)
	shown := min(len(r.Changed), most)
	for _, c := range r.Changed[:shown] {
		s.diffChange(&b, c)
	}
	andMore(&b, r.ChangedCount-shown, inAll)
	if r.AddedCount+r.RemovedCount+r.ChangedCount > 0 {
		b.WriteByte('\n')
	}
	s.indented(&b, "", diffSummary(r))
	return flush(w, &b)
}

// diffList writes addresses after a sign.
func (s Style) diffList(b *bytes.Buffer, sign string, names []string, count, most int) {
	shown := min(len(names), most)
	for _, name := range names[:shown] {
		fmt.Fprintf(b, "%s %s\n", sign, PlainLine(name))
	}
	andMore(b, count-shown, inAll)
}

// diffChange writes what differs in an object: the names in a line, or a line for each
// value.
func (s Style) diffChange(b *bytes.Buffer, c diff.Change) {
	values := false
	var names []string
	for _, a := range c.Attributes {
		names = append(names, PlainLine(a.Name))
		values = values || a.Before != "" || a.After != "" || a.Hidden
	}
	first := s.Odd("~") + " " + PlainLine(c.Address)
	if !values {
		s.paragraph(b, first+": ", "    ", strings.Join(names, ", "), names...)
		return
	}
	fmt.Fprintln(b, first)
	for k, a := range c.Attributes {
		text := ""
		switch {
		case a.Hidden:
			text = "(not shown)"
		case a.Before != "" || a.After != "":
			text = plainwords.Brief(PlainLine(cmp.Or(a.Before, "(none)"))) + " → " + plainwords.Brief(PlainLine(cmp.Or(a.After, "(none)")))
		}
		fmt.Fprintf(b, "    %s%s\n", names[k], labelled(": ", text))
	}
}

// diffSummary returns what kind of difference it is, in a sentence.
func diffSummary(r *diff.Result) string {
	metadata := ""
	if len(r.Metadata) > 0 {
		metadata = " These members of the file differ: " + PlainLine(strings.Join(r.Metadata, ", ")) + "."
	}
	switch r.Kind {
	case diff.Identical:
		return "The states are the same, byte for byte."
	case diff.Formatting:
		return "The states differ only in formatting." + labelled(" ", r.NotCompared)
	case diff.Metadata:
		return "The states hold the same resources and outputs." + metadata + labelled(" ", r.NotCompared)
	}
	if r.NotCompared != "" {
		return "The states hold different contents. " + r.NotCompared
	}
	return fmt.Sprintf("From A to B: %s added, %s removed, %s changed.%s", plainwords.Grouped(r.AddedCount), plainwords.Grouped(r.RemovedCount), plainwords.Grouped(r.ChangedCount), metadata)
}
