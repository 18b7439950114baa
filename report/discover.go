package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"tfhaul/plainwords"
	"tfhaul/rootmodule"
)

// DiscoveryJSON writes a discovery as a JSON document.
func DiscoveryJSON(w io.Writer, found *rootmodule.Discovery) error {
	d := newDocument(w)
	d.put("summary", found.Summary())
	d.put("checked", found.Checked)
	putList(d, "configurations", found.Configurations)
	putList(d, "without_code", found.WithoutCode)
	putList(d, "unread", found.Unread)
	return d.end()
}

// fewConfigurations is how many configurations Discovery shows unless all is set.
const fewConfigurations = 100

// Discovery writes a discovery as text: a table of the configurations, what is not known and
// why, and the summary.
func Discovery(w io.Writer, s Style, found *rootmodule.Discovery, all bool) error {
	var b bytes.Buffer
	shown := found.Configurations
	if !all {
		shown = shown[:atMost(len(shown), fewConfigurations)]
	}
	t := table{columns: []column{{title: "CONFIGURATION", elastic: true}, {title: "BACKEND"}, {title: "STATE", elastic: true}, {title: "WORKSPACE", spare: true}}}
	if found.Checked {
		t.columns = append(t.columns, column{title: "EXISTS"})
	}
	for i := range shown {
		t.rows = append(t.rows, configurationRows(&shown[i], found.Checked)...)
	}
	if len(t.rows) > 0 {
		t.write(&b, s, "")
	}
	andMore(&b, len(found.Configurations)-len(shown), inAll)
	s.discoveryNotes(&b, found)
	s.discoverySummary(&b, found)
	return flush(w, &b)
}

// configurationRows returns a row for each state of a configuration, or the one without.
func configurationRows(c *rootmodule.Described, checked bool) [][]string {
	name := PlainLine(c.Dir)
	if c.Variant != "" {
		name += " (" + PlainLine(c.Variant) + ")"
	}
	if len(c.States) == 0 {
		row := []string{name, PlainLine(c.Backend), "not known", ""}
		if checked {
			row = append(row, "")
		}
		return [][]string{row}
	}
	var rows [][]string
	for _, state := range c.States {
		row := []string{name, PlainLine(c.Backend), PlainLine(state.Address), PlainLine(state.Workspace)}
		if checked {
			exists := "yes"
			if state.Exists == nil || !*state.Exists {
				exists = "no"
			}
			row = append(row, exists)
		}
		rows = append(rows, row)
	}
	return rows
}

// discoveryNotes writes what the user should look at.
func (s Style) discoveryNotes(b *bytes.Buffer, found *rootmodule.Discovery) {
	var unknown, shared, reads, missing []string
	for _, c := range found.Configurations {
		if c.Problem != "" {
			unknown = append(unknown, c.Dir+": "+c.Problem)
		}
		for _, state := range c.States {
			if len(state.SharedWith) > 0 && !slices.ContainsFunc(state.SharedWith, func(dir string) bool { return dir < c.Dir }) {
				shared = append(shared, fmt.Sprintf("%s: also used by %s", c.Dir, strings.Join(state.SharedWith, ", ")))
			}
			if state.Exists != nil && !*state.Exists {
				missing = append(missing, c.Dir+": nothing is stored at "+state.Address)
			}
		}
		for _, r := range c.Reads {
			if r.Problem != "" {
				reads = append(reads, fmt.Sprintf("%s:%d: %s: %s", r.File, r.Line, r.Name, r.Problem))
			}
		}
	}
	var unread []string
	for _, u := range found.Unread {
		unread = append(unread, u.Path+": "+u.Reason)
	}
	for _, group := range []struct {
		title string
		lines []string
	}{
		{"States that are not known", unknown}, {"States that several configurations use", shared}, {"Configurations without a state", missing},
		{"States that no configuration uses", found.WithoutCode}, {"References that are not known", reads}, {"Files that could not be read", unread},
	} {
		if len(group.lines) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n%s:\n", s.Strong(group.title))
		n := atMost(len(group.lines), fewNotes)
		for _, line := range group.lines[:n] {
			s.hanging(b, "  - ", PlainLine(line))
		}
		andMore(b, len(group.lines)-n, inJSON)
	}
}

// fewNotes is how many lines Discovery shows of each kind.
const fewNotes = 20

func (s Style) discoverySummary(b *bytes.Buffer, found *rootmodule.Discovery) {
	sum := found.Summary()
	if b.Len() > 0 {
		fmt.Fprintln(b)
	}
	line := fmt.Sprintf("%s: %s", plainwords.Counted(sum.Configurations, "configuration"), plainwords.Counted(sum.States, "state"))
	if sum.Unknown > 0 {
		line += fmt.Sprintf(", %d not known", sum.Unknown)
	}
	if found.Checked {
		line += fmt.Sprintf(", %d missing, %d without code", sum.Missing, sum.WithoutCode)
	}
	if sum.Reads > 0 {
		line += "; " + plainwords.Counted(sum.Reads, "reference") + " to other states"
	}
	s.indented(b, "", line)
}
