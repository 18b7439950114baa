package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lockInfoLimit bounds what is read of a lock's description, in bytes. Terraform's own are under 1 KiB.
const lockInfoLimit = 64 << 10

// lockInfoPath is where Terraform describes the lock of the state at path
// (internal/states/statemgr/filesystem.go, lockInfoPath): a dot more in front, unless the name has
// one, and .lock.info behind.
func lockInfoPath(path string) string {
	dir, name := filepath.Split(path)
	return filepath.Join(dir, "."+strings.TrimPrefix(name, ".")+".lock.info")
}

// isLockFile says whether a file of this name describes a lock: that of a local state, or that of an
// S3 object copied along with it.
func isLockFile(name string) bool {
	return strings.HasSuffix(name, ".lock.info") || strings.HasSuffix(name, ".tflock")
}

// Lock reads the lock's description beside the state, and beside the file that the state is a link to:
// a configuration may name either. Terraform removes the description when it unlocks; one that
// was left by a killed Terraform counts as a lock, because it looks the same.
func (f *file) Lock(ctx context.Context) (*Lock, error) {
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
func readLockInfo(path string) (*Lock, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether the state is locked: cannot look at %q: %w", path, reason(err))
	}
	lock := &Lock{Path: path}
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
	text, err := io.ReadAll(io.LimitReader(in, lockInfoLimit))
	if err != nil {
		lock.Info = "its description cannot be read: " + reason(err).Error()
		return lock, nil
	}
	lock.fill(text)
	return lock, nil
}

// fill takes over what Terraform's JSON description says, field by field, so that one odd field
// does not hide the others.
func (l *Lock) fill(text []byte) {
	var said map[string]json.RawMessage
	if err := json.Unmarshal(text, &said); err != nil {
		l.Info = "its description is not the JSON that Terraform writes"
		return
	}
	for name, into := range map[string]*string{"ID": &l.ID, "Who": &l.Who, "Operation": &l.Operation, "Info": &l.Info} {
		var value string
		if json.Unmarshal(said[name], &value) == nil {
			*into = value
		}
	}
	var created time.Time
	if json.Unmarshal(said["Created"], &created) == nil {
		l.Created = created
	}
}
