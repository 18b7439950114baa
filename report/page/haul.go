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

	"tfhaul/migrate"
	"tfhaul/plainwords"
	"tfhaul/prove"
	"tfhaul/report"
)

// Haul writes the page of a haul.
func Haul(w io.Writer, h report.HaulReport) error {
	p := haulPage{report: h, results: h.All()}
	p.build()
	return p.page.write(w)
}

const (
	facetOutcome = "Outcome"
	facetCode    = "Because"
	facetSeconds = "Duration"
	facetProof   = "Proof"
)

var secondScale = scale{{1, "below 1 s"}, {5, "1 – 5 s"}, {15, "5 – 15 s"}, {60, "15 – 60 s"}, {300, "1 – 5 min"}, {math.Inf(1), "5 min and more"}}

// A haulPage builds the page of a haul.
type haulPage struct {
	page
	report  report.HaulReport
	results []migrate.Result
	summary report.Summary
	rows    []template.URL // the addresses of the moves
}

func (p *haulPage) build() {
	h := p.report
	p.summary = report.Summarize(p.results)
	p.Title = "Terraform state migration"
	p.About = fmt.Sprintf("Haul %s · %s", report.PlainLine(h.Haul), report.PlainLine(h.Journal))
	if !h.Started.IsZero() {
		const date, clock = "2 January 2006, ", "15:04:05"
		ended := clock + " MST"
		if h.Ended.Sub(h.Started) >= 24*time.Hour {
			ended = date + ended
		}
		p.About += fmt.Sprintf(" · %s to %s", h.Started.UTC().Format(date+clock), h.Ended.UTC().Format(ended))
	}
	p.Footer = "Created by tfhaul report from the haul's journal. This page contains no state values, only names, counts and digests."
	p.TableTitle, p.GroupsTitle = "Moves", "What did not move, and why"
	p.NoGroups = "All states arrived. Each was read back and compared byte for byte."
	if n := h.NotAttempted; n > 0 {
		p.NoGroups = plainwords.Are(n, "move") + " not listed, because the haul ended before they began."
		p.About += fmt.Sprintf(" · %s not attempted", plainwords.Counted(n, "move"))
	}
	if n := h.SourcesUnchecked; n > 0 {
		p.About += fmt.Sprintf(" · the haul ended before it checked the sources of %s", plainwords.Counted(n, "move"))
	}
	if len(p.results) == 0 {
		p.NoGroups = "The journal contains no moves."
	}
	p.fillRows()
	p.fillGroups()
	p.fillTiles()
	p.fillPlots()
}

func outcomeText(o migrate.Outcome) string {
	return strings.ReplaceAll(report.PlainLine(o), "-", " ")
}

// noun is what the page calls the place of a state.
func (p *haulPage) noun() string {
	if report.PlaceNoun(p.results) == "workspace" {
		return "Workspace"
	}
	return "Target"
}

// factOlder is only there if older versions were moved.
const factOlder = "Older versions"

func (p *haulPage) fillRows() {
	noun := p.noun()
	p.table.Columns = []pageColumn{{"Source", "name"}, {noun, "text"}, {"Outcome", "badges"}, {"Relation", "text"}, {"Serial", "number"}, {"Size", "bytes"}, {"API calls", "number"}, {"Took", "seconds"}}
	p.table.Sort = pageSort{Column: 2, Down: true}
	p.table.Facts = []string{noun, "Outcome", "Because", "What happened", "Notes", "State version", "Serial", "Serial sent", "Lineage", "MD5", "Size", "Terraform version", "Workspace created", "Backup of the previous state", "Still locked", "Took", "Proof"}
	if report.CountOlder(p.results).Moved > 0 {
		p.table.Facts = append(p.table.Facts, factOlder)
	}
	for _, o := range p.summary.Outcomes() {
		p.facets.find(facetOutcome, outcomeText(o))
	}
	secondScale.declare(&p.facets, facetSeconds)
	prefix := report.CommonPlace(p.results)
	p.table.Unit = "move"
	p.table.Rows, p.rows = make([]pageRow, len(p.results)), make([]template.URL, len(p.results))
	for k, r := range p.results {
		p.rows[k] = fragment("state", p.key(report.PlainLine(r.Source)))
		var serial, size, calls, took any
		if sn := r.Snapshot; sn != nil {
			size = sn.Size
			if sn.Format > 0 {
				serial = sn.Serial
			}
		}
		if r.Outcome != report.CutOff {
			calls, took = r.APICalls, r.Seconds
		}
		p.table.Rows[k] = pageRow{
			Cells: []any{report.PlainLine(r.Source), report.PlainLine(strings.TrimPrefix(r.Target, prefix)), p.badgesOf(r), report.PlainLine(r.Relation), serial, size, calls, took},
			Facts: p.factsOf(r), Facets: p.facetsOf(r),
		}
	}
}

// badgesOf returns the badges of a move: its outcome, the reason, and what needs attention.
func (p *haulPage) badgesOf(r migrate.Result) []int {
	badge := func(text, tone string) int {
		return p.badge(text, tone, map[string]int{"error": 100, "warning": 10, "info": 1}[tone])
	}
	list := []int{badge(outcomeText(r.Outcome), report.Tone(r.Outcome))}
	if r.Code != "" {
		list = append(list, badge(report.PlainLine(r.Code), "info"))
	}
	if r.Locked {
		list = append(list, badge("still locked", "error"))
	}
	if r.Proof != nil {
		list = append(list, badge(report.PlainLine(r.Proof.Verdict), report.Tone(r.Proof.Verdict)))
	}
	return list
}

func (p *haulPage) facetsOf(r migrate.Result) []int {
	x := &p.facets
	list := []int{x.of(facetOutcome, outcomeText(r.Outcome))}
	if r.Code != "" {
		list = append(list, x.of(facetCode, report.PlainLine(r.Code)))
	}
	if r.Proof != nil {
		list = append(list, x.of(facetProof, report.PlainLine(r.Proof.Verdict)))
	}
	if r.Relation != "" {
		list = append(list, x.of(facetRelation, report.PlainLine(r.Relation)))
	}
	if r.Outcome != report.CutOff {
		list = append(list, x.of(facetSeconds, secondScale.bin(r.Seconds)))
	}
	return list
}

// factsOf returns the values of a move's section.
func (p *haulPage) factsOf(r migrate.Result) []string {
	notes := make([]string, len(r.Notes))
	for i, n := range r.Notes {
		notes[i] = htmlText(n)
	}
	facts, set := p.facts()
	set(p.noun(), report.PlainLine(r.Target))
	set("Outcome", outcomeText(r.Outcome))
	set("Because", report.PlainLine(r.Code))
	set("What happened", htmlText(r.Message))
	set("Notes", strings.Join(notes, "\n"))
	set("State version", report.PlainLine(r.StateVersionID))
	set("Backup of the previous state", report.PlainLine(r.Backup))
	if sn := r.Snapshot; sn != nil {
		if sn.Format > 0 {
			set("Serial", fmt.Sprint(sn.Serial))
		}
		set("Lineage", report.PlainLine(sn.Lineage))
		set("MD5", report.PlainLine(sn.MD5))
		set("Size", report.Size(sn.Size))
		set("Terraform version", report.PlainLine(sn.TerraformVersion))
	}
	if h := r.History; h != nil && len(h.Carried) > 0 {
		lines := make([]string, len(h.Carried))
		for i, c := range h.Carried {
			lines[i] = report.OlderText(c)
		}
		set(factOlder, strings.Join(lines, "\n"))
	}
	if r.BumpedTo > 0 {
		set("Serial sent", fmt.Sprintf("%d, raised on request", r.BumpedTo))
	}
	if r.Created {
		set("Workspace created", "by this move")
	}
	if r.Locked {
		set("Still locked", "yes; to unlock it: "+report.PlainLine(r.UnlockCommand))
	}
	if r.Proof != nil {
		set("Proof", report.PlainLine(r.Proof.Verdict)+": "+htmlText(r.Proof.Message))
	}
	if r.Outcome != report.CutOff {
		set("Took", fmt.Sprintf("%s, %s", report.Seconds(r.Seconds), plainwords.Counted(r.APICalls, "API call")))
	}
	return facts
}

// fillGroups groups what did not move by outcome and reason.
func (p *haulPage) fillGroups() {
	type key struct {
		outcome migrate.Outcome
		code    migrate.Code
	}
	var stayed []int
	for k, r := range p.results {
		if report.Tone(r.Outcome) != "good" && r.Outcome != migrate.WouldMove {
			stayed = append(stayed, k)
		}
	}
	groups := report.GroupBy(stayed, func(k int) key { return key{p.results[k].Outcome, p.results[k].Code} })
	slices.SortStableFunc(groups, func(a, b report.Group[key, int]) int {
		return cmp.Or(report.Attention(b.Key.outcome)-report.Attention(a.Key.outcome), len(b.Of)-len(a.Of), cmp.Compare(a.Key.code, b.Key.code))
	})
	for _, g := range groups {
		p.Groups = append(p.Groups, p.group(g.Key.outcome, g.Key.code, g.Of))
	}
}

// group lists the moves of one outcome and reason: each message once, with its moves.
func (p *haulPage) group(outcome migrate.Outcome, code migrate.Code, moves []int) findingGroup {
	text := report.PlainLine(code)
	g := findingGroup{Severity: outcomeText(outcome), Tone: report.Tone(outcome), Code: text, Count: plainwords.Grouped(len(moves)), Filter: p.facets.address(facetCode, text)}
	if code == "" {
		g.Filter = p.facets.address(facetOutcome, outcomeText(outcome))
	}
	for _, k := range moves {
		r := p.results[k]
		g.add(htmlText(r.Message), "", findingPlace{Name: report.PlainLine(r.Source), Note: "→ " + report.PlainLine(r.Target), Row: p.rows[k]})
	}
	g.Gist = g.Items[0].Message
	return g
}

func (p *haulPage) fillTiles() {
	h := p.report
	arrived := p.summary[migrate.Moved] + p.summary[migrate.AlreadyThere]
	tone := "good"
	if arrived < len(p.results) {
		tone = ""
	}
	size, calls, locked := int64(0), 0, 0
	for _, r := range p.results {
		if r.Snapshot != nil && r.Outcome == migrate.Moved {
			size += r.Snapshot.Size
		}
		calls += r.APICalls
		if r.Locked {
			locked++
		}
	}
	note := fmt.Sprintf("%d moved, %d already there", p.summary[migrate.Moved], p.summary[migrate.AlreadyThere])
	p.Tiles = []tile{
		{Label: "Verified", Value: fmt.Sprintf("%s of %s", plainwords.Grouped(arrived), plainwords.Grouped(len(p.results))), Note: note, Tone: tone},
		{Label: "State moved", Value: report.Size(size)},
	}
	for _, o := range []migrate.Outcome{migrate.Refused, migrate.Failed, report.CutOff, migrate.Skipped} {
		if n := p.summary[o]; n > 0 {
			name := outcomeText(o)
			p.Tiles = append(p.Tiles, tile{Label: strings.ToUpper(name[:1]) + name[1:], Value: plainwords.Grouped(n), Tone: report.Tone(o)})
		}
	}
	if locked > 0 {
		p.Tiles = append(p.Tiles, tile{Label: "Still locked", Value: plainwords.Grouped(locked), Note: "see their sections for how to unlock them", Tone: "error"})
	}
	if proofs := report.SummarizeProofs(p.results); len(proofs) > 0 {
		p.Tiles = append(p.Tiles, proofTile(proofs))
	}
	p.Tiles = append(p.Tiles, tile{Label: "API calls", Value: plainwords.Grouped(calls), Note: "by the moves, not counting the listing of workspaces"})
	if took := h.Ended.Sub(h.Started); took > 0 {
		p.Tiles = append(p.Tiles, tile{Label: "Time from first to last event", Value: report.Seconds(took.Seconds())})
	}
}

func (p *haulPage) fillPlots() {
	x := &p.facets
	var outcomes []bar
	for _, o := range p.summary.Outcomes() {
		label := outcomeText(o)
		outcomes = append(outcomes, newBar(label, report.Tone(o), p.summary[o], x.address(facetOutcome, label)))
	}
	p.addPlot("What were the outcomes?", "Outcome", "Moves", outcomes)
	p.addPlot("Why did some states not move?", "Reason", "Moves", x.longestFirst(facetCode))
	p.addPlot("How did the states compare with the targets?", "Relation", "Moves", x.longestFirst(facetRelation))
	p.addPlot("How long did the moves take?", "Duration", "Moves", x.fromFirstToLast(facetSeconds))
}

// proofTile summarizes the proofs.
func proofTile(s report.ProofSummary) tile {
	total := 0
	for _, n := range s {
		total += n
	}
	t := tile{Label: "Terraform would change nothing", Value: fmt.Sprintf("%s of %s", plainwords.Grouped(s[prove.Proven]), plainwords.Grouped(total)), Tone: "good"}
	if s[prove.Proven] < total {
		t.Tone = "warning"
		t.Note = fmt.Sprintf("%d would change, %d unproven", s[prove.Changes], s[prove.Unproven])
	}
	return t
}
