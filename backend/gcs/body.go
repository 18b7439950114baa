package gcs

import (
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// body is the content of an object being downloaded.
type body struct {
	stored *storedBody
	in     io.Reader // stored, decompressed if it is compressed
}

func newBody(ctx context.Context, cancel context.CancelCauseFunc, in io.ReadCloser, address string, m *metadata, stall time.Duration) (*body, error) {
	s := &storedBody{ctx: ctx, cancel: cancel, in: in, address: address, want: m, stall: stall, md5: md5.New(), crc: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	b := &body{stored: s, in: s}
	if m.ContentEncoding == "" {
		return b, nil
	}
	unpacked, err := gzip.NewReader(s)
	if err != nil {
		return nil, fmt.Errorf("it is stored with the Content-Encoding gzip, and is not compressed correctly: %s", plainwords.Describe(err))
	}
	b.in = unpacked
	return b, nil
}

// Read implements io.Reader. Decompressing may end before the last of the stored bytes,
// which must be compared with their hashes, too.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	if errors.Is(err, io.EOF) && b.in != io.Reader(b.stored) {
		if _, rest := io.Copy(io.Discard, b.stored); rest != nil {
			return n, rest
		}
	}
	if err != nil && !errors.Is(err, io.EOF) && b.stored.failed == nil {
		err = fmt.Errorf("cannot decompress %q: %s", b.stored.address, plainwords.Describe(err))
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.stored.cancel(nil)
	return b.stored.in.Close()
}

// storedBody is content as it is stored. It fails if it ends before its announced length, or
// is not what its hashes are of.
type storedBody struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	in      io.ReadCloser
	address string
	want    *metadata
	got     int64
	stall   time.Duration // how long to wait for the next byte
	md5     hash.Hash
	crc     hash.Hash32
	failed  error
}

func (b *storedBody) Read(p []byte) (int, error) {
	stall := time.AfterFunc(b.stall, func() { b.cancel(&backend.StallError{After: b.stall}) })
	n, err := b.in.Read(p)
	stall.Stop()
	b.got += int64(n)
	b.md5.Write(p[:n])
	b.crc.Write(p[:n])
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && b.got == b.want.Size:
		if err = b.compare(); err == nil {
			return n, io.EOF
		}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = b.brokenOff(errors.New("the connection was closed"), io.ErrUnexpectedEOF)
	case b.ctx.Err() != nil:
		err = b.brokenOff(context.Cause(b.ctx), context.Cause(b.ctx))
	default:
		err = b.brokenOff(errors.New(plainwords.Describe(err)), err)
	}
	b.failed = err
	return n, err
}

// compare compares the content with the hashes that the server keeps.
func (b *storedBody) compare() error {
	for _, hash := range []struct{ name, want, got string }{
		{"MD5", b.want.MD5, base64.StdEncoding.EncodeToString(b.md5.Sum(nil))},
		{"CRC32C", b.want.CRC32C, base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, b.crc.Sum32()))},
	} {
		if hash.want != "" && hash.want != hash.got {
			return &backend.Error{Address: b.address, Code: backend.Failed, Message: fmt.Sprintf("cannot read %q: the download does not match the %s of the stored object: try again. If that happens again, check whether a proxy changes responses", b.address, hash.name)}
		}
	}
	return nil
}

// brokenOff returns the error for a body that ended too early.
func (b *storedBody) brokenOff(why, err error) error {
	return &worded{fmt.Sprintf("reading %q broke off after %d of %d bytes: %s", b.address, b.got, b.want.Size, why), err}
}

// worded is an error in plain words that wraps the original one.
type worded struct {
	text string
	err  error
}

func (w *worded) Error() string { return w.text }
func (w *worded) Unwrap() error { return w.err }
