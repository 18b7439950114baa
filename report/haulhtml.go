package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// A HaulReport is what a report tells of a haul, as its journal has it.
type HaulReport struct {
	// Journal names the file.
	Journal string
	// Haul is the haul's id.
	Haul string
	// Started and Ended are the times of the journal's first and last event.
	Started, Ended time.Time
	// Results are the last outcomes of all moves that have one.
	Results []migrate.Result
	// Unfinished are the moves that were cut off: source and target of each.
	Unfinished []migrate.Result
}

// NewHaulReport takes from a journal what is told of it.
func NewHaulReport(journal string, ledger *migrate.Ledger) HaulReport {
	h := HaulReport{Journal: journal, Haul: ledger.Haul(), Results: ledger.Results(), Unfinished: ledger.CutOff()}
	h.Started, h.Ended = ledger.Times()
	for i := range h.Unfinished {
		h.Unfinished[i].Outcome = cutOff
		h.Unfinished[i].Message = "The haul was cut off in the middle of this move. The same command with the same journal takes it up again."
	}
	return h
}

// cutOff stands for the outcome of a move that has none.
const cutOff migrate.Outcome = "cut-off"

// all are the results of all moves.
func (h *HaulReport) all() []migrate.Result { return slices.Concat(h.Results, h.Unfinished) }

// HaulHTML writes the report of a haul as one self-contained page.
func HaulHTML(w io.Writer, h HaulReport) error {
	p := haulPage{report: h, results: h.all()}
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

// A haulPage is the page of a haul in the making.
type haulPage struct {
	page
	report  HaulReport
	results []migrate.Result
	summary Summary
	facets  facetIndex
	badges  map[string]int
}

func (p *haulPage) build() {
	h := p.report
	p.summary = Summarize(p.results)
	p.Title = "Terraform state migration"
	p.About = fmt.Sprintf("Haul %s · %s", plainLine(h.Haul), plainLine(h.Journal))
	if !h.Started.IsZero() {
		p.About += fmt.Sprintf(" · %s to %s", h.Started.UTC().Format("2 January 2006, 15:04:05"), h.Ended.UTC().Format("15:04:05 MST"))
		if h.Ended.Sub(h.Started) >= 24*time.Hour {
			p.About = strings.TrimSuffix(p.About, h.Ended.UTC().Format("15:04:05 MST")) + h.Ended.UTC().Format("2 January 2006, 15:04:05 MST")
		}
	}
	p.Footer = "Made by tfhaul report out of the haul's journal. It holds no value of any state: names, counts and digests alone."
	p.TableTitle, p.GroupsTitle = "Moves", "What did not move, and why"
	p.NoGroups = "Every move arrived: each was read back from its workspace and compared byte for byte."
	if len(p.results) == 0 {
		p.NoGroups = "The journal tells of no move."
	}
	p.fillRows()
	p.fillGroups()
	p.fillTiles()
	p.fillPlots()
	p.table.Facets = orEmpty(p.facets.facets)
}

// toneOf is how an outcome is drawn.
func toneOf(o migrate.Outcome) string {
	switch o {
	case migrate.Moved, migrate.AlreadyThere:
		return "good"
	case migrate.Failed, cutOff:
		return "error"
	case migrate.Refused:
		return "warning"
	}
	return "info"
}

func outcomeText(o migrate.Outcome) string { return strings.ReplaceAll(plainLine(string(o)), "-", " ") }

func (p *haulPage) fillRows() {
	p.table.Columns = []pageColumn{{"Source", "name"}, {"Workspace", "text"}, {"Outcome", "badges"}, {"Relation", "text"}, {"Serial", "number"}, {"Size", "bytes"}, {"API calls", "number"}, {"Took", "seconds"}}
	p.table.Sort = pageSort{Column: 2, Down: true}
	p.table.Facts = []string{"Workspace", "Outcome", "Because", "What happened", "Notes", "State version", "Serial", "Serial sent", "Lineage", "MD5", "Size", "Terraform version", "Workspace created", "Backup of what was there", "Still locked", "Took", "Proof"}
	p.table.Badges, p.table.Findings, p.badges = []pageBadge{}, []pageFinding{}, map[string]int{}
	for _, o := range p.summary.outcomes() {
		p.facets.find(facetOutcome, outcomeText(o))
	}
	secondScale.declare(&p.facets, facetSeconds)
	prefix := commonPlace(p.results)
	p.table.Rows = make([]pageRow, len(p.results))
	for k, r := range p.results {
		var serial, size, calls, took any
		if sn := r.Snapshot; sn != nil {
			size = sn.Size
			if sn.Format > 0 {
				serial = sn.Serial
			}
		}
		if r.Outcome != cutOff {
			calls, took = r.APICalls, r.Seconds
		}
		p.table.Rows[k] = pageRow{
			Cells: []any{plainLine(r.Source), plainLine(strings.TrimPrefix(r.Target, prefix)), p.badgesOf(r), plainLine(string(r.Relation)), serial, size, calls, took},
			Facts: haulFacts(r), Facets: p.facetsOf(r),
		}
	}
}

// badgesOf are the outcome and its reason.
func (p *haulPage) badgesOf(r migrate.Result) []int {
	badge := func(text, tone string) int {
		n, known := p.badges[text]
		if !known {
			n = len(p.table.Badges)
			p.badges[text] = n
			weight := map[string]int{"error": 100, "warning": 10, "info": 1}[tone]
			p.table.Badges = append(p.table.Badges, pageBadge{text, tone, weight})
		}
		return n
	}
	list := []int{badge(outcomeText(r.Outcome), toneOf(r.Outcome))}
	if r.Code != "" {
		list = append(list, badge(plainLine(string(r.Code)), "info"))
	}
	if r.Locked {
		list = append(list, badge("still locked", "error"))
	}
	if r.Proof != nil {
		list = append(list, badge(plainLine(string(r.Proof.Verdict)), toneOfVerdict(r.Proof.Verdict)))
	}
	return list
}

func (p *haulPage) facetsOf(r migrate.Result) []int {
	x := &p.facets
	list := []int{x.of(facetOutcome, outcomeText(r.Outcome))}
	if r.Code != "" {
		list = append(list, x.of(facetCode, plainLine(string(r.Code))))
	}
	if r.Proof != nil {
		list = append(list, x.of(facetProof, plainLine(string(r.Proof.Verdict))))
	}
	if r.Relation != "" {
		list = append(list, x.of(facetRelation, plainLine(string(r.Relation))))
	}
	if r.Outcome != cutOff {
		list = append(list, x.of(facetSeconds, secondScale.bin(r.Seconds)))
	}
	return list
}

// haulFacts are the values of a move's section, in the order of the labels.
func haulFacts(r migrate.Result) []string {
	notes := make([]string, len(r.Notes))
	for i, n := range r.Notes {
		notes[i] = htmlText(n)
	}
	facts := []string{plainLine(r.Target), outcomeText(r.Outcome), plainLine(string(r.Code)), htmlText(r.Message), strings.Join(notes, "\n"), plainLine(r.StateVersionID),
		"", "", "", "", "", "", "", plainLine(r.Backup), "", "", ""}
	if sn := r.Snapshot; sn != nil {
		if sn.Format > 0 {
			facts[6] = fmt.Sprint(sn.Serial)
		}
		facts[8], facts[9], facts[10], facts[11] = plainLine(sn.Lineage), plainLine(sn.MD5), Size(sn.Size), plainLine(sn.TerraformVersion)
	}
	if r.BumpedTo > 0 {
		facts[7] = fmt.Sprintf("%d, raised as asked", r.BumpedTo)
	}
	if r.Created {
		facts[12] = "by this move"
	}
	if r.Locked {
		facts[14] = "yes; to free it: " + plainLine(r.UnlockCommand)
	}
	if r.Proof != nil {
		facts[16] = plainLine(string(r.Proof.Verdict)) + ": " + htmlText(r.Proof.Message)
	}
	if r.Outcome != cutOff {
		facts[15] = fmt.Sprintf("%s, %s", seconds(r.Seconds), plainwords.Counted(r.APICalls, "API call"))
	}
	return facts
}

// fillGroups gathers what did not move by outcome and reason.
func (p *haulPage) fillGroups() {
	type key struct {
		outcome migrate.Outcome
		code    migrate.Code
	}
	grouped := map[key][]int{}
	for k, r := range p.results {
		if tone := toneOf(r.Outcome); tone != "good" && r.Outcome != migrate.WouldMove {
			grouped[key{r.Outcome, r.Code}] = append(grouped[key{r.Outcome, r.Code}], k)
		}
	}
	keys := slices.SortedFunc(maps.Keys(grouped), func(a, b key) int {
		return cmp.Or(attentionOf(b.outcome)-attentionOf(a.outcome), len(grouped[b])-len(grouped[a]), cmp.Compare(a.code, b.code))
	})
	for _, g := range keys {
		p.Groups = append(p.Groups, p.group(g.outcome, g.code, grouped[g]))
	}
}

func attentionOf(o migrate.Outcome) int {
	if o == cutOff {
		return attention(migrate.Failed) + 1
	}
	return attention(o)
}

// group tells of the moves of one outcome and reason: each message once, with the
// moves of which it was said.
func (p *haulPage) group(outcome migrate.Outcome, code migrate.Code, moves []int) findingGroup {
	text := plainLine(string(code))
	g := findingGroup{Severity: outcomeText(outcome), Tone: toneOf(outcome), Code: text, Count: grouped(len(moves)), Filter: p.facets.address(facetCode, text)}
	if code == "" {
		g.Filter = p.facets.address(facetOutcome, outcomeText(outcome))
	}
	for _, k := range moves {
		r := p.results[k]
		message := htmlText(r.Message)
		n := slices.IndexFunc(g.Items, func(i findingItem) bool { return i.Message == message })
		if n < 0 {
			if len(g.Items) == mostItems {
				g.More = "There are more; the table has them all."
				continue
			}
			n = len(g.Items)
			g.Items = append(g.Items, findingItem{Message: message})
		}
		if len(g.Items[n].Places) == mostItems {
			g.More = "There are more; the table has them all."
			continue
		}
		g.Items[n].Places = append(g.Items[n].Places, findingPlace{Name: plainLine(r.Source), Note: "→ " + plainLine(r.Target), Row: fmt.Sprintf("row-%d", k)})
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
		{Label: "Proven to be there", Value: fmt.Sprintf("%s of %s", grouped(arrived), grouped(len(p.results))), Note: note, Tone: tone},
		{Label: "State moved", Value: Size(size)},
	}
	for _, o := range []migrate.Outcome{migrate.Refused, migrate.Failed, cutOff, migrate.Skipped} {
		if n := p.summary[o]; n > 0 {
			name := outcomeText(o)
			p.Tiles = append(p.Tiles, tile{Label: strings.ToUpper(name[:1]) + name[1:], Value: grouped(n), Tone: toneOf(o)})
		}
	}
	if locked > 0 {
		p.Tiles = append(p.Tiles, tile{Label: "Still locked", Value: grouped(locked), Note: "their sections say how to free them", Tone: "error"})
	}
	if proofs := SummarizeProofs(p.results); len(proofs) > 0 {
		p.Tiles = append(p.Tiles, proofs.tile())
	}
	p.Tiles = append(p.Tiles, tile{Label: "API calls", Value: grouped(calls)})
	if took := h.Ended.Sub(h.Started); took > 0 {
		p.Tiles = append(p.Tiles, tile{Label: "From first to last event", Value: seconds(took.Seconds())})
	}
}

func (p *haulPage) fillPlots() {
	x := &p.facets
	var outcomes, codes, relations []bar
	for _, o := range p.summary.outcomes() {
		label := outcomeText(o)
		outcomes = append(outcomes, bar{Label: label, Text: grouped(p.summary[o]), Tone: toneOf(o), count: float64(p.summary[o]), Filter: x.address(facetOutcome, label)})
	}
	for _, f := range x.facets {
		b := bar{Label: f.Label, Text: grouped(f.Count), count: float64(f.Count), Filter: x.address(f.Kind, f.Label)}
		switch f.Kind {
		case facetCode:
			codes = append(codes, b)
		case facetRelation:
			relations = append(relations, b)
		}
	}
	byLength := func(a, b bar) int { return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.Label, b.Label)) }
	slices.SortFunc(codes, byLength)
	slices.SortFunc(relations, byLength)
	add := func(question, of string, bars []bar) {
		if len(bars) > 0 {
			p.Plots = append(p.Plots, newPlot(question, of, "Moves", bars))
		}
	}
	add("What became of the moves?", "Outcome", outcomes)
	add("Why did some not move?", "Reason", codes)
	add("How did the snapshots stand to the workspaces?", "Relation", relations)
	add("How long did a move take?", "Duration", secondScale.bars(x, facetSeconds))
}
