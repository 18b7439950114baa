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
}

// Sort puts a listing in its order.
func (l *Listing) Sort() {
	slices.SortFunc(l.States, func(a, b State) int { return cmp.Compare(a.Place().Key, b.Place().Key) })
	slices.SortFunc(l.Skipped, func(a, b Skip) int { return cmp.Compare(a.Name, b.Name) })
}

// A Skip is something that was found and not taken.
type Skip struct {
	Name   string `json:"name"` // as State.Address; a directory ends in a separator
	Code   string `json:"code"`
	Reason string `json:"reason"` // a sentence: why, and what to do where something can be done
}

// The codes of a Skip. They are part of the JSON output.
const (
	SkipErrored      = "errored"          // errored.tfstate: likely newer than what the backend holds
	SkipTerraformDir = "terraform-dir"    // .terraform: backend pointers and downloaded copies, not state
	SkipTerragrunt   = "terragrunt-cache" // .terragrunt-cache: working copies that Terragrunt makes
	SkipBackup       = "backup"           // *.backup: the state before the last write
	SkipLockFile     = "lock-file"        // a lock's description
	SkipNotRegular   = "not-regular"      // a pipe, device or socket; never opened in a search
	SkipUnreadable   = "unreadable"       // the system refused to list or stat it
	SkipBrokenLink   = "broken-link"      // a symbolic link to nowhere, or to itself
	SkipDuplicate    = "duplicate"        // a symbolic link to what was found under its own name
)

// A NoMatchError says that a search found nothing to take.
type NoMatchError struct {
	Address string
	Include []string // the globs that were tried
	Exclude []string
	Skipped int // how many were found and not taken
}

func (e *NoMatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no state found in %q: nothing matches %s", e.Address, quoted(e.Include))
	if len(e.Exclude) > 0 {
		fmt.Fprintf(&b, " that is not excluded by %s", quoted(e.Exclude))
	}
	if e.Skipped > 0 {
		fmt.Fprintf(&b, "; %d found and not taken", e.Skipped)
	}
	b.WriteString(`; globs are matched against the path below it, so "**/" is needed to look into directories`)
	return b.String()
}

func quoted(globs []string) string {
	q := make([]string, len(globs))
	for i, g := range globs {
		q[i] = fmt.Sprintf("%q", g)
	}
	return strings.Join(q, ", ")
}
