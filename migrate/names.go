package migrate

import (
	"fmt"
	"strings"
)

// targetName names the workspace of a move as host/organization/workspace. A move
// without a workspace's name ends with the slash.
func (e *Engine) targetName(m Move) string {
	return fmt.Sprintf("%s/%s/%s", e.Target.Host(), m.Organization, m.Workspace)
}

// checkNamed refuses a move for which no workspace name was found.
func (x *execution) checkNamed() error {
	if x.Unnamed == "" {
		return nil
	}
	return &stop{code: CodeNoName, message: sentence(x.Unnamed)}
}

// noteName says what the workspace's name was made from, where that is more than
// names joined by hyphens.
func (x *execution) noteName() {
	if x.NamedFrom != "" {
		x.note("The workspace name %s was made from %q, which has characters that names cannot have.", x.Move.Workspace, x.NamedFrom)
	}
}

// foldName returns the form in which two names are compared: names that differ only
// in case are one workspace.
func foldName(name string) string { return strings.ToLower(name) }
