package statefile

import (
	"errors"
	"fmt"
	"io"
	"strconv"
)

// ErrChanged is what the reader of [Snapshot.Bump] fails with when the bytes
// are not those that Read read.
var ErrChanged = errors.New("the state file is not the one that was read before: it changed meanwhile")

// Bump streams r, which must give the bytes that Read read, with nothing
// replaced but the digits of the serial that counts. The result fails with an
// [*Error] of KindNoSerial if the state holds no serial, with one of
// KindSerialOutOfRange if the new serial is not within 0 and [MaxSerial], and with
// [ErrChanged] if the length of r or its bytes at the serial's place are others than
// before. (A change elsewhere of the same length is not noticed: who must know
// compares MD5.)
func (s *Snapshot) Bump(r io.Reader, serial int64) io.Reader {
	switch {
	case s.serialLen == 0:
		return failingReader{&Error{Kind: KindNoSerial, Offset: -1}}
	case serial < 0 || serial > MaxSerial:
		return failingReader{&Error{Kind: KindSerialOutOfRange, Offset: -1, Detail: fmt.Sprintf("%d is asked for", serial)}}
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

// A failingReader has only an error to give.
type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// A bumpReader gives r's bytes up to at, then new in place of old, then the rest.
type bumpReader struct {
	r      io.Reader
	read   int64  // bytes taken from r
	at     int64  // where the old literal begins
	old    []byte // as much of the old literal as was met
	oldLen int
	was    int64  // what the old literal must mean
	new    []byte // what is left to give of the new literal
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
		// An end that comes together with the last bytes is told with the next call.
		b.err = err
		if n > 0 {
			return n, nil
		}
	}
	return n, b.err
}

// readOld takes more of the old literal out of r, and looks at it when it is whole.
func (b *bumpReader) readOld() {
	n, err := b.r.Read(b.old[len(b.old):b.oldLen])
	b.old = b.old[:len(b.old)+n]
	b.read += int64(n)
	if len(b.old) == b.oldLen {
		if v, bad := strconv.ParseInt(string(b.old), 10, 64); bad != nil || v != b.was {
			b.err = ErrChanged
		}
		return // the error, if any, comes again with the next read
	}
	if err == io.EOF {
		err = ErrChanged
	}
	b.err = err
}
