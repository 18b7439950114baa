package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tfhaul/backend"
)

// lockInfoPath is where Terraform describes the lock of the state at path
// (internal/states/statemgr/filesystem.go, lockInfoPath): a dot more in front, unless the name has
// one, and .lock.info behind.
func lockInfoPath(path string) string {
	dir, name := filepath.Split(path)
	return filepath.Join(dir, "."+strings.TrimPrefix(name, ".")+".lock.info")
}

// Holder reads the lock's description beside the state, and beside the file that the state is a link to:
// a configuration may name either. Terraform removes the description when it unlocks; one that
// was left by a killed Terraform counts as a lock, because it looks the same.
func (f *file) Holder(ctx context.Context) (*backend.Lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lock, err := readLockInfo(lockInfoPath(f.path))
	if lock != nil || err != nil {
		return lock, err
	}
	// Of a regular file, what is beside it was read above, by whatever links its directory is
	// reached; but where those come before a "..", a path and its meaning differ.
	if info, err := os.Lstat(f.path); err == nil && info.Mode().IsRegular() && !strings.Contains(f.path, "..") {
		return nil, nil
	}
	real, err := filepath.EvalSymlinks(f.path)
	if err != nil || filepath.Clean(real) == filepath.Clean(f.path) {
		// A state that cannot be resolved cannot be read either: Open says so, with the cause.
		return nil, nil
	}
	return readLockInfo(lockInfoPath(real))
}

// readLockInfo reads the lock's description at path; nil when there is none.
func readLockInfo(path string) (*backend.Lock, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether the state is locked: cannot look at %q: %w", path, reason(err))
	}
	lock := &backend.Lock{Path: path}
	if !info.Mode().IsRegular() { // Terraform makes a regular file, and opening a pipe could block
		lock.Info = "its description is not a file that can be read"
		return lock, nil
	}
	in, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // unlocked since the look above
	}
	if err != nil {
		lock.Info = "its description cannot be read: " + reason(err).Error()
		return lock, nil
	}
	defer func() { _ = in.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(in, backend.MaxLockInfo))
	if err != nil {
		lock.Info = "its description cannot be read: " + reason(err).Error()
		return lock, nil
	}
	lock.Describe(text)
	return lock, nil
}
