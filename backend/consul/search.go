package consul

import (
	"context"
	"path"
	"strings"
	"time"

	"tfhaul/backend"
)

// States lists the states below the prefix. The store may hold anything, and the value does not
// say what it is without being read. So without includes, a search takes the keys that end in
// .tfstate and those without an extension, and reports the others.
func (p *prefix) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !p.at.searches() {
		return &backend.Listing{States: []backend.State{newState(p.server, p.at, p.at.key)}}, nil
	}
	r := request{doing: "list", address: p.at.String(), needs: "key:list"}
	started := time.Now()
	keys, complete, err := p.server.keys(ctx, r, p.at.key)
	if err != nil {
		return nil, err
	}
	l := &backend.Listing{}
	if !complete {
		l.Skipped = append(l.Skipped, backend.Skip{Name: p.at.String(), Code: backend.SkipNoPermission,
			Reason: "has keys that the token must not read, so states may be missing here: give it key:read for the whole prefix"})
	}
	taken := f
	if len(f.Include) == 0 {
		taken.Include = []string{"**"}
	}
	selection := backend.Selection{Filter: taken, Prefix: p.at.key, Name: func(key string) string { return p.at.at(key).String() }, Listing: l}
	locked := map[string]bool{}
	for _, key := range keys {
		if strings.HasSuffix(key, lockSuffix) {
			locked[strings.TrimSuffix(key, lockSuffix)] = true
		}
	}
	for _, key := range keys {
		relative, ok := selection.Below(key)
		if !ok || checkState(key) != nil || !selection.Takes(relative) {
			continue
		}
		if len(f.Include) == 0 && !named(relative) {
			l.Skipped = append(l.Skipped, backend.Skip{Name: p.at.at(key).String(), Code: backend.SkipOtherName,
				Reason: "has an extension other than " + backend.StateExt + ", so it is probably not a state: to move it, name this key"})
			continue
		}
		s := newState(p.server, p.at, key)
		s.listed, s.lockListed = started, locked[below(key)]
		l.States = append(l.States, s)
	}
	l.Sort()
	if len(l.States) == 0 {
		return l, f.Nothing(p.at.String(), l)
	}
	return l, nil
}

// named reports whether a key may be that of a state.
func named(key string) bool {
	at, _ := cutWorkspace(key)
	ext := path.Ext(at)
	return ext == "" || ext == backend.StateExt
}
