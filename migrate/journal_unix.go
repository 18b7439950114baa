//go:build unix

package migrate

import (
	"errors"
	"os"
	"syscall"
)

// claim makes the file this process's own until it is closed.
func claim(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrJournalInUse
	}
	return err
}
