package tfesim

import (
	"slices"
	"strings"

	"tfhaul/tfesim/jsonapi"
)

// listConsumers answers GET /workspaces/:id/relationships/remote-state-consumers: the named
// workspaces, or all others of the project if the state is shared with the project.
func listConsumers(c *call, w *workspace) (*jsonapi.Answer, error) {
	var all []*workspace
	if jsonapi.BoolSetting(w.Settings, "project-remote-state", false) {
		for _, other := range c.s.byName[w.Org] {
			if other != w && other.Project == w.Project {
				all = append(all, other)
			}
		}
		slices.SortFunc(all, func(a, b *workspace) int { return strings.Compare(a.Name, b.Name) })
	} else {
		for _, id := range w.Consumers {
			if consumer := c.s.workspaces[id]; consumer != nil {
				all = append(all, consumer)
			}
		}
	}
	return jsonapi.List(c.r, all, c.workspaceResource, nil)
}

// changeConsumers answers POST, PATCH and DELETE of the same path: add, replace and remove.
func changeConsumers(change func(have, sent []string) []string) handler {
	return forWorkspace(accessAdmin, func(c *call, w *workspace) (*jsonapi.Answer, error) {
		var sent []string
		for _, it := range c.body.Many {
			if other := c.s.workspaces[it.ID]; other == nil || other.Org != w.Org {
				return nil, jsonapi.NotFound()
			}
			sent = append(sent, it.ID)
		}
		w.Consumers = change(slices.Clone(w.Consumers), sent)
		c.s.put(w)
		return jsonapi.NoContent(), nil
	})
}

func addedTo(have, sent []string) []string {
	for _, id := range sent {
		if !slices.Contains(have, id) {
			have = append(have, id)
		}
	}
	return have
}

func replacedBy(_, sent []string) []string { return sent }

func removedFrom(have, sent []string) []string {
	return slices.DeleteFunc(have, func(id string) bool { return slices.Contains(sent, id) })
}
