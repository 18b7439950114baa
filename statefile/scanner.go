package statefile

import (
	"bytes"
	"hash/maphash"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the maximum nesting that encoding/json accepts.
const maxDepth = 10_000

// longText is the length in bytes above which only the beginning of a number or a string
// (with its quotes) is kept. No text that matters comes close.
const longText = 16 << 10

// A scanner reads JSON from an intake, following encoding/json, which Terraform uses, to
// the letter: a key may occur twice, and invalid UTF-8 in a string is not an error. It
// keeps the current chunk and at most the beginning of one string or number, whatever the
// size of the values.
//
// No library does that: a jsontext.Decoder buffers whole strings, and allocates 134 MB for
// one of 32 MB, where Read needs less than 1 MB. encoding/json needs the file in memory, and
// decodes 134 MB/s, where Read reads 366 MB/s and takes the MD5 as well.
//
// All its errors are of type *Error and end the reading.
type scanner struct {
	in intake

	buf []byte // the chunk being read
	pos int    // how much of buf has been read
	at  int64  // offset of buf in the file

	depth int // how many objects and arrays are open

	token  clip // the string or number being read
	record clip // a value of any type

	quoted, unquoted []byte // the last string with escapes, and its meaning

	parsed parsed
}

var scanners = sync.Pool{New: func() any { return &scanner{in: newIntake()} }}

// newScanner prepares to read src. Call release when done.
func newScanner(src io.Reader) *scanner {
	s := scanners.Get().(*scanner)
	s.in.open(src)
	s.depth, s.token.open, s.record.open = 0, false, false
	s.buf, s.pos, s.at = nil, 0, 0
	s.more()
	return s
}

// release ends the reading, and keeps the buffers for the next file.
func (s *scanner) release() {
	s.in.close()
	s.buf = nil
	scanners.Put(s)
}

// more moves to the next chunk when this one has been read. It reports false at the end
// of the file.
func (s *scanner) more() bool {
	s.keep(&s.token)
	s.keep(&s.record)
	c := s.in.next()
	if c == nil {
		return false
	}
	s.buf, s.pos, s.token.mark, s.record.mark, s.at = c.buf, 0, 0, 0, c.at
	return true
}

// offset returns the scanner's position in the file.
func (s *scanner) offset() int64 { return s.at + int64(s.pos) }

// ended reports whether the scanner is at the end of the file.
func (s *scanner) ended() bool { return s.pos == len(s.buf) && !s.more() }

// cur returns the next byte, or 0 at the end of the file.
func (s *scanner) cur() byte {
	if s.ended() {
		return 0
	}
	return s.buf[s.pos]
}

// next skips whitespace, and returns the byte after it without reading it, or 0 at the
// end of the file.
func (s *scanner) next() byte {
	if b := s.buf[s.pos:]; len(b) > 0 && b[0] > ' ' {
		return b[0]
	}
	return s.behindBlanks()
}

func (s *scanner) behindBlanks() byte {
	for !s.ended() {
		if s.pos += blanks(s.buf[s.pos:]); s.pos < len(s.buf) {
			return s.buf[s.pos]
		}
	}
	return 0
}

// refuse returns an Error with its position.
func (s *scanner) refuse(kind Kind, detail string, offset int64) *Error {
	e := &Error{Kind: kind, Offset: offset, Detail: detail}
	if offset >= 0 {
		e.Line, e.Column = s.in.position(offset)
	}
	return e
}

// broken returns the error for invalid JSON at this position.
func (s *scanner) broken() *Error {
	if s.ended() {
		return s.refuse(KindTruncated, "", s.offset())
	}
	e := s.refuse(KindNotJSON, "", s.offset())
	e.Detail = breaker(s.ahead(longestBreaker))
	if e.Offset == 0 {
		e.next = "check that this is the state file"
	}
	return e
}

// ahead reads up to n bytes.
func (s *scanner) ahead(n int) (b []byte) {
	for ; len(b) < n && !s.ended(); s.pos++ {
		b = append(b, s.buf[s.pos])
	}
	return b
}

// peek returns the kind of the next value, from its first byte: '{', '[', '"', '0' for a
// number, 't', 'f' or 'n', or 0 if no value follows.
func (s *scanner) peek() byte {
	switch c := s.next(); c {
	case '{', '[', '"', 't', 'f', 'n':
		return c
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return '0'
	}
	return 0
}

// members reads an object and calls member for each key, in order; member must read the
// value. The key is valid until then.
func (s *scanner) members(member func(key []byte) error) error {
	if err := s.open(); err != nil {
		return err
	}
	for s.next() != '}' {
		key, err := s.readKey()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if err := s.comma('}'); err != nil {
			return err
		}
	}
	s.shut()
	return nil
}

// elements reads an array and calls element for each element; element must read it.
func (s *scanner) elements(element func() error) error {
	if err := s.open(); err != nil {
		return err
	}
	for s.next() != ']' {
		if err := element(); err != nil {
			return err
		}
		if err := s.comma(']'); err != nil {
			return err
		}
	}
	s.shut()
	return nil
}

// skip reads a value of any type. Most of a state is skipped, and its texts are not looked
// at.
func (s *scanner) skip() error {
	if n := plainString(s.buf[s.pos:]); n > 0 {
		s.pos += n
		return nil
	}
	switch c := s.next(); c {
	case '{':
		return s.skipObject("", nil)
	case '[':
		return s.elements(s.skip)
	case '"':
		return s.stringToken()
	default:
		return s.scalar(c)
	}
}

// skipObject reads an object. It calls found for the values of the key wanted, which must
// read them, and skips all others.
func (s *scanner) skipObject(wanted string, found func() error) error {
	if err := s.open(); err != nil {
		return err
	}
	for s.next() != '}' {
		var key []byte
		var err error
		b := s.buf[s.pos:]
		if n := plainKey(b); n > 0 {
			key = b[1 : n-3]
			s.pos += n
		} else if key, err = s.readKey(); err != nil {
			return err
		}
		if string(key) == wanted && found != nil {
			err = found()
		} else {
			err = s.skip()
		}
		if err != nil {
			return err
		}
		if err := s.comma('}'); err != nil {
			return err
		}
	}
	s.shut()
	return nil
}

// walk reads a value and calls text for all strings in it, including keys. What text gets
// is valid until it returns.
func (s *scanner) walk(text func(said []byte, key bool)) error {
	switch s.next() {
	case '{':
		return s.members(func(key []byte) error {
			text(key, true)
			return s.walk(text)
		})
	case '[':
		return s.elements(func() error { return s.walk(text) })
	case '"':
		said, _, err := s.readText()
		if err == nil {
			text(said, false)
		}
		return err
	}
	return s.skip()
}

// open reads the opening of an object or array.
func (s *scanner) open() error {
	if s.depth == maxDepth {
		return s.refuse(KindTooDeep, "", s.offset())
	}
	s.pos++
	s.depth++
	return nil
}

// shut reads the closing of an object or array.
func (s *scanner) shut() {
	s.pos++
	s.depth--
}

// comma reads the comma before another element or member, unless end comes next.
func (s *scanner) comma(end byte) error {
	if n := plainComma(s.buf[s.pos:], end); n > 0 {
		s.pos += n
		return nil
	}
	switch s.next() {
	case end:
		return nil
	case ',':
	default:
		return s.broken()
	}
	at := s.offset()
	s.pos++
	if s.behindBlanks() == end {
		return s.refuse(KindNotJSON, breaker([]byte{','}), at)
	}
	return nil
}

// readKey reads a key and everything up to its value.
func (s *scanner) readKey() ([]byte, error) {
	b := s.buf[s.pos:]
	if n := plainKey(b); n > 0 && isVerbatim(b[1:n-3]) {
		s.pos += n
		return b[1 : n-3], nil
	}
	if s.next() != '"' {
		return nil, s.broken()
	}
	// The key stays marked until the value starts, however far away that is.
	begun := s.offset()
	s.begin(&s.token)
	if err := s.stringToken(); err != nil {
		return nil, err
	}
	length := s.offset() - begun
	if err := s.colon(); err != nil {
		return nil, err
	}
	s.next()
	quoted, _ := s.end(&s.token)
	return s.unquote(quoted[:min(length, longText)], length > longText), nil
}

// colon reads the colon after a key.
func (s *scanner) colon() error {
	if s.next() != ':' {
		return s.broken()
	}
	s.pos++
	if b := s.buf[s.pos:]; len(b) > 0 && b[0] == ' ' {
		s.pos++ // as Terraform writes it
	}
	return nil
}

// readText reads a string and returns its meaning, which is valid until the scanner reads
// on. Of a long string it returns the beginning.
func (s *scanner) readText() (text []byte, long bool, err error) {
	b := s.buf[s.pos:]
	if n := plainString(b); n > 0 && n <= longText && isVerbatim(b[1:n-1]) {
		s.pos += n
		return b[1 : n-1], false, nil
	}
	if len(s.quoted) > 0 && bytes.HasPrefix(b, s.quoted) { // resources repeat their provider
		s.pos += len(s.quoted)
		return s.unquoted, false, nil
	}
	s.begin(&s.token)
	if err := s.stringToken(); err != nil {
		return nil, false, err
	}
	quoted, long := s.end(&s.token)
	return s.unquote(quoted, long), long, nil
}

// readNumber reads a number and returns its spelling, which is valid until the scanner
// reads on. Of a long number it returns the beginning.
func (s *scanner) readNumber() (literal []byte, err error) {
	s.begin(&s.token)
	if err := s.numberToken(); err != nil {
		return nil, err
	}
	literal, _ = s.end(&s.token)
	return literal, nil
}

// A clip is what is read between begin and end, across chunks. Of a long text it is the
// beginning, with a hash of the rest.
type clip struct {
	open bool
	mark int    // where the part that is not in kept starts in buf
	kept []byte // the part from earlier chunks
	rest maphash.Hash
	long bool
}

func (s *scanner) begin(c *clip) {
	c.open, c.mark, c.kept, c.long = true, s.pos, c.kept[:0], false
}

// end returns the text read since begin, which is valid until the scanner reads on, or
// the beginning of a long one.
func (s *scanner) end(c *clip) (text []byte, long bool) {
	if text = s.buf[c.mark:s.pos]; len(c.kept) > 0 || len(text) > longText {
		s.keep(c)
		text = c.kept
	}
	c.open = false
	return text, c.long
}

// keep saves the part of an open clip that is in this chunk.
func (s *scanner) keep(c *clip) {
	if !c.open {
		return
	}
	part := s.buf[c.mark:s.pos]
	n := min(len(part), longText-len(c.kept))
	c.kept = append(c.kept, part[:n]...)
	c.mark = s.pos
	if n == len(part) {
		return
	}
	if !c.long {
		c.rest.SetSeed(distinctSeed)
		c.long = true
	}
	_, _ = c.rest.Write(part[n:]) // a maphash never fails
}

// scalar reads a value that starts with c and is not an object, an array or a string.
func (s *scanner) scalar(c byte) error {
	switch c {
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.numberToken()
}

func (s *scanner) literal(word string) error {
	for i := range len(word) {
		if s.cur() != word[i] {
			return s.broken()
		}
		s.pos++
	}
	return nil
}

func (s *scanner) numberToken() error {
	if s.cur() == '-' {
		s.pos++
	}
	if s.cur() == '0' {
		s.pos++
	} else if !s.digits() {
		return s.broken()
	}
	if s.cur() == '.' {
		s.pos++
		if !s.digits() {
			return s.broken()
		}
	}
	if c := s.cur(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.cur(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.broken()
		}
	}
	return nil
}

// digits reads digits, and reports whether there were any.
func (s *scanner) digits() (any bool) {
	for isDigit(s.cur()) {
		s.pos++
		any = true
	}
	return any
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// stringToken reads a string.
func (s *scanner) stringToken() error {
	if n := plainString(s.buf[s.pos:]); n > 0 {
		s.pos += n
		return nil
	}
	s.pos++ // quote
	for {
		s.pos += plain(s.buf[s.pos:])
		if s.pos == len(s.buf) {
			if s.more() {
				continue
			}
			return s.broken()
		}
		switch s.buf[s.pos] {
		case '"':
			s.pos++
			return nil
		case '\\':
			if err := s.escape(); err != nil {
				return err
			}
		default: // a control character
			return s.broken()
		}
	}
}

// escape reads an escape in a string.
func (s *scanner) escape() error {
	at := s.offset()
	s.pos++
	digits := 0
	switch s.cur() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
	case 'u':
		digits = 4
	default:
		return s.brokenEscape(at)
	}
	for s.pos++; digits > 0; digits-- {
		if c := s.cur() | 0x20; !isDigit(s.cur()) && (c < 'a' || c > 'f') {
			return s.brokenEscape(at)
		}
		s.pos++
	}
	return nil
}

// brokenEscape returns the error for an invalid escape at the offset.
func (s *scanner) brokenEscape(at int64) *Error {
	if s.ended() {
		return s.broken()
	}
	return s.refuse(KindNotJSON, "", at)
}

// unquote returns the meaning of a string, which is valid until the scanner reads on or
// unquote is called again. A long string has no closing quote. Invalid Unicode becomes
// U+FFFD, as in encoding/json.
func (s *scanner) unquote(quoted []byte, long bool) []byte {
	inside := quoted[1:]
	if !long {
		inside = inside[:len(inside)-1]
	}
	if isVerbatim(inside) {
		return inside
	}
	// Errors are about invalid Unicode or the missing quote. The text is complete anyway.
	s.unquoted, _ = jsontext.AppendUnquote(s.unquoted[:0], quoted)
	if s.quoted = s.quoted[:0]; !long {
		s.quoted = append(s.quoted, quoted...)
	}
	return s.unquoted
}
