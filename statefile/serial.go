package statefile

import (
	"bytes"
	"strconv"
)

// A serial is what the top-level "serial" keys said. Format 4 reads it as unsigned, older
// formats as signed. That matters for "-0", and for numbers that a later "serial"
// replaces.
type serial struct {
	at       int64 // position of the last literal; length 0 if there is none
	length   int
	unsigned uint64
	signed   int64
	refusal  *Error // for outOfRange
}

// readSerial reads the top level's "serial".
func (d *document) readSerial() error {
	if !d.expect('0', formatsAll, "serial") {
		return d.skip()
	}
	at := d.offset()
	literal, err := d.readNumber()
	if err != nil {
		return err
	}
	if bytes.ContainsAny(literal, ".eE") {
		d.refuseType(formatsAll, d.refuse(KindWrongType, `"serial" is not written as a whole number`, at))
		return nil
	}
	s := serial{at: at, length: len(literal)}
	var fitsUnsigned bool
	s.unsigned, fitsUnsigned = parseUint(literal)
	s.signed, err = strconv.ParseInt(string(literal), 10, 64)
	if !fitsUnsigned || err != nil || s.outOfRange(3) || s.outOfRange(4) {
		s.refusal = d.refuse(KindSerialOutOfRange, "", at)
	}
	if !fitsUnsigned {
		d.refuseType(format4, s.refusal)
	}
	if err != nil {
		d.refuseType(formats123, s.refusal)
	}
	d.serial = s
	return nil
}

// outOfRange reports whether the serial is refused although Terraform's JSON reader
// accepts it.
func (s *serial) outOfRange(version uint64) bool {
	if version >= 1 && version <= 3 {
		return s.signed < 0 || s.signed > MaxSerial
	}
	return s.unsigned > MaxSerial
}

// value returns the serial as the format reads it.
func (s *serial) value(version uint64) int64 {
	if version >= 1 && version <= 3 {
		return s.signed
	}
	return int64(s.unsigned)
}
