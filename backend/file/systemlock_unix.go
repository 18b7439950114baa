//go:build linux || darwin

package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"tfhaul/plainwords"
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

// retired is what a file that was replaced holds, for programs that still have it open.
const retired = `{"tfhaul": "this file was replaced by a state that was moved here; run the command again"}`

// retire makes a file that was replaced unusable. A Terraform that waits for its lock has it
// open, and would read the former state and write the result of its apply where nobody finds
// it. The file keeps its content if it has another name.
func retire(f *os.File) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil || stat.Nlink > 0 {
		return
	}
	if _, err := f.WriteAt([]byte(retired), 0); err == nil {
		_ = f.Truncate(int64(len(retired))) // what follows makes it no more readable
	}
}

// keepOwner gives a new file the owner of the one that it replaces, who could not read it
// otherwise.
func keepOwner(f *os.File, before os.FileInfo) error {
	old, ok := before.Sys().(*syscall.Stat_t)
	if !ok || int(old.Uid) == os.Geteuid() {
		return nil
	}
	if err := f.Chown(int(old.Uid), int(old.Gid)); err != nil {
		return fmt.Errorf("it belongs to another user, who could not read its replacement; run tfhaul as that user (%v)", plainwords.WithoutPath(err))
	}
	return nil
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
