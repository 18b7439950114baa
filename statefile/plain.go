package statefile

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// The fast path for JSON as Terraform writes it: if a token lies within the bytes at hand
// and is spelled the usual way, one of these functions returns its length. If they return
// 0, the scanner reads it byte by byte.

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain returns how many bytes at the start of b are neither a quote nor a backslash nor
// a control character. It checks eight bytes at a time.
func plain(b []byte) (n int) {
	for ; n+8 <= len(b); n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		// With their second bit flipped, quotes and control characters are the bytes not
		// above a space. In each of the two sums the lowest high bit set marks the first
		// such byte; bits above it may be wrong.
		low, backslash := w^ones*2, w^ones*'\\'
		found := ((low - ones*('"'-1)) &^ low) | ((backslash - ones) &^ backslash)
		if found &= highs; found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for n < len(b) && b[n] >= ' ' && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}

// plainString returns the length of the string that b starts with, or 0 if it does not
// end in b, or contains an escape or an invalid character.
func plainString(b []byte) int {
	if len(b) > 0 && b[0] == '"' {
		if n := 1 + plain(b[1:]); n < len(b) && b[n] == '"' {
			return n + 1
		}
	}
	return 0
}

// plainKey returns the length of the key that b starts with, including the colon and the
// space after it, or 0 if b starts with anything else or the value does not follow
// directly.
func plainKey(b []byte) int {
	if n := plainString(b); n > 0 && n+2 < len(b) && b[n] == ':' && b[n+1] == ' ' && b[n+2] > ' ' {
		return n + 2
	}
	return 0
}

// plainComma returns the length of a comma, a line break and an indentation, or 0 if b
// starts with anything else or end follows.
func plainComma(b []byte, end byte) int {
	if len(b) < 2 || b[0] != ',' || b[1] != '\n' {
		return 0
	}
	if n := 2 + indentation(b[2:]); n < len(b) && b[n] > ' ' && b[n] != end {
		return n
	}
	return 0
}

// isVerbatim reports whether a string means just its characters: it has no escapes and
// only ASCII, because other bytes may be invalid.
func isVerbatim(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		backslash := w ^ ones*'\\'
		if ((backslash-ones)&^backslash|w)&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// blanks returns how many bytes at the start of b are whitespace, which is usually a line
// break and an indentation.
func blanks(b []byte) (n int) {
	for ; n < len(b); n++ {
		switch b[n] {
		case '\n':
			n += indentation(b[n+1:])
		case ' ', '\t', '\r':
		default:
			return n
		}
	}
	return n
}

// indentation returns how many bytes at the start of b are spaces, or fewer near the end
// of b. It checks eight bytes at a time.
func indentation(b []byte) (n int) {
	for ; n+8 <= len(b); n += 8 {
		if other := binary.LittleEndian.Uint64(b[n:]) ^ ones*' '; other != 0 {
			return n + bits.TrailingZeros64(other)/8
		}
	}
	return n
}
