package target

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
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

// open starts reading a Body under check.
func (b Body) open(ctx context.Context) (io.ReadCloser, error) {
	r, err := b.Open(ctx)
	if err != nil {
		return nil, &SourceError{Err: err}
	}
	return &checkedBody{source: r, ahead: bufio.NewReaderSize(r, 64<<10), sum: md5.New(), want: b}, nil
}

// A checkedBody reads a Body and gives its last bytes away only once all of
// them have been found to be the announced ones: a server never sees the whole
// of anything else.
type checkedBody struct {
	source io.Closer
	ahead  *bufio.Reader
	sum    hash.Hash
	size   int64
	want   Body
}

func (c *checkedBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
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

func (c *checkedBody) Close() error { return c.source.Close() }

// inline streams a JSON:API document around a Body in base64, so that a state
// of any size is sent in the memory of a buffer.
type inline struct {
	head, tail string
	body       Body
}

// size is the length of the document in bytes.
func (d inline) size() int64 {
	return int64(len(d.head)) + (d.body.Size+2)/3*4 + int64(len(d.tail))
}

// open starts reading the document from the first byte. The reader must be
// closed, which ends the goroutine that encodes.
func (d inline) open(ctx context.Context) (io.ReadCloser, error) {
	body, err := d.body.open(ctx)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(d.write(w, body))
	}()
	return &encodedBody{PipeReader: r, source: body, done: done}, nil
}

func (d inline) write(w io.Writer, body io.Reader) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	if _, err := buffered.WriteString(d.head); err != nil {
		return err
	}
	encoder := base64.NewEncoder(base64.StdEncoding, buffered)
	if _, err := io.Copy(encoder, body); err != nil {
		return err
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	if _, err := buffered.WriteString(d.tail); err != nil {
		return err
	}
	return buffered.Flush()
}

// An encodedBody is the reading end of inline's goroutine.
type encodedBody struct {
	*io.PipeReader
	source io.Closer
	done   chan struct{}
}

func (b *encodedBody) Close() error {
	closed := b.PipeReader.Close()
	<-b.done
	if err := b.source.Close(); err != nil {
		return fmt.Errorf("closing the source: %w", err)
	}
	return closed
}
