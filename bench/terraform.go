package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// byTerraform moves a state from a local backend with the real terraform, as its
// documentation recommends: terraform init with the remote backend configured. The
// confirmation to copy the state is given in advance.
func (s *site) byTerraform(ctx context.Context, v *server, workspace string, size int) (usage, error) {
	dir, err := os.MkdirTemp(s.dir, "terraform-*")
	if err != nil {
		return usage{}, err
	}
	configuration := fmt.Sprintf(`terraform {
  backend "remote" {
    hostname     = %q
    organization = %q
    workspaces { name = %q }
  }
}
`, v.env["TFE_HOSTNAME"], organization, workspace)
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(configuration), 0o600); err != nil {
		return usage{}, err
	}
	f, err := os.Create(filepath.Join(dir, "terraform.tfstate"))
	if err != nil {
		return usage{}, err
	}
	if err := plainState(f, 7, "11111111-2222-4333-8444-555555555555", size); err != nil {
		return usage{}, err
	}
	if err := f.Close(); err != nil {
		return usage{}, err
	}
	u, _, err := s.measure(ctx, task{dir: dir, env: v.environ(),
		args: []string{"terraform", "init", "-migrate-state", "-force-copy", "-input=false", "-no-color"}})
	return u, err
}
