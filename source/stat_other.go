//go:build !linux && !darwin && !windows

package source

import "os"

// identify knows nothing more of a file on this system than its size and modification time.
func identify(*os.File, os.FileInfo) Identity { return Identity{} }
