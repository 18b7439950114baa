package file

import "syscall"

// changeTime is when the file or what the system notes of it was last changed. No program can set it.
func changeTime(stat *syscall.Stat_t) syscall.Timespec { return stat.Ctimespec }
