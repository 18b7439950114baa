package pairing

import (
	"bytes"
	"fmt"
	"regexp"
	"unicode/utf8"
)

// maxTokens bounds the tokens of a manifest, of which HCL needs up to 450 bytes each until
// it has read the file. A move as tfhaul plan writes it has 31, however long its names are.
const maxTokens = 1 << 20

// MaxManifestMoves is how many moves a manifest holds as tfhaul plan writes them.
const MaxManifestMoves = 30_000

// plainToken matches a comment, and a string without a template. Neither spans lines.
var plainToken = regexp.MustCompile(`"(?:[^"\\$%\x00-\x1f]|\\[^$%\x00-\x1f]|[$%][^{"\\$%\x00-\x1f])*"|#[^\n]*|//[^\n]*`)

// checkTokens refuses a manifest of more tokens than HCL should hold. HCL's own lexer
// cannot stop early, so they are counted here.
func checkTokens(src []byte, name string) error {
	if countTokens(src) <= maxTokens {
		return nil
	}
	return fmt.Errorf("the manifest %s is larger than %d moves, as tfhaul plan --out writes them: split it into several manifests", name, MaxManifestMoves)
}

// countTokens is how many tokens a manifest has, or more. It need not count on beyond maxTokens.
func countTokens(src []byte) (n int) {
	for plain := utf8.Valid(src); plain && n <= maxTokens; {
		at := plainToken.FindIndex(src)
		if at == nil {
			break
		}
		before := src[:at[0]]
		// Templates, heredocs and these comments span lines: what looks like a string behind
		// one may not be one.
		if bytes.ContainsRune(before, '"') || bytes.Contains(before, []byte("<<")) || bytes.Contains(before, []byte("/*")) {
			break
		}
		n += mostTokens(before) + 1
		if token := src[at[0]:at[1]]; token[0] == '"' {
			// The quotes, and where HCL splits what is between them.
			n += 2 + 2*bytes.Count(token, []byte("$")) + 2*bytes.Count(token, []byte("%"))
		}
		src = src[at[1]:]
	}
	return n + mostTokens(src)
}

// mostTokens is how many tokens a text has at most, whatever stands before it.
func mostTokens(text []byte) (n int) {
	inWord := false
	for _, c := range text {
		word := c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
		switch {
		case word && inWord, c == ' ', c == '\t':
		case c == '"', word && c <= '9':
			n += 2 // with what is in the quotes; a number and a name
		default:
			n++
		}
		inWord = word
	}
	return n
}
