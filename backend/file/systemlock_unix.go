//go:build linux || darwin

package file

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// systemLocks reports whether lockFile stops Terraform.
const systemLocks = true

// lockFile takes the system's lock of an open file, which Terraform's local backend takes,
// too. It returns errLocked if another program has it. The lock ends when f is closed. It
// belongs to f alone: with the older kind of lock, closing any other opening of the file in
// this process would end it.
func lockFile(f *os.File) error {
	err := unix.FcntlFlock(f.Fd(), setOpenFileLock, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return errLocked
	}
	return err
}

// syncDirectory makes sure that what was created or renamed in a directory is on the disk.
func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// isFull reports whether the disk, or the user's share of it, is full.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// isReadOnly reports whether a file system can only be read.
func isReadOnly(err error) bool { return errors.Is(err, unix.EROFS) }
