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
	"strconv"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

const (
	// backupExt is the extension of the file in which Terraform's local backend keeps the
	// state before the last change.
	backupExt = ".backup"
	// partExt is that of a state that is being written.
	partExt = ".tfhaul-part"
)

// part returns the path of the state while it is being written.
func (w *writer) part() string { return partOf(w.real) }

// partOf returns the path of a file while it is being written, in the same directory.
func partOf(path string) string {
	dir, name := filepath.Split(path)
	return filepath.Join(dir, "."+name+partExt)
}

// removePart removes what an unfinished write has left, perhaps of a process that ended. The
// lock is held.
func (w *writer) removePart() {
	_ = os.Remove(w.part()) // it usually does not exist
	_ = os.Remove(partOf(w.path + backupExt))
}

// Write writes the state beside the file, copies the file to its backup, and renames the
// new one over it.
func (w *writer) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	if ours, _, err := w.find(); err != nil || len(ours) == 0 || systemLocks && len(w.files) == 0 {
		return nil, w.refused(backend.NotLocked, "the lock is not held", err)
	}
	part, err := w.writePart(ctx, &p)
	if err != nil {
		return nil, failure(w.path, "write", err)
	}
	if err = w.backUp(ctx, p.Was); err != nil {
		err = failure(w.path, "write", err)
	} else if err = p.Sending(ctx); err == nil {
		err = w.rename(part)
	}
	if err != nil {
		w.removePart()
		return nil, errors.Join(err, part.Close())
	}
	return w.replaced(&p, part)
}

func (w *writer) refused(code backend.Code, why string, err error) error {
	return &backend.Error{Address: w.path, Code: code, Answer: why, Err: err, Message: fmt.Sprintf("cannot write %q: %s", w.path, why)}
}

// writePart writes the new state completely, locks it and reads it back. Without an error,
// the caller closes it.
func (w *writer) writePart(ctx context.Context, p *backend.Write) (*os.File, error) {
	w.removePart()
	part, err := os.OpenFile(w.part(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if before, missing := os.Stat(w.real); missing == nil && !w.empty {
		err = keepOwner(part, before)
	}
	if err == nil {
		err = copyState(ctx, part, p)
	}
	if err == nil {
		err = lockFile(part)
	}
	if err != nil {
		w.removePart()
		return nil, errors.Join(err, part.Close())
	}
	return part, nil
}

// copyState writes the announced bytes to the disk.
func copyState(ctx context.Context, out *os.File, p *backend.Write) error {
	in, err := p.Open(ctx)
	if err != nil {
		return &backend.SourceError{Err: err}
	}
	source := &sourceReader{ctxReader{ctx, in}}
	sum := md5.New()
	// One byte more than announced shows that there are more.
	size, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(source, p.Size+1))
	if closed := in.Close(); err == nil && closed != nil {
		err = &backend.SourceError{Err: closed}
	}
	switch {
	case err != nil:
		return err
	case size != p.Size || hex.EncodeToString(sum.Sum(nil)) != p.MD5:
		return &backend.SourceError{Changed: true}
	}
	return out.Sync()
}

// A sourceReader marks the errors of reading, to distinguish them from those of writing.
type sourceReader struct{ ctxReader }

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.ctxReader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &backend.SourceError{Err: err}
	}
	return n, err
}

// rename renames the new state over the file, if that is still the one that was locked.
func (w *writer) rename(part *os.File) error {
	if systemLocks && !isAt(w.files[len(w.files)-1], w.real) {
		return w.refused(backend.Changed, "another program replaced it meanwhile; nothing was stored", nil)
	}
	if !systemLocks { // an open file could not be renamed
		if err := part.Close(); err != nil {
			return failure(w.path, "write", err)
		}
	}
	before, err := os.Stat(w.real)
	if err := os.Rename(w.part(), w.real); err != nil {
		return failure(w.path, "write", err)
	}
	if err == nil && !w.empty && before.Mode().Perm() != 0o600 && systemLocks {
		w.notes = append(w.notes, fmt.Sprintf("Changed the permissions of %q from %04o to 0600.", w.path, before.Mode().Perm()))
	}
	return nil
}

// replaced returns the version that was written. The lock of the new file is held until
// Unlock, and so is that of the file that it replaced, which others may have open.
func (w *writer) replaced(p *backend.Write, part *os.File) (*backend.Version, error) {
	w.empty = false
	if systemLocks {
		w.files = append(w.files, part)
	}
	if err := syncDirectory(filepath.Dir(w.real)); err != nil {
		return nil, w.refused(backend.Ambiguous, "it was replaced, but its directory cannot be written to the disk: "+plainwords.WithoutPath(err).Error(), err)
	}
	for _, f := range w.files[:max(0, len(w.files)-1)] {
		retire(f)
	}
	v := &backend.Version{ID: w.path + versionMark + p.MD5, Serial: p.Serial, Size: p.Size, MD5: p.MD5}
	if info, err := os.Stat(w.real); err == nil {
		v.Created = info.ModTime()
	}
	return v, nil
}

// backUp copies the file, which must be the version that was read, to its backup, as
// Terraform does. An older backup is kept under a name with the time.
func (w *writer) backUp(ctx context.Context, was *backend.Version) error {
	now, err := current(ctx, w.path)
	switch {
	case err != nil:
		return err
	case now == nil && was == nil:
		return nil
	case now == nil || was == nil || now.ID != was.ID:
		return w.refused(backend.Changed, "another program wrote it meanwhile; nothing was stored", nil)
	}
	backup := w.path + backupExt
	if older, err := current(ctx, backup); err == nil && older != nil && older.MD5 == now.MD5 {
		return nil // an earlier attempt has made it
	}
	if err := setAside(backup); err != nil {
		return failure(backup, "rename the older backup", err)
	}
	return copyTo(ctx, backup, w.path, now.MD5)
}

// setAside renames an older backup, so that nothing is overwritten.
func setAside(backup string) error {
	if _, err := os.Lstat(backup); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	free := backup + "." + time.Now().UTC().Format("20060102T150405Z")
	for n, name := 2, free; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(backup, name)
		} else if err != nil {
			return err
		}
		name = free + "-" + strconv.Itoa(n)
	}
}

// copyTo copies a file of a known digest to a new one, which is complete or does not exist.
func copyTo(ctx context.Context, to, from, digest string) error {
	part := partOf(to)
	err := copyPart(ctx, part, from, digest)
	if err == nil {
		err = os.Rename(part, to)
	}
	if err != nil {
		_ = os.Remove(part) // it may not exist
		return failure(to, "write the backup", err)
	}
	return syncDirectory(filepath.Dir(to))
}

func copyPart(ctx context.Context, part, from, digest string) error {
	in, _, err := openState(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	sum := md5.New()
	_, err = io.Copy(io.MultiWriter(out, sum), &ctxReader{ctx, in})
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != digest {
		err = &backend.Error{Address: from, Code: backend.Changed, Message: fmt.Sprintf("cannot write %q: another program wrote it meanwhile; nothing was stored", from)}
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
