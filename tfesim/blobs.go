package tfesim

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"
	"tfhaul/tfesim/jsonapi"
)

// A blobStore keeps the bytes of states. Blobs are written once and never changed.
type blobStore interface {
	create() (*blobWriter, error)
	open(id string) (io.ReadCloser, error)
	remove(id string) error
}

// A blob is what a blobWriter wrote.
type blob struct {
	ID   string
	Size int64
	MD5  string
}

// A blobWriter takes the bytes of one blob. Either finish or abort ends it.
type blobWriter struct {
	w    io.Writer
	size int64
	sum  hash.Hash
	// keep makes the bytes durable under the id.
	keep func(id string) error
	// abort drops them.
	abort func() error
}

// Write implements io.Writer.
func (b *blobWriter) Write(p []byte) (int, error) {
	n, err := b.w.Write(p)
	b.sum.Write(p[:n])
	b.size += int64(n)
	return n, err
}

// finish keeps the blob: when it returns, a crash no longer loses it.
func (b *blobWriter) finish() (*blob, error) {
	id := jsonapi.RandomText(32)
	if err := b.keep(id); err != nil {
		return nil, err
	}
	return &blob{ID: id, Size: b.size, MD5: hex.EncodeToString(b.sum.Sum(nil))}, nil
}

// keepBlob writes a blob of content.
func keepBlob(in blobStore, content io.Reader) (*blob, error) {
	w, err := in.create()
	if err != nil {
		return nil, err
	}
	var b *blob
	if _, err = io.Copy(w, content); err == nil {
		b, err = w.finish()
	}
	if err != nil {
		return nil, errors.Join(err, w.abort())
	}
	return b, nil
}

// memoryBlobs holds the bytes.
type memoryBlobs struct {
	mu    sync.Mutex
	bytes map[string][]byte
}

func newMemoryBlobs() *memoryBlobs {
	return &memoryBlobs{bytes: map[string][]byte{}}
}

func (m *memoryBlobs) create() (*blobWriter, error) {
	var buf bytes.Buffer
	return &blobWriter{
		w:   &buf,
		sum: md5.New(),
		keep: func(id string) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.bytes[id] = buf.Bytes()
			return nil
		},
		abort: func() error { return nil },
	}, nil
}

func (m *memoryBlobs) open(id string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.bytes[id]
	if !ok {
		return nil, fmt.Errorf("there is no blob of that id: %w", os.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (m *memoryBlobs) remove(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.bytes, id)
	return nil
}

// fileBlobs keeps each blob in a file of its own, 0600, written beside its place and moved
// there when it is complete and on disk.
type fileBlobs struct {
	folder string
}

const unfinished = ".part"

func newFileBlobs(folder string) (*fileBlobs, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	// What a crash cut off was never acknowledged.
	parts, err := filepath.Glob(filepath.Join(folder, "*"+unfinished))
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := os.Remove(p); err != nil {
			return nil, err
		}
	}
	return &fileBlobs{folder: folder}, nil
}

func (f *fileBlobs) create() (*blobWriter, error) {
	file, err := os.CreateTemp(f.folder, "*"+unfinished) // CreateTemp makes it 0600
	if err != nil {
		return nil, err
	}
	abort := func() error {
		if err := file.Close(); err != nil {
			return err
		}
		return os.Remove(file.Name())
	}
	return &blobWriter{
		w:   file,
		sum: md5.New(),
		keep: func(id string) error {
			if err := file.Sync(); err != nil {
				return err
			}
			if err := file.Close(); err != nil {
				return err
			}
			if err := os.Rename(file.Name(), filepath.Join(f.folder, id)); err != nil {
				return err
			}
			return syncFolder(f.folder)
		},
		abort: abort,
	}, nil
}

func (f *fileBlobs) open(id string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(f.folder, filepath.Base(id)))
}

func (f *fileBlobs) remove(id string) error {
	return os.Remove(filepath.Join(f.folder, filepath.Base(id)))
}

// names lists the blobs that are there.
func (f *fileBlobs) names() ([]string, error) {
	entries, err := os.ReadDir(f.folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}
