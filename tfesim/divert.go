package tfesim

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"

	"tfhaul/tfesim/jsonapi"
)

// A diverter passes on a JSON document without its long base64 strings: the strings below
// data.attributes that have a sink are decoded into that sink as they arrive, and replaced
// by empty strings. The rest of the document is limited to maxDocument, so memory does not
// depend on the size of a state. The diverter checks JSON only as far as needed to follow
// the nesting; its reader does the rest.
type diverter struct {
	in      *bufio.Reader
	sinks   map[string]io.Writer // by attribute
	taken   map[string]bool
	frames  []frame
	out     bytes.Buffer
	emitted int
	err     error
}

type frame struct {
	object bool
	isKey  bool // the next string is a key
	key    string
}

// maxNesting is far deeper than any JSON:API document.
const maxNesting = 64

func newDiverter(r io.Reader, sinks map[string]io.Writer) *diverter {
	return &diverter{in: bufio.NewReaderSize(r, 64<<10), sinks: sinks, taken: map[string]bool{}}
}

// Read implements io.Reader.
func (d *diverter) Read(p []byte) (int, error) {
	for d.out.Len() == 0 {
		if d.err != nil {
			return 0, d.err
		}
		d.out.Reset()
		before := d.out.Len()
		d.err = d.step()
		d.emitted += d.out.Len() - before
		if d.err == nil && d.emitted > jsonapi.MaxDocument {
			d.err = jsonapi.TooLarge()
		}
	}
	return d.out.Read(p)
}

// step passes on one byte or one string.
func (d *diverter) step() error {
	c, err := d.in.ReadByte()
	if err != nil {
		return err
	}
	top := &frame{}
	if n := len(d.frames); n > 0 {
		top = &d.frames[n-1]
	}
	switch c {
	case '{', '[':
		if len(d.frames) == maxNesting {
			return jsonapi.BadRequest("the document is nested too deeply")
		}
		d.frames = append(d.frames, frame{object: c == '{', isKey: c == '{'})
	case '}', ']':
		if n := len(d.frames); n > 0 {
			d.frames = d.frames[:n-1]
		}
	case ',':
		top.isKey = top.object
	case ':':
		top.isKey = false
	case '"':
		if sink := d.sink(); sink != nil && !top.isKey {
			d.out.WriteString(`""`)
			return d.divert(top.key, sink)
		}
		return d.passString(top)
	}
	d.out.WriteByte(c)
	return nil
}

// sink returns where the string that starts here goes, or nil.
func (d *diverter) sink() io.Writer {
	if len(d.frames) != 3 || d.frames[0].key != "data" || d.frames[1].key != "attributes" || !d.frames[2].object {
		return nil
	}
	return d.sinks[d.frames[2].key]
}

// passString passes on a string unchanged, and remembers it if it is a key.
func (d *diverter) passString(top *frame) error {
	start := d.out.Len()
	d.out.WriteByte('"')
	for escaped := false; ; {
		c, err := d.in.ReadByte()
		if err != nil {
			return unexpectedEOF(err)
		}
		d.out.WriteByte(c)
		if d.out.Len() > jsonapi.MaxDocument {
			return jsonapi.TooLarge()
		}
		if c == '"' && !escaped {
			break
		}
		escaped = c == '\\' && !escaped
	}
	if top.isKey {
		if err := json.Unmarshal(d.out.Bytes()[start:], &top.key); err != nil {
			return jsonapi.BadRequest("There was a problem in the JSON you submitted")
		}
	}
	return nil
}

// divert decodes the string that starts here into its sink.
func (d *diverter) divert(attribute string, sink io.Writer) error {
	if d.taken[attribute] {
		return jsonapi.BadRequest("the attribute %s appears twice", attribute)
	}
	d.taken[attribute] = true
	s := &stringReader{in: d.in}
	// The buffer combines the decoder's small pieces into larger writes.
	w := bufio.NewWriterSize(sink, 64<<10)
	_, err := io.Copy(w, base64.NewDecoder(base64.StdEncoding, s))
	if err == nil {
		err = w.Flush()
	}
	var corrupt base64.CorruptInputError
	switch {
	case errors.As(err, &corrupt), errors.Is(err, io.ErrUnexpectedEOF) && s.closed:
		return jsonapi.Invalid(attribute, "%s is not valid base64", attribute)
	case err != nil:
		return err
	}
	// The decoder stops at padding; nothing but the quote may follow.
	if rest, err := io.Copy(io.Discard, s); err != nil {
		return err
	} else if rest > 0 {
		return jsonapi.Invalid(attribute, "%s is not valid base64", attribute)
	}
	return nil
}

// A stringReader reads the content of a JSON string, with escapes resolved, up to the
// closing quote.
type stringReader struct {
	in      *bufio.Reader
	pending []byte
	closed  bool
}

// Read implements io.Reader.
func (s *stringReader) Read(p []byte) (int, error) {
	if len(s.pending) > 0 {
		n := copy(p, s.pending)
		s.pending = s.pending[n:]
		return n, nil
	}
	if s.closed {
		return 0, io.EOF
	}
	if _, err := s.in.Peek(1); err != nil {
		return 0, unexpectedEOF(err)
	}
	b, err := s.in.Peek(min(s.in.Buffered(), len(p)))
	if err != nil {
		return 0, unexpectedEOF(err)
	}
	if i := bytes.IndexAny(b, `"\`); i >= 0 {
		b = b[:i]
	}
	n := copy(p, b)
	if _, err := s.in.Discard(n); err != nil || n > 0 {
		return n, err
	}
	return 0, s.special()
}

// special handles the closing quote or an escape.
func (s *stringReader) special() error {
	c, err := s.in.ReadByte()
	if err != nil {
		return unexpectedEOF(err)
	}
	if c == '"' {
		s.closed = true
		return nil
	}
	if c, err = s.in.ReadByte(); err != nil {
		return unexpectedEOF(err)
	}
	switch c {
	case 'u':
		hexDigits := make([]byte, 4)
		if _, err := io.ReadFull(s.in, hexDigits); err != nil {
			return unexpectedEOF(err)
		}
		code, err := strconv.ParseUint(string(hexDigits), 16, 16)
		if err != nil {
			return jsonapi.BadRequest("There was a problem in the JSON you submitted")
		}
		s.pending = utf8.AppendRune(nil, rune(code))
	case 'n':
		s.pending = []byte{'\n'}
	case 'r':
		s.pending = []byte{'\r'}
	default:
		s.pending = []byte{c}
	}
	return nil
}

func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// validMD5 reports whether the text is an MD5 in hex.
func validMD5(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 16
}
