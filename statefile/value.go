package statefile

import (
	"strconv"
)

// objectOf is members for a value that formats f take to be an object or null.
func (d *document) objectOf(f formats, name string, member func(key []byte) error) error {
	if !d.expect('{', f, name) {
		return d.skip()
	}
	return d.members(member)
}

// arrayOf is elements for a value that formats f take to be an array or null.
func (d *document) arrayOf(f formats, name string, element func() error) error {
	if !d.expect('[', f, name) {
		return d.skip()
	}
	return d.elements(element)
}

// text reads a value that formats f take to be a string. As in encoding/json,
// null leaves into as it is.
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
		d.refuseType(f, d.refuse(KindWrongType, `"`+name+`" is longer than any real one`, at))
		return nil
	}
	*into = string(text)
	return nil
}

// bytesOf is text for values that are looked at and forgotten. Of one that is long they
// are the beginning.
func (d *document) bytesOf(f formats, name string, into *[]byte) error {
	if !d.expect('"', f, name) {
		return d.skip()
	}
	text, _, err := d.readText()
	*into = append((*into)[:0], text...)
	return err
}

// identifying is bytesOf for a text that tells things apart: tail is a hash of what
// follows the beginning of a long one.
func (d *document) identifying(f formats, name string, into *[]byte, tail *uint64) error {
	if !d.expect('"', f, name) {
		return d.skip()
	}
	text, _, err := d.readText()
	*into, *tail = append((*into)[:0], text...), d.tailSum()
	return err
}

// flag reads a value that formats f take to be true or false.
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

// check reads a value that formats f take to be of the kind, and does not look at it.
func (d *document) check(kind byte, f formats, name string) error {
	d.expect(kind, f, name)
	return d.skip()
}

// expect reports whether the next value is of the kind. If it is neither that
// nor null, the formats f are marked as refusing the file.
func (d *document) expect(kind byte, f formats, name string) bool {
	next := d.peek()
	switch next {
	case kind:
		return true
	case 'n', 0:
		// Null leaves a value as it is; what is no JSON is found when it is read.
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

// refuseType notes for the formats f that Terraform refuses the file.
func (d *document) refuseType(f formats, refusal *Error) {
	for format := range d.typeErrors {
		if f&(1<<format) != 0 && d.typeErrors[format] == nil {
			d.typeErrors[format] = refusal
		}
	}
}

// parseUint reads a whole number as encoding/json reads it into a uint64.
func parseUint(literal []byte) (n uint64, ok bool) {
	n, err := strconv.ParseUint(string(literal), 10, 64)
	return n, err == nil
}
