package statefile

import "strings"

// KindOfName says what the name of a file alone tells: KindErrored,
// KindLockInfo, KindBackup, KindBackendPointer, or KindState if the name says nothing
// else. It does not look at the file, and the caller decides what to make of
// it. A path may have slashes or backslashes, and may be the key of an object in a
// bucket.
func KindOfName(path string) Kind {
	dir, base := "", strings.ReplaceAll(path, `\`, "/")
	if i := strings.LastIndexByte(base, '/'); i >= 0 {
		dir, base = base[:i], base[i+1:]
	}
	parent := dir[strings.LastIndexByte(dir, '/')+1:]
	switch {
	case base == "errored.tfstate":
		return KindErrored
	// The local backend's lock of FILE is .FILE.lock.info.
	case strings.HasPrefix(base, ".") && strings.HasSuffix(base, ".lock.info"), strings.HasSuffix(base, ".tflock"):
		return KindLockInfo
	// Terraform makes terraform.tfstate.backup, and for the state commands
	// terraform.tfstate.<unix time>.backup.
	case strings.HasSuffix(base, ".backup"):
		return KindBackup
	case base == "terraform.tfstate" && parent == ".terraform":
		return KindBackendPointer
	}
	return KindState
}
