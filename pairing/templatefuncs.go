package pairing

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"unicode"
)

// placeFunctions are the functions for templates over a Place; see ParseNamer.
var placeFunctions = template.FuncMap{
	"lower":        strings.ToLower,
	"upper":        strings.ToUpper,
	"title":        title,
	"replace":      func(from, to, s string) string { return strings.ReplaceAll(s, from, to) },
	"regexReplace": regexReplace,
	"trimPrefix":   func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
	"trimSuffix":   func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
	"trunc":        trunc,
	"join":         joinParts,
}

// functionNames lists the template functions for messages.
func functionNames() string {
	names := slices.Sorted(maps.Keys(placeFunctions))
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// title changes the first letter of every word to upper case. A word is a run of letters
// and digits.
func title(s string) string {
	inside := false
	return strings.Map(func(r rune) rune {
		begins := !inside
		inside = unicode.IsLetter(r) || unicode.IsDigit(r)
		if begins {
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}

func regexReplace(pattern, replacement, s string) (string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return "", fmt.Errorf("%q is not a regular expression: %w", pattern, err)
	}
	return re.ReplaceAllString(s, replacement), nil
}

// trunc returns the first n characters of s, or the last -n if n is negative.
func trunc(n int, s string) string {
	characters := []rune(s)
	switch {
	case n >= len(characters), n <= -len(characters):
		return s
	case n < 0:
		return string(characters[len(characters)+n:])
	}
	return string(characters[:n])
}

func joinParts(sep string, parts ...string) string {
	kept := make([]string, 0, len(parts))
	for _, part := range parts {
		if part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, sep)
}
