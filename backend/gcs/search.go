package gcs

import (
	"context"
	"net/url"
	"path"
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
		prefix: p, filter: f, listing: &backend.Listing{},
		locked: map[string]bool{}, directories: map[string]bool{},
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
		s.listing.States = append(s.listing.States, object)
	}
	s.listing.Sort()
	if len(s.listing.States) == 0 {
		return s.listing, f.Nothing(p.url.name(p.url.key), s.listing)
	}
	return s.listing, nil
}

type searcher struct {
	*prefix
	filter  backend.Filter
	listing *backend.Listing

	found       []*object
	locked      map[string]bool // keys of locks
	directories map[string]bool // by relative path: whether to search the directory
}

func (s *searcher) page(items []*metadata) bool {
	for _, m := range items {
		if relative, ok := strings.CutPrefix(m.Name, s.url.key); ok && relative != "" && !strings.HasSuffix(m.Name, "/") {
			s.entry(m, relative)
		}
	}
	return true
}

// entry takes an object if it is selected, or records why not.
func (s *searcher) entry(m *metadata, relative string) {
	if strings.HasSuffix(m.Name, lockExt) {
		s.locked[m.Name] = true // even if excluded, because it costs nothing
	}
	dir := path.Dir(relative)
	if !s.searched(dir) {
		return
	}
	take, skip := s.filter.File(relative)
	switch {
	case skip != nil:
		s.skip(m.Name, skip)
	case take:
		o := newObject(s.bucket, m.Name)
		o.stored = m
		s.found = append(s.found, o)
	}
}

// searched reports whether to search the directory dir: neither it nor a parent is excluded
// or of a name that never holds states.
func (s *searcher) searched(dir string) bool {
	if dir == "." {
		return true
	}
	if known, ok := s.directories[dir]; ok {
		return known
	}
	enter := s.searched(path.Dir(dir))
	if enter {
		var skip *backend.Skip
		if enter, skip = s.filter.Directory(dir); skip != nil {
			s.skip(s.url.key+dir+"/", skip)
		}
	}
	s.directories[dir] = enter
	return enter
}

func (s *searcher) skip(key string, skip *backend.Skip) {
	s.listing.Skipped = append(s.listing.Skipped, backend.Skip{Name: s.url.name(key), Code: skip.Code, Reason: skip.Reason})
}
