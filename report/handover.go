package report

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// A Handover tells the teams what a haul did with their states, and what they do now.
type Handover struct {
	HaulReport
	// Dir is the directory in which the haul began; "" if the journal does not record it.
	Dir string
	// Pages are the pages of the repositories; with a single one, it is that of all moves.
	Pages []HandoverPage
}

// A HandoverPage is what one team needs.
type HandoverPage struct {
	// Title is the repository's name. File is the name of the page.
	Title, File string
	Moves       []HandoverMove
}

// A HandoverMove is a move and the recipe for its configuration; nil if there is none.
type HandoverMove struct {
	migrate.Result
	Recipe *Recipe
}

// HandoverIndex is the name of the page about the whole haul.
const HandoverIndex = "README.md"

// otherStates is the title of the page of states whose repository is not known.
const otherStates = "other states"

// unsafeInNames matches what the name of a page does not have.
var unsafeInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// PagesByRepository groups moves by the repository that of returns for each; "" if it is not
// known.
func PagesByRepository(moves []HandoverMove, of func(migrate.Result) string) []HandoverPage {
	groups := GroupBy(moves, func(m HandoverMove) string { return cmp.Or(of(m.Result), otherStates) })
	slices.SortStableFunc(groups, func(a, b Group[string, HandoverMove]) int { return strings.Compare(a.Key, b.Key) })
	taken := map[string]bool{strings.ToLower(HandoverIndex): true}
	var pages []HandoverPage
	for _, g := range groups {
		base := strings.Trim(unsafeInNames.ReplaceAllString(g.Key, "-"), "-.")
		file := base + ".md"
		for n := 2; taken[strings.ToLower(file)]; n++ {
			file = fmt.Sprintf("%s-%d.md", base, n)
		}
		taken[strings.ToLower(file)] = true
		pages = append(pages, HandoverPage{Title: g.Key, File: file, Moves: g.Of})
	}
	return pages
}

// WriteIndex writes the page about the whole haul.
func (h *Handover) WriteIndex(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s -->\n# Handover of haul %s\n\n", MarkdownMark, "handover", markdownCode(h.Haul))
	fmt.Fprintf(&b, "%s.", markdownText(Summarize(h.Results).String()))
	if !h.Started.IsZero() {
		fmt.Fprintf(&b, " The haul ran from %s to %s (UTC).", h.Started.UTC().Format("2006-01-02 15:04"), h.Ended.UTC().Format("2006-01-02 15:04"))
	}
	b.WriteString(" This page is about all states. Each team needs only the page of its repository.\n\n| page | states |\n|---|---|\n")
	for _, p := range h.Pages {
		fmt.Fprintf(&b, "| [%s](%s) | %d |\n", markdownText(p.Title), p.File, len(p.Moves))
	}
	b.WriteString("\n## What moved\n\n| from | to | serial | state version | proof |\n|---|---|---|---|---|\n")
	for _, r := range h.Results {
		if r.Arrived() {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", markdownCode(r.Source), markdownCode(r.Target), serialOf(r), markdownCode(r.StateVersionID), proofOf(r))
		}
	}
	h.remaining(&b)
	h.frozen(&b, h.Results)
	b.WriteString("\n## Check it again\n\nThis command compares every byte with what the haul recorded, and reports sources that changed since:\n\n")
	fence(&b, "tfhaul verify "+plainwords.ShellWord(h.Journal))
	h.rollback(&b, h.Results)
	_, err := io.WriteString(w, b.String())
	return err
}

// WritePage writes the page of a repository.
func (h *Handover) WritePage(w io.Writer, p HandoverPage) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s -->\n# %s\n\n", MarkdownMark, "handover", markdownText(p.Title))
	fmt.Fprintf(&b, "Haul %s moved the states below. Do the steps of each, in order. Until they are done, do not apply with the old configuration: it would still use the old state. The [whole haul](%s) is on a page of its own.\n", markdownCode(h.Haul), HandoverIndex)
	var results []migrate.Result
	for _, m := range p.Moves {
		results = append(results, m.Result)
		m.write(&b)
	}
	h.frozen(&b, results)
	h.rollback(&b, results)
	_, err := io.WriteString(w, b.String())
	return err
}

// write writes the section of a move.
func (m *HandoverMove) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n", markdownCode(m.Target))
	if !m.Arrived() {
		fmt.Fprintf(b, "Not moved (%s). %s\n\nContinue to use %s.\n", markdownText(cmp.Or(string(m.Code), string(m.Outcome))), markdownText(m.Message), markdownCode(m.Source))
		return
	}
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "| %s | %s |\n", name, value)
		}
	}
	b.WriteString("| | |\n|---|---|\n")
	row("from", markdownCode(m.Source))
	row("to", markdownCode(m.Target))
	row("serial", serialOf(m.Result))
	if s := m.Snapshot; s != nil {
		row("MD5", markdownCode(s.MD5))
		row("lineage", markdownCode(cmp.Or(s.Lineage, "none")))
		row("size", Size(s.Size))
	}
	row("state version", markdownCode(m.StateVersionID))
	row("proof", proofOf(m.Result))
	if m.Created {
		row("workspace", "created by the haul")
	}
	row("settings", markdownText(m.Settings.String()))
	for _, note := range m.Notes {
		fmt.Fprintf(b, "\n- %s", markdownText(note))
	}
	b.WriteString("\n")
	if m.Recipe == nil {
		return
	}
	var steps strings.Builder
	if WriteRecipe(&steps, Style{}, *m.Recipe) == nil {
		b.WriteString("\n")
		fenceAs(b, "text", strings.TrimSpace(steps.String()))
	}
}

// serialOf returns the serial of what arrived.
func serialOf(r migrate.Result) string {
	switch {
	case r.Snapshot == nil:
		return ""
	case r.BumpedTo != 0:
		return fmt.Sprintf("%d (raised from %d)", r.BumpedTo, r.Snapshot.Serial)
	}
	return fmt.Sprint(r.Snapshot.Serial)
}

// proofOf returns the verdict on a move.
func proofOf(r migrate.Result) string {
	if r.Proof == nil {
		return "not run"
	}
	return markdownText(string(r.Proof.Verdict) + ": " + r.Proof.Message)
}

// remaining writes what is left to do.
func (h *Handover) remaining(b *strings.Builder) {
	b.WriteString("\n## What remains\n\n")
	if !h.Open() {
		b.WriteString("Every state of the haul was moved. What remains are the steps on the teams' pages.\n")
		return
	}
	for _, r := range h.All() {
		if !r.Arrived() {
			fmt.Fprintf(b, "- %s was not moved (%s). %s\n", markdownCode(r.Source), markdownText(cmp.Or(string(r.Code), string(r.Outcome))), markdownText(r.Message))
		}
	}
	if n := h.NotAttempted; n > 0 {
		fmt.Fprintf(b, "- %s not begun.\n", plainwords.Are(n, "move"))
	}
	if n := h.SourcesUnchecked; n > 0 {
		fmt.Fprintf(b, "- %s not checked for changes during the haul.\n", plainwords.Are(n, "source"))
	}
	if h.Continue != "" {
		b.WriteString("\nTo continue the haul, decide about what was refused, and run the same command again")
		if h.Dir != "" {
			fmt.Fprintf(b, " in %s", markdownCode(h.Dir))
		}
		b.WriteString(":\n\n")
		fence(b, h.Continue)
	}
	if len(h.Locked) > 0 {
		b.WriteString("\nThe haul may have left these locked: ")
		for i, name := range h.Locked {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(markdownCode(name))
		}
		b.WriteString(". To unlock them, and nothing else:\n\n")
		fence(b, "tfhaul unlock "+plainwords.ShellWord(h.Journal))
	}
}

// frozen writes which sources stay locked, and how to lift that.
func (h *Handover) frozen(b *strings.Builder, results []migrate.Result) {
	frozen := slices.DeleteFunc(slices.Clone(results), func(r migrate.Result) bool { return r.SourceFrozen == "" })
	if len(frozen) == 0 {
		return
	}
	b.WriteString("\n## What is frozen\n\nThe haul left these old states locked, so that nobody applies with them. Lift a lock only to use the old state again:\n\n")
	for _, r := range frozen {
		fmt.Fprintf(b, "- %s, lock %s.", markdownCode(r.Source), markdownCode(r.SourceFrozen))
		for _, note := range r.Notes {
			if strings.Contains(note, r.SourceFrozen) || strings.Contains(note, "lock") {
				fmt.Fprintf(b, " %s", markdownText(note))
			}
		}
		b.WriteString("\n")
	}
}

// rollback writes what to do if something is wrong.
func (h *Handover) rollback(b *strings.Builder, results []migrate.Result) {
	b.WriteString("\n## If something is wrong\n\nStop applying, and go back to the old configuration: the haul did not change or delete the old states. " +
		"If a target held another state before the haul, these commands put it back. The first one only shows what would be done:\n\n")
	command := "tfhaul rollback " + plainwords.ShellWord(h.Journal)
	fence(b, command, command+" --yes")
	if slices.ContainsFunc(results, func(r migrate.Result) bool { return r.Created }) {
		b.WriteString("\nTo also delete the workspaces that the haul created and that have not been used since:\n\n")
		fence(b, command+" --delete-created", command+" --delete-created --yes")
	}
	b.WriteString("\nA rollback is about all states of the haul. It refuses every state that has changed since.\n")
}

// fence writes commands as a block of code.
func fence(b *strings.Builder, commands ...string) {
	lines := make([]string, len(commands))
	for i, command := range commands {
		lines[i] = PlainLine(command)
	}
	fenceAs(b, "sh", strings.Join(lines, "\n"))
}

func fenceAs(b *strings.Builder, language, text string) {
	ticks := "```"
	for strings.Contains(text, ticks) {
		ticks += "`"
	}
	fmt.Fprintf(b, "%s%s\n%s\n%s\n", ticks, language, text, ticks)
}
