package tfesim

import (
	"cmp"
	"slices"
	"strings"

	"tfhaul/tfesim/jsonapi"
	"tfhaul/tfesim/runs"
)

// listWorkspaces answers GET /organizations/:organization/workspaces.
func listWorkspaces(c *call, o *organization) (*jsonapi.Answer, error) {
	all, err := c.searchWorkspaces(o)
	if err != nil {
		return nil, err
	}
	return jsonapi.List(c.r, all, c.workspaceResource, c.workspaceIncludes)
}

// searchWorkspaces finds and sorts the workspaces for the search and filter parameters.
func (c *call) searchWorkspaces(o *organization) ([]*workspace, error) {
	q := c.r.URL.Query()
	name := strings.ToLower(q.Get("search[name]"))
	wildcard := strings.ToLower(q.Get("search[wildcard-name]"))
	tags, without := jsonapi.SplitList(strings.ToLower(q.Get("search[tags]"))), jsonapi.SplitList(strings.ToLower(q.Get("search[exclude-tags]")))
	project := q.Get("filter[project][id]")
	bindings := bindingFilters(q)
	statuses := jsonapi.SplitList(q.Get("filter[current-run][status]"))
	var all []*workspace
	for _, w := range c.s.byName[o.Name] {
		lower := strings.ToLower(w.Name)
		has := func(tag string) bool { return slices.Contains(w.TagNames, tag) }
		if c.s.accessToWorkspace(c.who, w) >= accessRead && strings.Contains(lower, name) &&
			(wildcard == "" || wildcardFits(wildcard, lower)) &&
			(len(statuses) == 0 || slices.Contains(statuses, c.s.currentRun(w).Status)) &&
			(project == "" || w.Project == project) && bindingsFit(c.s.effectiveTags(w), bindings) &&
			!slices.ContainsFunc(tags, func(t string) bool { return !has(t) }) && !slices.ContainsFunc(without, has) {
			all = append(all, w)
		}
	}
	order := func(a, b *workspace) int { return strings.Compare(a.Name, b.Name) }
	switch sort := q.Get("sort"); sort {
	case "", "name":
		slices.SortFunc(all, order)
	case "current-run.created-at", "-current-run.created-at":
		slices.SortFunc(all, func(a, b *workspace) int {
			return cmp.Or(c.s.currentRun(a).Created.Compare(c.s.currentRun(b).Created), order(a, b))
		})
		if sort[0] == '-' {
			slices.Reverse(all)
		}
	case "-name":
		slices.SortFunc(all, func(a, b *workspace) int { return order(b, a) })
	case "latest-change-at", "-latest-change-at":
		slices.SortFunc(all, func(a, b *workspace) int { return a.Updated.Compare(b.Updated) })
		if sort[0] == '-' {
			slices.Reverse(all)
		}
	default:
		return nil, jsonapi.BadRequest("%q is not a valid sort parameter", sort)
	}
	return all, nil
}

// currentRun returns a workspace's current run, or the zero value.
func (s *Server) currentRun(w *workspace) runs.Info {
	if r := s.runs.Current(w.ID); r != nil {
		return *r
	}
	return runs.Info{}
}

// wildcardFits matches "*-prod", "prod-*" and "*prod*".
func wildcardFits(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(name, first) {
		return false
	}
	name = name[len(first):]
	for _, part := range parts[1 : len(parts)-1] {
		_, rest, found := strings.Cut(name, part)
		if !found {
			return false
		}
		name = rest
	}
	return strings.HasSuffix(name, last)
}
