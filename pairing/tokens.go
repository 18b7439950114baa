package pairing

import (
	"bytes"
	"fmt"
	"regexp"
	"unicode/utf8"
)

// maxTokens limits the number of tokens in a manifest. HCL needs up to 450 bytes for each
// until it has read the file. A move written by tfhaul plan has 31 tokens, however long its
// names are.
const maxTokens = 1 << 20

// MaxManifestMoves is how many moves, as tfhaul plan writes them, a manifest can have.
const MaxManifestMoves = 30_000

// plainToken matches a comment, and a string without a template. Neither spans lines.
var plainToken = regexp.MustCompile(`"(?:[^"\\$%\x00-\x1f]|\\[^$%\x00-\x1f]|[$%][^{"\\$%\x00-\x1f])*"|#[^\n]*|//[^\n]*`)

// checkTokens refuses a manifest with more tokens than HCL should hold in memory. HCL's
// lexer cannot stop early, so they are counted first.
func checkTokens(src []byte, name string) error {
	if countTokens(src) <= maxTokens {
		return nil
	}
	return fmt.Errorf("the manifest %s is larger than %d moves, as tfhaul plan --out writes them: split it into several manifests", name, MaxManifestMoves)
}

// countTokens returns an upper bound of the number of tokens. It may stop counting above
// maxTokens.
func countTokens(src []byte) (n int) {
	for plain := utf8.Valid(src); plain && n <= maxTokens; {
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
