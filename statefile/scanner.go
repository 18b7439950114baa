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
// All its errors are of type *Error and end the reading.
type scanner struct {
	in intake

	buf []byte // the chunk being read
	pos int    // how much of buf has been read
	at  int64  // offset of buf in the file

	depth   int                     // how many objects and arrays are open
	objects [maxDepth/64 + 1]uint64 // one bit for each: whether it is an object

	// The token between begin and end.
	marked bool
	begun  int64  // its offset in the file
	mark   int    // its start in buf, or where the part not in kept starts
	kept   []byte // its part from earlier chunks

	// The hash of what follows a long token's beginning.
	tail   maphash.Hash
	tailed bool

	// What is read after record is kept as well, whatever tokens it has.
	recording  bool
	recordMark int    // its start in buf, or where the part not in recordKept starts
	recordKept []byte // its part from earlier chunks

	// The last string that needed unquoting, and its meaning. Most resources of a file
	// name the same provider, which has quotes in its address.
	quoted, unquoted []byte
}

var scanners = sync.Pool{New: func() any { return &scanner{in: newIntake()} }}

// newScanner prepares to read src. Call release when done.
func newScanner(src io.Reader) *scanner {
	s := scanners.Get().(*scanner)
	s.in.open(src)
	s.depth, s.marked, s.recording = 0, false, false
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
	if s.marked {
		s.keep()
		s.mark = s.pos
	}
	if s.recording {
		s.keepRecord()
		s.recordMark = s.pos
	}
	c := s.in.next()
	if c == nil {
		return false
	}
	s.buf, s.pos, s.mark, s.recordMark, s.at = c.buf, 0, 0, 0, c.at
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
	if err := s.open('{'); err != nil {
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

// find is members for the keys equal to name; it skips the others. Most members of a
// state are skipped here, so simple ones are read with i, which stays in a register.
func (s *scanner) find(name string, member func() error) error {
	if err := s.open('{'); err != nil {
		return err
	}
	for s.next() != '}' {
		i, found := s.pos, false
		if n := plainKey(s.buf[i:]); n > 0 {
			found = n == len(name)+len(`"": `) && string(s.buf[i+1:][:len(name)]) == name
			i += n
		} else {
			key, err := s.readKey()
			if err != nil {
				return err
			}
			i, found = s.pos, string(key) == name
		}
		n := plainString(s.buf[i:])
		if found {
			n = 0
		}
		var err error
		switch s.pos = i + n; {
		case found:
			err = member()
		case n == 0:
			err = s.skip()
		}
		if err == nil {
			err = s.comma('}')
		}
		if err != nil {
			return err
		}
	}
	s.shut()
	return nil
}

// elements reads an array and calls element for each element; element must read it.
func (s *scanner) elements(element func() error) error {
	if err := s.open('['); err != nil {
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

// skip reads a value of any type.
func (s *scanner) skip() error { return s.walk(nil) }

// walk reads a value and calls text, unless it is nil, for all strings in it, including
// keys. What text gets is valid until it returns.
func (s *scanner) walk(text func(said []byte, key bool)) error {
	for bottom := s.depth; ; {
		begun, err := s.walkValue(text)
		if err != nil {
			return err
		}
		if !begun {
			if done, err := s.closeDownTo(bottom); done || err != nil {
				return err
			}
		}
		if s.inObject() {
			if err := s.walkKey(text); err != nil {
				return err
			}
		}
	}
}

// walkValue reads a value for walk. Of a non-empty object or array it reads only the
// opening, and reports so.
func (s *scanner) walkValue(text func([]byte, bool)) (begun bool, err error) {
	switch c := s.next(); c {
	case '{', '[':
		if err := s.open(c); err != nil {
			return false, err
		}
		if s.next() != s.closer() {
			return true, nil
		}
		s.shut()
		return false, nil
	case '"':
		if text != nil {
			said, _, err := s.readText()
			if err == nil {
				text(said, false)
			}
			return false, err
		}
		return false, s.stringToken()
	default:
		return false, s.scalar(c)
	}
}

// closeDownTo reads the closing brackets after a value. It reports whether at most depth
// objects and arrays are still open. Otherwise it has read the comma before the next
// value or key.
func (s *scanner) closeDownTo(depth int) (done bool, err error) {
	for s.depth > depth {
		end := s.closer()
		if err := s.comma(end); err != nil {
			return false, err
		}
		if s.cur() != end {
			return false, nil
		}
		s.shut()
	}
	return true, nil
}

// open reads the opening of an object or array.
func (s *scanner) open(c byte) error {
	if s.depth == maxDepth {
		return s.refuse(KindTooDeep, "", s.offset())
	}
	s.pos++
	word, bit := &s.objects[s.depth/64], uint64(1)<<(s.depth%64)
	if c == '{' {
		*word |= bit
	} else {
		*word &^= bit
	}
	s.depth++
	return nil
}

// shut reads the closing of an object or array.
func (s *scanner) shut() {
	s.pos++
	s.depth--
}

// closer returns the byte that closes the innermost open object or array.
func (s *scanner) closer() byte {
	if s.inObject() {
		return '}'
	}
	return ']'
}

// inObject reports whether the innermost open value is an object.
func (s *scanner) inObject() bool {
	d := s.depth - 1
	return s.objects[d/64]&(1<<(d%64)) != 0
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
	s.begin()
	if err := s.stringToken(); err != nil {
		return nil, err
	}
	length := s.offset() - s.begun
	if err := s.colon(); err != nil {
		return nil, err
	}
	s.next()
	quoted, _ := s.end()
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
		s.tailed = false
		return b[1 : n-1], false, nil
	}
	s.begin()
	if err := s.stringToken(); err != nil {
		return nil, false, err
	}
	quoted, long := s.end()
	return s.unquote(quoted, long), long, nil
}

// readNumber reads a number and returns its spelling, which is valid until the scanner
// reads on. Of a long number it returns the beginning.
func (s *scanner) readNumber() (literal []byte, err error) {
	s.begin()
	if err := s.numberToken(); err != nil {
		return nil, err
	}
	literal, _ = s.end()
	return literal, nil
}

// walkKey is readKey for walk.
func (s *scanner) walkKey(text func([]byte, bool)) error {
	if text != nil {
		key, err := s.readKey()
		if err == nil {
			text(key, true)
		}
		return err
	}
	if n := plainKey(s.buf[s.pos:]); n > 0 {
		s.pos += n
		return nil
	}
	if s.next() != '"' {
		return s.broken()
	}
	if err := s.stringToken(); err != nil {
		return err
	}
	return s.colon()
}

// begin marks the start of a token to be kept.
func (s *scanner) begin() {
	s.marked, s.mark, s.begun, s.kept, s.tailed = true, s.pos, s.offset(), s.kept[:0], false
}

// end returns the token read since begin, or the beginning of a long one.
func (s *scanner) end() (token []byte, long bool) {
	s.marked = false
	token = s.buf[s.mark:s.pos]
	if len(s.kept) > 0 {
		s.keep()
		token = s.kept
	}
	if len(token) > longText {
		s.hashTail(token[longText:])
		token = token[:longText]
	}
	return token, s.offset()-s.begun > longText
}

// keep saves the token's part in this chunk.
func (s *scanner) keep() {
	part := s.buf[s.mark:s.pos]
	n := min(len(part), longText-len(s.kept))
	s.kept = append(s.kept, part[:n]...)
	if n < len(part) {
		s.hashTail(part[n:])
	}
}

func (s *scanner) hashTail(part []byte) {
	if !s.tailed {
		s.tail.SetSeed(distinctSeed)
		s.tailed = true
	}
	// It never fails.
	_, _ = s.tail.Write(part)
}

// tailSum returns a hash of what follows a long token's beginning, as written, or 0 if
// the last token was not long.
func (s *scanner) tailSum() uint64 {
	if !s.tailed {
		return 0
	}
	return s.tail.Sum64()
}

// record starts keeping everything that is read.
func (s *scanner) record() {
	s.recording, s.recordMark, s.recordKept = true, s.pos, s.recordKept[:0]
}

// recorded returns what was read since record, which is valid until the scanner reads on.
// whole reports whether it is complete.
func (s *scanner) recorded() (text []byte, whole bool) {
	s.recording = false
	if len(s.recordKept) == 0 {
		text = s.buf[s.recordMark:s.pos]
	} else {
		s.keepRecord()
		text = s.recordKept
	}
	if len(text) > longText {
		return text[:longText], false
	}
	return text, true
}

// keepRecord saves this chunk's part of the record, up to one byte more than is ever
// returned.
func (s *scanner) keepRecord() {
	part := s.buf[s.recordMark:s.pos]
	s.recordKept = append(s.recordKept, part[:min(len(part), longText+1-len(s.recordKept))]...)
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
	if !bytes.Equal(quoted, s.quoted) {
		// Errors are about invalid Unicode or the missing quote. The text is complete
		// anyway.
		s.unquoted, _ = jsontext.AppendUnquote(s.unquoted[:0], quoted)
		s.quoted = append(s.quoted[:0], quoted...)
	}
	return s.unquoted
}
