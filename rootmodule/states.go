package rootmodule

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"tfhaul/backend"
)

// A State is a state that a module uses.
type State struct {
	Module *Module
	// Workspace is the Terraform workspace.
	Workspace string
	Address   string
	// Listed reports whether the backend was asked, and Found is what it has; nil if nothing is
	// stored.
	Listed bool
	Found  backend.State
}

// Configuration returns the configuration of the state. Default names are made of the module's
// path in its repository.
func (s *State) Configuration() backend.Configuration {
	m := s.Module
	place := backend.Place{Dir: m.Name(), Base: "terraform", Workspace: s.Workspace, Root: filepath.Base(absolute(m.Repository))}
	if place.Workspace == "" {
		place.Workspace = backend.DefaultWorkspace
	}
	place.Searched = place.Root
	place.Key = path.Join(place.Dir, stateFile)
	if s.Found != nil {
		place.Bucket = s.Found.Place().Bucket
	}
	return backend.Configuration{Dir: m.Dir, Place: place}
}

// Name returns the module's path in its repository, with its variant; "" for the repository
// itself.
func (m *Module) Name() string { return path.Join(m.Path, m.Variant) }

// Locate turns the settings of a tree into the addresses of states, without a request: those
// of the default workspace and of the selected one. Modules whose settings are not sufficient
// get a Problem.
func Locate(kinds backend.Kinds, t *Tree) []State {
	var states []State
	for _, m := range t.Modules {
		at := m.configured(kinds)
		if at == nil {
			continue
		}
		if at.State == nil {
			m.Notes = append(m.Notes, "Its workspaces are selected by tags, so only the server knows them.")
			continue
		}
		states = append(states, State{Module: m, Workspace: backend.DefaultWorkspace, Address: at.State(backend.DefaultWorkspace)})
		if at.Container != "" && m.Workspace != backend.DefaultWorkspace && !at.Single {
			states = append(states, State{Module: m, Workspace: m.Workspace, Address: at.State(m.Workspace)})
		}
	}
	return states
}

// configured returns where the module keeps its states; nil if that is not known.
func (m *Module) configured(kinds backend.Kinds) *backend.Configured {
	if m.Settings == nil {
		return nil
	}
	at, err := kinds.Configured(m.Settings)
	if err != nil {
		m.Problem, m.Settings = err.Error(), nil
		return nil
	}
	for _, note := range at.Notes {
		if !slices.Contains(m.Notes, note) {
			m.Notes = append(m.Notes, note)
		}
	}
	return at
}

// A Census is what the backends of a tree hold.
type Census struct {
	States []State
	// Orphans are states in the same backends that no module names. Files next to
	// configurations are not searched for them.
	Orphans []backend.State
}

// Take asks the backends of a tree which states they hold: one listing for each bucket, schema
// or organization, however many modules use it. A module whose backend cannot be listed gets a
// Problem. Where only listing is forbidden, its states are assumed to exist. The error is
// ctx's.
func Take(ctx context.Context, kinds backend.Kinds, t *Tree) (*Census, error) {
	c := &census{kinds: kinds, listings: map[string]*listing{}, named: map[string]bool{}, census: &Census{}}
	for _, m := range t.Modules {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if at := m.configured(kinds); at != nil {
			c.module(ctx, m, at)
		}
	}
	c.orphans()
	return c.census, ctx.Err()
}

type census struct {
	kinds    backend.Kinds
	listings map[string]*listing // by container
	order    []string
	named    map[string]bool // canonical addresses
	census   *Census
}

type listing struct {
	states []backend.State
	err    error
}

// list lists a container once. No filter applies: a key can have any extension.
func (c *census) list(ctx context.Context, container string) *listing {
	if l := c.listings[container]; l != nil {
		return l
	}
	found, err := c.kinds.Find(ctx, container, backend.Filter{Include: []string{"**"}})
	l := &listing{err: err}
	if _, nothing := errors.AsType[*backend.NoMatchError](err); nothing {
		l.err = nil
	}
	if found != nil {
		l.states = found.States
	}
	c.listings[container] = l
	c.order = append(c.order, container)
	return l
}

// module adds the states of one module.
func (c *census) module(ctx context.Context, m *Module, at *backend.Configured) {
	had := map[string]bool{}
	if at.Container != "" {
		l := c.list(ctx, at.Container)
		switch {
		case backend.CodeOf(l.err) == backend.AccessDenied && at.State != nil:
			m.Notes = append(m.Notes, "The backend cannot be listed, so other workspaces are not known: "+l.err.Error())
			workspaces := slices.Compact([]string{backend.DefaultWorkspace, m.Workspace})
			if at.Single {
				workspaces = workspaces[:1]
			}
			for _, workspace := range workspaces {
				c.one(ctx, m, at, workspace)
			}
			return
		case l.err != nil:
			m.Problem = "its backend cannot be listed: " + l.err.Error()
			return
		}
		for _, s := range l.states {
			if workspace, ok := at.Workspace(s); ok {
				had[workspace] = true
				c.add(State{Module: m, Workspace: workspace, Address: s.Address(), Listed: true, Found: s})
			}
		}
	}
	if at.State == nil || had[backend.DefaultWorkspace] {
		return
	}
	if at.Container != "" && !at.Apart {
		// The listing had everything there is.
		if len(had) == 0 {
			c.add(State{Module: m, Workspace: backend.DefaultWorkspace, Address: at.State(backend.DefaultWorkspace), Listed: true})
		}
		return
	}
	c.one(ctx, m, at, backend.DefaultWorkspace)
}

// one adds the state of a workspace without a listing.
func (c *census) one(ctx context.Context, m *Module, at *backend.Configured, workspace string) {
	address := at.State(workspace)
	s := State{Module: m, Workspace: workspace, Address: address, Listed: true}
	found, err := c.kinds.Find(ctx, address, backend.Filter{})
	if err == nil && at.Unseen && len(found.States) == 1 {
		err = readable(ctx, found.States[0])
	}
	_, nothing := errors.AsType[*backend.NoMatchError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist), nothing, backend.CodeOf(err) == backend.NoState, backend.CodeOf(err) == backend.ForbiddenOrMissing:
	case err != nil:
		m.Problem = "its state cannot be looked up: " + err.Error()
		return
	case len(found.States) == 1:
		s.Found, s.Address = found.States[0], found.States[0].Address()
	}
	c.add(s)
}

// readable returns nil if something is stored in a state.
func readable(ctx context.Context, s backend.State) error {
	content, _, err := s.Open(ctx, nil)
	if err == nil {
		_ = content.Close() // not read
	}
	return err
}

func (c *census) add(s State) {
	c.named[c.kinds.Canonical(s.Address)] = true
	c.census.States = append(c.census.States, s)
}

// orphans adds what was listed and is not named.
func (c *census) orphans() {
	for _, container := range c.order {
		for _, s := range c.listings[container].states {
			if at := c.kinds.Canonical(s.Address()); !c.named[at] {
				c.named[at] = true
				c.census.Orphans = append(c.census.Orphans, s)
			}
		}
	}
}
