package statefile

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Here is the short way through JSON as Terraform writes it: where a token lies within
// the bytes at hand and is written in the way that almost all are, one of these functions
// says how long it is. Where they say 0 the scanner takes it byte by byte.

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain is how many bytes at the front of b are neither the end of a string nor an
// escape nor a control character, none of which may stand in one. It looks at eight
// bytes at a time.
func plain(b []byte) (n int) {
	for ; n+8 <= len(b); n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		// With their second bit turned, quotes and control characters are what is not above
		// a blank. In each of the two sums the lowest high bit that is set is that of the first
		// byte of its kind; above it there may be wrong ones.
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

// plainString is the length of the string that b begins with, 0 if it does not end in b
// or has an escape or what may not stand in a string.
func plainString(b []byte) int {
	if len(b) > 0 && b[0] == '"' {
		if n := 1 + plain(b[1:]); n < len(b) && b[n] == '"' {
			return n + 1
		}
	}
	return 0
}

// plainKey is the length of the key that b begins with and of the colon and the space
// behind it, 0 if that is not what b begins with or no value follows at once.
func plainKey(b []byte) int {
	if n := plainString(b); n > 0 && n+2 < len(b) && b[n] == ':' && b[n+1] == ' ' && b[n+2] > ' ' {
		return n + 2
	}
	return 0
}

// plainComma is the length of a comma, a line break and an indentation, 0 if that is not
// what b begins with or if end follows.
func plainComma(b []byte, end byte) int {
	if len(b) < 2 || b[0] != ',' || b[1] != '\n' {
		return 0
	}
	if n := 2 + indentation(b[2:]); n < len(b) && b[n] > ' ' && b[n] != end {
		return n
	}
	return 0
}

// isVerbatim reports whether the inside of a string is what the string says: whether it
// has neither escapes nor anything but ASCII, which may be invalid.
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

// blanks is how many bytes at the front of b are blanks. Mostly they are a line break
// and an indentation.
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

// indentation is how many bytes at the front of b are spaces, or fewer where b ends. It
// looks at eight bytes at a time.
func indentation(b []byte) (n int) {
	for ; n+8 <= len(b); n += 8 {
		if other := binary.LittleEndian.Uint64(b[n:]) ^ ones*' '; other != 0 {
			return n + bits.TrailingZeros64(other)/8
		}
	}
	return n
}
