package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Format is the format and version of this program's JSON documents.
const Format = "tfhaul/1"

// JSON writes a document for scripts: the format, followed by the object's members.
func JSON[T any](w io.Writer, object T) error {
	var text bytes.Buffer
	if err := indentedEncoder(&text, "").Encode(object); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "{\n%s\"format\": %q,%s", memberIndent, Format, text.Bytes()[len("{"):])
	return err
}

// indentedEncoder returns an encoder for values at this indent.
func indentedEncoder(w io.Writer, indent string) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent(indent, "  ")
	return e
}

// A document is a JSON object written member by member, and its lists element by element,
// so that it needs memory for only one element. The bytes are the same that JSON would
// write for a struct with these members.
type document struct {
	w       *bufio.Writer
	members int
	err     error // the first error; nothing is written after it

	text    bytes.Buffer // one member or element
	member  *json.Encoder
	element *json.Encoder
}

// The indents of a document's members, and of elements in its lists.
const (
	memberIndent  = "  "
	elementIndent = "    "
)

// newDocument starts a document with its format. The caller must call end.
func newDocument(w io.Writer) *document {
	d := &document{w: bufio.NewWriterSize(w, 32<<10)}
	d.member, d.element = indentedEncoder(&d.text, memberIndent), indentedEncoder(&d.text, elementIndent)
	d.write("{")
	d.put("format", Format)
	return d
}

// put writes a member.
func (d *document) put(name string, value any) {
	d.name(name)
	d.value(d.member, value)
}

// putList writes a member that is a list; an empty list is [], never null.
func putList[T any](d *document, name string, list []T) {
	d.name(name)
	if len(list) == 0 {
		d.write("[]")
		return
	}
	before := "[\n" + elementIndent
	for i := range list {
		d.write(before)
		d.value(d.element, &list[i])
		before = ",\n" + elementIndent
	}
	d.write("\n" + memberIndent + "]")
}

// end ends the document. It returns the first error.
func (d *document) end() error {
	d.write("\n}\n")
	if d.err == nil {
		d.err = d.w.Flush()
	}
	return d.err
}

// name writes the name of the next member.
func (d *document) name(name string) {
	if d.members > 0 {
		d.write(",")
	}
	d.members++
	d.write("\n" + memberIndent + `"` + name + `": `)
}

// value writes an encoded value.
func (d *document) value(encoder *json.Encoder, value any) {
	if d.err != nil {
		return
	}
	d.text.Reset()
	if d.err = encoder.Encode(value); d.err != nil {
		return
	}
	d.text.Truncate(d.text.Len() - 1) // the newline that Encode adds
	_, d.err = d.w.Write(d.text.Bytes())
}

func (d *document) write(text string) {
	if d.err == nil {
		_, d.err = d.w.WriteString(text)
	}
}
