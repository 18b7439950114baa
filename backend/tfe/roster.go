package tfe

import (
	"context"
	"strings"
	"sync"
	"time"
)

// A roster finds single workspaces of an organization, as a manifest names them. The first ones
// are read one by one. If more follow, listings serve all.
type roster struct {
	mu     sync.Mutex
	named  int           // how many workspaces were looked for
	listed *organization // nil until there was a listing
	at     time.Time     // of the listing
	byName map[string]*Workspace
	failed bool // do not list again
}

const (
	maxReadAlone = 10          // workspaces that are read one by one
	maxRosterAge = time.Minute // how long a listing serves
)

// rosterOf returns the roster of an address's organization.
func (s *servers) rosterOf(a Address) *roster {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.ToLower(a.Server() + "/" + a.Organization)
	if s.rosters[key] == nil {
		s.rosters[key] = &roster{}
	}
	return s.rosters[key]
}

// find returns the workspace of o's address and what lists it, or nil if it must be read by
// itself.
func (r *roster) find(ctx context.Context, client *Client, o *organization) (*Workspace, *organization) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.named++; r.named <= maxReadAlone || r.failed {
		return nil, nil
	}
	if time.Since(r.at) >= maxRosterAge {
		whole := &organization{servers: o.servers, address: o.address}
		whole.address.Workspace = ""
		workspaces, err := whole.list(ctx, client)
		if err != nil {
			r.failed = true
			return nil, nil
		}
		r.listed, r.at, r.byName = whole, time.Now(), make(map[string]*Workspace, len(workspaces))
		for _, ws := range workspaces {
			r.byName[strings.ToLower(ws.Name)] = ws
		}
	}
	ws := r.byName[strings.ToLower(o.address.Workspace)]
	if ws == nil {
		return nil, nil
	}
	own := *ws
	return &own, r.listed
}
