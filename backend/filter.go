package backend

import (
	"fmt"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// A Filter narrows a search. The zero value selects every *.tfstate.
type Filter struct {
	// Include holds doublestar globs, matched against slash-separated paths relative to
	// what is searched. A state is selected if any glob matches. Empty means
	// DefaultInclude.
	Include []string
	// Exclude holds globs of states and directories to leave out. It takes precedence over
	// Include.
	Exclude []string
}

// DefaultInclude is used when Filter.Include is empty.
const DefaultInclude = "**/*.tfstate"

// StateExt is the extension of state files.
const StateExt = ".tfstate"

// BackupIndex is the name of the index of a backup: see package backup.
const BackupIndex = "tfhaul-backup.json"

// Names that a search never takes for state.
const (
	erroredFile   = "errored.tfstate"
	terraformDir  = ".terraform"
	terragruntDir = ".terragrunt-cache"
	gitDir        = ".git" // not reported: every repository has one
)

// Nothing returns the error for a search that found nothing.
func (f Filter) Nothing(address string, l *Listing) error {
	return &NoMatchError{Address: address, Include: f.include(), Exclude: f.Exclude, Skipped: len(l.Skipped)}
}

// include returns the globs to select, with the default filled in.
func (f Filter) include() []string {
	if len(f.Include) == 0 {
		return []string{DefaultInclude}
	}
	return f.Include
}

func (f Filter) validate() error {
	for _, list := range [][]string{f.Include, f.Exclude} {
		for _, g := range list {
			if !doublestar.ValidatePattern(g) {
				return fmt.Errorf(`%q is not a valid glob: use "*" for any part of a name and "**" for any directories, and close every "[ab]" and "{a,b}"`, g)
			}
		}
	}
	return nil
}

// Takes reports whether the file at key, slash-separated and relative to what is searched,
// is selected.
func (f Filter) Takes(key string) bool {
	return matchesAny(f.include(), key) && !f.Excludes(key)
}

// TakesName reports whether the state with this name is selected, where names are not paths
// of files.
func (f Filter) TakesName(name string) bool {
	return (len(f.Include) == 0 || matchesAny(f.Include, name)) && !f.Excludes(name)
}

// Excludes reports whether the file or directory at key is excluded.
func (f Filter) Excludes(key string) bool {
	return matchesAny(f.Exclude, key)
}

func matchesAny(globs []string, key string) bool {
	for _, g := range globs {
		// Find has validated the globs.
		if doublestar.MatchUnvalidated(g, key) {
			return true
		}
	}
	return false
}

// File decides whether to take the file or object at key. If not, skip is the reason, or
// nil for a file that nobody would mistake for the state.
func (f Filter) File(key string) (take bool, skip *Skip) {
	name := path.Base(key)
	switch {
	case f.Excludes(key):
		return false, nil
	case name == BackupIndex:
		return false, &Skip{Code: SkipBackupIndex, Reason: "lists what a backup by tfhaul holds"}
	case isLockFile(name):
		return false, &Skip{Code: SkipLockFile, Reason: "describes a lock, and is not a state"}
	case strings.HasSuffix(name, ".backup") && strings.Contains(name, StateExt):
		return false, &Skip{Code: SkipBackup, Reason: "holds the previous state: to use it, pass this file as the source"}
	case !f.Takes(key) && len(f.Include) == 0 && strings.Contains(name, StateExt+"."):
		return false, &Skip{Code: SkipOtherName, Reason: "is named like a copy of a state: to move it, name this file"}
	case !f.Takes(key):
		return false, nil
	case name == erroredFile:
		return false, &Skip{Code: SkipErrored, Reason: "was written by Terraform when it could not store a state. Compare it with the backend's state: push it if it is newer; delete it if not"}
	}
	return true, nil
}

// Directory decides whether to search the directory at key, as File does for files.
func (f Filter) Directory(key string) (enter bool, skip *Skip) {
	switch name := path.Base(key); {
	case f.Excludes(key) || name == gitDir:
		return false, nil
	case name == terraformDir:
		return false, &Skip{Code: SkipTerraformDir, Reason: "holds Terraform's backend configuration and downloaded copies, not state"}
	case name == terragruntDir:
		return false, &Skip{Code: SkipTerragrunt, Reason: "holds Terragrunt's working copies of configurations: to move a state from it, name the file"}
	}
	return true, nil
}

// isLockFile reports whether a file of this name describes a lock on a local state, or on
// an object that was copied together with its lock.
func isLockFile(name string) bool {
	return strings.HasSuffix(name, ".lock.info") || strings.HasSuffix(name, ".tflock")
}
