package kubernetes

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// maxState limits the decompressed size of a state, so that a few compressed bytes cannot keep
// tfhaul busy forever. Tests make it smaller.
var maxState int64 = 2 << 30

// A packed is a compressed state in its parts.
type packed struct {
	parts [][]byte
	size  int64 // of the state
	used  int   // how many parts the state has; the others are left from a larger one
}

// unpack checks the parts of a state: they are all there and decompress to what the checksum in
// them is of. So no mixture of two versions passes. A missing first part, or one without content,
// means that there is no state, for Terraform too; then it returns nil. why says what is wrong, as
// the end of a sentence.
//
// After the end of the compressed state, whole parts of a larger one may be left, if it was replaced
// and they were not deleted. Terraform ignores them, too.
func unpack(all parts) (p *packed, why string) {
	if all[0] == nil || all[0].data == nil {
		return nil, ""
	}
	p = &packed{}
	for _, number := range all.numbers() {
		if number != len(p.parts) {
			break // a later part is left over, or the state proves to be incomplete
		}
		if all[number].data == nil {
			break
		}
		p.parts = append(p.parts, all[number].data)
	}
	in := &joined{parts: p.parts}
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, "its content is not compressed with gzip, as Terraform's is"
	}
	z.Multistream(false)
	switch p.size, err = io.Copy(io.Discard, io.LimitReader(z, maxState+1)); {
	case p.size > maxState:
		return nil, fmt.Sprintf("it is larger than %s bytes after it is decompressed, the most that tfhaul reads", plainwords.Grouped(int(maxState)))
	case err != nil:
		return nil, fmt.Sprintf("its %d of %d parts do not belong together or are incomplete", len(p.parts), len(all))
	case in.at < len(in.parts[in.part]):
		return nil, "there are more bytes after its end"
	}
	p.used = in.part + 1
	return p, ""
}

// open returns the decompressed state.
func (p *packed) open() (io.ReadCloser, error) {
	z, err := gzip.NewReader(&joined{parts: p.parts[:p.used]})
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return z, nil
}

// joined reads parts one after the other. As an io.ByteReader, it is read no further than the
// end of what is compressed.
type joined struct {
	parts    [][]byte
	part, at int
}

func (j *joined) Read(p []byte) (int, error) {
	if !j.advance() {
		return 0, io.EOF
	}
	n := copy(p, j.parts[j.part][j.at:])
	j.at += n
	return n, nil
}

// ReadByte implements io.ByteReader.
func (j *joined) ReadByte() (byte, error) {
	if !j.advance() {
		return 0, io.EOF
	}
	j.at++
	return j.parts[j.part][j.at-1], nil
}

// advance goes to the next part at the end of one. It reports whether there is a byte.
func (j *joined) advance() bool {
	for j.part < len(j.parts) && j.at == len(j.parts[j.part]) {
		if j.part == len(j.parts)-1 {
			return false
		}
		j.part, j.at = j.part+1, 0
	}
	return j.part < len(j.parts)
}

// pack reads and compresses a state as Terraform does, and cuts it into parts. Its errors are a
// *backend.SourceError, or that of ctx.
func pack(ctx context.Context, p *backend.Write) ([][]byte, error) {
	in, err := p.Open(ctx)
	if err != nil {
		return nil, &backend.SourceError{Err: err}
	}
	defer func() { _ = in.Close() }() // only read
	var out bytes.Buffer
	z, sum := gzip.NewWriter(&out), md5.New()
	n, err := io.Copy(io.MultiWriter(z, sum), io.LimitReader(in, p.Size+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, &backend.SourceError{Err: err}
	case n != p.Size || hex.EncodeToString(sum.Sum(nil)) != p.MD5:
		return nil, &backend.SourceError{Changed: true}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return cut(out.Bytes()), nil
}

// cut cuts compressed bytes into parts.
func cut(text []byte) (cut [][]byte) {
	for len(text) > partSize {
		cut, text = append(cut, text[:partSize]), text[partSize:]
	}
	return append(cut, text)
}

// errTorn is returned while the parts of a state do not belong together.
var errTorn = errors.New("the parts of the state do not belong together")
