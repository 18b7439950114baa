package report

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/mattn/go-runewidth"
)

// noBreak stands for a blank at which a line does not break. It cannot occur after Plain.
const noBreak = "\x00"

// columnsOf returns how many columns of a terminal a text takes.
func columnsOf(text string) int {
	return runewidth.StringWidth(strings.ReplaceAll(text, noBreak, " "))
}

// unbroken matches what is meant to be copied, as far as it can be recognized: commands
// with their arguments, and short quotations. What follows a flag may be its value. A
// sentence's punctuation ends a command.
var unbroken = func() *regexp.Regexp {
	const (
		end      = `(?:\S*[^\s.,;:)])?`
		flag     = `-` + end + `(?: +[^\s-]` + end + `)?`
		argument = `\S*[/=_'"|A-Z…]` + end + `|\S*\.\S*[^\s.,;:)]`
	)
	return regexp.MustCompile(`\b(?:tfhaul|terraform) [a-z][a-z-]*(?: +(?:` + flag + `|` + argument + `))*|"[^"\n]{1,60}"`)
}()

// keepTogether replaces the blanks in commands, quotations and the given texts.
func keepTogether(text string, whole ...string) string {
	for _, of := range whole {
		if of = Plain(of); of != "" {
			text = strings.ReplaceAll(text, of, strings.ReplaceAll(of, " ", noBreak))
		}
	}
	return unbroken.ReplaceAllStringFunc(text, func(of string) string { return strings.ReplaceAll(of, " ", noBreak) })
}

// wrap breaks a text at blanks into lines of at most width columns, and keeps the
// indentation. It does not break longer words. Width 0 breaks only at newlines.
func wrap(text string, width int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		if width <= 0 {
			lines = append(lines, paragraph)
			continue
		}
		indent := paragraph[:len(paragraph)-len(strings.TrimLeft(paragraph, " "))]
		line := ""
		for _, word := range strings.Fields(paragraph) {
			switch {
			case line == "":
				line = indent + word
			case columnsOf(line)+1+columnsOf(word) <= width:
				line += " " + word
			default:
				lines = append(lines, line)
				line = indent + word
			}
		}
		lines = append(lines, line)
	}
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], noBreak, " ")
	}
	return lines
}

// Message writes a text of any origin with first before its first line, wrapped to the
// style's width. It does not break commands.
func (s Style) Message(w io.Writer, first, text string) {
	s.paragraph(w, first, "", text)
}

// indented writes an indented text, wrapped to the style's width. It does not break the
// commands, which are meant to be copied.
func (s Style) indented(w io.Writer, indent, text string, commands ...string) {
	s.paragraph(w, indent, indent, text, commands...)
}

// hanging is indented, but with the bullet before the first line.
func (s Style) hanging(w io.Writer, bullet, text string, commands ...string) {
	s.paragraph(w, bullet, strings.Repeat(" ", columnsOf(bullet)), text, commands...)
}

// escapes matches the colors of a Style.
var escapes = regexp.MustCompile("\x1b\\[[0-9]+m")

// paragraph writes a text with first before its first line, and indent before the others.
func (s Style) paragraph(w io.Writer, first, indent, text string, commands ...string) {
	text, width, lead := Plain(text), 0, ""
	if s.Width > 0 {
		width = max(20, s.Width-len(indent))
		text = keepTogether(text, commands...)
		// What is before the first line takes room there.
		lead = strings.Repeat(noBreak, max(0, columnsOf(escapes.ReplaceAllString(first, ""))-len(indent)))
	}
	for i, line := range wrap(lead+text, width) {
		if i == 0 {
			fmt.Fprintf(w, "%s%s\n", first, line[len(lead):])
			continue
		}
		fmt.Fprintf(w, "%s%s\n", indent, line)
	}
}

// noted writes a name and a note about it: beside the name if there is room, else below.
func (s Style) noted(w io.Writer, indent, name, note string) {
	between := "  "
	if s.Width > 0 && columnsOf(indent+name+between+note) > s.Width {
		between = "\n" + indent + "  "
	}
	fmt.Fprintf(w, "%s%s%s\n", indent, name, s.Faint(labelled(between, note)))
}

// An Entry is a term and what it means; "" for nothing.
type Entry struct{ Term, Text string }

// Column returns the column in which the texts of a list begin. Where the terms leave too
// little room beside them, the texts are to stand below.
func (s Style) Column(list []Entry) int {
	const gap, room, below = 2, 30, 6
	column := 0
	for _, e := range list {
		if e.Text != "" {
			column = max(column, gap+columnsOf(e.Term)+gap)
		}
	}
	if s.Width > 0 && s.Width-column < room {
		return below
	}
	return column
}

// Entries writes a list with its texts in a column. Terms are not broken: they are
// commands and names.
func (s Style) Entries(w io.Writer, column int, list []Entry) {
	indent := strings.Repeat(" ", column)
	for _, e := range list {
		term := "  " + e.Term
		switch room := column - columnsOf(term); {
		case e.Text == "":
			fmt.Fprintln(w, term)
		case room >= 2:
			s.paragraph(w, term+strings.Repeat(" ", room), indent, e.Text)
		default:
			fmt.Fprintln(w, term)
			s.indented(w, indent, e.Text)
		}
	}
}

// Prose writes a text that this program contains, wrapped to the style's width. Indented
// lines are the entries of a list: the text of an entry follows its term after two blanks,
// and continues in lines that are indented more.
func (s Style) Prose(w io.Writer, text string) {
	var sentences []string
	var list []Entry
	flush := func() {
		if len(sentences) > 0 {
			s.paragraph(w, "", "", strings.Join(sentences, " "))
		}
		s.Entries(w, s.Column(list), list)
		sentences, list = nil, nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		content := strings.TrimLeft(line, " ")
		switch indent := len(line) - len(content); {
		case content == "":
			flush()
			fmt.Fprintln(w)
		case indent == 0:
			if len(list) > 0 {
				flush()
			}
			sentences = append(sentences, content)
		case indent > 2 && len(list) > 0:
			list[len(list)-1].Text += " " + content
		default:
			if len(sentences) > 0 {
				flush()
			}
			term, text, _ := strings.Cut(content, "  ")
			list = append(list, Entry{term, strings.TrimLeft(text, " ")})
		}
	}
	flush()
}
