package statefile

import (
	"bytes"
	"crypto/md5"
	"hash"
	"io"
	"math"
)

// chunkSize is how many bytes are read and hashed at a time. Only tests change it.
var chunkSize = 128 << 10

// ringSize is the number of chunks: the one being read, and the one before it, which
// errors may still refer to.
const ringSize = 2

// An intake reads a file in chunks. It hashes and counts all bytes, and computes lines
// and columns.
type intake struct {
	src io.Reader
	err error // src's error, or io.EOF

	ring   [ringSize]chunk
	latest int   // index of the last chunk read
	chunks int   // number of chunks read
	size   int64 // number of bytes read

	md5 hash.Hash
}

// A chunk is part of the file, with its position.
type chunk struct {
	buf  []byte
	at   int64 // offset of its first byte
	line int64 // number of lines before it
	bol  int64 // offset where the last line before it starts
}

func newIntake() intake { return intake{md5: md5.New()} }

// open starts reading src. Call close when done.
func (in *intake) open(src io.Reader) { in.src = src }

// close prepares for another file, and keeps the buffers.
func (in *intake) close() {
	in.md5.Reset()
	*in = intake{ring: in.ring, md5: in.md5}
}

// next reads the next chunk, which stays valid for one more call. It returns nil at the
// end of src or if src failed; see err.
func (in *intake) next() *chunk {
	if in.err != nil {
		return nil
	}
	prev := &in.ring[in.latest]
	if in.chunks > 0 {
		in.latest = (in.latest + 1) % ringSize
	}
	c := &in.ring[in.latest]
	if cap(c.buf) < chunkSize {
		c.buf = make([]byte, chunkSize)
	}
	n, err := io.ReadFull(in.src, c.buf[:chunkSize])
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	in.err = err
	c.buf = c.buf[:n]
	c.at, c.line, c.bol = in.size, 0, 0
	if in.chunks > 0 {
		lines := int64(bytes.Count(prev.buf, newline))
		c.line, c.bol = prev.line+lines, prev.bol
		if lines > 0 {
			c.bol = prev.at + int64(bytes.LastIndexByte(prev.buf, '\n')) + 1
		}
	}
	in.size += int64(n)
	in.chunks++
	if n == 0 {
		return nil
	}
	in.md5.Write(c.buf)
	return c
}

var newline = []byte{'\n'}

// drain reads the rest of src for the digest and the size, unless it is longer than limit
// bytes.
func (in *intake) drain(limit int64) {
	for end := in.size + min(limit, math.MaxInt64-in.size); in.size < end && in.next() != nil; {
	}
}

// position returns the line and column of an offset within the last two chunks, and 0, 0
// for others.
func (in *intake) position(offset int64) (line, column int64) {
	for _, k := range [...]int{in.latest, (in.latest + ringSize - 1) % ringSize} {
		c := &in.ring[k]
		n := offset - c.at
		if n < 0 || n > int64(len(c.buf)) {
			continue
		}
		before, bol := c.buf[:n], c.bol
		if i := bytes.LastIndexByte(before, '\n'); i >= 0 {
			bol = c.at + int64(i) + 1
		}
		return c.line + int64(bytes.Count(before, newline)) + 1, offset - bol + 1
	}
	return 0, 0
}
