package migrate

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// claim locks the file for this process until it is closed. It locks a range far beyond the
// file's end, because on Windows others cannot read a locked range.
func claim(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrJournalInUse
	}
	return err
}

// disclaim does nothing, because closing the file unlocks it.
func disclaim(*os.File) error { return nil }
