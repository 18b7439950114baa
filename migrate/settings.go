package migrate

import (
	"fmt"
	"strings"
	"time"

	"tfhaul/backend"
)

// Settings are the options that a move may have of its own, as a manifest gives them.
type Settings struct {
	// Create creates missing workspaces.
	Create bool
	// CreateOptions say how. TerraformVersion FromState takes the version that
	// wrote the state.
	CreateOptions backend.CreateOptions
	// UpdateSettings changes the settings of workspaces that exist, too.
	UpdateSettings bool
	// History is how many versions of a state are moved, the current one included: 0 and 1
	// move that one alone, and backend.AllVersions moves every one.
	History int
	// IncludeEmpty moves states without resources and outputs, too.
	IncludeEmpty bool
	// LockTimeout is how long to wait for a workspace that another user has
	// locked; 0 refuses at once.
	LockTimeout time.Duration
	// LockSource holds the source's own lock during the move, where there is one
	// that can be held.
	LockSource bool
	// FreezeSource leaves that lock in place when the state has arrived, so that
	// nobody applies against the old state any more.
	FreezeSource bool
}

// WithHistory reports whether older versions are moved, too.
func (s Settings) WithHistory() bool { return s.History != 0 && s.History != 1 }

// setting names an option for the user: the flag, or the manifest's attribute where
// the move comes from a manifest, which takes no such flags. value is "" for a switch.
func (x *execution) setting(flag, value string) string {
	switch {
	case !x.FromManifest && value == "":
		return "--" + flag
	case !x.FromManifest:
		return fmt.Sprintf("--%s %s", flag, value)
	case value == "":
		return attribute(flag) + " = true in the manifest's defaults or move block"
	}
	return fmt.Sprintf("%s = %q in the manifest's defaults or move block", attribute(flag), value)
}

// permission names a permission for this move's workspace, as setting does.
func (x *execution) permission(flag string) string {
	if x.FromManifest {
		return attribute(flag) + " = true in the manifest's move block"
	}
	return x.sayf("--%s %s", flag, x.Move.Workspace)
}

// attribute is what a flag is called in a manifest.
func attribute(flag string) string { return strings.ReplaceAll(flag, "-", "_") }
