//go:build unix

package migrate

import (
	"errors"
	"os"
	"syscall"
)

// claim locks the file for this process until disclaim.
func claim(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrJournalInUse
	}
	return err
}

// disclaim unlocks the file. Closing it is not enough, because a child process that is being
// started holds a copy of the descriptor until it executes.
func disclaim(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
