package file

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tfhaul/backend"
)

// GetObject implements backend.Objects. Unlike a state, a copy can be an empty file.
func (t *target) GetObject(ctx context.Context, name string) (io.ReadCloser, *backend.Version, error) {
	at := t.Address(name)
	in, info, err := openState(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &backend.Error{Address: at, Code: backend.NoState, Message: fmt.Sprintf("the file %q does not exist", at)}
	}
	if err != nil {
		return nil, nil, failure(at, "read", err)
	}
	sum := md5.New()
	size, err := io.Copy(sum, &ctxReader{ctx, in})
	if err == nil {
		_, err = in.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, nil, failure(at, "read", errors.Join(err, in.Close()))
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	v := &backend.Version{ID: at + versionMark + digest, Size: size, MD5: digest, Created: info.ModTime()}
	return &exactly{ctxReader{ctx, in}, in, at, digest, md5.New()}, v, nil
}

// PutObject implements backend.Objects. The file is complete on the disk before it has its
// name.
func (t *target) PutObject(ctx context.Context, name string, o backend.Object) (*backend.Version, error) {
	at := t.Address(name)
	if err := makeDirectory(filepath.Dir(at)); err != nil {
		return nil, failure(at, "create the directory of", err)
	}
	part, err := createPart(at)
	if err != nil {
		return nil, failure(at, "write", err)
	}
	err = copyState(ctx, part, &backend.Write{MD5: o.MD5, Size: o.Size, Open: o.Open})
	if !systemLocks { // an open file could not be renamed
		err = errors.Join(err, part.Close())
	}
	if err == nil {
		if o.Was == nil {
			err = placeNew(part.Name(), at)
		} else {
			err = placeOver(ctx, part.Name(), at, o.Was)
		}
	}
	if systemLocks {
		err = errors.Join(err, part.Close())
	}
	if removed := os.Remove(part.Name()); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	if err == nil {
		err = syncDirectory(filepath.Dir(at))
	}
	if err != nil {
		return nil, failure(at, "write", err)
	}
	return &backend.Version{ID: at + versionMark + o.MD5, Size: o.Size, MD5: o.MD5}, nil
}

// createPart creates the file that will get a name when it is complete, and locks it. It
// removes those that killed processes have left for the same name.
func createPart(at string) (*os.File, error) {
	dir, base := filepath.Split(at)
	start := "." + base + "."
	if err := removeLeft(dir, start); err != nil {
		return nil, err
	}
	for {
		part, err := os.CreateTemp(dir, start+"*"+partExt)
		if err != nil || !systemLocks {
			return part, err
		}
		err = lockFile(part)
		if !errors.Is(err, errLocked) && isAt(part, part.Name()) { // without an error, or where no file can be locked
			return part, nil
		}
		// Another process took it for one that was left, and removes it.
		if err := part.Close(); err != nil {
			return nil, err
		}
	}
}

// removeLeft removes the files with this start of their name that no process is writing.
func removeLeft(dir, start string) error {
	if !systemLocks { // it cannot be known
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), start)
		if !ours || !e.Type().IsRegular() || !strings.HasSuffix(rest, partExt) {
			continue // in particular, the part of a move of this name, which has no number
		}
		path := filepath.Join(dir, e.Name())
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue // another process was faster
		}
		if lockFile(f) == nil {
			_ = os.Remove(path) // if it stays, the next one tries again
		}
		_ = f.Close() // nothing was written
	}
	return nil
}

// placeNew gives a file its name unless another file has it.
func placeNew(part, at string) error {
	err := os.Link(part, at)
	if errors.Is(err, fs.ErrExist) {
		return changed(at)
	}
	if err == nil {
		return nil
	}
	// The file system has no hard links.
	if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, changed(at))
	}
	return os.Rename(part, at)
}

// placeOver renames a file over one that is still the version was. The system's lock keeps
// other processes of tfhaul from doing the same.
func placeOver(ctx context.Context, part, at string, was *backend.Version) error {
	held, err := os.OpenFile(at, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return changed(at)
	}
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }() // nothing was written through it
	if err := lockFile(held); errors.Is(err, errLocked) {
		return changed(at)
	} else if err != nil {
		return err
	}
	now, err := current(ctx, at)
	switch {
	case err != nil:
		return err
	case now == nil || now.ID != was.ID || !isAt(held, at):
		return changed(at)
	}
	if !systemLocks { // an open file could not be replaced
		if err := held.Close(); err != nil {
			return err
		}
	}
	return os.Rename(part, at)
}

func changed(at string) error {
	return &backend.Error{Address: at, Code: backend.Changed, Message: fmt.Sprintf("cannot write %q: another program wrote it meanwhile; nothing was stored", at)}
}

// RemoveObject implements backend.Objects.
func (t *target) RemoveObject(_ context.Context, name string) error {
	at := t.Address(name)
	if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failure(at, "remove", err)
	}
	return nil
}
