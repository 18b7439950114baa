package gcs

import (
	"context"
	"net/url"
	"strings"
	"time"

	"tfhaul/backend"
)

// A prefix is a backend for the objects below a prefix, or for one object.
type prefix struct{ *bucket }

// States lists the states below the prefix, page by page.
func (p *prefix) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	if !p.url.searches() {
		return &backend.Listing{States: []backend.State{newObject(p.bucket, p.url.key)}}, nil
	}
	s := &searcher{
		prefix: p, locked: map[string]bool{},
		Selection: backend.Selection{Filter: f, Prefix: p.url.key, Name: p.url.name, Listing: &backend.Listing{}},
	}
	listed := time.Now()
	query := url.Values{"maxResults": {"1000"}}
	if p.url.key != "" {
		query.Set("prefix", p.url.key)
	}
	r := request{doing: "list", address: p.url.name(p.url.key), action: "storage.objects.list"}
	if err := p.list(ctx, r, query, s.page); err != nil {
		return nil, err
	}
	for _, object := range s.found {
		object.listed, object.lockListed = listed, s.locked[lockKey(object.key)]
		s.Listing.States = append(s.Listing.States, object)
	}
	s.Listing.Sort()
	if len(s.Listing.States) == 0 {
		return s.Listing, f.Nothing(p.url.name(p.url.key), s.Listing)
	}
	return s.Listing, nil
}

type searcher struct {
	*prefix
	backend.Selection
	found  []*object
	locked map[string]bool // keys of locks
}

func (s *searcher) page(items []*metadata) bool {
	for _, m := range items {
		if relative, ok := s.Below(m.Name); ok {
			s.entry(m, relative)
		}
	}
	return true
}

// entry takes an object if it is selected.
func (s *searcher) entry(m *metadata, relative string) {
	if strings.HasSuffix(m.Name, lockExt) {
		s.locked[m.Name] = true // even if excluded, because it costs nothing
	}
	if s.Takes(relative) {
		o := newObject(s.bucket, m.Name)
		o.stored = m
		s.found = append(s.found, o)
	}
}
