package source

import (
	"fmt"
	"time"
)

// An Identity tells a file from another of the same size and modification time. Each part is zero
// where the system or the file system lacks it, and in pins of journals that older versions wrote.
type Identity struct {
	// File stands for the file itself, by its device and inode: another that was renamed to its place
	// has another.
	File uint64 `json:"file,omitempty"`
	// Changed is when the file, or what the system notes of it, last changed, in nanoseconds since
	// 1970. Unlike ModTime, no program can set it.
	Changed int64 `json:"changed_ns,omitempty"`
}

// differs says in what a file is another than was, by what both have; "" where in nothing.
func (now Identity) differs(was Identity) string {
	switch {
	case was.File != 0 && now.File != 0 && now.File != was.File:
		return "another file has its place, of the same size and time"
	case was.Changed != 0 && now.Changed != 0 && now.Changed != was.Changed:
		return fmt.Sprintf("changed %s, was %s", time.Unix(0, now.Changed).UTC().Format(time.RFC3339Nano), time.Unix(0, was.Changed).UTC().Format(time.RFC3339Nano))
	}
	return ""
}

// fileOf mixes a device and an inode into one number.
func fileOf(device, inode uint64) uint64 { return inode + device*0x9e3779b97f4a7c15 }
