package file

import (
	"context"
	"path/filepath"

	"tfhaul/backend"
)

// block returns the block of Terraform's local backend for a file. Its paths are absolute,
// because a configuration's are relative to the directory in which Terraform runs.
func block(_ context.Context, dir, name string) (*backend.Block, error) {
	at := addressBelow(dir, name)
	b := &backend.Block{Type: "local", Workspace: backend.DefaultWorkspace}
	workspace := filepath.Dir(at)
	workspaces := filepath.Dir(workspace)
	if filepath.Base(at) != stateFile || filepath.Base(workspaces) != workspacesDir || !backend.IsWorkspaceName(filepath.Base(workspace)) {
		b.Arguments = []backend.Argument{{Name: "path", Value: filepath.ToSlash(at)}}
		return b, nil
	}
	b.Workspace = filepath.Base(workspace)
	b.Arguments = []backend.Argument{
		{Name: "path", Value: filepath.ToSlash(filepath.Join(filepath.Dir(workspaces), stateFile))},
		{Name: "workspace_dir", Value: filepath.ToSlash(workspaces)},
	}
	return b, nil
}
