package rootmodule

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"tfhaul/backend"
)

// Kind returns the kind of backend that config:DIR names: the states that the code below a
// directory uses. Each is read as a state of the kind that keeps it, which is one of kinds.
func Kind(c backend.Connection, kinds backend.Kinds) backend.Kind {
	c = c.WithDefaults()
	s := &sources{kinds: kinds, environ: c.Environ, trees: map[string]*Tree{}}
	return backend.Kind{
		Name: "configurations", Scheme: backend.ConfigScheme, Example: "config:DIR",
		Traits: backend.Traits{Noun: "state", Versions: true}, Open: s.open, Expect: s.expect,
		ReadOnly: "it names the states that configurations use",
	}
}

// sources keeps the trees that were read. It is safe for concurrent use.
type sources struct {
	kinds   backend.Kinds
	environ []string

	mu    sync.Mutex
	trees map[string]*Tree // by directory
}

// directoryOf returns the directory that an address names.
func directoryOf(address string) string {
	_, dir, _ := strings.Cut(address, ":")
	return filepath.Clean(strings.TrimPrefix(dir, "//"))
}

// tree reads the configurations below a directory once.
func (s *sources) tree(ctx context.Context, dir string) (*Tree, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.trees[dir]; t != nil {
		return t, nil
	}
	t, err := Find(ctx, []string{dir}, Options{Environ: s.environ, Complete: Completeness(s.kinds)})
	if err == nil {
		s.trees[dir] = t
	}
	return t, err
}

// Completeness returns Options.Complete for some kinds.
func Completeness(kinds backend.Kinds) func(*backend.Settings) error {
	return func(s *backend.Settings) error {
		_, err := kinds.Configured(s)
		if _, incomplete := errors.AsType[*backend.IncompleteError](err); incomplete {
			return err
		}
		return nil
	}
}

func (s *sources) open(ctx context.Context, address string) (backend.Backend, error) {
	if strings.TrimPrefix(address, backend.ConfigScheme+":") == "" {
		return nil, errors.New("config: names no directory: write config:DIR")
	}
	t, err := s.tree(ctx, directoryOf(address))
	if err != nil {
		return nil, err
	}
	return &configurations{kinds: s.kinds, address: address, tree: t}, nil
}

// expect announces the backends that the code names. Opening the source reports a mistake in
// its address.
func (s *sources) expect(address string) {
	t, err := s.tree(context.Background(), directoryOf(address))
	if err != nil {
		return
	}
	for _, m := range t.Modules {
		if m.Settings == nil {
			continue
		}
		if at, err := s.kinds.Configured(m.Settings); err == nil && at.Container != "" {
			s.kinds.Expect([]string{at.Container})
		} else if err == nil && at.State != nil {
			s.kinds.Expect([]string{at.State(backend.DefaultWorkspace)})
		}
	}
}

// configurations are the root modules below a directory.
type configurations struct {
	kinds   backend.Kinds
	address string
	tree    *Tree
}

// States implements backend.Backend. Globs match the paths of modules.
func (c *configurations) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	tree := &Tree{Unread: c.tree.Unread}
	for _, m := range c.tree.Modules {
		if f.TakesName(m.Name()) {
			copied := *m // Take completes it
			tree.Modules = append(tree.Modules, &copied)
		}
	}
	census, err := Take(ctx, c.kinds, tree)
	if err != nil {
		return nil, err
	}
	l := &backend.Listing{Configurations: map[string]backend.Configuration{}}
	for _, m := range tree.Modules {
		if m.Problem != "" {
			l.Skipped = append(l.Skipped, backend.Skip{Name: m.Dir, Code: backend.SkipUnknownState, Reason: "is a configuration whose state is not known: " + m.Problem})
		}
	}
	for _, u := range tree.Unread {
		l.Skipped = append(l.Skipped, backend.Skip{Name: u.Path, Code: backend.SkipUnreadable, Reason: "cannot be read: " + u.Reason})
	}
	first := map[string]*State{}
	for i := range census.States {
		s := &census.States[i]
		at := c.kinds.Canonical(s.Address)
		switch other := first[at]; {
		case s.Found == nil:
			l.Skipped = append(l.Skipped, backend.Skip{Name: s.Module.Dir, Code: backend.SkipNoState, Reason: fmt.Sprintf("is a configuration without a state: nothing is stored at %s", s.Address)})
		case other != nil:
			l.Skipped = append(l.Skipped, backend.Skip{Name: s.Module.Dir, Code: backend.SkipSharedState, Reason: fmt.Sprintf("uses the same state as %s: %s", other.Module.Dir, s.Address)})
		default:
			first[at] = s
			l.States = append(l.States, s.Found)
			l.Configurations[s.Address] = s.Configuration()
		}
	}
	l.Sort()
	if len(l.States) == 0 {
		return l, &backend.NoMatchError{Address: c.address, Include: f.Include, Exclude: f.Exclude, Skipped: len(l.Skipped), Names: true}
	}
	return l, nil
}
