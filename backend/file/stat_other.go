//go:build !linux && !darwin && !windows

package file

import "os"

// identify knows nothing more of a file on this system than its size and modification time.
func identify(*os.File, os.FileInfo) (file uint64, changed int64) { return 0, 0 }
