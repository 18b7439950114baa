package statefile

import (
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"io"
	"math/big"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A Content is a digest of what a state means. It ignores formatting: whitespace, line
// endings, key order, escapes and number notation. It can only be compared within one
// process.
type Content struct {
	// MD5 is the digest of the file's bytes, as in [Snapshot].
	MD5 string

	state, terraformVersion, checkResults uint64

	// partial reports whether a key or a number was too long to read in full.
	partial bool
}

// A Difference describes how two states differ.
type Difference struct {
	State            bool // what Terraform manages: resources, outputs, lineage, serial
	TerraformVersion bool
	CheckResults     bool
}

// Difference compares two contents.
func (c *Content) Difference(other *Content) Difference {
	return Difference{
		State:            c.state != other.state || c.MD5 != other.MD5 && (c.partial || other.partial),
		TerraformVersion: c.terraformVersion != other.terraformVersion,
		CheckResults:     c.checkResults != other.checkResults,
	}
}

// Or returns what differs in either of two comparisons.
func (d Difference) Or(other Difference) Difference {
	return Difference{d.State || other.State, d.TerraformVersion || other.TerraformVersion, d.CheckResults || other.CheckResults}
}

// Says completes a sentence about files with the same lineage and serial: "they have …".
func (d Difference) Says() string {
	switch {
	case d.State:
		return "different contents"
	case d.TerraformVersion && d.CheckResults:
		return "the same content; only terraform_version and check_results differ"
	case d.TerraformVersion:
		return "the same content; only terraform_version differs"
	case d.CheckResults:
		return "the same content; only check_results differ"
	}
	return "the same content in different formatting"
}

// ReadContent reads a state to its end and digests what it means. Like [Read], it makes
// one pass in flat memory. It returns an [*Error] if the file is not JSON, or r's error.
//
// If an object has the same key twice, which no program that writes states does, the
// order of the two does not count.
func ReadContent(r io.Reader) (*Content, error) {
	s := newScanner(r)
	defer s.release()
	d := &digester{scanner: s, content: new(Content)}
	d.hash.SetSeed(distinctSeed)
	refusal := d.file()
	s.in.drain(maxRefused)
	switch {
	case s.in.err != nil && s.in.err != io.EOF:
		return nil, s.in.err
	case refusal != nil:
		return nil, refusal
	}
	d.content.MD5 = hex.EncodeToString(s.in.md5.Sum(nil))
	return d.content, nil
}

// A digester computes digests of JSON.
type digester struct {
	*scanner
	content *Content
	hash    maphash.Hash // of the string or number being read
	buf     [16]byte
}

// file reads the file.
func (d *digester) file() error {
	if refusal := sniff(d.scanner.buf); refusal != nil {
		return refusal
	}
	var err error
	if d.next() == '{' {
		err = d.topLevel()
	} else {
		d.content.state, err = d.value()
	}
	if err != nil {
		return err
	}
	if d.next(); !d.ended() {
		return d.refuse(KindTrailingGarbage, "", d.offset())
	}
	return nil
}

// topLevel reads the state itself. Two of its members have their own digests.
func (d *digester) topLevel() error {
	c := d.content
	return d.members(func(key []byte) (err error) {
		switch string(fold(key)) {
		case "terraform_version":
			c.terraformVersion, err = d.value()
		case "check_results":
			if d.peek() == 'n' { // the same as no check results: Terraform 1.2 and older write none
				return d.skip()
			}
			c.checkResults, err = d.value()
		default:
			var h uint64
			h, err = d.member(key)
			c.state += h
		}
		return err
	})
}

// member digests a member of an object whose key has just been read.
func (d *digester) member(key []byte) (uint64, error) {
	const surelyWhole = longText / 8 // an escape takes six bytes for one
	if len(key) > surelyWhole {
		d.content.partial = true
	}
	said := maphash.Bytes(distinctSeed, key)
	value, err := d.value()
	return d.pair(said, value), err
}

// pair digests two digests. The order counts.
func (d *digester) pair(a, b uint64) uint64 {
	binary.LittleEndian.PutUint64(d.buf[:8], a)
	binary.LittleEndian.PutUint64(d.buf[8:], b)
	return maphash.Bytes(distinctSeed, d.buf[:])
}

// value digests a value of any type.
func (d *digester) value() (uint64, error) {
	switch c := d.next(); c {
	case '{':
		// A sum does not depend on the members' order.
		sum, n := uint64(0), uint64(0)
		err := d.members(func(key []byte) error {
			h, err := d.member(key)
			sum, n = sum+h, n+1
			return err
		})
		return d.pair(sum, n<<8|'{'), err
	case '[':
		all := uint64('[')
		err := d.elements(func() error {
			h, err := d.value()
			all = d.pair(all, h)
			return err
		})
		return all, err
	case '"':
		return d.text()
	case 't', 'f', 'n':
		return d.pair(uint64(c), 0), d.scalar(c)
	}
	literal, err := d.readNumber()
	if err != nil {
		return 0, err
	}
	return d.number(literal), nil
}

// number digests a number: 1, 1.0 and 1e0 are equal.
func (d *digester) number(literal []byte) uint64 {
	const longest = 400 // digits of any float64 written in full
	if len(literal) > longest {
		d.content.partial = d.content.partial || len(literal) >= longText
	} else if plainDigits(literal) {
		// Written in full, as most are.
	} else if n, ok := new(big.Rat).SetString(string(literal)); ok && shortExponent(literal) {
		literal = []byte(n.RatString())
	}
	return d.pair(maphash.Bytes(distinctSeed, literal), '0')
}

// shortExponent reports whether a number's exponent, if any, is small enough to write the
// number in full.
func shortExponent(literal []byte) bool {
	for i, c := range literal {
		if c|0x20 == 'e' {
			n, err := strconv.Atoi(string(literal[i+1:]))
			return err == nil && -longestExponent <= n && n <= longestExponent
		}
	}
	return true
}

const longestExponent = 400

// text digests the meaning of a string of any length.
func (d *digester) text() (uint64, error) {
	d.hash.Reset()
	s := d.scanner
	s.pos++ // quote
	var high rune
	for {
		n := plain(s.buf[s.pos:])
		if n > 0 {
			d.lone(&high)
			_, _ = d.hash.Write(s.buf[s.pos : s.pos+n]) // a maphash never fails
			s.pos += n
		}
		if s.pos == len(s.buf) {
			if s.more() {
				continue
			}
			return 0, s.broken()
		}
		switch s.buf[s.pos] {
		case '"':
			s.pos++
			d.lone(&high)
			return d.pair(d.hash.Sum64(), '"'), nil
		case '\\':
			s.begin(&s.token)
			if err := s.escape(); err != nil {
				return 0, err
			}
			escape, _ := s.end(&s.token)
			d.escaped(escape, &high)
		default:
			return 0, s.broken()
		}
	}
}

// escaped digests the meaning of an escape. The first half of a surrogate pair waits in
// high for the second.
func (d *digester) escaped(escape []byte, high *rune) {
	r, short := shortEscapes[escape[1]]
	if !short {
		n, _ := strconv.ParseUint(string(escape[2:]), 16, 16)
		r = rune(n)
	}
	if whole := utf16.DecodeRune(*high, r); *high != 0 && whole != utf8.RuneError {
		r, *high = whole, 0
	}
	d.lone(high)
	if utf16.IsSurrogate(r) {
		*high = r
		return
	}
	_, _ = d.hash.Write(utf8.AppendRune(d.buf[:0], r))
}

// lone digests half of a surrogate pair that has no other half.
func (d *digester) lone(high *rune) {
	if *high != 0 {
		_, _ = d.hash.Write(utf8.AppendRune(d.buf[:0], utf8.RuneError))
		*high = 0
	}
}

var shortEscapes = map[byte]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}
