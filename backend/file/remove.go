package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tfhaul/backend"
)

// CheckRemoval implements backend.Remover.
func (w *writer) CheckRemoval(context.Context) error {
	info, err := os.Lstat(w.path)
	switch {
	case err != nil:
		return failure(w.path, "read", err)
	case info.Mode()&fs.ModeSymlink != 0:
		return &backend.Error{Address: w.path, Code: backend.NotRemovable, Message: fmt.Sprintf("%q was not deleted: it is a symbolic link. If it is not needed, delete it and its file yourself.", w.path)}
	}
	return nil
}

// Remove implements backend.Remover. The file's backup and its directory stay.
func (w *writer) Remove(ctx context.Context, p backend.Write) error {
	if ours, _, err := w.find(); err != nil || len(ours) == 0 || systemLocks && len(w.files) == 0 {
		return w.refused(backend.NotLocked, "the lock is not held", err)
	}
	now, err := current(ctx, w.path)
	if err != nil {
		return err
	}
	if now == nil || now.ID != p.Was.ID || systemLocks && !isAt(w.files[len(w.files)-1], w.real) {
		return w.refused(backend.Changed, "another program wrote it meanwhile; nothing was deleted", nil)
	}
	if err := p.Sending(ctx); err != nil {
		return err
	}
	if err := os.Remove(w.real); err != nil {
		return failure(w.path, "delete", err)
	}
	if err := syncDirectory(filepath.Dir(w.real)); err != nil {
		return w.refused(backend.Ambiguous, "it was deleted, but its directory cannot be written to the disk", err)
	}
	if _, err := os.Lstat(w.real); !errors.Is(err, fs.ErrNotExist) {
		return w.refused(backend.Changed, "another program wrote it again after it was deleted", err)
	}
	return nil
}
