package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"tfhaul/audit"
	"tfhaul/plainwords"
)

// InventoryJSON writes an audit as a JSON document.
func InventoryJSON(w io.Writer, i *audit.Inventory) error {
	d := newDocument(w)
	d.put("taken", i.Taken.UTC().Truncate(time.Second))
	putList(d, "sources", i.Sources)
	d.put("summary", i.Summary())
	d.put("bill", i.Bill())
	putList(d, "snapshots", i.Snapshots)
	putList(d, "findings", i.Findings)
	if i.Baseline != nil {
		d.put("baseline", i.Baseline)
	}
	return d.end()
}

// fewSnapshots is how many snapshots Inventory shows unless all is set.
const fewSnapshots = 60

// Inventory writes an audit as text: a table of the snapshots, the findings, and the
// summary. The most important comes last, where a terminal leaves it in view. Of many
// snapshots it shows those with the most serious findings, and of the findings those that
// are in no baseline, unless all is set.
func Inventory(w io.Writer, s Style, i *audit.Inventory, all bool) error {
	var b bytes.Buffer
	summary := i.Summary()
	s.snapshots(&b, i, all)
	if all {
		s.findings(&b, i.Findings)
	} else {
		s.findings(&b, i.New())
	}
	s.inventorySummary(&b, i, summary)
	return flush(w, &b)
}

// snapshots writes the table.
func (s Style) snapshots(b *bytes.Buffer, i *audit.Inventory, all bool) {
	shown, hidden := i.Snapshots, 0
	if !all && len(shown) > fewSnapshots {
		shown = mostSerious(i, fewSnapshots)
		hidden = len(i.Snapshots) - len(shown)
	}
	if len(shown) == 0 {
		return
	}
	targets := slices.ContainsFunc(shown, func(sn audit.Snapshot) bool { return sn.Target != nil })
	prefix := commonTarget(shown)
	t := table{columns: []column{
		{title: "SOURCE", elastic: true}, {title: "SERIAL", right: true}, {title: "RES", right: true, spare: true},
		{title: "SIZE", right: true, spare: true}, {title: "TF", elastic: true, spare: true}, {title: "AGE", right: true, spare: true},
	}}
	if targets {
		t.columns = append(t.columns, column{title: "WORKSPACE", elastic: true}, column{title: "RELATION"})
	}
	t.columns = append(t.columns, column{title: "FINDINGS"})
	for k := range shown {
		sn := &shown[k]
		serial, resources, terraform := "", "", sn.TerraformVersion
		if sn.Known() {
			serial = fmt.Sprint(sn.Serial)
		}
		if sn.IsState() {
			resources = fmt.Sprint(sn.Resources)
		}
		if terraform == "" && sn.Known() {
			terraform = fmt.Sprintf("format %d", sn.Format)
		}
		row := []string{PlainLine(sn.Source), serial, resources, Size(sn.Size), plainwords.Brief(PlainLine(terraform)), Age(sn)}
		if targets {
			workspace, relation := "", ""
			if sn.Target != nil {
				workspace, relation = strings.TrimPrefix(sn.Target.Workspace, prefix), sn.Target.Standing()
			}
			row = append(row, PlainLine(workspace), PlainLine(relation))
		}
		t.rows = append(t.rows, append(row, gravest(sn.Findings)))
	}
	t.write(b, s, "")
	if hidden > 0 {
		s.indented(b, "", fmt.Sprintf("… and %s more with less serious findings; --all shows them, and --csv, --json and --html contain all", plainwords.Grouped(hidden)))
	}
	b.WriteByte('\n')
}

// mostSerious returns the snapshots with the most serious findings, in their original
// order.
func mostSerious(i *audit.Inventory, most int) []audit.Snapshot {
	severities, room := i.Severities(), map[audit.Severity]int{}
	for k := range i.Snapshots {
		room[severities[i.Snapshots[k].Source]]++
	}
	for _, severity := range append(slices.Clip(audit.Severities), "") {
		room[severity] = min(room[severity], most)
		most -= room[severity]
	}
	var shown []audit.Snapshot
	for _, sn := range i.Snapshots {
		if severity := severities[sn.Source]; room[severity] > 0 {
			room[severity]--
			shown = append(shown, sn)
		}
	}
	return shown
}

// Age formats how long ago a snapshot was written: "3 h", "12 d", "2.1 y".
func Age(sn *audit.Snapshot) string {
	if sn.Modified.IsZero() {
		return ""
	}
	age := time.Duration(sn.AgeSeconds) * time.Second
	const day = 24 * time.Hour
	switch {
	case age < time.Minute:
		return fmt.Sprintf("%d s", int(age.Seconds()))
	case age < time.Hour:
		return fmt.Sprintf("%d min", int(age.Minutes()))
	case age < 2*day:
		return fmt.Sprintf("%d h", int(age.Hours()))
	case age < 2*365*day:
		return fmt.Sprintf("%d d", int(age/day))
	}
	return fmt.Sprintf("%.1f y", float64(age)/float64(365*day))
}

// gravest returns a snapshot's most serious finding, and how many more there are.
func gravest(codes []audit.Code) string {
	switch len(codes) {
	case 0:
		return ""
	case 1:
		return PlainLine(codes[0])
	}
	return fmt.Sprintf("%s +%d", PlainLine(codes[0]), len(codes)-1)
}

// commonTarget returns the host and organization that all targets share, with a trailing
// slash, or "".
func commonTarget(snapshots []audit.Snapshot) string {
	var targets []string
	for k := range snapshots {
		if t := snapshots[k].Target; t != nil {
			targets = append(targets, t.Workspace)
		}
	}
	return commonPlace(targets)
}

// maxPlaces is how many places are listed for one kind of finding.
const maxPlaces = 6

// findings writes the findings, one paragraph per code, the most serious last.
func (s Style) findings(b *bytes.Buffer, findings []audit.Finding) {
	type kind struct {
		severity audit.Severity
		code     audit.Code
	}
	groups := GroupBy(findings, func(f audit.Finding) kind { return kind{f.Severity, f.Code} })
	slices.Reverse(groups)
	for _, g := range groups {
		fmt.Fprintf(b, "%s %s (%s)\n", s.severity(g.Key.severity, PlainLine(g.Key.severity)), s.Strong(PlainLine(g.Key.code)), plainwords.Grouped(len(g.Of)))
		s.groupsOfAdvice(b, g.Of)
		b.WriteByte('\n')
	}
}

// groupsOfAdvice writes findings followed by their advice, once for all findings with the
// same advice.
func (s Style) groupsOfAdvice(b *bytes.Buffer, findings []audit.Finding) {
	groups := GroupBy(findings, func(f audit.Finding) string { return f.Advice })
	shown := atMost(len(groups), maxPlaces)
	for _, g := range groups[:shown] {
		s.places(b, g.Of)
		if g.Key != "" {
			s.hanging(b, "  → ", g.Key, quoted.FindAllString(g.Key, -1)...)
		}
	}
	andMore(b, len(groups)-shown, " kinds"+inJSON)
}

// quoted matches text in quotation marks, usually a command.
var quoted = regexp.MustCompile(`"[^"]+"`)

// places writes where something was found. A message that is the same everywhere is
// written once.
func (s Style) places(b *bytes.Buffer, findings []audit.Finding) {
	groups := GroupBy(findings, func(f audit.Finding) string { return f.Message })
	shown := atMost(len(groups), maxPlaces)
	for _, g := range groups[:shown] {
		s.indented(b, "  ", g.Key)
		listed := 0
		place := func(name, note string) {
			if listed++; listed <= maxPlaces {
				s.noted(b, "    ", PlainLine(name), PlainLine(note))
			}
		}
		for _, f := range g.Of {
			for k, name := range f.Sources {
				place(name, f.CopyStanding(k))
			}
			for _, name := range f.ComparedWith {
				place(name, audit.Compared)
			}
		}
		if listed > maxPlaces {
			fmt.Fprintf(b, "    … and %s more\n", plainwords.Grouped(listed-maxPlaces))
		}
	}
	andMore(b, len(groups)-shown, inJSON)
}

// severity paints a text in the color of a severity.
func (s Style) severity(v audit.Severity, text string) string {
	if Tone(v) == "info" {
		return s.Faint(text)
	}
	return s.toned(Tone(v), text)
}

// inventorySummary writes the last lines.
func (s Style) inventorySummary(b *bytes.Buffer, i *audit.Inventory, sum audit.Summary) {
	const room = 10
	label := func(name string) string { return s.Faint(fmt.Sprintf("%-*s", room, name)) + "  " }
	line := func(name, text string) {
		if text != "" {
			s.paragraph(b, label(name), strings.Repeat(" ", room+2), text, strings.Split(strings.ReplaceAll(text, ";", ","), ", ")...)
		}
	}
	states := fmt.Sprintf("%s, %s", plainwords.Counted(sum.States, "state"), Size(sum.Bytes))
	if other := sum.Snapshots - sum.States; other > 0 {
		states += fmt.Sprintf("; %s without a readable state", plainwords.Counted(other, "file"))
	}
	if sum.Locked > 0 {
		states += fmt.Sprintf("; %s locked", plainwords.Grouped(sum.Locked))
	}
	line("states", states)
	line("resources", fmt.Sprintf("%s managed, %s data, %s; %s, %s sensitive; %s", plainwords.Grouped(sum.Managed), plainwords.Grouped(sum.Data), plainwords.Counted(sum.Instances, "instance"),
		plainwords.Counted(sum.Outputs, "output"), plainwords.Grouped(sum.SensitiveOutputs), plainwords.Counted(sum.SensitiveAttributes, "sensitive attribute")))
	bill := i.Bill()
	line("billable", billed(bill))
	line("in", billedDirectories(bill))
	line("terraform", most(audit.NewestFirst(sum.TerraformVersions), sum.TerraformVersions, 8))
	line("providers", most(plainwords.MostFrequent(sum.Providers), sum.Providers, 5))
	line("relations", most(plainwords.MostFrequent(sum.Relations), sum.Relations, 8))
	line("skipped", most(plainwords.MostFrequent(sum.Skipped), sum.Skipped, 8))
	var parts []string
	counts := sum.Findings
	if i.Baseline != nil {
		counts = sum.New
	}
	for _, severity := range audit.Severities {
		if n := counts[severity]; n > 0 {
			word := s.severity(severity, plainwords.Counted(n, string(severity)))
			if severity == audit.SeverityInfo {
				word = plainwords.Grouped(n) + " good to know"
			}
			parts = append(parts, word)
		}
	}
	none := "none"
	if i.Baseline != nil {
		none = "none that is new"
	}
	fmt.Fprintf(b, "%s%s\n", label("findings"), cmp.Or(strings.Join(parts, ", "), s.Good(none)))
	if a := i.Baseline; a != nil {
		line("known", fmt.Sprintf("%s in %s", plainwords.Counted(a.Known, "finding"), PlainLine(a.File)))
		line("expired", Entries(a.Expired))
		line("unused", Entries(a.Unused))
	}
}

// Entries lists entries of a baseline: "2 entries: plain-secret in network/*, locked in …".
func Entries(of []audit.Accepted) string {
	if len(of) == 0 {
		return ""
	}
	noun := "entries"
	if len(of) == 1 {
		noun = "entry"
	}
	var names []string
	for _, entry := range of[:atMost(len(of), maxPlaces)] {
		name := PlainLine(entry.Code)
		if len(entry.Sources) > 0 {
			name += " in " + plainwords.Brief(PlainLine(strings.Join(entry.Sources, " ")))
		}
		if entry.Expires != "" {
			name += " (expires " + PlainLine(entry.Expires) + ")"
		}
		names = append(names, name)
	}
	if hidden := len(of) - len(names); hidden > 0 {
		names = append(names, plainwords.Grouped(hidden)+" more")
	}
	return fmt.Sprintf("%s %s: %s", plainwords.Grouped(len(of)), noun, strings.Join(names, ", "))
}

// billed formats a bill without its directories; "" if there is nothing to say.
func billed(b audit.Bill) string {
	if b.Billable == 0 && b.Cap == 0 && b.PricePerHour == 0 {
		return ""
	}
	text := plainwords.Counted(b.Billable, "managed resource") + " as HCP Terraform counts them"
	switch {
	case b.Over > 0:
		text += fmt.Sprintf(", %s more than the cap of %s", plainwords.Grouped(b.Over), plainwords.Grouped(b.Cap))
	case b.Cap > 0:
		text += fmt.Sprintf(", within the cap of %s", plainwords.Grouped(b.Cap))
	}
	if b.PricePerHour > 0 {
		text += fmt.Sprintf("; %.2f a month at %g an hour", b.PerMonth, b.PricePerHour)
	}
	return text
}

// billedDirectories lists the directories of a bill; "" if there are not several.
func billedDirectories(b audit.Bill) string {
	if b.Billable == 0 || len(b.Directories) < 2 {
		return ""
	}
	counts := map[string]int{}
	for _, d := range b.Directories {
		counts[d.Directory] = d.Billable
	}
	return most(plainwords.MostFrequent(counts), counts, 8)
}

// PublicRegistry is the default registry of providers.
const PublicRegistry = "registry.terraform.io/"

// most formats the first names with their counts.
func most(names []string, counts map[string]int, limit int) string {
	var parts []string
	first, others := plainwords.First(names, counts, limit)
	for _, name := range first {
		parts = append(parts, fmt.Sprintf("%s (%s)", plainwords.Brief(strings.TrimPrefix(PlainLine(cmp.Or(name, "unknown")), PublicRegistry)), plainwords.Grouped(counts[name])))
	}
	if hidden := len(names) - len(first); hidden > 0 {
		parts = append(parts, fmt.Sprintf("%s others (%s)", plainwords.Grouped(hidden), plainwords.Grouped(others)))
	}
	return strings.Join(parts, ", ")
}
