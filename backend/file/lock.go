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
	"tfhaul/plainwords"
)

// lockInfoPath returns where Terraform describes the lock of the state at path
// (internal/states/statemgr/filesystem.go, lockInfoPath): its name with a dot in front,
// unless it has one, and ".lock.info" appended.
func lockInfoPath(path string) string {
	dir, name := filepath.Split(path)
	return filepath.Join(dir, "."+strings.TrimPrefix(name, ".")+lockInfoExt)
}

const lockInfoExt = ".lock.info"

// Holder reads the lock's description beside the state and, if the state is a symbolic
// link, beside its target: a configuration may use either. Terraform removes the
// description when it unlocks. One left by a killed Terraform looks the same, so it counts
// as a lock.
func (f *file) Holder(ctx context.Context) (*backend.Lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lock, err := readLockInfo(lockInfoPath(f.path))
	if lock != nil || err != nil {
		return lock, err
	}
	// For a regular file we have already read the right place, whatever links lead to its
	// directory, unless a link is followed by "..", which changes what the path means.
	if info, err := os.Lstat(f.path); err == nil && info.Mode().IsRegular() && !strings.Contains(f.path, "..") {
		return nil, nil
	}
	real, err := filepath.EvalSymlinks(f.path)
	if err != nil || filepath.Clean(real) == filepath.Clean(f.path) {
		// A state that cannot be resolved cannot be read either, and Open reports why.
		return nil, nil
	}
	return readLockInfo(lockInfoPath(real))
}

// readLockInfo returns the lock described at path, or nil if there is no such file.
func readLockInfo(path string) (*backend.Lock, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether the state is locked: cannot access %q: %w", path, plainwords.WithoutPath(err))
	}
	lock := &backend.Lock{Path: path, IsFile: true}
	if !info.Mode().IsRegular() { // Terraform creates a regular file; opening a pipe could block
		lock.Info = "its description is not a regular file"
		return lock, nil
	}
	in, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // unlocked since Lstat
	}
	if err != nil {
		lock.Info = "its description cannot be read: " + plainwords.WithoutPath(err).Error()
		return lock, nil
	}
	defer func() { _ = in.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(in, backend.MaxLockInfo))
	if err != nil {
		lock.Info = "its description cannot be read: " + plainwords.WithoutPath(err).Error()
		return lock, nil
	}
	lock.Describe(text)
	return lock, nil
}
