package audit

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// sentence makes a sentence of an error's text.
func sentence(text string) string {
	first, width := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[width:]
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") {
		text += "."
	}
	return text
}

// whatFailed is how errors name what could not be done to what.
var whatFailed = regexp.MustCompile(`cannot [a-z ]+ "(?:[^"\\]|\\.)*": `)

// cause is an error's text without the file that it is about: a finding names that
// itself, and what fails for many files alike is told once.
func cause(err error) string { return whatFailed.ReplaceAllString(err.Error(), "") }

// brief is a name as it stands in a sentence: whoever wrote the file may have made it as
// long as they liked.
func brief(name string) string {
	const most = 100
	if len(name) <= most {
		return name
	}
	cut := most
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + "…"
}

// counted writes a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// days writes how long something takes.
func days(d time.Duration) string { return counted(int(d/(24*time.Hour)), "day") }
