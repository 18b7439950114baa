package command

import (
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/migrate"
)

// permittedFor keeps the name for which the user permits something, as it was written. Whether it
// is the workspace's is known when the server has been asked.
func permittedFor(m *migrate.Move, flag, workspace string) error {
	if m.PermittedFor == "" && (m.Replace || m.Bump || len(m.Allow) > 0) {
		m.PermittedFor = m.Workspace // by the manifest
	}
	if m.PermittedFor != "" && m.PermittedFor != workspace {
		return usagef("--%s names the workspace %q, and it was also written %q: write its name as the server has it", flag, workspace, m.PermittedFor)
	}
	m.PermittedFor = workspace
	return nil
}

// permissionFlags name workspaces.
var permissionFlags = []string{"replace", "bump-serial", "allow"}

// permittedName is the workspace's name as the flags that permit something write it; "" where
// there are none. They may differ from the target in case, until the server is asked.
func (p *process) permittedName(c *cli.Context, workspace string) (string, error) {
	name := ""
	for _, flag := range permissionFlags {
		for _, given := range c.StringSlice(flag) {
			given, _, _ = strings.Cut(given, "=")
			switch {
			case !strings.EqualFold(given, workspace):
				return "", usagef("%s names the workspace %q, and the target is %q: write --%s=%s, if that is what you want",
					p.originOf(flag), given, workspace, flag, workspace)
			case name != "" && given != name:
				return "", usagef("%s names the workspace %q, and it was also written %q: write its name as the server has it", p.originOf(flag), given, name)
			}
			name = given
		}
	}
	return name, nil
}
