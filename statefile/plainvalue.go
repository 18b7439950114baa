package statefile

import (
	"bytes"

	"github.com/zclconf/go-cty/cty"
)

// plainlyConforms reports whether valid JSON is evidently of the type. Most outputs are,
// and building a cty value takes much longer than reading it.
func plainlyConforms(raw []byte, t cty.Type) bool {
	n := plainValue(raw, t, 0)
	return n > 0 && blanks(raw[n:]) == len(raw)-n
}

// plainValue returns the length of the value that b starts with, including the whitespace
// before it, or 0 if it is not evidently of the type.
func plainValue(b []byte, t cty.Type, depth int) int {
	at := blanks(b)
	if at == len(b) || depth > maxTypeDepth {
		return 0
	}
	switch c := b[at]; {
	case c == 'n':
		return at + len("null")
	case c == '"' && t == cty.String:
		if n := stringLength(b[at:]); n > 0 {
			return at + n
		}
	case c == 't' && t == cty.Bool:
		return at + len("true")
	case c == 'f' && t == cty.Bool:
		return at + len("false")
	case isDigit(c) && t == cty.Number:
		n := at
		for n < len(b) && isDigit(b[n]) {
			n++
		}
		if n < len(b) && (b[n] == '.' || b[n] == 'e' || b[n] == 'E') {
			return 0
		}
		return n
	case c == '[' && (t.IsListType() || t.IsSetType()) && t.ElementType() != cty.DynamicPseudoType:
		return plainMembers(b, at, depth, func([]byte) (cty.Type, bool) { return t.ElementType(), true })
	case c == '{' && t.IsMapType() && t.ElementType() != cty.DynamicPseudoType:
		return plainMembers(b, at, depth, func([]byte) (cty.Type, bool) { return t.ElementType(), true })
	case c == '{' && t.IsObjectType():
		seen := 0
		n := plainMembers(b, at, depth, func(key []byte) (cty.Type, bool) {
			seen++
			name := string(key)
			if !t.HasAttribute(name) {
				return cty.NilType, false
			}
			return t.AttributeType(name), true
		})
		// With as many keys as attributes none is missing, unless one occurs twice.
		if seen == len(t.AttributeTypes()) {
			return n
		}
	}
	return 0
}

// plainMembers is plainValue for a value whose bracket is at at. of returns the type of
// the member with this key, or of a list's elements, which have no key.
func plainMembers(b []byte, at, depth int, of func(key []byte) (cty.Type, bool)) int {
	object := b[at] == '{'
	end := byte(']')
	if object {
		end = '}'
	}
	n := at + 1
	for first := true; ; first = false {
		n += blanks(b[n:])
		if n == len(b) {
			return 0
		}
		if b[n] == end {
			return n + 1
		}
		if !first {
			if b[n] != ',' {
				return 0
			}
			n++
			n += blanks(b[n:])
		}
		var key []byte
		if object {
			length := stringLength(b[n:])
			if length == 0 || bytes.IndexByte(b[n:n+length], '\\') >= 0 {
				return 0
			}
			key = b[n+1 : n+length-1]
			n += length
			n += blanks(b[n:])
			n++ // colon
		}
		t, ok := of(key)
		if !ok {
			return 0
		}
		length := plainValue(b[n:], t, depth+1)
		if length == 0 {
			return 0
		}
		n += length
	}
}

// stringLength returns the length of the string that b starts with, or 0 if it does not
// end.
func stringLength(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for n := 1; n < len(b); n++ {
		n += plain(b[n:])
		switch {
		case n >= len(b):
			return 0
		case b[n] == '"':
			return n + 1
		case b[n] == '\\':
			n++
		default:
			return 0
		}
	}
	return 0
}

// plainProvider reports whether b is provider["HOST/NAMESPACE/TYPE"] in plain lower case,
// optionally with modules before it and an alias after it.
func plainProvider(b []byte) bool {
	for bytes.HasPrefix(b, []byte("module.")) {
		rest := b[len("module."):]
		n := plainName(rest)
		if n == 0 || n >= len(rest) || rest[n] != '.' {
			return false
		}
		b = rest[n+1:]
	}
	source, ok := bytes.CutPrefix(b, []byte(`provider["`))
	if !ok {
		return false
	}
	end := bytes.IndexByte(source, '"')
	if end < 0 || end+1 == len(source) || source[end+1] != ']' {
		return false
	}
	alias := source[end+2:]
	if len(alias) == 1 || len(alias) > 0 && (alias[0] != '.' || plainName(alias[1:]) != len(alias)-1) {
		return false
	}
	host := bytes.IndexByte(source[:end], '/')
	if host < 0 || string(source[:host]) != "registry.terraform.io" && string(source[:host]) != "registry.opentofu.org" && string(source[:host]) != "terraform.io" {
		return false
	}
	part := source[host+1 : end]
	namespace := bytes.IndexByte(part, '/')
	if namespace < 0 {
		return false
	}
	kind := part[namespace+1:]
	return plainPart(part[:namespace]) && plainPart(kind) && !bytes.HasPrefix(kind, []byte("terraform-"))
}

// plainPart reports whether a provider's namespace or type consists of lower-case letters
// and digits with single dashes between them.
func plainPart(b []byte) bool {
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z', isDigit(c):
		case c == '-' && i > 0 && i < len(b)-1 && b[i-1] != '-':
		default:
			return false
		}
	}
	return len(b) > 0
}
