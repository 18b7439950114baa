package migrate

import (
	"context"
	"fmt"
	"strings"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// targetName names the workspace of a move as host/organization/workspace. A move
// without a workspace's name ends with the slash.
func (e *Engine) targetName(m Move) string {
	return e.Target.Address(m.Workspace)
}

// checkNamed refuses a move for which no workspace name was found.
func (x *execution) checkNamed(context.Context) error {
	if !x.Unnamed {
		return nil
	}
	return &stop{code: CodeNoName, message: plainwords.Sentence(x.Naming)}
}

// noteName says what the workspace's name was made from, where that is more than
// names joined by hyphens.
func (x *execution) noteName() {
	if x.Naming != "" && !x.Unnamed {
		x.note("The workspace name %s was derived from %q, which contains characters not allowed in workspace names.", x.Move.Workspace, x.Naming)
	}
}

// fold returns the form in which two names at the target are compared.
func (e *Engine) fold(name string) string {
	if e.Target.Traits().Workspaces {
		return foldName(name)
	}
	return name
}

// foldName returns the form in which the names of workspaces are compared: names that differ
// only in case are one workspace.
func foldName(name string) string { return strings.ToLower(name) }

// NamesWorkspace reports whether a result's or an event's target is a workspace. Workspaces
// have addresses without a scheme, or with that of their host; files have paths.
func NamesWorkspace(target string) bool {
	switch backend.Scheme(target) {
	case "", "http", "https":
		return !strings.HasPrefix(target, "/")
	}
	return false
}

// foldTarget is foldName for a target that is a workspace.
func foldTarget(target string) string {
	if NamesWorkspace(target) {
		return foldName(target)
	}
	return target
}

// useServerName gives the move the workspace's name as the server has it. What was permitted
// for another spelling is withdrawn: a permission is for the workspace that the user
// named, and only the server's name shows that it is this one.
func (m *Move) useServerName(name string) {
	if name == "" {
		return
	}
	given := m.Workspace
	if m.PermittedFor != "" {
		given = m.PermittedFor
	}
	if m.Workspace != name {
		m.nameNote = fmt.Sprintf("The workspace is called %s on the server, not %s.", name, m.Workspace)
		m.Workspace = name
	}
	var withdrawn []string
	if m.Replace {
		withdrawn = append(withdrawn, "--replace "+name)
	}
	if m.Bump {
		withdrawn = append(withdrawn, "--bump-serial "+name)
	}
	for _, code := range m.Allow {
		withdrawn = append(withdrawn, fmt.Sprintf("--allow %s=%s", name, code))
	}
	if given == name || len(withdrawn) == 0 {
		m.PermittedFor = ""
		return
	}
	m.Replace, m.Bump, m.Allow, m.PermittedFor = false, false, nil, ""
	exact := strings.Join(withdrawn, " ")
	if m.FromManifest {
		exact = fmt.Sprintf("workspace = %q in the manifest", name)
	}
	m.nameNote = strings.TrimSpace(fmt.Sprintf("%s Permissions given for %s do not apply to %s, because they must name the workspace exactly. If you mean this workspace, use %s.",
		m.nameNote, given, name, exact))
}

// useName continues the move under the name that the workspace has on the server.
func (x *execution) useName(name string) {
	if x.comparing {
		return
	}
	before := x.nameNote
	x.Move.useServerName(name)
	x.result.Target = x.targetName(x.Move)
	if x.nameNote != before {
		x.note("%s", x.nameNote)
	}
}

// listed are the workspaces of an organization that moves may go into, by their folded
// names. A server that tells names apart by case may have several for one.
type listed map[string][]*backend.Standing

// of finds the workspace with a name, or, where there is none, the only one whose name
// differs from it in case; nil for none.
func (l listed) of(name string, fold bool) *backend.Standing {
	alike := l[foldName(name)]
	for _, ws := range alike {
		if ws.Name == name {
			return ws
		}
	}
	if len(alike) == 1 && fold {
		return alike[0]
	}
	return nil
}
