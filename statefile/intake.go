package statefile

import (
	"bytes"
	"crypto/md5"
	"hash"
	"io"
	"math"
)

// chunkSize is how much is read and hashed at a time. Only tests change it.
var chunkSize = 128 << 10

// ringSize is the number of chunks: one being read, the one before it, which errors
// may still point into, and one for the hash to lag behind with.
const ringSize = 3

// An intake takes a file in, in chunks: it hashes and counts everything, and knows
// lines and columns.
type intake struct {
	src io.Reader
	err error // what src failed with, or io.EOF

	ring   [ringSize]chunk
	latest int   // index of the chunk that was read last
	chunks int   // how many were read
	size   int64 // bytes of them

	md5     hash.Hash
	toHash  chan []byte // to the hashing goroutine; nil without one
	hashed  chan any    // one for each chunk that it is done with: what it panicked with, or nil
	hashing int         // chunks that it is not done with
}

// A chunk is a piece of the file and its place in it.
type chunk struct {
	buf  []byte
	at   int64 // offset of its first byte
	line int64 // lines before it
	bol  int64 // offset of the last line's beginning before it
}

func newIntake() intake { return intake{md5: md5.New()} }

// open begins with a file. The intake is given back with close.
func (in *intake) open(src io.Reader) { in.src = src }

// close ends the hashing goroutine, if there is one, and keeps the buffers.
func (in *intake) close() {
	in.join()
	in.md5.Reset()
	*in = intake{ring: in.ring, md5: in.md5}
}

// join waits until everything given to the hashing goroutine is hashed, and
// ends it.
func (in *intake) join() {
	if in.toHash == nil {
		return
	}
	close(in.toHash)
	in.toHash = nil
	for in.hashing > 0 {
		in.await()
	}
}

// await waits until one more chunk is hashed. A panic continues here, where others than we
// know what to do about it.
func (in *intake) await() {
	in.hashing--
	if panicked := <-in.hashed; panicked != nil {
		panic(panicked)
	}
}

// next reads the next chunk, which stays as it is until next was called twice more. It
// returns nil at the end of src, or when src failed; err tells which.
func (in *intake) next() *chunk {
	if in.err != nil {
		return nil
	}
	prev := &in.ring[in.latest]
	if in.chunks > 0 {
		in.latest = (in.latest + 1) % ringSize
	}
	c := &in.ring[in.latest]
	// The chunk to overwrite must have left the hash.
	if in.hashing == ringSize {
		in.await()
	}
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
	in.hash(c.buf)
	return c
}

var newline = []byte{'\n'}

// besideFrom is after how many chunks a file is so large (4 MiB) that it is hashed
// beside the reading. For smaller ones handing over costs more than it brings, where
// many files are read at a time.
const besideFrom = 32

// hash takes a chunk into the digest: in a goroutine, if the file is large.
func (in *intake) hash(b []byte) {
	if in.toHash == nil {
		if in.err != nil || in.chunks <= besideFrom {
			in.md5.Write(b)
			return
		}
		in.toHash = make(chan []byte, ringSize)
		in.hashed = make(chan any, ringSize)
		go func(digest hash.Hash, chunks <-chan []byte, done chan<- any) {
			for b := range chunks {
				done <- write(digest, b)
			}
		}(in.md5, in.toHash, in.hashed)
	}
	in.toHash <- b
	in.hashing++
}

// write returns what the digest panicked with, or nil.
func write(digest hash.Hash, b []byte) (panicked any) {
	defer func() { panicked = recover() }()
	digest.Write(b)
	return nil
}

// drain reads what is left of src, for the digest and the size, unless that is more than
// most bytes.
func (in *intake) drain(most int64) {
	for end := in.size + min(most, math.MaxInt64-in.size); in.size < end && in.next() != nil; {
	}
}

// position is the line and column of an offset within the chunk that was read last or
// the one before it, 0 and 0 of any other.
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
