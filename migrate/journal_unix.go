//go:build unix

package migrate

import (
	"errors"
	"os"
	"syscall"
)

// claim makes the file this process's own until it is disclaimed.
func claim(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrJournalInUse
	}
	return err
}

// disclaim gives the file free. To close it is not enough: a child process that is
// just being started holds a copy of it until it has become another program.
func disclaim(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
