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
	stored *backend.Incoming
	in     io.Reader // stored, decompressed if it is compressed
}

func newBody(ctx context.Context, cancel context.CancelCauseFunc, in io.ReadCloser, address string, m *metadata, stall time.Duration) (*body, error) {
	sums := &digests{address: address, want: m, md5: md5.New(), crc: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	s := backend.NewIncoming(ctx, cancel, in, backend.IncomingOptions{
		Address: address, Size: m.Size, Stall: stall, Describe: plainwords.Describe,
		Sums: io.MultiWriter(sums.md5, sums.crc), Compare: sums.compare,
	})
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
	if err != nil && !errors.Is(err, io.EOF) && b.stored.Failed() == nil {
		err = fmt.Errorf("cannot decompress %q: %s", b.stored.Address, plainwords.Describe(err))
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error { return b.stored.Close() }

// digests are the hashes of content as it is stored, and those that the server keeps.
type digests struct {
	address string
	want    *metadata
	md5     hash.Hash
	crc     hash.Hash32
}

// compare compares them.
func (d *digests) compare() error {
	for _, hash := range []struct{ name, want, got string }{
		{"MD5", d.want.MD5, base64.StdEncoding.EncodeToString(d.md5.Sum(nil))},
		{"CRC32C", d.want.CRC32C, base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, d.crc.Sum32()))},
	} {
		if hash.want != "" && hash.want != hash.got {
			return &backend.Error{Address: d.address, Code: backend.Failed, Message: fmt.Sprintf("cannot read %q: the download does not match the %s of the stored object: try again. If that happens again, check whether a proxy changes responses", d.address, hash.name)}
		}
	}
	return nil
}
