package tfe

import (
	"context"

	"tfhaul/backend"
)

// list lists the organization's workspaces, and counts the requests.
func (o *organization) list(ctx context.Context, client *Client) ([]*Workspace, error) {
	workspaces, requests, err := client.sourceWorkspaces(ctx, o.address.Organization)
	if err == nil {
		o.requests.Store(int32(requests))
	}
	return workspaces, err
}

// Lister implements backend.Listable.
func (s *workspaceState) Lister() backend.Lister {
	if s.lister == nil {
		return nil
	}
	return s.lister
}

// Requests implements backend.Lister.
func (o *organization) Requests() int { return int(o.requests.Load()) }

// Unchanged implements backend.Lister. What the listing says about locks and runs replaces
// what was known of them.
func (o *organization) Unchanged(ctx context.Context, pinned []backend.Pinned) ([]bool, error) {
	client, err := o.connect(ctx, o.address)
	if err != nil {
		return nil, err
	}
	workspaces, err := backend.Retry(ctx, client.Down, func() ([]*Workspace, error) { return o.list(ctx, client) })
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*Workspace, len(workspaces))
	for _, ws := range workspaces {
		byID[ws.ID] = ws
	}
	unchanged := make([]bool, len(pinned))
	for i, p := range pinned {
		s, ok := p.State.(*workspaceState)
		if !ok {
			continue
		}
		before, _ := s.last()
		// After a rename, the address stands for no workspace, or for another one.
		if ws := byID[before.ID]; ws != nil && ws.Name == before.Name {
			s.saw(ws)
			unchanged[i] = ws.Current.Known && ws.Current.ID == p.Version.ID
		}
	}
	return unchanged, nil
}
