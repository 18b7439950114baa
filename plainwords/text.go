package plainwords

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentence turns an error's text into a sentence.
func Sentence(text string) string {
	first, width := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + Ended(text[width:])
}

// Ended adds a period unless the text already ends like a sentence.
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
	return Grouped(n) + " " + noun + "s"
}

// Are returns the start of a sentence about a number: "1 file is", "2 files are".
func Are(n int, noun string) string {
	if n == 1 {
		return Counted(n, noun) + " is"
	}
	return Counted(n, noun) + " are"
}

// Grouped returns n with thousands separators: 39,303.
func Grouped(n int) string {
	digits := fmt.Sprint(max(n, -n))
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n < 0 {
		return "-" + digits
	}
	return digits
}

// MostFrequent returns the names by descending count.
func MostFrequent(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

// First returns the first names and the sum of the counts of the rest. It never leaves
// out just one name.
func First(names []string, counts map[string]int, most int) (first []string, others int) {
	if len(names) <= most+1 {
		return names, 0
	}
	for _, name := range names[most:] {
		others += counts[name]
	}
	return names[:most], others
}

// Brief shortens a name for use in a sentence or table: names in a file can have any
// length.
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
