package file

import (
	"os"
	"path/filepath"
	"strings"

	"tfhaul/backend"
)

// configured returns where Terraform's local backend keeps the states of a configuration.
func configured(s *backend.Settings) (*backend.Configured, error) {
	below := func(name, usual string) string {
		if text := s.Text(name); text != "" {
			usual = filepath.FromSlash(text)
		}
		if filepath.IsAbs(usual) {
			return usual
		}
		return filepath.Join(s.Dir, usual)
	}
	state, workspaces := below("path", stateFile), below("workspace_dir", workspacesDir)
	out := &backend.Configured{
		Apart: true,
		State: func(workspace string) string {
			if workspace == backend.DefaultWorkspace {
				return state
			}
			return filepath.Join(workspaces, workspace, stateFile)
		},
		Workspace: func(found backend.State) (string, bool) {
			rest, ok := strings.CutPrefix(found.Address(), workspaces+string(filepath.Separator))
			workspace, file := filepath.Split(rest)
			workspace = strings.TrimSuffix(workspace, string(filepath.Separator))
			return workspace, ok && file == stateFile && backend.IsWorkspaceName(workspace)
		},
	}
	if info, err := os.Stat(workspaces); err == nil && info.IsDir() {
		out.Container = workspaces
	}
	return out, nil
}
