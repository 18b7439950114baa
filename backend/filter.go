package backend

import (
	"fmt"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// A Filter narrows a search. The zero value means: every *.tfstate.
type Filter struct {
	// Include holds doublestar globs over slash-separated paths relative to what is
	// searched; a state is taken when any matches. None means DefaultInclude.
	Include []string
	// Exclude holds globs of what is left out, states and whole directories; it wins over
	// Include.
	Exclude []string
}

// DefaultInclude is what a search takes when nothing else was asked for.
const DefaultInclude = "**/*.tfstate"

// StateExt ends the names of state files.
const StateExt = ".tfstate"

// The names by which a search knows what is not state.
const (
	erroredFile   = "errored.tfstate"
	terraformDir  = ".terraform"
	terragruntDir = ".terragrunt-cache"
	gitDir        = ".git" // not reported: everybody has one
)

// Nothing returns the error of a search that found nothing.
func (f Filter) Nothing(address string, l *Listing) error {
	return &NoMatchError{Address: address, Include: f.include(), Exclude: f.Exclude, Skipped: len(l.Skipped)}
}

// include is what to take, with the default filled in.
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
				return fmt.Errorf(`%q is not a glob: write "*" for any part of a name, "**" for any directories, "[ab]" and "{a,b}" closed`, g)
			}
		}
	}
	return nil
}

// Takes reports whether a file at key, slash-separated and relative to what is searched,
// was asked for.
func (f Filter) Takes(key string) bool {
	return matchesAny(f.include(), key) && !f.Excludes(key)
}

// Excludes reports whether a file or directory at key was excluded.
func (f Filter) Excludes(key string) bool {
	return matchesAny(f.Exclude, key)
}

func matchesAny(globs []string, key string) bool {
	for _, g := range globs {
		// Find has validated them: a glob that does not parse cannot come here.
		if doublestar.MatchUnvalidated(g, key) {
			return true
		}
	}
	return false
}

// File decides on the file or object at key. It is taken; or skipped for a reason that
// users want to know; or passed over, because nobody would take it for the state.
func (f Filter) File(key string) (take bool, skip *Skip) {
	name := path.Base(key)
	switch {
	case f.Excludes(key):
		return false, nil
	case isLockFile(name):
		return false, &Skip{Code: SkipLockFile, Reason: "describes a lock, is not a state"}
	case strings.HasSuffix(name, ".backup") && strings.Contains(name, StateExt):
		return false, &Skip{Code: SkipBackup, Reason: "is what the state was before its last write: name it alone to use it"}
	case !f.Takes(key):
		return false, nil
	case name == erroredFile:
		return false, &Skip{Code: SkipErrored, Reason: "was written by a Terraform that could not save its state, so it is likely newer than what the backend holds: compare the two, then name it alone or remove it"}
	}
	return true, nil
}

// Directory decides whether the directory at key is searched, as File does.
func (f Filter) Directory(key string) (enter bool, skip *Skip) {
	switch name := path.Base(key); {
	case f.Excludes(key) || name == gitDir:
		return false, nil
	case name == terraformDir:
		return false, &Skip{Code: SkipTerraformDir, Reason: "holds Terraform's pointer to a backend and downloaded copies, not state"}
	case name == terragruntDir:
		return false, &Skip{Code: SkipTerragrunt, Reason: "holds the working copies that Terragrunt makes of configurations; to move a state from it, name the file"}
	}
	return true, nil
}

// isLockFile reports whether a file of this name describes a lock: that of a local
// state, or that of an object, copied along with it.
func isLockFile(name string) bool {
	return strings.HasSuffix(name, ".lock.info") || strings.HasSuffix(name, ".tflock")
}
