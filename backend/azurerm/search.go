package azurerm

import (
	"context"
	"time"

	"tfhaul/backend"
)

// A prefix is a backend for the blobs below a prefix, or for one blob.
type prefix struct{ *container }

// States lists the states below the prefix, page by page.
func (p *prefix) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	if !p.url.searches() {
		return &backend.Listing{States: []backend.State{newBlob(p.container, p.url.key)}}, nil
	}
	s := backend.Selection{Filter: f, Prefix: p.url.key, Name: p.url.name, Listing: &backend.Listing{}}
	listed := time.Now()
	r := request{doing: "list", address: p.url.name(p.url.key), needs: mayList}
	err := p.list(ctx, r, p.url.key, "metadata", func(name string, e *entry) bool {
		relative, ok := s.Below(name)
		if !ok || e.isDirectory() || !takes(&s, relative) {
			return true
		}
		b := newBlob(p.container, name)
		b.listed, b.stored = listed, e.properties()
		s.Listing.States = append(s.Listing.States, b)
		return true
	})
	if err != nil {
		return nil, err
	}
	s.Listing.Sort()
	if len(s.Listing.States) == 0 {
		return s.Listing, f.Nothing(p.url.name(p.url.key), s.Listing)
	}
	return s.Listing, nil
}

// takes reports whether the search takes a blob. The filter selects the state of a workspace by
// the name of its blob, or like the one of the default workspace.
func takes(s *backend.Selection, relative string) bool {
	if configuration, _, ok := splitWorkspace(relative); ok && !s.Filter.Takes(relative) && !s.Filter.Excludes(relative) {
		return s.Takes(configuration)
	}
	return s.Takes(relative)
}
