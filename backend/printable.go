package backend

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns an address for JSON and HCL. A name that is not valid UTF-8 is quoted;
// otherwise its invalid bytes would all become U+FFFD, and different names would become the
// same.
func Printable(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}

// EscapeURL percent-encodes everything in s except letters, digits, the characters in kept,
// and printable characters beyond ASCII. It encodes control and formatting characters, any
// kind of space, and invalid UTF-8.
func EscapeURL(b *strings.Builder, s, kept string) {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			r < utf8.RuneSelf && strings.ContainsRune(kept, r) ||
			r >= utf8.RuneSelf && !(r == utf8.RuneError && n == 1) && unicode.IsPrint(r)
		if plain {
			b.WriteString(s[:n])
		} else {
			for i := range n {
				fmt.Fprintf(b, "%%%02X", s[i])
			}
		}
		s = s[n:]
	}
}
