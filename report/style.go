// Package report writes results as text for people, and as JSON, CSV and JUnit XML for
// programs. Package page writes them as HTML. It imports the result types of other
// packages, and knows of its output's destination only the Style. Plain neutralizes all
// text from files and servers before it is shown; JSON needs no extra escaping.
package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"tfhaul/audit"
	"tfhaul/migrate"
	"tfhaul/prove"
)

// A Style controls how text is written.
type Style struct {
	// Width is the width of the terminal in columns; 0 means no limit.
	Width int
	// Colour enables ANSI colors.
	Colour bool

	// words replace the usual words for outcomes.
	words map[migrate.Outcome]string
}

func (s Style) paint(code, text string) string {
	if !s.Colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Good, Bad, Odd, Strong and Faint paint a text.
func (s Style) Good(text string) string   { return s.paint("32", text) }
func (s Style) Bad(text string) string    { return s.paint("31", text) }
func (s Style) Odd(text string) string    { return s.paint("33", text) }
func (s Style) Strong(text string) string { return s.paint("1", text) }
func (s Style) Faint(text string) string  { return s.paint("2", text) }

// Tone returns the tone of an outcome, a verdict or a severity: "good", "warning",
// "error", or "info" for all others. Pages use the same names for their styles.
func Tone[T ~string](of T) string {
	switch string(of) {
	case string(migrate.Moved), string(migrate.AlreadyThere), string(prove.Proven):
		return "good"
	case string(migrate.Refused), string(prove.Changes), string(audit.SeverityWarning):
		return "warning"
	case string(migrate.Failed), string(CutOff), string(prove.Unproven), string(audit.SeverityError):
		return "error"
	}
	return "info"
}

// toned paints a text in the color of a tone.
func (s Style) toned(tone, text string) string {
	switch tone {
	case "good":
		return s.Good(text)
	case "warning":
		return s.Odd(text)
	case "error":
		return s.Bad(text)
	}
	return s.Strong(text)
}

// Plain makes a text safe to show: control characters, invisible ones, and those that
// change the direction of text become "�". Newlines and tabs stay, and so do joiners that
// some scripts need.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\u200c', r == '\u200d':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return utf8.RuneError
		}
		return r
	}, text)
}

// PlainLine is Plain for a single line.
func PlainLine[T ~string](text T) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return utf8.RuneError
		}
		return r
	}, Plain(string(text)))
}

// Size formats a number of bytes: "734 B", "47.1 KiB", "102 MiB".
func Size(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, unit := float64(bytes), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value /= 1024; value < 1023.95 {
			break
		}
	}
	if value >= 99.95 {
		return fmt.Sprintf("%.0f %s", value, unit)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// Seconds formats a duration: "0.41 s", "12 s", "1 min 15 s", "2 h 5 min".
func Seconds(s float64) string {
	whole := int(math.Round(s))
	switch {
	case s < 60 && s == float64(whole):
		return fmt.Sprintf("%d s", whole)
	case s < 59.995:
		return fmt.Sprintf("%.2f s", s)
	case whole < 3600:
		return fmt.Sprintf("%d min %d s", whole/60, whole%60)
	}
	minutes := int(math.Round(s / 60))
	return fmt.Sprintf("%d h %d min", minutes/60, minutes%60)
}

// flush writes a text in one call.
func flush(w io.Writer, text *bytes.Buffer) error {
	_, err := text.WriteTo(w)
	return err
}
