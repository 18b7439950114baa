package blobs

import (
	"crypto/md5"
	"io"
	"os"
	"path/filepath"
)

// Folder is a Store that keeps each blob in its own file (mode 0600). A file gets its final name
// only when it is complete and on disk.
type Folder struct {
	path string
}

const unfinished = ".part"

// InFolder opens a Folder, creates it if need be, and removes what a crash left unfinished.
func InFolder(folder string) (*Folder, error) {
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
	return &Folder{path: folder}, nil
}

// Create implements Store.
func (f *Folder) Create() (*Writer, error) {
	file, err := os.CreateTemp(f.path, "*"+unfinished) // CreateTemp makes it 0600
	if err != nil {
		return nil, err
	}
	abort := func() error {
		if err := file.Close(); err != nil {
			return err
		}
		return os.Remove(file.Name())
	}
	return &Writer{
		w:   file,
		sum: md5.New(),
		keep: func(id string) error {
			if err := file.Sync(); err != nil {
				return err
			}
			if err := file.Close(); err != nil {
				return err
			}
			if err := os.Rename(file.Name(), filepath.Join(f.path, id)); err != nil {
				return err
			}
			return syncFolder(f.path)
		},
		Abort: abort,
	}, nil
}

// Open implements Store.
func (f *Folder) Open(id string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(f.path, filepath.Base(id)))
}

// Remove implements Store.
func (f *Folder) Remove(id string) error {
	return os.Remove(filepath.Join(f.path, filepath.Base(id)))
}

// IDs lists the stored blobs.
func (f *Folder) IDs() ([]string, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids, nil
}
