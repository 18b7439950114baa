//go:build unix

package command

import (
	"os"
	"syscall"
)

// ownedByUser reports whether a file belongs to this user or to root.
func ownedByUser(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return true // reading it reports the error
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int(stat.Uid) == os.Getuid())
}
