package kubernetes

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"tfhaul/backend"
)

// A namespace is a backend for the states in a namespace, for those of one suffix, or for one of
// them.
type namespace struct {
	cluster *cluster
	at      *location
}

// States lists the states by the labels of their Secrets. Includes and excludes are about
// SUFFIX/WORKSPACE, or the workspace if the address names a suffix.
func (n *namespace) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if n.at.workspace != "" {
		return &backend.Listing{States: []backend.State{newState(n.cluster, n.at, n.at)}}, nil
	}
	r := request{doing: "list", address: n.at.String(), namespace: n.at.namespace}
	found, err := n.cluster.list(ctx, r, n.at.selector(), false)
	if err != nil {
		return nil, err
	}
	l := &backend.Listing{}
	for _, s := range n.group(found, l) {
		if f.TakesName(s.place.Key) {
			l.States = append(l.States, s)
		}
	}
	l.Sort()
	if len(l.States) == 0 {
		return l, &backend.NoMatchError{Address: n.at.String(), Include: f.Include, Exclude: f.Exclude, Skipped: len(l.Skipped), Names: true}
	}
	return l, nil
}

// group groups Secrets by their state, and lists the others as skipped.
func (n *namespace) group(found []*secret, l *backend.Listing) []*state {
	states := map[string]*state{}
	for _, s := range found {
		suffix, workspace := s.Metadata.state()
		number, named := s.Metadata.number()
		skip := ""
		switch {
		case suffix == "" || workspace == "":
			skip = fmt.Sprintf("has the label %s, but not %s and %s, by which Terraform finds a state", labelState, labelSuffix, labelWorkspace)
		case n.at.suffix != "" && suffix != n.at.suffix, checkParts(suffix, workspace) != nil:
			skip = "has labels that Terraform cannot use"
		case !named:
			skip = fmt.Sprintf("has the labels of the workspace %q of the suffix %q, but not a name that Terraform gives such a Secret: correct its labels", workspace, suffix)
		}
		if skip != "" {
			l.Skipped = append(l.Skipped, backend.Skip{Name: n.at.in("", "").path() + ": Secret " + s.Metadata.Name, Code: backend.SkipOtherName, Reason: skip})
			continue
		}
		at := n.at.in(suffix, workspace)
		if states[at.name()] == nil {
			states[at.name()] = newState(n.cluster, at, n.at)
			states[at.name()].listed = parts{}
		}
		states[at.name()].listed[number] = s
	}
	return slices.SortedFunc(maps.Values(states), func(a, b *state) int { return cmp.Compare(a.place.Key, b.place.Key) })
}

// placeOf returns the place of a state below what was searched. The suffix takes the place of the
// directory of the configuration.
func placeOf(at, searched *location) backend.Place {
	p := backend.Place{Base: "terraform", Workspace: at.workspace}
	if searched.suffix == "" {
		p.Dir, p.Key, p.Root = at.suffix, at.name(), at.namespace
	} else {
		p.Key, p.Root = at.workspace, at.suffix
	}
	p.Searched = p.Root
	return p
}
