package statefile

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// members reads an object, which must come next, and calls member for each key,
// in order; member must read the value. The key is valid until it does.
func (d *document) members(member func(key []byte) error) error {
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	for d.dec.PeekKind() == '"' {
		quoted, err := d.dec.ReadValue()
		if err != nil {
			return err
		}
		if err := member(d.unquote(quoted)); err != nil {
			return err
		}
	}
	_, err := d.dec.ReadToken()
	return err
}

// elements reads an array, which must come next, and calls element for each of
// its elements; element must read it.
func (d *document) elements(element func() error) error {
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	for {
		switch d.dec.PeekKind() {
		case ']', jsontext.KindInvalid:
			_, err := d.dec.ReadToken()
			return err
		}
		if err := element(); err != nil {
			return err
		}
	}
}

// objectOf is members for a value that formats f take to be an object or null.
func (d *document) objectOf(f formats, name string, member func(key []byte) error) error {
	if !d.expect('{', f, name) {
		return d.dec.SkipValue()
	}
	return d.members(member)
}

// arrayOf is elements for a value that formats f take to be an array or null.
func (d *document) arrayOf(f formats, name string, element func() error) error {
	if !d.expect('[', f, name) {
		return d.dec.SkipValue()
	}
	return d.elements(element)
}

// text reads a value that formats f take to be a string. As in encoding/json,
// null leaves into as it is.
func (d *document) text(f formats, name string, into *string) error {
	if !d.expect('"', f, name) {
		return d.dec.SkipValue()
	}
	quoted, err := d.dec.ReadValue()
	if err != nil {
		return err
	}
	if int64(len(quoted)) >= longToken {
		// Its inside may have been cut out.
		d.refuseType(f, d.refuse(KindWrongType, `"`+name+`" is longer than any real one`, d.in.offset(d.dec.InputOffset()-int64(len(quoted)))))
		return nil
	}
	*into = string(d.unquote(quoted))
	return nil
}

// bytesOf is text for values that are looked at and forgotten.
func (d *document) bytesOf(f formats, name string, into *[]byte) error {
	if !d.expect('"', f, name) {
		return d.dec.SkipValue()
	}
	quoted, err := d.dec.ReadValue()
	if err != nil {
		return err
	}
	*into = append((*into)[:0], d.unquote(quoted)...)
	return nil
}

// flag reads a value that formats f take to be true or false.
func (d *document) flag(f formats, name string, into *bool) error {
	switch d.dec.PeekKind() {
	case 't':
		*into = true
	case 'f':
		*into = false
	default:
		d.expect('t', f, name)
	}
	return d.dec.SkipValue()
}

// check reads a value that formats f take to be of the kind, and does not look at it.
func (d *document) check(kind jsontext.Kind, f formats, name string) error {
	d.expect(kind, f, name)
	return d.dec.SkipValue()
}

// expect reports whether the next value is of the kind. If it is neither that
// nor null, the formats f are marked as refusing the file.
func (d *document) expect(kind jsontext.Kind, f formats, name string) bool {
	next := d.dec.PeekKind()
	switch next {
	case kind:
		return true
	case 'n', jsontext.KindInvalid:
		// Null leaves a value as it is; what is no JSON is found when it is read.
		return false
	}
	for format := range d.typeErrors {
		if f&(1<<format) != 0 && d.typeErrors[format] == nil {
			d.refuseType(f, d.refuse(KindWrongType, `"`+name+`" is not `+kindNames[kind], d.nextOffset()))
			break
		}
	}
	return false
}

var kindNames = map[jsontext.Kind]string{
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

// refuse makes an Error with its place.
func (d *document) refuse(kind Kind, detail string, offset int64) *Error {
	e := &Error{Kind: kind, Offset: offset, Detail: detail}
	if offset >= 0 {
		e.Line, e.Column = d.in.position(offset)
	}
	return e
}

// nextOffset is where the next value begins, after a PeekKind.
func (d *document) nextOffset() int64 {
	unread := d.dec.UnreadBuffer()
	blanks := len(unread) - len(bytes.TrimLeft(unread, " \t\r\n,:"))
	return d.in.offset(d.dec.InputOffset() + int64(blanks))
}

// unquote is the text of a JSON string, valid until the decoder reads on or
// unquote is called again. Where the string is no valid Unicode it has U+FFFD, as with
// encoding/json.
func (d *document) unquote(quoted []byte) []byte {
	inside := quoted[1 : len(quoted)-1]
	for _, c := range inside {
		if c == '\\' || c >= utf8.RuneSelf {
			// An error is about what is no valid Unicode, and the text is there all the same.
			d.unquoted, _ = jsontext.AppendUnquote(d.unquoted[:0], quoted)
			return d.unquoted
		}
	}
	return inside
}

// parseUint reads a whole number as encoding/json reads it into a uint64.
func parseUint(literal []byte) (n uint64, ok bool) {
	n, err := strconv.ParseUint(string(literal), 10, 64)
	return n, err == nil
}
