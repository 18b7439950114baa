package file

// setOpenFileLock sets a lock that belongs to one opening of a file: F_OFD_SETLK in
// <sys/fcntl.h>.
const setOpenFileLock = 90
