package file

import "golang.org/x/sys/unix"

// setOpenFileLock sets a lock that belongs to one opening of a file.
const setOpenFileLock = unix.F_OFD_SETLK
