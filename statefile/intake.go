package statefile

import (
	"bytes"
	"crypto/md5"
	"hash"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// chunkSize is how much is read and hashed at a time.
	chunkSize = 128 << 10

	// ringSize is the number of chunks: one being decoded, the one before it,
	// which errors may still point into, and one for the hash to lag behind with.
	ringSize = 3
)

// longToken is the length from which on the inside of a single token (a
// string, a number, a run of blanks) is cut out before the decoder sees it,
// because the decoder buffers a whole token. No text that is looked at is nearly
// as long. Only tests change it.
var longToken int64 = 16 << 10

// An intake stands between the file and the JSON decoder. It reads, hashes and
// counts everything, knows lines and columns, and keeps the insides of very long
// tokens away from the decoder.
type intake struct {
	src io.Reader
	err error // what src failed with, or io.EOF

	ring  [ringSize]chunk
	cur   int    // index of the chunk being given out
	rest  []byte // what is left of it
	size  int64  // bytes read from src
	chunk int64  // chunks read from src

	md5     hash.Hash
	toHash  chan []byte   // to the hashing goroutine; nil without one
	hashed  chan struct{} // one for each chunk that it is done with
	hashing int           // chunks that it is not done with

	decoder   *jsontext.Decoder
	delivered int64 // bytes given to the decoder
	cuts      []cut // what was kept from it, in order; only the last of them
	passed    int64 // how many bytes the earlier cuts removed
}

// A chunk is a piece of the file and its place in it.
type chunk struct {
	buf  []byte // capacity chunkSize
	at   int64  // offset of its first byte
	line int64  // lines before it
	bol  int64  // offset of the last line's beginning before it
}

// A cut says that from the decoder's offset at on, removed bytes are missing.
type cut struct{ at, removed int64 }

var intakes = sync.Pool{New: func() any {
	in := &intake{md5: md5.New()}
	in.decoder = jsontext.NewDecoder(in)
	return in
}}

// newIntake prepares to read src. The caller gives it back with release.
func newIntake(src io.Reader) *intake {
	in := intakes.Get().(*intake)
	in.src = src
	in.decoder.Reset(in,
		// encoding/json, which Terraform reads states with, takes both.
		jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true))
	return in
}

// release ends the hashing goroutine, if there is one, and keeps the buffers for the next file.
func (in *intake) release() {
	in.join()
	in.md5.Reset()
	ring, digest, decoder, cuts := in.ring, in.md5, in.decoder, in.cuts[:0]
	*in = intake{ring: ring, md5: digest, decoder: decoder, cuts: cuts}
	intakes.Put(in)
}

// join waits until everything given to the hashing goroutine is hashed, and
// ends it.
func (in *intake) join() {
	if in.toHash == nil {
		return
	}
	close(in.toHash)
	for ; in.hashing > 0; in.hashing-- {
		<-in.hashed
	}
	in.toHash = nil
}

// next reads the next chunk. It reports false at the end of src, or when src
// failed; err tells which.
func (in *intake) next() bool {
	in.rest = nil
	if in.err != nil {
		return false
	}
	prev := &in.ring[in.cur]
	if in.chunk > 0 {
		in.cur = (in.cur + 1) % ringSize
	}
	c := &in.ring[in.cur]
	// The chunk to overwrite must have left the hash.
	if in.hashing == ringSize {
		<-in.hashed
		in.hashing--
	}
	if c.buf == nil {
		c.buf = make([]byte, chunkSize)
	}
	n, err := io.ReadFull(in.src, c.buf[:chunkSize])
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	in.err = err
	c.buf = c.buf[:n]
	c.at, c.line, c.bol = in.size, 0, 0
	if in.chunk > 0 {
		lines := int64(bytes.Count(prev.buf, newline))
		c.line, c.bol = prev.line+lines, prev.bol
		if lines > 0 {
			c.bol = prev.at + int64(bytes.LastIndexByte(prev.buf, '\n')) + 1
		}
	}
	in.size += int64(n)
	in.chunk++
	if n == 0 {
		return false
	}
	in.hash(c.buf)
	in.rest = c.buf
	return true
}

var newline = []byte{'\n'}

// hash takes a chunk into the digest: beside the decoder, in a goroutine, as soon as the
// file has more than one chunk.
func (in *intake) hash(b []byte) {
	if in.toHash == nil {
		if in.err != nil {
			in.md5.Write(b)
			return
		}
		in.toHash = make(chan []byte, ringSize)
		in.hashed = make(chan struct{}, ringSize)
		go func(digest hash.Hash, chunks <-chan []byte, done chan<- struct{}) {
			for b := range chunks {
				digest.Write(b)
				done <- struct{}{}
			}
		}(in.md5, in.toHash, in.hashed)
	}
	in.toHash <- b
	in.hashing++
}

// drain reads what is left of src, for the digest and the size.
func (in *intake) drain() {
	for in.next() {
	}
}

// peek returns the beginning of the file, before anything of it was given out.
func (in *intake) peek() []byte {
	if in.chunk == 0 {
		in.next()
	}
	return in.rest
}

// Read gives the file to the decoder. It is not for anyone else.
func (in *intake) Read(p []byte) (int, error) {
	for {
		if len(in.rest) == 0 && !in.next() {
			return 0, in.err
		}
		if in.delivered-in.decoder.InputOffset() >= longToken {
			token := bytes.TrimLeft(in.decoder.UnreadBuffer(), " \t\r\n,:")
			if insideEscape(token) {
				p = p[:1]
			} else {
				in.cut(continuation(token, in.rest))
			}
			if len(in.rest) == 0 {
				continue
			}
		}
		n := copy(p, in.rest)
		in.rest = in.rest[n:]
		in.delivered += int64(n)
		return n, nil
	}
}

// cut keeps the next n bytes from the decoder.
func (in *intake) cut(n int) {
	if n == 0 {
		return
	}
	in.rest = in.rest[n:]
	// Offsets before the token that the decoder is in are not asked for again.
	known, passed := in.decoder.InputOffset(), 0
	for passed < len(in.cuts) && in.cuts[passed].at <= known {
		in.passed += in.cuts[passed].removed
		passed++
	}
	in.cuts = append(in.cuts[:0], in.cuts[passed:]...)
	if k := len(in.cuts); k > 0 && in.cuts[k-1].at == in.delivered {
		in.cuts[k-1].removed += int64(n)
		return
	}
	in.cuts = append(in.cuts, cut{at: in.delivered, removed: int64(n)})
}

// offset turns an offset of the decoder's into the file's.
func (in *intake) offset(decoders int64) int64 {
	offset := decoders + in.passed
	for _, c := range in.cuts {
		if c.at <= decoders {
			offset += c.removed
		}
	}
	return offset
}

// window finds the chunk that an offset not far behind what was given to the
// decoder last lies in, and its place there.
func (in *intake) window(offset int64) (c *chunk, i int64, ok bool) {
	for _, k := range [...]int{in.cur, (in.cur + ringSize - 1) % ringSize} {
		c := &in.ring[k]
		if i := offset - c.at; i >= 0 && i <= int64(len(c.buf)) {
			return c, i, true
		}
	}
	return nil, 0, false
}

// position is the line and column of an offset within the window, 0 and 0 of
// any other.
func (in *intake) position(offset int64) (line, column int64) {
	c, n, ok := in.window(offset)
	if !ok {
		return 0, 0
	}
	before, bol := c.buf[:n], c.bol
	if i := bytes.LastIndexByte(before, '\n'); i >= 0 {
		bol = c.at + int64(i) + 1
	}
	return c.line + int64(bytes.Count(before, newline)) + 1, offset - bol + 1
}

// from is what follows an offset within the window, as far as it is at hand.
func (in *intake) from(offset int64) []byte {
	if c, n, ok := in.window(offset); ok {
		return c.buf[n:]
	}
	return nil
}
