package tfe

import (
	"context"
	"fmt"
	"iter"

	gotfe "github.com/hashicorp/go-tfe"

	"tfhaul/backend"
)

// Listed implements backend.Listed.
func (s *workspaceState) Listed() *backend.Version {
	ws, _ := s.last()
	switch {
	case ws.current != nil:
		return &ws.current.Version
	case ws.Current.ID != "":
		return &backend.Version{ID: ws.Current.ID, Kept: true}
	}
	return nil
}

// Versions implements backend.Historic.
func (s *workspaceState) Versions(ctx context.Context) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		ws, _ := s.last()
		for sv, err := range s.client.History(ctx, s.organization, ws.Name) {
			if v, err := versionOf(sv, err); !yield(v, err) {
				return
			}
		}
	}
}

// Workspace implements backend.Described.
func (s *workspaceState) Workspace() backend.WorkspaceInfo {
	ws, _ := s.last()
	return backend.WorkspaceInfo{
		ID: ws.ID, Organization: s.organization, Project: ws.Project, Tags: ws.tags, TerraformVersion: ws.Terraform,
		ExecutionMode: ws.ExecutionMode, VCSRepository: ws.vcsRepository, VCSBranch: ws.vcsBranch, WorkingDirectory: ws.WorkingDirectory,
	}
}

// Variables implements backend.Described. Variable sets are not part of a workspace.
func (s *workspaceState) Variables(ctx context.Context) ([]backend.Variable, error) {
	ws, _ := s.last()
	var all []backend.Variable
	for v, err := range listViaGoTFE(ctx, s.client, fmt.Sprintf("list the variables of %s", ws), func(v *gotfe.Variable) backend.Variable {
		found := backend.Variable{Key: v.Key, Category: string(v.Category), HCL: v.HCL, Sensitive: v.Sensitive}
		if !v.Sensitive {
			found.Value = v.Value
		}
		return found
	}, func(ctx context.Context, api *gotfe.Client, page gotfe.ListOptions) ([]*gotfe.Variable, *gotfe.Pagination, error) {
		list, err := api.Variables.List(ctx, ws.ID, &gotfe.VariableListOptions{ListOptions: page})
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.Pagination, nil
	}) {
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
