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
	"tfhaul/plainwords"
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

// String formats it, as in "12 moves: 9 moved, 2 refused, 1 failed".
func (s Summary) String() string { return s.text(Style{}) }

func (s Summary) text(style Style) string {
	return tally("move", s.Outcomes(), s, style.outcome)
}

// Outcomes returns the outcomes that occur: known ones in the engine's order, then others
// by name.
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

// MovesJSON writes moves as a JSON document.
func MovesJSON(w io.Writer, results []migrate.Result) error {
	d := newDocument(w)
	d.put("summary", Summarize(results))
	putList(d, "moves", results)
	return d.end()
}

// Moves writes many moves as text: a table per outcome, with those that need attention
// last, where a terminal shows them, and then the summary. Each row is one line. The
// reasons follow the table, each written once for all moves that it applies to.
func Moves(w io.Writer, s Style, results []migrate.Result) error {
	var b bytes.Buffer
	summary := Summarize(results)
	for _, outcome := range groupOrder(summary) {
		s.outcomeTable(&b, outcome, ofOutcome(results, outcome))
		b.WriteByte('\n')
	}
	s.proofs(&b, Haul{Results: results})
	s.summaryLine(&b, summary, "")
	s.olderLine(&b, results, olderMoved)
	s.proofLine(&b, results)
	return flush(w, &b)
}

// summaryLine writes the counts of outcomes, in color if supported.
func (s Style) summaryLine(b *bytes.Buffer, summary Summary, more string) {
	if text := summary.text(Style{words: s.words}) + more; s.Width > 0 && runewidth.StringWidth(text) > s.Width {
		s.indented(b, "", text)
	} else {
		fmt.Fprintln(b, summary.text(s)+more)
	}
}

// groupOrder returns the order of the tables: successes first, failures last.
func groupOrder(s Summary) []migrate.Outcome {
	order := s.Outcomes()
	slices.SortStableFunc(order, func(a, b migrate.Outcome) int { return Attention(a) - Attention(b) })
	return order
}

// Attention ranks outcomes. Higher ranks need more attention.
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

// maxSentences is how many different sentences follow a table.
const maxSentences = 25

// outcomeTable writes one outcome's table and its sentences. Rows with the same code are
// grouped, in their original order.
func (s Style) outcomeTable(b *bytes.Buffer, outcome migrate.Outcome, group []migrate.Result) {
	fmt.Fprintf(b, "%s (%s)\n", s.outcome(outcome), plainwords.Grouped(len(group)))
	if isCoded(group) {
		slices.SortStableFunc(group, func(a, b migrate.Result) int { return strings.Compare(string(a.Code), string(b.Code)) })
	}
	s.rows(b, group)
	s.sentences(b, group, CommonPlace(group), maxSentences)
}

// withoutParameters removes the query from an object's URL. It says how to access the
// bucket, and is the same for all, except for the row of a database.
func withoutParameters(name string) string {
	if !strings.Contains(name, "://") {
		return name
	}
	name, query, _ := strings.Cut(name, "?")
	var row []string
	for pair := range strings.SplitSeq(query, "&") {
		if strings.HasPrefix(pair, "schema=") || strings.HasPrefix(pair, "workspace=") {
			row = append(row, pair)
		}
	}
	if len(row) > 0 {
		name += "?" + strings.Join(row, "&")
	}
	return name
}

// isCoded reports whether any result has a code.
func isCoded(group []migrate.Result) bool {
	return slices.ContainsFunc(group, func(r migrate.Result) bool { return r.Code != "" })
}

// rows writes results of one outcome as a table.
func (s Style) rows(b *bytes.Buffer, group []migrate.Result) {
	coded, prefix := isCoded(group), CommonPlace(group)
	t := table{columns: []column{{title: "SOURCE", elastic: true}, {title: strings.ToUpper(PlaceNoun(group)), elastic: true}, {title: "RELATION"}, {title: "SERIAL", right: true}, {title: "SIZE", right: true}}}
	if coded {
		t.columns[2] = column{title: "BECAUSE"}
	}
	for _, r := range group {
		serial, size, why := "", "", string(r.Relation)
		if r.Deleted {
			why = "delete"
		}
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

// calledIn returns the name of a move in sentences: its workspace or, without one, its
// source.
func calledIn(r migrate.Result, prefix string) string {
	if r.Code == migrate.CodeNoName {
		return withoutParameters(PlainLine(r.Source))
	}
	return PlainLine(strings.TrimPrefix(r.Target, prefix))
}

// sentences writes reasons, once for all moves whose sentences differ only in the names,
// and a limited number of them.
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

// withoutNames removes the source and workspace of a move from a text about it. Commands
// that free a lock stay, because each move has its own.
func withoutNames(r migrate.Result, text string) string {
	if r.UnlockCommand != "" && strings.Contains(text, r.UnlockCommand) {
		return text
	}
	for _, name := range []string{r.Source, r.Target, r.Target[strings.LastIndexByte(r.Target, '/')+1:]} {
		text = replaceWord(text, name, "\x00")
	}
	return text
}

// replaceWord replaces a name unless it is part of a longer one.
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

// andOthers formats the first of n names.
func andOthers(first string, n int) string {
	if n == 1 {
		return first
	}
	return fmt.Sprintf("%s and %s more", first, plainwords.Grouped(n-1))
}

// attentionTexts returns the sentences of a result that the user should read. For a
// success these are only its notes.
func attentionTexts(r migrate.Result) []string {
	var texts []string
	if r.Code != "" {
		texts = append(texts, r.Message)
	}
	texts = append(texts, r.Notes...)
	if settings := r.Settings.String(); settings != "" {
		texts = append(texts, settings)
	}
	if r.Backup != "" {
		texts = append(texts, "The previous state was saved to "+r.Backup)
	}
	if r.Locked && !strings.Contains(r.Message, r.UnlockCommand) {
		texts = append(texts, "The "+PlaceNoun([]migrate.Result{r})+" is still locked by this haul. To unlock it: "+r.UnlockCommand)
	}
	return texts
}

// CommonPlace returns the host and organization that all targets share, with a trailing
// slash, or "".
func CommonPlace(results []migrate.Result) string {
	targets := make([]string, len(results))
	for i := range results {
		targets[i] = results[i].Target
	}
	return commonPlace(targets)
}

func commonPlace(targets []string) string {
	if slices.ContainsFunc(targets, isOther) {
		return commonDirectory(targets)
	}
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

// commonDirectory returns the directory that all of several targets are in, with a trailing
// slash, or "".
func commonDirectory(targets []string) string {
	if len(targets) < 2 {
		return ""
	}
	common := targets[0]
	for _, target := range targets[1:] {
		n := 0
		for n < min(len(common), len(target)) && common[n] == target[n] {
			n++
		}
		common = common[:n]
	}
	return common[:strings.LastIndexByte(common, '/')+1]
}

func isOther(target string) bool { return !migrate.NamesWorkspace(target) }

// PlaceNoun returns what to call the place that each of the results is about: "workspace", or
// "target" if one is something else.
func PlaceNoun(results []migrate.Result) string {
	if slices.ContainsFunc(results, func(r migrate.Result) bool { return isOther(r.Target) }) {
		return "target"
	}
	return "workspace"
}
