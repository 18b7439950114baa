package plainwords

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentence makes a sentence of the text of an error.
func Sentence(text string) string {
	first, width := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + Ended(text[width:])
}

// Ended ends a text with a full stop, unless it already ends as a sentence does.
func Ended(text string) string {
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

// Counted returns a number with its noun: "1 file", "2 files".
func Counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Brief bounds a name that stands in a sentence or a table: the author of a file can make
// names of any length.
func Brief(name string) string {
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
