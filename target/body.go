package target

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
	"strings"
)

// A Body is a state to send: it can be opened again and again, and says
// beforehand what it will hold.
type Body struct {
	// Open starts reading the bytes from the first.
	Open func(context.Context) (io.ReadCloser, error)
	// Size in bytes.
	Size int64
	// MD5 in lower-case hex.
	MD5 string
}

// A SourceError says that the source of a Body could not be read, or held other
// bytes than were announced. Nothing arrived: the last bytes were withheld.
type SourceError struct {
	// Changed says that the bytes are others than were announced.
	Changed bool
	// Err is the failure of reading; nil if Changed.
	Err error
}

func (e *SourceError) Error() string {
	if e.Changed {
		return "the source changed while it was being sent; nothing was stored"
	}
	return "reading the source: " + e.Err.Error()
}

// Unwrap gives the failure of reading.
func (e *SourceError) Unwrap() error { return e.Err }

// reader reads a Body under check. Nothing is opened before the first Read: of
// the bodies that net/http asks for, for a redirect it may not follow, not all
// are read, and not all are closed.
func (b Body) reader(ctx context.Context) io.ReadCloser {
	return &checkedBody{ctx: ctx, sum: md5.New(), want: b}
}

// A checkedBody reads a Body and gives its last bytes away only once all of
// them have been found to be the announced ones: a server never sees the whole
// of anything else.
type checkedBody struct {
	ctx    context.Context
	source io.ReadCloser // nil before the first Read
	ahead  *bufio.Reader
	sum    hash.Hash
	size   int64
	want   Body
}

func (c *checkedBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.source == nil {
		source, err := c.want.Open(c.ctx)
		if err != nil {
			return 0, &SourceError{Err: err}
		}
		c.source, c.ahead = source, bufio.NewReaderSize(source, 64<<10)
	}
	n, err := c.ahead.Read(p)
	if err != nil && err != io.EOF {
		return 0, &SourceError{Err: err}
	}
	c.sum.Write(p[:n])
	c.size += int64(n)
	if c.size > c.want.Size {
		return 0, &SourceError{Changed: true}
	}
	if _, err := c.ahead.Peek(1); err == io.EOF {
		if c.size != c.want.Size || hex.EncodeToString(c.sum.Sum(nil)) != c.want.MD5 {
			return 0, &SourceError{Changed: true}
		}
		if n == 0 {
			return 0, io.EOF
		}
	} else if err != nil {
		return 0, &SourceError{Err: err}
	}
	return n, nil
}

func (c *checkedBody) Close() error {
	if c.source == nil {
		return nil
	}
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
	body := d.body.reader(ctx)
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(strings.NewReader(d.head), &encoder{source: body}, strings.NewReader(d.tail)), body}
}

// An encoder reads base64 of what it reads.
type encoder struct {
	source  io.Reader
	raw     []byte
	encoded []byte // all that was encoded last
	rest    []byte // what of it was not read yet
	err     error
}

// encodeAtOnce is a multiple of 3, so that only the end of all gets padding.
const encodeAtOnce = 48 << 10

func (e *encoder) Read(p []byte) (int, error) {
	if e.raw == nil {
		e.raw = make([]byte, encodeAtOnce)
		e.encoded = make([]byte, base64.StdEncoding.EncodedLen(encodeAtOnce))
	}
	if len(e.rest) == 0 && e.err == nil {
		var n int
		n, e.err = io.ReadFull(e.source, e.raw)
		if e.err == io.ErrUnexpectedEOF {
			e.err = io.EOF
		}
		base64.StdEncoding.Encode(e.encoded, e.raw[:n])
		e.rest = e.encoded[:base64.StdEncoding.EncodedLen(n)]
	}
	if len(e.rest) == 0 {
		return 0, e.err
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}
