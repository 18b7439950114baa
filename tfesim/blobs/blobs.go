// Package blobs stores the large things that tfesim keeps (states, configurations, plans, logs)
// and signs the addresses under which clients send and fetch them without a token. It knows
// nothing of the records that refer to them.
package blobs

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
)

// A Store keeps blobs, which are written once and never change. It is safe for concurrent use.
type Store interface {
	// Create starts a new blob.
	Create() (*Writer, error)
	// Open reads a blob. It fails with os.ErrNotExist if no blob has the ID.
	Open(id string) (io.ReadCloser, error)
	// Remove deletes a blob.
	Remove(id string) error
}

// A Blob identifies stored bytes. Its MD5 is in hex.
type Blob struct {
	ID   string
	Size int64
	MD5  string
}

// A Writer receives the bytes of one blob. End it with either Finish or Abort.
type Writer struct {
	w    io.Writer
	size int64
	sum  hash.Hash
	// keep makes the bytes durable under the id.
	keep func(id string) error
	// Abort drops what was written.
	Abort func() error
}

// Write implements io.Writer.
func (b *Writer) Write(p []byte) (int, error) {
	n, err := b.w.Write(p)
	b.sum.Write(p[:n])
	b.size += int64(n)
	return n, err
}

// Finish stores the blob. Once it has returned, a crash does not lose it.
func (b *Writer) Finish() (*Blob, error) {
	id := rand.Text()
	if err := b.keep(id); err != nil {
		return nil, err
	}
	return &Blob{ID: id, Size: b.size, MD5: hex.EncodeToString(b.sum.Sum(nil))}, nil
}

// Keep stores content as a new blob.
func Keep(in Store, content io.Reader) (*Blob, error) {
	w, err := in.Create()
	if err != nil {
		return nil, err
	}
	var b *Blob
	if _, err = io.Copy(w, content); err == nil {
		b, err = w.Finish()
	}
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return b, nil
}

// A Late creates its blob when the first byte arrives, since most requests bring none.
type Late struct {
	// Store receives the blob.
	Store Store
	w     *Writer
	done  bool
}

// Write implements io.Writer.
func (l *Late) Write(p []byte) (int, error) {
	if l.w == nil {
		w, err := l.Store.Create()
		if err != nil {
			return 0, err
		}
		l.w = w
	}
	return l.w.Write(p)
}

// Finish stores the blob. It returns nil when nothing was written.
func (l *Late) Finish() (*Blob, error) {
	if l.w == nil {
		return nil, nil
	}
	l.done = true
	b, err := l.w.Finish()
	if err != nil {
		// Report the first error.
		_ = l.w.Abort()
	}
	return b, err
}

// Abort drops what was written, unless Finish stored it.
func (l *Late) Abort() {
	if l.w != nil && !l.done {
		// Anything left is removed at the next start.
		_ = l.w.Abort()
	}
}

// Send answers a request with the bytes of a blob, or with 404 when b is nil or gone.
func Send(w http.ResponseWriter, in Store, b *Blob) {
	if b == nil {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	content, err := in.Open(b.ID)
	if err != nil {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	defer content.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "private, no-store")
	h.Set("Content-Length", strconv.FormatInt(b.Size, 10))
	// An error means that the client has disconnected.
	_, _ = io.Copy(w, content)
}

// The states of a version's backing data. Only Terraform Enterprise has actions on them.
const (
	DataKept        = ""
	DataSoftDeleted = "backing_data_soft_deleted"
	DataDeleted     = "backing_data_permanently_deleted"
)
