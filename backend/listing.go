package backend

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Listing is what a backend holds.
type Listing struct {
	States  []State // sorted by Place.Key
	Skipped []Skip  // sorted by Name
	// Configurations are those of the states, by address, where the states were found through
	// their code; otherwise nil.
	Configurations map[string]Configuration
}

// Sort sorts the states and the skipped files.
func (l *Listing) Sort() {
	slices.SortFunc(l.States, func(a, b State) int { return cmp.Compare(a.Place().Key, b.Place().Key) })
	slices.SortFunc(l.Skipped, func(a, b Skip) int { return cmp.Compare(a.Name, b.Name) })
}

// A Skip is something that was found but not taken.
type Skip struct {
	Name   string `json:"name"` // as in State.Address; directories end in a separator
	Code   string `json:"code"`
	Reason string `json:"reason"` // a sentence: why, and what to do about it, if anything
}

// The codes of a Skip. They are part of the JSON output.
const (
	SkipErrored      = "errored"          // errored.tfstate: probably newer than what the backend holds
	SkipTerraformDir = "terraform-dir"    // .terraform: backend configuration and downloaded copies, not state
	SkipTerragrunt   = "terragrunt-cache" // .terragrunt-cache: Terragrunt's working copies
	SkipBackup       = "backup"           // *.backup: the state before the last write
	SkipBackupIndex  = "backup-index"     // lists the versions in a backup by tfhaul
	SkipOtherName    = "other-name"       // *.tfstate.*, such as terraform.tfstate.prod
	SkipLockFile     = "lock-file"        // describes a lock
	SkipNotRegular   = "not-regular"      // a pipe, device or socket; never opened in a search
	SkipNoPermission = "no-permission"    // the credentials cannot read it
	SkipUnreadable   = "unreadable"       // the system refused to list or stat it
	SkipBrokenLink   = "broken-link"      // a symbolic link whose target is missing, or that loops
	SkipDuplicate    = "duplicate"        // a symbolic link to something that was found by its own name
	SkipNoState      = "no-state"         // a workspace or configuration for which nothing is stored
	SkipUnknownState = "unknown-state"    // a configuration whose state is not known
	SkipSharedState  = "shared-state"     // a configuration that uses the state of another one
)

// A NoMatchError is returned when a search finds nothing to take.
type NoMatchError struct {
	Address string
	Include []string // the globs that were tried
	Exclude []string
	Skipped int // how many were found but not taken
	// Names means that the globs match names, not paths.
	Names bool
}

func (e *NoMatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no state found in %q", e.Address)
	if len(e.Include) > 0 {
		fmt.Fprintf(&b, ": nothing matches %s", quoted(e.Include))
	}
	if len(e.Exclude) > 0 {
		fmt.Fprintf(&b, " (excluding %s)", quoted(e.Exclude))
	}
	if e.Skipped > 0 {
		fmt.Fprintf(&b, "; %d found but skipped", e.Skipped)
	}
	if !e.Names {
		b.WriteString(`; globs match paths relative to it, so use "**/" to search subdirectories`)
	}
	return b.String()
}

func quoted(globs []string) string {
	q := make([]string, len(globs))
	for i, g := range globs {
		q[i] = fmt.Sprintf("%q", g)
	}
	return strings.Join(q, ", ")
}
