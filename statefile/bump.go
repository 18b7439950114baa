package statefile

import (
	"errors"
	"fmt"
	"io"
	"strconv"
)

// ErrChanged is returned by the reader of [Snapshot.Bump] if the bytes differ from those
// that Read read.
var ErrChanged = errors.New("the state file changed after it was read")

// Bump returns a copy of r, which must have the bytes that Read read, with only the
// digits of the effective serial replaced. Reading it fails with an [*Error] of
// KindNoSerial if the state has no serial, with KindSerialOutOfRange if the new serial is
// not between 0 and [MaxSerial], and with [ErrChanged] if r's length or the bytes of its
// serial changed. Other changes of the same length go unnoticed; compare the MD5 to find
// them.
func (s *Snapshot) Bump(r io.Reader, serial int64) io.Reader {
	switch {
	case s.serialLen == 0:
		return failingReader{&Error{Kind: KindNoSerial, Offset: -1}}
	case serial < 0 || serial > MaxSerial:
		return failingReader{&Error{Kind: KindSerialOutOfRange, Offset: -1, Detail: fmt.Sprintf("%d was requested", serial)}}
	}
	return &bumpReader{
		r:      r,
		at:     s.serialAt,
		old:    make([]byte, 0, s.serialLen),
		oldLen: s.serialLen,
		was:    s.Serial,
		new:    strconv.AppendInt(nil, serial, 10),
		size:   s.Size,
	}
}

// A failingReader returns only an error.
type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// A bumpReader returns r's bytes up to at, then new instead of old, then the rest.
type bumpReader struct {
	r      io.Reader
	read   int64  // bytes read from r
	at     int64  // offset of the old literal
	old    []byte // what has been read of the old literal
	oldLen int
	was    int64  // value that the old literal must have
	new    []byte // what is left to return of the new literal
	size   int64
	err    error
}

func (b *bumpReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for b.err == nil && b.read >= b.at && len(b.old) < b.oldLen {
		b.readOld()
	}
	if b.err != nil {
		return 0, b.err
	}
	if b.read >= b.at && len(b.new) > 0 {
		n := copy(p, b.new)
		b.new = b.new[n:]
		return n, nil
	}
	if b.read < b.at {
		p = p[:min(int64(len(p)), b.at-b.read)]
	}
	n, err := b.r.Read(p)
	b.read += int64(n)
	switch {
	case b.read > b.size, err == io.EOF && b.read < b.size:
		b.err = ErrChanged
		return 0, b.err
	case err != nil:
		// An EOF that comes with the last bytes is returned by the next call.
		b.err = err
		if n > 0 {
			return n, nil
		}
	}
	return n, b.err
}

// readOld reads more of the old literal, and checks it once it is complete.
func (b *bumpReader) readOld() {
	n, err := b.r.Read(b.old[len(b.old):b.oldLen])
	b.old = b.old[:len(b.old)+n]
	b.read += int64(n)
	if len(b.old) == b.oldLen {
		if v, bad := strconv.ParseInt(string(b.old), 10, 64); bad != nil || v != b.was {
			b.err = ErrChanged
		}
		return // the next read returns the error again, if there was one
	}
	if err == io.EOF {
		err = ErrChanged
	}
	b.err = err
}
