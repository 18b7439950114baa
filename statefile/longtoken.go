package statefile

import "bytes"

// continuation is how many bytes at the front of rest continue the token that
// began with token in such a way that the decoder comes to the same verdict, and
// to the same text as far as anyone looks at it, without them: they do not end
// the token and are no error in it. An empty token stands for blanks.
func continuation(token, rest []byte) (n int) {
	switch {
	case len(token) == 0:
		return len(rest) - len(bytes.TrimLeft(rest, " \t\r\n"))
	case token[0] == '"':
		return insideString(rest)
	}
	// After two digits more digits change nothing. (After one they might: 0 must
	// not be followed by another.)
	if k := len(token); k >= 2 && isDigit(token[k-1]) && isDigit(token[k-2]) {
		for n < len(rest) && isDigit(rest[n]) {
			n++
		}
	}
	return n
}

// insideEscape reports whether token, a string without its end, breaks off
// within an escape.
func insideEscape(token []byte) bool {
	if len(token) == 0 || token[0] != '"' {
		return false
	}
	// The longest incomplete escape is \uXXX.
	for k := 1; k <= 5 && k < len(token); k++ {
		if token[len(token)-k] != '\\' {
			continue
		}
		// A backslash behind an odd number of others is escaped itself.
		before := token[:len(token)-k]
		if run := len(before) - len(bytes.TrimRight(before, `\`)); run%2 == 1 {
			continue
		}
		return k == 1 || token[len(token)-k+1] == 'u'
	}
	return false
}

// insideString is how many bytes at the front of b are the inside of a string:
// plain bytes and whole, valid escapes.
func insideString(b []byte) (n int) {
	for n < len(b) {
		c := b[n]
		if c >= ' ' && c != '"' && c != '\\' {
			n++
			continue
		}
		if c != '\\' {
			return n
		}
		length := escapeLength(b[n:])
		if length == 0 {
			return n
		}
		n += length
	}
	return n
}

// escapeLength is the length of the escape that b begins with, or 0 if that is
// incomplete or invalid.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
