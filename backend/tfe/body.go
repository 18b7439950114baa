package tfe

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"tfhaul/backend"
)

// A Body is the bytes of a request.
type Body struct {
	// Open starts reading at the first byte. The context ends when the bytes are no
	// longer needed; Close may then be called during a Read.
	Open func(context.Context) (io.ReadCloser, error)
	// Size is in bytes.
	Size int64
	// MD5 is in lower-case hex.
	MD5 string
}

// reader returns a checked reader for a Body. It opens the source at the first Read,
// because net/http asks for bodies that it neither reads nor closes, such as for a redirect
// it may not follow.
func (b Body) reader(ctx context.Context) io.ReadCloser {
	body := b.checked(ctx)
	return wholeReads{body, body}
}

func (b Body) checked(ctx context.Context) *checkedBody {
	return &checkedBody{ctx: ctx, sum: md5.New(), want: b}
}

// A checkedBody reads a Body and returns the last bytes only after checking that all of
// them are the announced ones, so a server never receives all of anything else. Close may
// be called during a Read, as net/http does.
type checkedBody struct {
	ctx  context.Context
	want Body

	mu     sync.Mutex         // guards the fields that Close uses
	cancel context.CancelFunc // cancels the source's context; nil before the first Read
	source io.ReadCloser      // nil until opened
	closed bool

	// Used only by Read.
	ahead *bufio.Reader // nil before the first Read
	moved func()        // called when the source returns bytes; may be nil
	sum   hash.Hash
	size  int64
}

// onProgress sets moved, which is called for each piece from the source: a slow source may
// take long to fill a buffer.
func (c *checkedBody) onProgress(moved func()) { c.moved = moved }

// A progressReader reports every piece that is read.
type progressReader struct {
	io.Reader
	moved func()
}

func (r progressReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 && r.moved != nil {
		r.moved()
	}
	return n, err
}

func (c *checkedBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.ahead == nil {
		if err := c.open(); err != nil {
			return 0, err
		}
	}
	n, err := c.ahead.Read(p)
	if err != nil && err != io.EOF {
		return 0, &backend.SourceError{Err: err}
	}
	c.sum.Write(p[:n])
	c.size += int64(n)
	_, err = c.ahead.Peek(1)
	switch {
	case err != nil && err != io.EOF:
		return 0, &backend.SourceError{Err: err}
	case err == nil && c.size < c.want.Size:
		return n, nil
	case err == nil, c.size != c.want.Size, hex.EncodeToString(c.sum.Sum(nil)) != c.want.MD5:
		return 0, &backend.SourceError{Changed: true}
	}
	return n, io.EOF
}

// readAhead is the size of a buffer in bytes. Most states are smaller, and need less.
const readAhead = 64 << 10

// open opens the source, unless the body has been closed.
func (c *checkedBody) open() error {
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	c.cancel = cancel
	c.mu.Unlock()
	source, err := c.want.Open(ctx)
	if err != nil {
		return &backend.SourceError{Err: err}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.Join(&backend.SourceError{Err: http.ErrBodyReadAfterClose}, source.Close())
	}
	c.source, c.ahead = source, bufio.NewReaderSize(progressReader{source, c.moved}, int(min(readAhead, c.want.Size+1)))
	return nil
}

func (c *checkedBody) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
	wasClosed := c.closed
	c.closed = true
	if wasClosed || c.source == nil {
		return nil
	}
	return c.source.Close()
}

// inline is a JSON:API document with a Body in base64. It is streamed, so sending takes one
// buffer of memory for a state of any size.
type inline struct {
	head, tail string
	body       Body
}

// size returns the length of the document in bytes.
func (d inline) size() int64 {
	return int64(len(d.head)) + int64(base64.StdEncoding.EncodedLen(int(d.body.Size))) + int64(len(d.tail))
}

// reader reads the document from the beginning.
func (d inline) reader(ctx context.Context) io.ReadCloser {
	body := d.body.checked(ctx)
	return wholeReads{io.MultiReader(strings.NewReader(d.head), &encoder{source: body, size: d.body.Size}, strings.NewReader(d.tail)), body}
}

// A wholeReads fills the buffer of every Read as far as possible, and returns io.EOF
// together with the last bytes. For each Read, net/http sends an HTTP/2 frame in a TLS
// record with a system call.
type wholeReads struct {
	io.Reader
	*checkedBody
}

func (b wholeReads) Read(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = b.Reader.Read(p[n:])
		n += more
	}
	return n, err
}

// An encoder encodes what it reads in base64.
type encoder struct {
	source io.Reader
	size   int64         // of the source in bytes
	block  *encoderBlock // nil before the first Read and after the last one
	rest   []byte        // encoded but not yet read
	err    error
}

// An encoderBlock has buffers for the bytes that are encoded at a time. The next encoder reuses them.
type encoderBlock struct{ raw, encoded []byte }

var blocks = sync.Pool{New: func() any { return new(encoderBlock) }}

// encodeAtOnce is how many bytes are encoded at a time: a multiple of 3, so that only the
// last block is padded.
const encodeAtOnce = 48 << 10

func (e *encoder) Read(p []byte) (int, error) {
	if len(e.rest) == 0 && e.err == nil {
		e.encode()
	}
	if len(e.rest) == 0 {
		if e.block != nil {
			blocks.Put(e.block)
			e.block = nil
		}
		return 0, e.err
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// encode encodes the next block.
func (e *encoder) encode() {
	if e.block == nil {
		e.block = blocks.Get().(*encoderBlock)
	}
	b := e.block
	size := int(min(encodeAtOnce, e.size+1)) // if it is smaller, the one block is the last
	b.raw = slices.Grow(b.raw[:0], size)[:size]
	n, err := io.ReadFull(e.source, b.raw)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	b.encoded = base64.StdEncoding.AppendEncode(b.encoded[:0], b.raw[:n])
	e.rest, e.err = b.encoded, err
}
