package statefile

import "strings"

// KindOfName returns what a file's name alone implies: KindErrored, KindLockInfo,
// KindBackup, KindBackendPointer, or KindState for all other names. The path may have
// slashes or backslashes, and may be the key of an object in a bucket.
func KindOfName(path string) Kind {
	dir, base := "", strings.ReplaceAll(path, `\`, "/")
	if i := strings.LastIndexByte(base, '/'); i >= 0 {
		dir, base = base[:i], base[i+1:]
	}
	parent := dir[strings.LastIndexByte(dir, '/')+1:]
	switch {
	case base == "errored.tfstate":
		return KindErrored
	// The local backend locks FILE with .FILE.lock.info.
	case strings.HasPrefix(base, ".") && strings.HasSuffix(base, ".lock.info"), strings.HasSuffix(base, ".tflock"):
		return KindLockInfo
	// Terraform writes terraform.tfstate.backup, and its state commands write
	// terraform.tfstate.<unix time>.backup.
	case strings.HasSuffix(base, ".backup"):
		return KindBackup
	case base == "terraform.tfstate" && parent == ".terraform":
		return KindBackendPointer
	}
	return KindState
}
