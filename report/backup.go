package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"tfhaul/backup"
	"tfhaul/plainwords"
)

// A Backup is the result of a backup.
type Backup struct {
	Source string `json:"source"`
	Target string `json:"target"`
	// Summary counts the states by outcome.
	Summary map[backup.Outcome]int `json:"summary"`
	// Bytes is the size of all versions that were stored.
	Bytes  int64         `json:"bytes"`
	States []backup.Item `json:"states"`
}

// NewBackup summarizes the items of a backup.
func NewBackup(source, target string, items []backup.Item) Backup {
	b := Backup{Source: source, Target: target, Summary: map[backup.Outcome]int{}, States: items}
	if b.States == nil {
		b.States = []backup.Item{}
	}
	for _, i := range items {
		b.Summary[i.Outcome]++
		for _, v := range i.Stored {
			b.Bytes += v.Size
		}
	}
	return b
}

// ShowBackup writes a backup as text: what is new or went wrong, and the counts.
func ShowBackup(w io.Writer, s Style, r Backup) error {
	var out bytes.Buffer
	t := table{columns: []column{{title: "STATE", elastic: true}, {title: "OUTCOME"}, {title: "SERIAL", right: true}, {title: "SIZE", right: true}, {title: "MARKS", elastic: true}}}
	for _, i := range r.States {
		switch {
		case i.Outcome == backup.Unchanged:
		case len(i.Stored) == 0:
			t.rows = append(t.rows, []string{PlainLine(i.Name), string(i.Outcome), "", "", ""})
		}
		for _, v := range i.Stored {
			t.rows = append(t.rows, []string{PlainLine(i.Name), string(i.Outcome), fmt.Sprint(v.Serial), Size(v.Size), strings.Join(v.Marks, ", ")})
		}
	}
	if len(t.rows) > 0 {
		t.write(&out, s, "")
	}
	for _, i := range r.States {
		if i.Message != "" {
			fmt.Fprintf(&out, "%s: %s\n", PlainLine(i.Name), PlainLine(i.Message))
		}
	}
	if out.Len() > 0 {
		out.WriteString("\n")
	}
	var counts []string
	for _, o := range []backup.Outcome{backup.Stored, backup.ToStore, backup.Unchanged, backup.Gap, backup.Failed, backup.NotTried} {
		if n := r.Summary[o]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, strings.ReplaceAll(string(o), "-", " ")))
		}
	}
	fmt.Fprintf(&out, "%s: %s", plainwords.Counted(len(r.States), "state"), strings.Join(counts, ", "))
	if r.Bytes > 0 {
		fmt.Fprintf(&out, " (%s)", Size(r.Bytes))
	}
	out.WriteString("\n")
	return flush(w, &out)
}
