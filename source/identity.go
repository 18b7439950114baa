package source

import (
	"fmt"
	"time"
)

// An Identity tells a file from another of the same size and modification time. Each part is zero
// where the system or the file system lacks it, and in pins of journals that older versions wrote.
type Identity struct {
	// Device and Inode name the file itself: another that was renamed to its place has others.
	Device uint64 `json:"device,omitempty"`
	Inode  uint64 `json:"inode,omitempty"`
	// Changed is when the file, or what the system notes of it, last changed, in nanoseconds since
	// 1970. Unlike ModTime, no program can set it.
	Changed int64 `json:"changed_ns,omitempty"`
}

// differs says in what a file is another than was, by what both have; "" where in nothing.
func (now Identity) differs(was Identity) string {
	switch {
	case was.Inode != 0 && now.Inode != 0 && (now.Inode != was.Inode || now.Device != was.Device):
		return "another file has its place, of the same size and time"
	case was.Changed != 0 && now.Changed != 0 && now.Changed != was.Changed:
		return fmt.Sprintf("changed %s, was %s", time.Unix(0, now.Changed).UTC().Format(time.RFC3339Nano), time.Unix(0, was.Changed).UTC().Format(time.RFC3339Nano))
	}
	return ""
}
