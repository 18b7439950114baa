//go:build !linux && !darwin

package file

import "os"

// systemLocks is false: a file that is open here could not be replaced on some of these
// systems. The lock is then only its description, which other hauls respect.
const systemLocks = false

func lockFile(*os.File) error { return nil }

func retire(*os.File) {}

func keepOwner(*os.File, os.FileInfo) error { return nil }

// syncDirectory does nothing: a directory cannot be synced here.
func syncDirectory(string) error { return nil }

func isFull(error) bool { return false }

func isReadOnly(error) bool { return false }
