// Package plainhcl reads HCL files of plain values that people write and edit: manifests and
// baselines. It refuses files that HCL would need too much memory, time or stack for.
package plainhcl

import (
	"bytes"
	"regexp"
	"unicode/utf8"
)

// MaxTokens limits the number of tokens in a file. HCL needs up to 450 bytes for each
// until it has read the file.
const MaxTokens = 1 << 20

// plainToken matches a comment, and a string without a template. Neither spans lines.
var plainToken = regexp.MustCompile(`"(?:[^"\\$%\x00-\x1f]|\\[^$%\x00-\x1f]|[$%][^{"\\$%\x00-\x1f])*"|#[^\n]*|//[^\n]*`)

// TooLong reports whether a file has more than MaxTokens. HCL's lexer cannot stop early, so
// they are counted before it runs; the count is an upper bound.
func TooLong(src []byte) bool { return countTokens(src) > MaxTokens }

// countTokens returns an upper bound of the number of tokens. It may stop counting above
// MaxTokens.
func countTokens(src []byte) (n int) {
	for plain := utf8.Valid(src); plain && n <= MaxTokens; {
		at := plainToken.FindIndex(src)
		if at == nil {
			break
		}
		before := src[:at[0]]
		// Templates, heredocs and these comments span lines, so what looks like a string
		// after one may not be one.
		if bytes.ContainsRune(before, '"') || bytes.Contains(before, []byte("<<")) || bytes.Contains(before, []byte("/*")) {
			break
		}
		n += tokensAtMost(before) + 1
		if token := src[at[0]:at[1]]; token[0] == '"' {
			// The quotes, and where HCL splits the text between them.
			n += 2 + 2*bytes.Count(token, []byte("$")) + 2*bytes.Count(token, []byte("%"))
		}
		src = src[at[1]:]
	}
	return n + tokensAtMost(src)
}

// tokensAtMost returns an upper bound of the tokens in a text, whatever precedes it.
func tokensAtMost(text []byte) (n int) {
	inWord := false
	for _, c := range text {
		word := c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
		switch {
		case word && inWord, c == ' ', c == '\t':
		case c == '"', word && c <= '9':
			n += 2 // with the text in the quotes; for a digit, a number and a name
		default:
			n++
		}
		inWord = word
	}
	return n
}
