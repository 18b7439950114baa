package blobs

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"os"
	"sync"
)

// Memory is a Store in memory.
type Memory struct {
	mu    sync.Mutex
	bytes map[string][]byte
}

// InMemory returns an empty Memory.
func InMemory() *Memory {
	return &Memory{bytes: map[string][]byte{}}
}

// Create implements Store.
func (m *Memory) Create() (*Writer, error) {
	var buf bytes.Buffer
	return &Writer{
		w:   &buf,
		sum: md5.New(),
		keep: func(id string) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.bytes[id] = buf.Bytes()
			return nil
		},
		Abort: func() error { return nil },
	}, nil
}

// Open implements Store.
func (m *Memory) Open(id string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.bytes[id]
	if !ok {
		return nil, fmt.Errorf("no blob has this ID: %w", os.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Remove implements Store.
func (m *Memory) Remove(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.bytes, id)
	return nil
}
