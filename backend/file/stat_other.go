//go:build !linux && !darwin && !windows

package file

import "os"

// identify returns zeros: on this system only the size and modification time are known.
func identify(*os.File, os.FileInfo) (file uint64, changed int64) { return 0, 0 }
