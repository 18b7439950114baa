package page

import (
	"cmp"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-version"

	"tfhaul/audit"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// Audit writes the page of an audit.
func Audit(w io.Writer, i *audit.Inventory) error {
	a := auditPage{inventory: i, summary: i.Summary()}
	a.build()
	return a.page.write(w)
}

// The kinds of facets of an audit.
const (
	facetReadiness = "Readiness"
	facetDirectory = "Directory"
	facetSeverity  = "Severity"
	facetFinding   = "Finding"
	facetRelation  = "Relation"
	facetTerraform = "Terraform"
	facetProvider  = "Provider"
	facetResources = "Resources"
	facetSize      = "Size"
	facetWritten   = "Last written"
	facetKind      = "Kind of file"
)

var (
	countScale = scale{{1, "none"}, {11, "1 – 10"}, {51, "11 – 50"}, {201, "51 – 200"}, {1001, "201 – 1,000"}, {math.Inf(1), "more than 1,000"}}
	sizeScale  = scale{{1 << 10, "below 1 KiB"}, {10 << 10, "1 – 10 KiB"}, {100 << 10, "10 – 100 KiB"}, {1 << 20, "100 KiB – 1 MiB"},
		{10 << 20, "1 – 10 MiB"}, {100 << 20, "10 – 100 MiB"}, {math.Inf(1), "100 MiB and more"}}
)

// An auditPage builds the page of an audit.
type auditPage struct {
	page
	inventory      *audit.Inventory
	summary        audit.Summary
	targets        bool           // a target was named
	rows           map[string]int // by source
	addresses      []template.URL // of the sections
	concerned      [][]int        // findings of each snapshot
	directories    *directories
	oldest, newest time.Time // write
	period         period
}

func (a *auditPage) build() {
	i := a.inventory
	places := make([]string, len(i.Sources))
	for k, s := range i.Sources {
		places[k] = report.PlainLine(s)
	}
	a.Title = "Terraform state audit"
	a.About = fmt.Sprintf("%s · %s", strings.Join(places, ", "), i.Taken.UTC().Format("2 January 2006, 15:04 MST"))
	a.Footer = "Created by tfhaul audit. This page contains no state values, only names, counts and digests."
	a.TableTitle, a.GroupsTitle, a.NoGroups = "States", "Findings", "No problems found."
	a.indexFindings()
	a.table.Unit, a.table.NameColumn = "state", 0
	a.targets = slices.ContainsFunc(i.Snapshots, func(sn audit.Snapshot) bool { return sn.Target != nil })
	a.measure()
	a.fillRows()
	a.fillVerdict()
	a.fillTiles()
	a.fillGroups()
	a.fillPlots()
}

// indexFindings numbers the findings and their codes.
func (a *auditPage) indexFindings() {
	i := a.inventory
	a.rows = map[string]int{}
	for k := range i.Snapshots {
		a.rows[i.Snapshots[k].Source] = k
	}
	a.concerned = make([][]int, len(i.Snapshots))
	for n, f := range i.Findings {
		tone := string(f.Severity)
		// A code may have several severities; its badge has the heaviest.
		a.badge(report.PlainLine(f.Code), tone, weightOf(f.Severity))
		finding := pageFinding{Severity: tone, Tone: tone, Code: report.PlainLine(f.Code), Message: messageOf(f), Advice: htmlText(f.Advice), Places: []string{}}
		for k, name := range f.Sources {
			if k < maxSeeAlso {
				finding.Places = append(finding.Places, report.PlainLine(name))
			}
			if row, ok := a.rows[name]; ok {
				a.concerned[row] = append(a.concerned[row], n)
			}
		}
		a.table.Findings = append(a.table.Findings, finding)
	}
}

// messageOf returns a finding's message and, if it is in a baseline, the reason.
func messageOf(f audit.Finding) string {
	message := f.Message
	if f.Known != nil {
		message += " Known: " + plainwords.Ended(f.Known.Reason)
	}
	return htmlText(message)
}

// maxSeeAlso is how many places of a finding a state's section names.
const maxSeeAlso = 20

func weightOf(s audit.Severity) int {
	return int(math.Pow10(2 * (len(audit.Severities) - 1 - slices.Index(audit.Severities, s))))
}

// measure finds what the directories and the timeline of all states span.
func (a *auditPage) measure() {
	names := make([]string, len(a.inventory.Snapshots))
	a.addresses = make([]template.URL, len(names))
	for k := range a.inventory.Snapshots {
		sn := &a.inventory.Snapshots[k]
		names[k] = report.PlainLine(sn.Source)
		a.addresses[k] = fragment("state", a.key(names[k]))
		if sn.Modified.IsZero() {
			continue
		}
		if a.oldest.IsZero() || sn.Modified.Before(a.oldest) {
			a.oldest = sn.Modified
		}
		if sn.Modified.After(a.newest) {
			a.newest = sn.Modified
		}
	}
	// The timeline ends with the audit, so that it shows what has not been written for long.
	if !a.oldest.IsZero() && a.inventory.Taken.After(a.newest) {
		a.newest = a.inventory.Taken
	}
	a.directories, a.period = newDirectories(names), periodFor(a.oldest, a.newest)
}

// fillRows fills the table and the sections.
func (a *auditPage) fillRows() {
	i := a.inventory
	a.table.Columns = []pageColumn{{"State", "name"}, {"Findings", "badges"}, {"Serial", "number"}, {"Resources", "number"}, {"Size", "bytes"}, {"Terraform", "text"}, {"Written", "age"}}
	if a.targets {
		a.table.Columns = append(a.table.Columns, pageColumn{"Workspace", "text"}, pageColumn{"Relation", "text"})
	}
	a.table.Sort = pageSort{Column: 1, Down: true}
	a.table.Facts = []string{"Kind", "Terraform workspace", "Terraform version", "State format", "Serial", "Lineage", "MD5", "Size", "Last written", "Resources", "Billable resources",
		"Instances", "Modules", "Outputs", "Sensitive attributes", "Tainted, deposed", "Checks", "Providers", "Locked", "Would go to"}
	a.table.Rows = make([]pageRow, len(i.Snapshots))
	a.declareFacets()
	for k := range i.Snapshots {
		sn := &i.Snapshots[k]
		row := pageRow{Facts: a.factsOf(sn), Facets: a.facetsOf(k, sn), Findings: a.concerned[k]}
		badges := []int{}
		for _, c := range sn.Findings {
			badges = append(badges, a.badge(report.PlainLine(c), "", 0))
		}
		slices.Sort(badges)
		var serial, resources, written any
		if sn.Known() {
			serial = sn.Serial
		}
		if sn.IsState() {
			resources = sn.Resources
		}
		if !sn.Modified.IsZero() {
			written = sn.AgeSeconds
		}
		row.Cells = []any{report.PlainLine(sn.Source), badges, serial, resources, sn.Size, plainwords.Brief(report.PlainLine(sn.TerraformVersion)), written}
		if a.targets {
			workspace, relation := "", ""
			if sn.Target != nil {
				workspace, relation = report.PlainLine(sn.Target.Workspace), report.PlainLine(sn.Target.Standing())
			}
			row.Cells = append(row.Cells, workspace, relation)
		}
		a.table.Rows[k] = row
	}
}

// declareFacets numbers the facets that have an order.
func (a *auditPage) declareFacets() {
	for _, r := range readinesses {
		a.facets.find(facetReadiness, string(r))
	}
	for _, s := range audit.Severities {
		if a.summary.Findings[s] > 0 {
			a.facets.find(facetSeverity, string(s))
		}
	}
	for _, b := range a.table.Badges {
		a.facets.find(facetFinding, b.Text)
	}
	for _, v := range audit.NewestFirst(a.summary.TerraformVersions) {
		a.facets.find(facetTerraform, release(v))
	}
	for _, p := range plainwords.MostFrequent(a.summary.Providers) {
		a.facets.find(facetProvider, report.PlainLine(p))
	}
	countScale.declare(&a.facets, facetResources)
	sizeScale.declare(&a.facets, facetSize)
	if !a.oldest.IsZero() {
		for n := a.period.number(a.oldest); n <= a.period.number(a.newest); n++ {
			a.facets.find(facetWritten, a.period.label(n))
		}
	}
}

// unknownRelease is the release of states that do not record what wrote them.
const unknownRelease = "unknown"

// release returns the minor release of a version: 1.11 for 1.11.4.
func release(text string) string {
	v, err := version.NewVersion(text)
	if err != nil {
		return unknownRelease
	}
	s := v.Segments()
	return fmt.Sprintf("%d.%d", s[0], s[1])
}

func (a *auditPage) facetsOf(k int, sn *audit.Snapshot) []int {
	x := &a.facets
	severities, most := map[audit.Severity]bool{}, audit.Severity("")
	for _, n := range a.concerned[k] {
		severities[a.inventory.Findings[n].Severity] = true
	}
	for _, s := range slices.Backward(audit.Severities) {
		if severities[s] {
			most = s
		}
	}
	readiness := readinessOf(sn, most)
	directory := a.directories.of(report.PlainLine(sn.Source))
	directory.tally[readiness]++
	list := []int{x.of(facetReadiness, string(readiness)), x.of(facetDirectory, directory.name), x.of(facetKind, report.PlainLine(sn.Kind)), x.of(facetSize, sizeScale.bin(float64(sn.Size)))}
	if !sn.Modified.IsZero() {
		list = append(list, x.of(facetWritten, a.period.label(a.period.number(sn.Modified))))
	}
	if sn.IsState() {
		list = append(list, x.of(facetTerraform, release(sn.TerraformVersion)), x.of(facetResources, countScale.bin(float64(sn.Resources))))
		for _, p := range sn.Providers {
			list = append(list, x.of(facetProvider, report.PlainLine(p.Address)))
		}
	}
	if sn.Target != nil {
		list = append(list, x.of(facetRelation, report.PlainLine(sn.Target.Standing())))
	}
	for _, s := range audit.Severities {
		if severities[s] {
			list = append(list, x.of(facetSeverity, string(s)))
		}
	}
	for _, c := range sn.Findings {
		list = append(list, x.of(facetFinding, report.PlainLine(c)))
	}
	return list
}

// factsOf returns the values of a section.
func (a *auditPage) factsOf(sn *audit.Snapshot) []string {
	facts, set := a.facts()
	set("Kind", report.PlainLine(sn.Kind))
	set("Terraform workspace", report.PlainLine(sn.Workspace))
	set("Terraform version", report.PlainLine(sn.TerraformVersion))
	set("Lineage", report.PlainLine(sn.Lineage))
	set("MD5", sn.MD5)
	set("Size", report.Size(sn.Size))
	if sn.Size >= 1024 {
		set("Size", fmt.Sprintf("%s (%s bytes)", report.Size(sn.Size), plainwords.Grouped(int(sn.Size))))
	}
	if sn.Known() {
		set("State format", fmt.Sprint(sn.Format))
		set("Serial", fmt.Sprint(sn.Serial))
	}
	if !sn.Modified.IsZero() {
		set("Last written", fmt.Sprintf("%s (%s ago)", sn.Modified.UTC().Format("2006-01-02 15:04:05 MST"), report.Age(sn)))
	}
	if sn.IsState() {
		set("Resources", fmt.Sprintf("%s managed, %s data", plainwords.Grouped(sn.Managed), plainwords.Grouped(sn.Data)))
		set("Billable resources", plainwords.Grouped(sn.Billable))
		set("Instances", plainwords.Grouped(sn.Instances))
		set("Modules", plainwords.Grouped(sn.Modules))
		set("Outputs", fmt.Sprintf("%s, %d sensitive", plainwords.Counted(sn.Outputs, "output"), sn.SensitiveOutputs))
		set("Sensitive attributes", plainwords.Grouped(sn.SensitiveAttributes))
		if sn.Tainted+sn.Deposed > 0 {
			set("Tainted, deposed", fmt.Sprintf("%d tainted, %d deposed", sn.Tainted, sn.Deposed))
		}
		if sn.Checks > 0 {
			set("Checks", fmt.Sprintf("%d, %d not passed", sn.Checks, sn.FailedChecks))
		}
		var providers []string
		for _, p := range sn.Providers {
			providers = append(providers, fmt.Sprintf("%s (%s)", report.PlainLine(p.Address), plainwords.Grouped(p.Resources)))
		}
		set("Providers", strings.Join(providers, "\n"))
	}
	if l := sn.Lock; l != nil {
		parts := []string{cmp.Or(l.Who, "another user")}
		if l.Operation != "" {
			parts = append(parts, l.Operation)
		}
		if !l.Created.IsZero() {
			parts = append(parts, "since "+l.Created.UTC().Format(time.RFC3339))
		}
		if l.ID != "" {
			parts = append(parts, "ID "+l.ID)
		}
		set("Locked", report.PlainLine(strings.Join(parts, ", ")))
	}
	if t := sn.Target; t != nil {
		parts := []string{report.PlainLine(t.Workspace), report.PlainLine(strings.ReplaceAll(t.Outcome, "-", " "))}
		if t.Relation != "" {
			parts = append(parts, report.PlainLine(t.Relation))
		}
		fate := strings.Join(parts, ", ")
		if t.Code != "" {
			fate += "\n" + htmlText(t.Message)
		}
		set("Would go to", fate)
	}
	return facts
}

func (a *auditPage) fillTiles() {
	s := a.summary
	a.Tiles = []tile{{Label: "States", Value: plainwords.Grouped(s.States), Note: report.Size(s.Bytes)}}
	if other := s.Snapshots - s.States; other > 0 {
		a.Tiles[0].Note += fmt.Sprintf("; %s without a readable state", plainwords.Counted(other, "file"))
	}
	a.Tiles = append(a.Tiles,
		tile{Label: "Managed resources", Value: plainwords.Grouped(s.Managed), Note: plainwords.Counted(s.Instances, "instance") + ", data sources included"},
		tile{Label: "Billable resources", Value: plainwords.Grouped(s.Billable), Note: a.billNote(), Tone: a.billTone()},
		tile{Label: "Outputs", Value: plainwords.Grouped(s.Outputs), Note: fmt.Sprintf("%s sensitive", plainwords.Grouped(s.SensitiveOutputs))},
		tile{Label: "Sensitive attributes", Value: plainwords.Grouped(s.SensitiveAttributes), Note: "counted, never shown"},
	)
	if s.Locked > 0 {
		a.Tiles = append(a.Tiles, tile{Label: "Locked", Value: plainwords.Grouped(s.Locked), Note: "at their source", Tone: "warning"})
	}
	for _, severity := range []audit.Severity{audit.SeverityError, audit.SeverityWarning} {
		label := strings.ToUpper(string(severity[:1])) + string(severity[1:]) + "s"
		t := tile{Label: label, Value: plainwords.Grouped(s.Findings[severity])}
		if s.Findings[severity] > 0 {
			t.Tone = string(severity)
			t.Note = "findings, in " + plainwords.Counted(a.facets.count(facetSeverity, string(severity)), "file")
		}
		a.Tiles = append(a.Tiles, t)
	}
}

func (a *auditPage) fillGroups() {
	type kind struct {
		severity audit.Severity
		code     audit.Code
	}
	for _, g := range report.GroupBy(a.inventory.Findings, func(f audit.Finding) kind { return kind{f.Severity, f.Code} }) {
		severity, code := string(g.Key.severity), report.PlainLine(g.Key.code)
		group := findingGroup{Severity: severity, Tone: severity, Code: code, Gist: htmlText(g.Of[0].Message), Count: plainwords.Grouped(len(g.Of)), Filter: a.facets.address(facetFinding, code)}
		for _, f := range g.Of {
			group.add(messageOf(f), htmlText(f.Advice), a.places(f)...)
		}
		group.adviseOnce()
		a.Groups = append(a.Groups, group)
	}
}

// adviseOnce puts items with the same advice next to each other and keeps it only at the
// last of them. Advice that applies to all items moves to the group.
func (g *findingGroup) adviseOnce() {
	rank := map[string]int{}
	for _, i := range g.Items {
		if _, known := rank[i.Advice]; !known {
			rank[i.Advice] = len(rank)
		}
	}
	slices.SortStableFunc(g.Items, func(a, b findingItem) int { return cmp.Compare(rank[a.Advice], rank[b.Advice]) })
	if len(rank) == 1 && g.Items[0].Advice != "" {
		g.Advice = []string{g.Items[0].Advice}
	}
	for k := range g.Items {
		if len(rank) == 1 || k+1 < len(g.Items) && g.Items[k+1].Advice == g.Items[k].Advice {
			g.Items[k].Advice = ""
		}
	}
}

// places lists where something was found.
func (a *auditPage) places(f audit.Finding) []findingPlace {
	var places []findingPlace
	add := func(name, note string) {
		place := findingPlace{Name: report.PlainLine(name), Note: report.PlainLine(note)}
		if row, ok := a.rows[name]; ok {
			place.Row = a.addresses[row]
		}
		places = append(places, place)
	}
	for n, name := range f.Sources {
		add(name, f.CopyStanding(n))
	}
	for _, name := range f.ComparedWith {
		add(name, audit.Compared)
	}
	return places
}

func (a *auditPage) fillPlots() {
	x := &a.facets
	a.addPlot("Which directories need attention?", "Directory", "Not ready", a.directories.bars(x))
	if len(a.Plots) > 0 {
		a.Plots[0].Note = "Blocked and undecided states, of all states in the directory."
	}
	if !a.oldest.IsZero() {
		a.Plots = append(a.Plots, x.timeline("When were the states last written?", facetWritten, a.period, a.oldest, a.newest))
	}
	a.addPlot("Which directories hold the billable resources?", "Directory", "Resources", a.billBars())
	releases := x.bars(facetTerraform)
	for i := range releases {
		if releases[i].Label == unknownRelease {
			releases[i].Label = "not recorded"
		} else {
			releases[i].Label = "Terraform " + releases[i].Label
		}
	}
	a.addPlot("Which Terraform versions wrote the states?", "Release", "States", releases)
	a.addPlot("How do the states compare with the target?", "Relation", "States", x.longestFirst(facetRelation))
	if len(a.inventory.Findings) > 0 {
		a.addPlot("How serious are the findings?", "Severity", "Findings", a.severityBars())
	}
	a.addPlot("How many resources do the states have?", "Resources", "States", x.fromFirstToLast(facetResources))
	a.addPlot("How large are the states?", "Size", "States", x.fromFirstToLast(facetSize))
	a.addPlot("Which providers do the states use?", "Provider", "Resources", a.providerBars())
}

// billNote says what the billable resources cost, and whether they are within the cap.
func (a *auditPage) billNote() string {
	b := a.inventory.Bill()
	note := "as HCP Terraform counts them"
	switch {
	case b.Over > 0:
		note = fmt.Sprintf("%s more than the cap of %s", plainwords.Grouped(b.Over), plainwords.Grouped(b.Cap))
	case b.Cap > 0:
		note = "within the cap of " + plainwords.Grouped(b.Cap)
	}
	if b.PricePerHour > 0 {
		note += fmt.Sprintf("; %.2f a month", b.PerMonth)
	}
	return note
}

func (a *auditPage) billTone() string {
	if a.inventory.Bill().Over > 0 {
		return string(audit.SeverityWarning)
	}
	return ""
}

// billBars returns a bar for each directory with billable resources, unless there is only
// one.
func (a *auditPage) billBars() []bar {
	b := a.inventory.Bill()
	if len(b.Directories) < 2 || b.Billable == 0 {
		return nil
	}
	var bars []bar
	shown := len(b.Directories)
	if shown > maxDirectories+1 {
		shown = maxDirectories
	}
	others := 0
	for k, d := range b.Directories {
		if k >= shown {
			others += d.Billable
			continue
		}
		name := report.PlainLine(d.Directory)
		bars = append(bars, newBar(name, "", d.Billable, a.facets.address(facetDirectory, name)))
	}
	if hidden := len(b.Directories) - shown; hidden > 0 {
		bars = append(bars, newBar(fmt.Sprintf("%s others", plainwords.Grouped(hidden)), "", others, ""))
	}
	return bars
}

// severityBars counts findings, as the groups below do. A finding may concern several files.
func (a *auditPage) severityBars() []bar {
	var bars []bar
	for _, severity := range audit.Severities {
		bars = append(bars, newBar(string(severity), string(severity), a.summary.Findings[severity], a.facets.address(facetSeverity, string(severity))))
	}
	return bars
}

// maxProviders is how many providers have bars of their own.
const maxProviders = 10

func (a *auditPage) providerBars() []bar {
	var bars []bar
	names := plainwords.MostFrequent(a.summary.Providers)
	first, others := plainwords.First(names, a.summary.Providers, maxProviders)
	for _, address := range first {
		label := report.PlainLine(address)
		name := strings.TrimPrefix(strings.TrimPrefix(label, report.PublicRegistry), "terraform.io/")
		bars = append(bars, newBar(plainwords.Brief(name), "", a.summary.Providers[address], a.facets.address(facetProvider, label)))
	}
	if hidden := len(names) - len(first); hidden > 0 {
		bars = append(bars, newBar(fmt.Sprintf("%d others", hidden), "", others, ""))
	}
	return bars
}
