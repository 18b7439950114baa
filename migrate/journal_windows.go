package migrate

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// claim makes the file this process's own until it is closed. The lock is taken
// far beyond the file's end: on Windows a locked range cannot be read by others.
func claim(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrJournalInUse
	}
	return err
}

// disclaim has nothing to do: to close the file gives it free.
func disclaim(*os.File) error { return nil }
