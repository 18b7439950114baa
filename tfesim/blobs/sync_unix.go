//go:build !windows

package blobs

import "os"

// syncFolder makes a rename inside the folder survive a crash.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
