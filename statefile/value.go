package statefile

import (
	"encoding/binary"
	"slices"
	"strconv"
)

// objectOf is members for a value that must be an object or null in formats f.
func (d *document) objectOf(f formats, name string, member func(key []byte) error) error {
	if !d.expect('{', f, name) {
		return d.skip()
	}
	return d.members(member)
}

// arrayOf is elements for a value that must be an array or null in formats f.
func (d *document) arrayOf(f formats, name string, element func() error) error {
	if !d.expect('[', f, name) {
		return d.skip()
	}
	return d.elements(element)
}

// text reads a value that must be a string in formats f. As in encoding/json, null leaves
// into unchanged.
func (d *document) text(f formats, name string, into *string) error {
	if !d.expect('"', f, name) {
		return d.skip()
	}
	at := d.offset()
	text, long, err := d.readText()
	if err != nil {
		return err
	}
	if long {
		d.refuseType(f, d.refuse(KindWrongType, `"`+name+`" is too long`, at))
		return nil
	}
	*into = string(text)
	return nil
}

// A textBuffer holds a text that is checked and then forgotten. Of a long text it holds
// the beginning, and a hash of the rest.
type textBuffer struct {
	bytes []byte
	long  bool
	rest  uint64
}

// emptied returns a buffer that reuses the memory.
func (b textBuffer) emptied() textBuffer { return textBuffer{bytes: b.bytes[:0]} }

// identity returns bytes that differ for different texts.
func (b textBuffer) identity() []byte {
	if !b.long {
		return b.bytes
	}
	return binary.LittleEndian.AppendUint64(slices.Clip(b.bytes), b.rest)
}

// buffer reads a value that must be a string in formats f.
func (d *document) buffer(f formats, name string, into *textBuffer) error {
	if !d.expect('"', f, name) {
		return d.skip()
	}
	text, long, err := d.readText()
	into.bytes, into.long = append(into.bytes[:0], text...), long
	if long {
		into.rest = d.token.rest.Sum64()
	}
	return err
}

// flag reads a value that must be true or false in formats f.
func (d *document) flag(f formats, name string, into *bool) error {
	switch d.peek() {
	case 't':
		*into = true
	case 'f':
		*into = false
	default:
		d.expect('t', f, name)
	}
	return d.skip()
}

// check reads a value that must be of the kind in formats f, and ignores it.
func (d *document) check(kind byte, f formats, name string) error {
	d.expect(kind, f, name)
	return d.skip()
}

// expect reports whether the next value is of the kind. If it is neither that nor null,
// formats f refuse the file.
func (d *document) expect(kind byte, f formats, name string) bool {
	next := d.peek()
	switch next {
	case kind:
		return true
	case 'n', 0:
		// Null leaves a value unchanged. Invalid JSON is found when the value is read.
		return false
	}
	for format := range d.typeErrors {
		if f&(1<<format) != 0 && d.typeErrors[format] == nil {
			d.refuseType(f, d.refuse(KindWrongType, `"`+name+`" is not `+kindNames[kind], d.offset()))
			break
		}
	}
	return false
}

var kindNames = map[byte]string{
	'"': "a string", '0': "a number", 't': "true or false", '{': "an object", '[': "an array",
}

// refuseType records that Terraform rejects the file in formats f.
func (d *document) refuseType(f formats, refusal *Error) {
	for format := range d.typeErrors {
		if f&(1<<format) != 0 && d.typeErrors[format] == nil {
			d.typeErrors[format] = refusal
		}
	}
}

// parseUint parses a whole number the way encoding/json decodes into a uint64.
func parseUint(literal []byte) (n uint64, ok bool) {
	n, err := strconv.ParseUint(string(literal), 10, 64)
	return n, err == nil
}
