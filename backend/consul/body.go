package consul

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"tfhaul/plainwords"
)

// gzipMark is the first byte of compressed content, by which Terraform recognizes it.
const gzipMark = 0x1f

func isGzip(text []byte) bool { return len(text) > 0 && text[0] == gzipMark }

// A body is a state that is being read, decompressed. It holds one chunk in memory.
type body struct {
	state  *state
	value  *value
	stored *storedBody
	in     io.Reader
	sum    hash.Hash
	got    int64
	failed error
}

// A storedBody is a state as it is stored: the chunks, one after the other.
type storedBody struct {
	ctx    context.Context
	state  *state
	value  *value
	next   int    // chunk
	rest   []byte // of the current chunk, or of the only value
	failed error
}

func newBody(ctx context.Context, s *state, v *value) (*body, error) {
	b := &body{state: s, value: v, stored: &storedBody{ctx: ctx, state: s, value: v, rest: v.text}, sum: md5.New()}
	in := bufio.NewReader(b.stored)
	first, err := in.Peek(1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if b.in = in; !isGzip(first) {
		return b, nil
	}
	unpacked, err := gzip.NewReader(in)
	if err != nil {
		return nil, b.explain(err)
	}
	b.in = unpacked
	return b, nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	n, err := b.in.Read(p)
	b.sum.Write(p[:n])
	switch b.got += int64(n); {
	case b.got > b.state.server.maxState:
		n, err = 0, b.state.damaged(fmt.Sprintf("it is larger than %s bytes after it is decompressed, the most that tfhaul reads", plainwords.Grouped(int(b.state.server.maxState))))
	case errors.Is(err, io.EOF) && b.value.hash != "" && hex.EncodeToString(b.sum.Sum(nil)) != b.value.hash:
		n, err = 0, b.mismatch()
	case err != nil && !errors.Is(err, io.EOF):
		err = b.explain(err)
	}
	b.failed = err
	return n, err
}

// mismatch explains that the chunks are not what the list announces: they were replaced, or
// they are damaged.
func (b *body) mismatch() error {
	if err := b.state.check(b.stored.ctx, b.value.index); err != nil {
		return err
	}
	return b.state.damaged("it does not match the MD5 that is stored with it, so Terraform refuses it, too: restore it from a snapshot of Consul")
}

// explain explains an error of decompressing.
func (b *body) explain(err error) error {
	if b.stored.failed != nil && !errors.Is(b.stored.failed, io.EOF) {
		return b.stored.failed
	}
	return b.state.damaged("it cannot be decompressed: " + plainwords.Describe(err))
}

// Close implements io.Closer.
func (b *body) Close() error {
	if b.failed == nil {
		b.failed = io.ErrClosedPipe
	}
	return nil
}

func (b *storedBody) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.failed == nil {
			b.failed = b.advance()
		}
		if b.failed != nil {
			return 0, b.failed
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// advance reads the next chunk. After the last one, the error is io.EOF.
func (b *storedBody) advance() error {
	if b.next >= len(b.value.chunks) {
		return io.EOF
	}
	key := b.value.chunks[b.next]
	e, err := b.state.server.get(b.ctx, b.state.request("read all of"), key)
	switch {
	case err != nil:
		return err
	case e == nil:
		return b.state.incomplete(b.ctx, b.value, key)
	}
	b.next++
	b.rest = e.Value
	return nil
}
