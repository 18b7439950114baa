package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
)

// A Haul is the result of many moves that were planned or run together.
type Haul struct {
	// Target is [HOST/]ORG.
	Target  string
	Results []migrate.Result
	// Findings are the plan's findings.
	Findings []migrate.Finding
	LeftOut  []pairing.LeftOut
	// APICalls counts the calls for all moves, including shared ones.
	APICalls int
	// Seconds is the duration.
	Seconds float64
	// Journal is the file that records the haul, or "". Continue is the command that
	// continues it, or "" if there is nothing to continue.
	Journal, Continue string
	// HeldLocks are workspaces that the haul may have left locked.
	HeldLocks []migrate.HeldLock
	// Rehearsal is what a rehearsal measured; nil otherwise.
	Rehearsal *Rehearsal
	// All shows every row of every table.
	All bool
}

// A Rehearsal is what a haul costs on a server without other users.
type Rehearsal struct {
	// APICalls counts the haul's calls.
	APICalls int `json:"api_calls"`
	// Seconds is the duration of the haul.
	Seconds float64 `json:"seconds"`
	// Limit is the server's rate limit in requests per second; 0 for none. Latency is the
	// server's own latency in seconds.
	Limit   int     `json:"limit"`
	Latency float64 `json:"latency"`
}

// text returns it as a sentence.
func (r *Rehearsal) text() string {
	calls := plainwords.Counted(r.APICalls, "API call")
	if r.Limit == 0 {
		return fmt.Sprintf("Rehearsed: %s. At 30 requests per second, they take at least %s.", calls, Seconds(float64(r.APICalls)/30))
	}
	return fmt.Sprintf("Rehearsed in %s: %s, which take at least %s at %d per second if nothing else uses the rate limit.",
		Seconds(r.Seconds), calls, Seconds(float64(r.APICalls)/float64(r.Limit)), r.Limit)
}

// HaulJSON writes a haul as a JSON document.
func HaulJSON(w io.Writer, h Haul) error {
	locked := make([]string, len(h.HeldLocks))
	for i, l := range h.HeldLocks {
		locked[i] = l.Target
	}
	d := newDocument(w)
	d.put("target", h.Target)
	d.put("summary", Summarize(h.Results))
	if proofs := SummarizeProofs(h.Results); proofs != nil {
		d.put("proofs", proofs)
	}
	d.put("api_calls", h.APICalls)
	d.put("seconds", h.Seconds)
	if h.Journal != "" {
		d.put("journal", h.Journal)
	}
	if h.Continue != "" {
		d.put("continue", h.Continue)
	}
	putList(d, "locked", locked)
	putList(d, "moves", h.Results)
	putList(d, "findings", h.Findings)
	putList(d, "left_out", h.LeftOut)
	if h.Rehearsal != nil {
		d.put("rehearsal", h.Rehearsal)
	}
	return d.end()
}

// Plan writes a plan as text: what would be moved, what would not and why, the findings,
// and the summary.
func Plan(w io.Writer, s Style, h Haul) error {
	var b bytes.Buffer
	s.tables(&b, h)
	s.haulFindings(&b, h)
	s.leftOut(&b, h)
	s.lastLine(&b, h)
	s.olderLine(&b, h.Results, olderMoved)
	if h.Rehearsal != nil {
		s.indented(&b, "", h.Rehearsal.text())
	}
	return flush(w, &b)
}

// PlanSummary writes what a haul would do, before the user is asked for confirmation.
func PlanSummary(w io.Writer, s Style, h Haul) error {
	// Nothing has been done yet, at least not by this run.
	s.words = map[migrate.Outcome]string{
		migrate.Moved: "moved by an earlier run", migrate.WouldMove: "to move", migrate.Refused: "would be refused",
		migrate.Failed: "would fail", migrate.Skipped: "would be skipped",
	}
	var b bytes.Buffer
	s.haulFindings(&b, h)
	s.leftOut(&b, h)
	s.kinds(&b, h)
	s.lastLine(&b, h)
	s.olderLine(&b, h.Results, olderMoved)
	return flush(w, &b)
}

// kinds writes the counts of each outcome's kinds.
func (s Style) kinds(b *bytes.Buffer, h Haul) {
	summary := Summarize(h.Results)
	for _, outcome := range groupOrder(summary) {
		s.indented(b, "", fmt.Sprintf("%s %s: %s", plainwords.Grouped(summary[outcome]), s.word(outcome), kindsOf(h.Results, outcome)))
	}
	if len(h.Results) > 0 {
		b.WriteByte('\n')
	}
}

// Hauled writes how a haul ended: each failure's cause once, the workspaces that are
// still locked, and how to continue.
func Hauled(w io.Writer, s Style, h Haul) error {
	var b bytes.Buffer
	s.tables(&b, h)
	s.proofs(&b, h)
	s.heldLocks(&b, h)
	s.lastLine(&b, h)
	s.olderLine(&b, h.Results, olderMoved)
	s.proofLine(&b, h.Results)
	if h.Seconds > 0 {
		fmt.Fprintln(&b, cost(h.APICalls, h.Seconds))
	}
	if h.Journal != "" {
		fmt.Fprintf(&b, "Journal: %s\n", PlainLine(h.Journal))
	}
	if h.Continue != "" {
		how := "To continue"
		if summary := Summarize(h.Results); summary[migrate.Refused] > 0 && summary[migrate.Failed]+summary[migrate.Skipped] == 0 {
			how = "After deciding about the refused moves"
		}
		s.indented(&b, "", how+": "+h.Continue, h.Continue)
	}
	return flush(w, &b)
}

// Verified writes whether workspaces still hold what a haul moved.
func Verified(w io.Writer, s Style, h Haul) error {
	s.words = map[migrate.Outcome]string{migrate.AlreadyThere: "the same", migrate.Refused: "not the same"}
	var b bytes.Buffer
	s.tables(&b, h)
	s.lastLine(&b, h)
	s.olderLine(&b, h.Results, "compared")
	fmt.Fprintln(&b, cost(h.APICalls, h.Seconds))
	return flush(w, &b)
}

// Limits for a kind in a table that would be longer than fewRows: rows, and different
// sentences after them.
const (
	fewRows      = 40
	rowsOfKind   = 8
	sentenceKind = rowsOfKind
)

// tables writes a table for each outcome.
func (s Style) tables(b *bytes.Buffer, h Haul) {
	for _, outcome := range groupOrder(Summarize(h.Results)) {
		group := ofOutcome(h.Results, outcome)
		slices.SortStableFunc(group, func(a, b migrate.Result) int { return cmp.Compare(kindOf(a), kindOf(b)) })
		shown := group
		if !h.All && len(group) > fewRows {
			shown = firstOfKinds(group)
		}
		title := ""
		if len(group) > 1 {
			title = ": " + kindsOf(group, outcome)
		}
		s.paragraph(b, s.outcome(outcome)+" ", "  ", fmt.Sprintf("(%s)%s", plainwords.Grouped(len(group)), title))
		s.rows(b, shown)
		andMore(b, len(group)-len(shown), inAll)
		if outcome == migrate.Failed {
			s.causes(b, group)
		} else {
			s.kindSentences(b, group, CommonPlace(group))
		}
		b.WriteByte('\n')
	}
}

// ofOutcome returns the results with an outcome. It counts them first, because there may
// be 10,000 and a growing slice takes twice the memory.
func ofOutcome(results []migrate.Result, outcome migrate.Outcome) []migrate.Result {
	group := make([]migrate.Result, 0, Summarize(results)[outcome])
	for i := range results {
		if results[i].Outcome == outcome {
			group = append(group, results[i])
		}
	}
	return group
}

// kindOf returns a result's kind within its outcome: its code or, without one, its
// relation. A deletion by a rollback has neither.
func kindOf(r migrate.Result) string {
	if r.Deleted && r.Code == "" {
		return "delete"
	}
	return PlainLine(cmp.Or(string(r.Code), string(r.Relation), "not read"))
}

// kindsOf formats the counts of kinds of an outcome's results, the most frequent first.
func kindsOf(results []migrate.Result, outcome migrate.Outcome) string {
	count := map[string]int{}
	for i := range results {
		if results[i].Outcome == outcome {
			count[kindOf(results[i])]++
		}
	}
	return numbers(plainwords.MostFrequent(count), count, PlainLine)
}

// firstOfKinds returns the first few results of each kind.
func firstOfKinds(group []migrate.Result) []migrate.Result {
	count := map[string]int{}
	var first []migrate.Result
	for _, r := range group {
		if count[kindOf(r)]++; count[kindOf(r)] <= rowsOfKind {
			first = append(first, r)
		}
	}
	return first
}

// kindSentences writes the reasons, a few sentences per kind.
func (s Style) kindSentences(b *bytes.Buffer, group []migrate.Result, prefix string) {
	for len(group) > 0 {
		n := 1
		for n < len(group) && kindOf(group[n]) == kindOf(group[0]) {
			n++
		}
		s.sentences(b, group[:n], prefix, sentenceKind)
		group = group[n:]
	}
}

// causes writes what failed, once for each cause, and the other notes of failed moves.
func (s Style) causes(b *bytes.Buffer, group []migrate.Result) {
	prefix := CommonPlace(group)
	var commands []string
	for _, r := range group {
		commands = append(commands, r.UnlockCommand)
	}
	causes := migrate.Causes(group)
	shown := min(len(causes), maxSentences)
	for _, cause := range causes[:shown] {
		s.indented(b, "  ", causeText(cause, prefix), commands...)
	}
	andMore(b, len(causes)-shown, " causes"+inJSON)
	var notes []migrate.Result
	for _, r := range group {
		r.Code, r.Locked = "", false // already written, or listed with all locks at the end
		notes = append(notes, r)
	}
	s.sentences(b, notes, prefix, sentenceKind)
}

func causeText(c *migrate.CauseError, prefix string) string {
	who := andOthers(strings.TrimPrefix(c.Targets[0], prefix), len(c.Targets))
	return strings.TrimSpace(PlainLine(who) + ": " + c.Text + " " + c.Advice)
}

// maxFindings is how many findings of one code are written in full.
const maxFindings = 6

// haulFindings writes the findings, one paragraph per code, errors last. Name collisions
// are listed with the moves that they stop.
func (s Style) haulFindings(b *bytes.Buffer, h Haul) {
	groups := GroupBy(h.Findings, func(f migrate.Finding) string { return f.Code })
	slices.SortStableFunc(groups, func(a, b Group[string, migrate.Finding]) int {
		return heavy(a.Of[0].Severity) - heavy(b.Of[0].Severity)
	})
	for _, g := range groups {
		severity := s.toned(Tone(g.Of[0].Severity), PlainLine(g.Of[0].Severity))
		fmt.Fprintf(b, "%s %s (%s)\n", severity, s.Strong(PlainLine(g.Key)), plainwords.Grouped(len(g.Of)))
		shown := len(g.Of)
		if !h.All {
			shown = atMost(shown, maxFindings)
		}
		for _, f := range g.Of[:shown] {
			s.indented(b, "  ", f.Message)
		}
		andMore(b, len(g.Of)-shown, inAll)
		b.WriteByte('\n')
	}
}

func heavy(v migrate.Severity) int {
	if v == migrate.SeverityError {
		return 1
	}
	return 0
}

// leftOut writes what was found but is not moved, and lists what the user should check.
func (s Style) leftOut(b *bytes.Buffer, h Haul) {
	if len(h.LeftOut) == 0 {
		return
	}
	byCode := map[string]int{}
	var look []pairing.LeftOut
	for _, l := range h.LeftOut {
		byCode[l.Code]++
		if h.All || l.MayBeState() {
			look = append(look, l)
		}
	}
	s.indented(b, "", fmt.Sprintf("left out (%s): %s", plainwords.Grouped(len(h.LeftOut)), numbers(plainwords.MostFrequent(byCode), byCode, PlainLine)))
	shown := len(look)
	if !h.All {
		shown = min(shown, maxFindings)
	}
	for _, l := range look[:shown] {
		s.indented(b, "  ", l.Source+" "+l.Message)
	}
	andMore(b, len(look)-shown, inAll)
	b.WriteByte('\n')
}

// heldLocks writes which workspaces are or may be locked.
func (s Style) heldLocks(b *bytes.Buffer, h Haul) {
	if len(h.HeldLocks) == 0 {
		return
	}
	fmt.Fprintf(b, "%s\n", s.Bad(plainwords.Are(len(h.HeldLocks), h.heldNoun())+" still locked by this haul, or may be:"))
	shown := min(len(h.HeldLocks), maxSentences)
	for _, l := range h.HeldLocks[:shown] {
		fmt.Fprintf(b, "  %s\n", PlainLine(l.Target))
	}
	andMore(b, len(h.HeldLocks)-shown, "")
	if h.Journal != "" {
		s.indented(b, "", "To unlock them: tfhaul unlock "+plainwords.ShellWord(h.Journal)+". Or resume the haul, which unlocks them too.")
	}
	b.WriteByte('\n')
}

// heldNoun returns what to call the places of the held locks.
func (h *Haul) heldNoun() string {
	if slices.ContainsFunc(h.HeldLocks, func(l migrate.HeldLock) bool { return isOther(l.Target) }) {
		return "target"
	}
	return "workspace"
}

// lastLine writes the summary.
func (s Style) lastLine(b *bytes.Buffer, h Haul) {
	into := ""
	if h.Target != "" {
		into = " (into " + PlainLine(h.Target) + ")"
	}
	s.summaryLine(b, Summarize(h.Results), into)
}
