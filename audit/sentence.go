package audit

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// sentence makes a sentence of an error's text.
func sentence(text string) string {
	first, width := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[width:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
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
