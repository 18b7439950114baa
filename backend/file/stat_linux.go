package file

import "syscall"

// changeTime returns when the file or its metadata last changed. No program can set it.
func changeTime(stat *syscall.Stat_t) syscall.Timespec { return stat.Ctim }
