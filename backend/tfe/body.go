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
	"strings"
	"sync"

	"tfhaul/backend"
)

// A Body is a state to send: it can be opened again and again, and says
// beforehand what it will hold.
type Body struct {
	// Open starts reading the bytes from the first. The context ends when they are
	// not wanted any more; Close may then be called during a Read.
	Open func(context.Context) (io.ReadCloser, error)
	// Size in bytes.
	Size int64
	// MD5 in lower-case hex.
	MD5 string
}

// reader reads a Body under check. Nothing is opened before the first Read: of
// the bodies that net/http asks for, for a redirect it may not follow, not all
// are read, and not all are closed.
func (b Body) reader(ctx context.Context) io.ReadCloser {
	body := b.checked(ctx)
	return wholeReads{body, body}
}

func (b Body) checked(ctx context.Context) *checkedBody {
	return &checkedBody{ctx: ctx, sum: md5.New(), want: b}
}

// A checkedBody reads a Body and gives its last bytes away only once all of
// them have been found to be the announced ones: a server never sees the whole
// of anything else. Close may be called during a Read, as net/http does.
type checkedBody struct {
	ctx  context.Context
	want Body

	mu     sync.Mutex         // guards what Close has to know
	cancel context.CancelFunc // of the source's context; nil before the first Read
	source io.ReadCloser      // nil until it is open
	closed bool

	// For Read alone.
	ahead *bufio.Reader // lent; nil before the first Read and after the end
	ended bool          // all was given away
	moved func()        // called when the source gave something; may be nil
	sum   hash.Hash
	size  int64
}

// onProgress has moved called for every piece that the source gives: a slow
// source may take long to fill a buffer.
func (c *checkedBody) onProgress(moved func()) { c.moved = moved }

// A progressReader tells of every piece that is read.
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
	switch {
	case len(p) == 0:
		return 0, nil
	case c.ended:
		return 0, io.EOF
	case c.ahead == nil:
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
	case n == 0:
		c.ended = true
		c.giveBack()
		return 0, io.EOF
	}
	return n, nil
}

// readers lends what reads ahead, in bytes so much of a source. What a body borrows it
// gives back at its end; of one that is broken off, whose Read may still be under way,
// the garbage collector takes it.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 64<<10) }}

// giveBack gives back what reads ahead.
func (c *checkedBody) giveBack() {
	c.ahead.Reset(nil) // it must not hold the source
	readers.Put(c.ahead)
	c.ahead = nil
}

// open opens the source, unless the body was closed already.
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
	c.source, c.ahead = source, readers.Get().(*bufio.Reader)
	c.ahead.Reset(progressReader{source, c.moved})
	return nil
}

func (c *checkedBody) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
	if c.closed || c.source == nil {
		c.closed = true
		return nil
	}
	c.closed = true
	return c.source.Close()
}

// inline is a JSON:API document around a Body in base64. It is streamed, so that
// a state of any size is sent in the memory of a buffer.
type inline struct {
	head, tail string
	body       Body
}

// size is the length of the document in bytes.
func (d inline) size() int64 {
	return int64(len(d.head)) + int64(base64.StdEncoding.EncodedLen(int(d.body.Size))) + int64(len(d.tail))
}

// reader reads the document from its first byte.
func (d inline) reader(ctx context.Context) io.ReadCloser {
	body := d.body.checked(ctx)
	return wholeReads{io.MultiReader(strings.NewReader(d.head), newEncoder(body), strings.NewReader(d.tail)), body}
}

// A wholeReads reads of a Body, or of a document around it, as much at a time as there
// is room for, and tells the end together with the last bytes: for what one Read gives,
// net/http makes a frame of HTTP/2, a record of TLS and a call of the system.
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

// An encoder reads base64 of what it reads.
type encoder struct {
	source    io.Reader
	*encoding        // lent; nil at the end
	rest      []byte // what of it was not read yet
	err       error
}

// encodeAtOnce is how much, in bytes, is encoded at once: a multiple of 3, so that
// only the end of all gets padding.
const encodeAtOnce = 48 << 10

// An encoding is what is encoded at once, and what that is in base64.
type encoding struct {
	raw     [encodeAtOnce]byte
	encoded [encodeAtOnce / 3 * 4]byte
}

// encodings lends encodings, which are given back as readers are.
var encodings = sync.Pool{New: func() any { return new(encoding) }}

// newEncoder makes an encoder of a source.
func newEncoder(source io.Reader) *encoder { return &encoder{source: source} }

func (e *encoder) Read(p []byte) (int, error) {
	if len(e.rest) == 0 && e.err == nil {
		if e.encoding == nil {
			e.encoding = encodings.Get().(*encoding)
		}
		var n int
		n, e.err = io.ReadFull(e.source, e.raw[:])
		if e.err == io.ErrUnexpectedEOF {
			e.err = io.EOF
		}
		base64.StdEncoding.Encode(e.encoded[:], e.raw[:n])
		e.rest = e.encoded[:base64.StdEncoding.EncodedLen(n)]
	}
	if len(e.rest) == 0 {
		if e.encoding != nil {
			encodings.Put(e.encoding)
			e.encoding = nil
		}
		return 0, e.err
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}
