package migrate

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

	"tfhaul/plainwords"
)

// bump raises the payload's serial above the workspace's. It changes only the digits of the
// serial.
func (x *execution) bump(ctx context.Context) error {
	serial := x.held.serial() + 1
	whole := x.payload.open
	x.payload.serial = serial
	x.payload.open = func(ctx context.Context) (io.ReadCloser, error) {
		body, err := whole(ctx)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{x.read.snapshot.Bump(body, serial), body}, nil
	}
	body, err := x.payload.open(ctx)
	if err != nil {
		return unreadable(err)
	}
	sum := md5.New()
	x.payload.size, err = io.Copy(sum, body)
	if closed := body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return unreadable(err)
	}
	x.payload.md5 = hex.EncodeToString(sum.Sum(nil))
	x.result.BumpedTo = serial
	x.note("The serial is raised from %d to %d, as you allowed. Nothing else in the state changes.", x.read.snapshot.Serial, serial)
	return nil
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

// backUp writes the state that the move will replace to a file that only its owner can
// read. Nothing is replaced before a complete copy is on the disk.
func (x *execution) backUp(ctx context.Context) error {
	if !x.replaces() {
		return nil
	}
	if err := x.held.canBeKept(); err != nil {
		return &stop{code: CodeBackup, message: fmt.Sprintf("Cannot back up the workspace's state, so it was not replaced: %s", plainwords.Ended(err.Error()))}
	}
	path, err := x.keep(ctx)
	if err != nil {
		return &stop{code: CodeBackup, message: fmt.Sprintf("Cannot back up the workspace's state, so it was not replaced: %s", plainwords.Ended(err.Error()))}
	}
	x.result.Backup = path
	return x.announce(Event{Event: EventBackup, Backup: path, StateVersionID: x.held.version.ID})
}

// canBeKept returns an error if the downloaded bytes may not be the workspace's whole state.
// A backup must be readable as a state, or at least have the size that the server reports.
func (h *holding) canBeKept() error {
	switch {
	case h.snapshot.Size == 0:
		return fmt.Errorf("the server returned no data for %s", h.version.ID)
	case h.notState != "" && !h.encrypted && h.version.Size == 0:
		return fmt.Errorf("the data that the server returned for %s is not a state (%s), and the server does not report its size, so it may be incomplete", h.version.ID, h.notState)
	}
	return nil
}

// keep writes the workspace's state to the backup directory and returns the file's path. An
// existing file must have the same bytes.
func (x *execution) keep(ctx context.Context) (string, error) {
	dir := x.BackupDir
	if dir == "" {
		dir = DefaultBackupDir
	}
	dir = filepath.Join(dir, pathElement(x.Target.Host()), pathElement(x.Target.Container()))
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
		sum := md5.New()
		size, err := io.Copy(io.MultiWriter(file, sum), body)
		if err != nil {
			return err
		}
		if size != x.held.snapshot.Size || hex.EncodeToString(sum.Sum(nil)) != x.held.snapshot.MD5 {
			return errors.New("the server returned different data than before")
		}
		return file.Truncate(size)
	})
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = x.mayReplace(path)
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return path, nil
}

// mayReplace returns an error if path exists and is not the same backup.
func (x *execution) mayReplace(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode().IsRegular() && info.Size() == x.held.snapshot.Size {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		sum := md5.New()
		if _, err := io.Copy(sum, file); errors.Join(err, file.Close()) == nil && hex.EncodeToString(sum.Sum(nil)) == x.held.snapshot.MD5 {
			return nil
		}
	}
	return fmt.Errorf("%q already exists with different contents: move it away, or use another --backup-dir", path)
}

// pathElement turns a name, which may come from the server, into a safe path element.
func pathElement(s string) string {
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
	return s
}
