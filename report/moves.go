package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"tfhaul/migrate"
)

// Summary counts outcomes.
type Summary map[migrate.Outcome]int

// Summarize counts the outcomes of results.
func Summarize(results []migrate.Result) Summary {
	s := Summary{}
	for i := range results {
		s[results[i].Outcome]++
	}
	return s
}

// String says it in words, as in "12 moves: 9 moved, 2 refused, 1 failed".
func (s Summary) String() string { return s.text(Style{}) }

func (s Summary) text(style Style) string {
	return tally("move", s.Outcomes(), s, style.outcome)
}

// Outcomes are those that occur: the known ones in the engine's order, then the
// others by name.
func (s Summary) Outcomes() []migrate.Outcome {
	var known, others []migrate.Outcome
	for _, o := range migrate.Outcomes {
		if s[o] > 0 {
			known = append(known, o)
		}
	}
	for o, n := range s {
		if n > 0 && !slices.Contains(migrate.Outcomes, o) {
			others = append(others, o)
		}
	}
	slices.Sort(others)
	return append(known, others...)
}

// MovesJSON writes the document of many moves.
func MovesJSON(w io.Writer, results []migrate.Result) error {
	d := newDocument(w)
	d.put("summary", Summarize(results))
	putList(d, "moves", results)
	return d.end()
}

// Moves tells a person of many moves: a table for each outcome, those that need
// attention last, where a terminal shows them, and then the summary. Every row
// stays on one line of the terminal. The sentences of what was not moved follow
// their table, each once, however many moves it is said of.
func Moves(w io.Writer, s Style, results []migrate.Result) error {
	var b bytes.Buffer
	summary := Summarize(results)
	for _, outcome := range groupOrder(summary) {
		s.outcomeTable(&b, outcome, ofOutcome(results, outcome))
		b.WriteByte('\n')
	}
	s.proofs(&b, Haul{Results: results})
	s.summaryLine(&b, summary, "")
	s.proofLine(&b, results)
	return flush(w, &b)
}

// summaryLine says how many there are of which outcome, in colour where it fits.
func (s Style) summaryLine(b *bytes.Buffer, summary Summary, more string) {
	if text := summary.text(Style{words: s.words}) + more; s.Width > 0 && runewidth.StringWidth(text) > s.Width {
		s.indented(b, "", text)
	} else {
		fmt.Fprintln(b, summary.text(s)+more)
	}
}

// groupOrder is the order of the tables: what is well first, what failed last.
func groupOrder(s Summary) []migrate.Outcome {
	order := s.Outcomes()
	slices.SortStableFunc(order, func(a, b migrate.Outcome) int { return Attention(a) - Attention(b) })
	return order
}

// Attention orders outcomes by how much they need attention, the higher the more.
func Attention(o migrate.Outcome) int {
	switch o {
	case CutOff:
		return 4
	case migrate.Failed:
		return 3
	case migrate.Refused:
		return 2
	case migrate.Skipped:
		return 1
	}
	return 0
}

// mostSentences is how many different sentences stand below a table.
const mostSentences = 25

// outcomeTable draws one outcome's table and its sentences. Rows of one code stand
// together, in the order in which they came.
func (s Style) outcomeTable(b *bytes.Buffer, outcome migrate.Outcome, group []migrate.Result) {
	fmt.Fprintf(b, "%s (%d)\n", s.outcome(outcome), len(group))
	if isCoded(group) {
		slices.SortStableFunc(group, func(a, b migrate.Result) int { return strings.Compare(string(a.Code), string(b.Code)) })
	}
	s.rows(b, group)
	s.sentences(b, group, CommonPlace(group), mostSentences)
}

// withoutParameters is the name of an object without the parameters of its URL: they
// say how its bucket is reached, and are the same for all.
func withoutParameters(name string) string {
	if !strings.Contains(name, "://") {
		return name
	}
	name, _, _ = strings.Cut(name, "?")
	return name
}

// isCoded says whether the results have reasons to be told.
func isCoded(group []migrate.Result) bool {
	return slices.ContainsFunc(group, func(r migrate.Result) bool { return r.Code != "" })
}

// rows draws results of one outcome as a table.
func (s Style) rows(b *bytes.Buffer, group []migrate.Result) {
	coded, prefix := isCoded(group), CommonPlace(group)
	t := table{columns: []column{{title: "SOURCE", elastic: true, middle: true, common: true}, {title: "WORKSPACE", elastic: true, middle: true, common: true}, {title: "RELATION"}, {title: "SERIAL", right: true}, {title: "SIZE", right: true}}}
	if coded {
		t.columns[2] = column{title: "BECAUSE"}
	}
	for _, r := range group {
		serial, size, why := "", "", string(r.Relation)
		if r.Snapshot != nil {
			size = Size(r.Snapshot.Size)
			if r.Snapshot.Format > 0 {
				serial = fmt.Sprint(r.Snapshot.Serial)
			}
		}
		if coded {
			why = string(r.Code)
		}
		if r.Created {
			why += ", created"
		}
		t.rows = append(t.rows, []string{
			withoutParameters(PlainLine(r.Source)), PlainLine(strings.TrimPrefix(r.Target, prefix)), PlainLine(why), serial, size,
		})
	}
	t.write(b, s, "  ")
}

// calledIn is what sentences call a move: its workspace, or its source where there
// is no name for one.
func calledIn(r migrate.Result, prefix string) string {
	if r.Code == migrate.CodeNoName {
		return withoutParameters(PlainLine(r.Source))
	}
	return PlainLine(strings.TrimPrefix(r.Target, prefix))
}

// sentences tells why, once for all moves of which the same is said, except for their own
// names, and at most so many different ones.
func (s Style) sentences(b *bytes.Buffer, results []migrate.Result, prefix string, most int) {
	type said struct{ text, nameless, of string }
	var all []said
	var commands []string
	nameless := map[string]string{} // of the same text always the same, whatever move it is about
	for _, r := range results {
		commands = append(commands, r.UnlockCommand)
		for _, text := range attentionTexts(r) {
			if _, known := nameless[text]; !known {
				nameless[text] = withoutNames(r, text)
			}
			all = append(all, said{text, nameless[text], calledIn(r, prefix)})
		}
	}
	groups := GroupBy(all, func(s said) string { return s.nameless })
	shown := atMost(len(groups), most)
	for _, g := range groups[:shown] {
		s.indented(b, "  ", andOthers(g.Of[0].of, len(g.Of))+": "+g.Of[0].text, commands...)
	}
	andMore(b, len(groups)-shown, inJSON)
}

// withoutNames takes the names of a move's source and workspace out of a text about it. A
// command that frees a lock is told for each.
func withoutNames(r migrate.Result, text string) string {
	if r.UnlockCommand != "" && strings.Contains(text, r.UnlockCommand) {
		return text
	}
	for _, name := range []string{r.Source, r.Target, r.Target[strings.LastIndexByte(r.Target, '/')+1:]} {
		text = replaceWord(text, name, "\x00")
	}
	return text
}

// replaceWord replaces a name where it is not a part of a longer one.
func replaceWord(text, name, with string) string {
	if name == "" {
		return text
	}
	inName := func(c byte) bool {
		return c >= utf8.RuneSelf || c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
	}
	var b strings.Builder
	for {
		i := strings.Index(text, name)
		if i < 0 {
			return b.String() + text
		}
		end := i + len(name)
		if i > 0 && inName(text[i-1]) || end < len(text) && inName(text[end]) {
			b.WriteString(text[:end])
		} else {
			b.WriteString(text[:i] + with)
		}
		text = text[end:]
	}
}

// andOthers names the first of n.
func andOthers(first string, n int) string {
	if n == 1 {
		return first
	}
	return fmt.Sprintf("%s and %d more", first, n-1)
}

// attentionTexts are the sentences of a result that a person should read: of what
// is well, only its notes.
func attentionTexts(r migrate.Result) []string {
	var texts []string
	if r.Code != "" {
		texts = append(texts, r.Message)
	}
	texts = append(texts, r.Notes...)
	if r.Backup != "" {
		texts = append(texts, "What was there before is kept in "+r.Backup)
	}
	if r.Locked && !strings.Contains(r.Message, r.UnlockCommand) {
		texts = append(texts, "The workspace is still locked by this haul. To unlock it: "+r.UnlockCommand)
	}
	return texts
}

// CommonPlace is the host and organization that the targets of all results share, with a
// slash at its end, or "".
func CommonPlace(results []migrate.Result) string {
	targets := make([]string, len(results))
	for i := range results {
		targets[i] = results[i].Target
	}
	return commonPlace(targets)
}

func commonPlace(targets []string) string {
	prefix := ""
	for i, target := range targets {
		place := target[:strings.LastIndexByte(target, '/')+1]
		if i > 0 && place != prefix {
			return ""
		}
		prefix = place
	}
	return prefix
}
