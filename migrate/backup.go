package migrate

import (
	"cmp"
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

	"tfhaul/plainwords"
)

// bump raises the payload's serial above the workspace's. It changes only the digits of the
// serial.
func (x *execution) bump(ctx context.Context) error {
	raised, err := x.raise(ctx)
	if err != nil {
		return err
	}
	x.payload, x.result.BumpedTo = raised, raised.serial
	x.note("The serial is raised from %d to %d, as you allowed. Nothing else in the state changes.", x.read.snapshot.Serial, raised.serial)
	return nil
}

// raise returns the payload with a serial above the workspace's.
func (x *execution) raise(ctx context.Context) (payload, error) {
	serial := x.held.serial() + 1
	whole, p := x.payload.open, x.payload
	p.serial = serial
	p.open = func(ctx context.Context) (io.ReadCloser, error) {
		body, err := whole(ctx)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{x.read.snapshot.Bump(body, serial), body}, nil
	}
	body, err := p.open(ctx)
	if err != nil {
		return p, unreadable(err)
	}
	sum := md5.New()
	p.size, err = io.Copy(sum, body)
	if closed := body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return p, unreadable(err)
	}
	p.md5 = hex.EncodeToString(sum.Sum(nil))
	return p, nil
}

// differsInSerial reports whether the workspace holds the source's state with a higher
// serial and no other difference, as an earlier --bump-serial leaves it.
func (x *execution) differsInSerial(ctx context.Context) bool {
	if x.verdict.Relation != Stale || x.held.notState != "" || x.held.serialMismatch() {
		return false
	}
	body, err := x.payload.open(ctx)
	if err != nil {
		return false // the next read reports why
	}
	sum := md5.New()
	_, err = io.Copy(sum, x.read.snapshot.Bump(body, x.held.snapshot.Serial))
	return errors.Join(err, body.Close()) == nil && hex.EncodeToString(sum.Sum(nil)) == x.held.snapshot.MD5
}

// backUp writes the state that the move will overwrite to a file that only its owner can
// read, unless the move continues that state and the target keeps it as an older version.
// Nothing is overwritten before a complete copy is on the disk and was read back.
func (x *execution) backUp(ctx context.Context) error {
	if x.held == nil || !x.replaces() && x.held.version.Kept {
		return nil
	}
	return x.backUpHeld(ctx)
}

// backUpHeld saves what the target holds.
func (x *execution) backUpHeld(ctx context.Context) error {
	path, err := x.keep(ctx)
	if err != nil {
		return x.stopf(CodeBackup, "Cannot back up the workspace's state, so it was left unchanged: %s", plainwords.Ended(err.Error()))
	}
	x.result.Backup = path
	return x.announce(Event{Event: EventBackup, Backup: path, StateVersionID: x.held.version.ID})
}

// canBeKept returns an error if the downloaded bytes may not be the whole state. A backup must
// be readable as a state, or at least have the size that the target reports.
func (x *execution) canBeKept() error {
	switch h := x.held; {
	case h.snapshot.Size == 0 && x.Target.Traits().Workspaces: // anything can be empty elsewhere
		return fmt.Errorf("the server returned no data for %s", h.version.ID)
	case h.notState != "" && !h.encrypted && h.version.Size == 0 && h.snapshot.Size > 0:
		return fmt.Errorf("the data that the server returned for %s is not a state (%s), and the server does not report its size, so it may be incomplete", h.version.ID, h.notState)
	}
	return nil
}

// keep writes the workspace's state to the backup directory and returns the file's path. An
// existing file must have the same bytes.
func (x *execution) keep(ctx context.Context) (string, error) {
	if err := x.canBeKept(); err != nil {
		return "", err
	}
	dir := filepath.Join(cmp.Or(x.BackupDir, DefaultBackupDir), pathElement(x.Target.Host()), pathElement(x.Target.Container()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s-serial-%d-%s.tfstate", pathElement(x.Move.Workspace), x.held.snapshot.Serial, pathElement(x.held.version.ID))
	path := filepath.Join(dir, name)
	file, err := os.CreateTemp(dir, name+".*.part") // 0600
	if err != nil {
		return "", err
	}
	err = x.download(ctx, x.held.version, func(body io.Reader) error {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		size, err := io.Copy(file, body)
		return errors.Join(err, file.Truncate(size))
	})
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil && !x.isBackup(file.Name()) {
		err = errors.New(x.sayf("the backup differs from the workspace's state"))
	}
	if _, missing := os.Lstat(path); err == nil && !errors.Is(missing, fs.ErrNotExist) && !x.isBackup(path) {
		err = fmt.Errorf("%q already exists with different contents: move it away, or use another --backup-dir", path)
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return path, nil
}

// isBackup reads a file, and reports whether it holds what the target held when the relation
// was decided.
func (x *execution) isBackup(path string) bool {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return false // opening a pipe would block
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	sum := md5.New()
	size, err := io.Copy(sum, file)
	return errors.Join(err, file.Close()) == nil && size == x.held.snapshot.Size && hex.EncodeToString(sum.Sum(nil)) == x.held.snapshot.MD5
}

// maxPathElement limits a part of a backup's name, in bytes: file systems allow 255 for all.
const maxPathElement = 80

// pathElement turns a name, which may come from the server, into a safe path element. A long
// one ends in its digest.
func pathElement(s string) string {
	digest := md5.Sum([]byte(s))
	sum := hex.EncodeToString(digest[:8])
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, s)
	if strings.Trim(s, ".") == "" {
		return "_"
	}
	if len(s) > maxPathElement {
		return s[:maxPathElement-len(sum)-1] + "-" + sum
	}
	return s
}
