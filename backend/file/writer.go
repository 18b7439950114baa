package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A writer locks one file and writes to it, for one move. Its lock is that of Terraform's
// local backend: the system's lock of the file, and a description beside it. The system's
// lock ends with the process; the description stays, and stops other hauls.
type writer struct {
	target *target
	path   string // of the state; it may be a symbolic link
	name   string
	backend.WriterOptions

	heir    bool   // earlier processes of the haul have, or may have, left a lock
	id      string // of our lock; "" until we have tried to take it, or have recognized it
	text    []byte // the description of our lock
	granted bool
	seen    *backend.Standing
	notes   []string

	real  string     // the file that the path leads to
	files []*os.File // openings of it whose system's locks we hold, the current one last
	empty bool       // the file is one that we created for its lock
}

func (w *writer) Seen() *backend.Standing { return w.seen }
func (w *writer) LastName() string        { return w.name }
func (w *writer) LostRequests() int       { return w.Lost }
func (w *writer) Granted() bool           { return w.granted }
func (w *writer) Notes() []string         { return w.notes }

var (
	errLocked = errors.New("another program has locked the file")
	// errReplaced is returned if the file was replaced while it was being locked.
	errReplaced = errors.New("another program keeps replacing the file")
)

// Lock implements lockwait.Locker.
func (w *writer) Lock(ctx context.Context, sending lockwait.Sending) error {
	if err := errors.Join(ctx.Err(), sending(ctx)); err != nil {
		return err
	}
	if err := w.hold(); err != nil {
		return w.lockFailure(err)
	}
	if w.id == "" {
		info := backend.NewLockInfo(backend.LockRequest{Operation: backend.MigrateOperation, Info: w.Reason}, w.path)
		w.id, w.text = info.ID, info.Marshal()
	}
	places := w.places()
	for i, place := range places {
		if err := w.describe(place); err != nil {
			w.giveUp(places[:i])
			return w.lockFailure(err)
		}
	}
	w.granted = true
	seen, err := w.target.Look(context.WithoutCancel(ctx), w.name)
	if err != nil {
		w.giveUp(places)
		return err
	}
	if !systemLocks {
		w.notes = append(w.notes, fmt.Sprintf("Terraform does not notice tfhaul's lock on this system. Make sure that it does not run on %q meanwhile.", w.path))
	}
	w.seen = seen
	return nil
}

func (w *writer) lockFailure(err error) error {
	if errors.Is(err, errLocked) {
		return lockwait.ErrHeld
	}
	return failure(w.path, "lock", err)
}

// hold takes the system's lock of the file, and creates the file and its directory if they
// do not exist, as Terraform does.
func (w *writer) hold() error {
	if len(w.files) > 0 || !systemLocks {
		return w.resolve()
	}
	const attempts = 10 // another haul may replace the file in between
	for range attempts {
		if err := w.resolve(); err != nil {
			return err
		}
		held, created, err := openToLock(w.real)
		if err != nil {
			return err
		}
		err = lockFile(held)
		if err == nil && isAt(held, w.real) {
			w.files, w.empty = []*os.File{held}, created
			w.removePart()
			return nil
		}
		if closed := held.Close(); err != nil || closed != nil {
			return errors.Join(err, closed)
		}
	}
	return errReplaced
}

// resolve finds the file that the path leads to, and creates its directory.
func (w *writer) resolve() error {
	w.real = w.path
	if info, err := os.Lstat(w.path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		real, err := filepath.EvalSymlinks(w.path)
		if errors.Is(err, fs.ErrNotExist) {
			return errors.New("it is a symbolic link to a file that does not exist; remove the link, or name the file itself")
		}
		if err != nil {
			return err
		}
		w.real = real
	}
	return makeDirectory(filepath.Dir(w.real))
}

// makeDirectory creates a directory and its parents, and makes sure that they are on the
// disk.
func makeDirectory(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%q is not a directory", dir)
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if err := makeDirectory(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(parent)
}

// openToLock opens a state for its lock.
func openToLock(path string) (held *os.File, created bool, err error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, false, errors.New("it is a directory; name the file in it")
	} else if err == nil && !info.Mode().IsRegular() {
		return nil, false, fmt.Errorf("it is %s", typeInWords(info.Mode()))
	}
	held, err = os.OpenFile(path, os.O_RDWR, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return held, false, err
	}
	held, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return held, err == nil, err
}

// isAt reports whether a path still leads to an open file.
func isAt(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(path)
	return err == nil && os.SameFile(opened, now)
}

// places returns where the lock is described: beside the path and, if that is a symbolic
// link, beside the file that it leads to. A configuration may use either.
func (w *writer) places() []string {
	places := []string{lockInfoPath(w.path)}
	if w.real != "" && w.real != w.path {
		places = append(places, lockInfoPath(w.real))
	}
	return places
}

// describe creates the description of our lock. One that is there already may be ours.
func (w *writer) describe(place string) error {
	out, err := os.OpenFile(place, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		lock, err := readLockInfo(place)
		if err == nil && (lock == nil || !w.isOurs(lock)) {
			err = errLocked
		}
		return err
	}
	if err != nil {
		return err
	}
	_, err = out.Write(w.text)
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(place)) // it is ours
	}
	return nil
}

// isOurs reports whether a lock is ours: it has our reason and our ID. A lock that an
// earlier process of the haul has left, or may have left, has an ID that we learn from it.
func (w *writer) isOurs(l *backend.Lock) bool {
	if l.Info != w.Reason || l.ID == "" {
		return false
	}
	if l.ID != w.id && w.heir {
		w.id = l.ID
	}
	return l.ID == w.id
}

// giveUp undoes what Lock has done.
func (w *writer) giveUp(places []string) {
	for _, place := range places {
		_ = os.Remove(place) // if it stays, Holder finds that it is ours
	}
	w.letGo()
}

// letGo ends the system's lock.
func (w *writer) letGo() {
	if len(w.files) > 0 {
		w.removePart()
		if info, err := os.Stat(w.real); w.empty && err == nil && info.Size() == 0 && isAt(w.files[0], w.real) {
			_ = os.Remove(w.real) // Terraform leaves an empty file, too, if this fails
		}
	}
	for _, f := range w.files {
		_ = f.Close() // nothing was written through it since it was synced
	}
	w.files, w.empty = nil, false
}

// Holder implements lockwait.Locker. A lock that an earlier process has described is taken
// from the system again.
func (w *writer) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	if err := errors.Join(ctx.Err(), sending(ctx)); err != nil {
		return lockwait.Holder{}, err
	}
	ours, other, err := w.find()
	switch {
	case err != nil:
		return lockwait.Holder{}, failure(w.path, "read the lock of", err)
	case other != nil:
		return other.Other(), nil
	case len(ours) == 0:
		return lockwait.Holder{}, nil
	}
	if err := w.hold(); errors.Is(err, errLocked) {
		return lockwait.Holder{Name: "another program", Other: true}, nil
	} else if err != nil {
		return lockwait.Holder{}, failure(w.path, "lock", err)
	}
	return lockwait.Holder{Name: "this haul", Reason: w.Reason, Ours: true}, nil
}

// find returns the places that have our lock, and a lock that is another's.
func (w *writer) find() (ours []string, other *backend.Lock, err error) {
	for _, place := range w.places() {
		lock, err := readLockInfo(place)
		switch {
		case err != nil:
			return nil, nil, err
		case lock != nil && w.isOurs(lock):
			ours = append(ours, place)
		case lock != nil:
			other = lock
		}
	}
	return ours, other, nil
}

// Unlock implements lockwait.Locker.
func (w *writer) Unlock(ctx context.Context, sending lockwait.Sending) error {
	if err := sending(ctx); err != nil {
		return err
	}
	switch err := w.hold(); {
	case errors.Is(err, errLocked): // Terraform, which ignores a description without a lock
		return lockwait.ErrNotHeld
	case err != nil:
		return failure(w.path, "unlock", err)
	}
	ours, _, err := w.find()
	for _, place := range ours {
		err = errors.Join(err, os.Remove(place))
	}
	if err != nil {
		return failure(w.path, "unlock", err)
	}
	w.letGo()
	if len(ours) == 0 {
		return lockwait.ErrNotHeld
	}
	return nil
}
