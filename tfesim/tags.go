package tfesim

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"

	"tfhaul/tfesim/jsonapi"
)

// A tagFilter is one filter[tagged][N][key] with its value; an empty value matches every
// value.
type tagFilter struct{ key, value string }

// bindingFilters reads the filters for key and value tags.
func bindingFilters(q url.Values) []tagFilter {
	var out []tagFilter
	for name, values := range q {
		n, isKey := strings.CutSuffix(name, "][key]")
		if n, isTagged := strings.CutPrefix(n, "filter[tagged]["); isKey && isTagged {
			out = append(out, tagFilter{values[0], q.Get("filter[tagged][" + n + "][value]")})
		}
	}
	return out
}

func bindingsFit(have []binding, want []tagFilter) bool {
	for _, f := range want {
		if !slices.ContainsFunc(have, func(b binding) bool { return b.Key == f.key && (f.value == "" || b.Value == f.value) }) {
			return false
		}
	}
	return true
}

// A binding is a tag with a key and a value. A resource has at most maxBindings of its own.
type binding struct{ Key, Value string }

const maxBindings = 10

// bind returns the bindings with one more; an existing key gets the new value.
func bind(have []binding, more ...binding) []binding {
	out := slices.Clone(have)
	for _, b := range more {
		if i := slices.IndexFunc(out, func(h binding) bool { return h.Key == b.Key }); i >= 0 {
			out[i].Value = b.Value
		} else {
			out = append(out, b)
		}
	}
	return out
}

// readBindings reads the tag-bindings relationship of a document; sent reports whether
// there was one.
func readBindings(it jsonapi.Item) (tags []binding, sent bool, err error) {
	items, sent, err := it.RelatedItems("tag-bindings")
	if err != nil || !sent {
		return nil, sent, err
	}
	tags, err = bindingsOf(nil, items)
	return tags, true, err
}

// bindingsOf adds the bindings from a client to the existing ones.
func bindingsOf(tags []binding, items []jsonapi.Item) ([]binding, error) {
	for _, b := range items {
		key, err := b.Text("key")
		if err != nil {
			return nil, err
		}
		value, err := b.Text("value")
		if err != nil {
			return nil, err
		}
		if key == "" {
			return nil, jsonapi.Invalid("key", "Key can't be blank")
		}
		tags = bind(tags, binding{key, value})
	}
	if len(tags) > maxBindings {
		return nil, jsonapi.Unprocessable("Tag bindings cannot exceed %d bindings per resource", maxBindings)
	}
	return tags, nil
}

func bindingRefs(kind, owner string, tags []binding) []jsonapi.Ref {
	refs := []jsonapi.Ref{}
	for _, b := range tags {
		refs = append(refs, jsonapi.Ref{ID: tagID(owner + b.Key), Type: kind})
	}
	return refs
}

func bindingResources(kind, owner string, tags []binding) []jsonapi.Resource {
	out := []jsonapi.Resource{}
	for _, b := range tags {
		out = append(out, jsonapi.Resource{ID: tagID(owner + b.Key), Type: kind, Attributes: map[string]any{
			"key": b.Key, "value": b.Value,
		}})
	}
	return out
}

// tagID derives a tag's ID from its content: tags are not stored as records.
func tagID(of string) string {
	sum := sha256.Sum256([]byte(of))
	return "tag-" + hex.EncodeToString(sum[:8])
}

// effectiveTags returns a workspace's tag bindings and those it inherits from its project.
func (s *Server) effectiveTags(w *workspace) []binding {
	if p := s.projects[w.Project]; p != nil {
		return bind(p.Tags, w.Tags...)
	}
	return w.Tags
}

// tagResource returns a flat tag of an organization.
func (s *Server) tagResource(org, name string) jsonapi.Resource {
	n := 0
	for _, w := range s.byName[org] {
		if slices.Contains(w.TagNames, name) {
			n++
		}
	}
	return jsonapi.Resource{ID: tagID(org + "/" + name), Type: "tags", Attributes: map[string]any{
		"name": name, "created-at": nil, "instance-count": n,
	}, Relationships: map[string]any{"organization": jsonapi.ToOne(&jsonapi.Ref{ID: org, Type: "organizations"}, "")}}
}

// readTagNames reads flat tags, given by name or by the ID of one of the organization's
// tags.
func (s *Server) readTagNames(org string, items []jsonapi.Item) ([]string, error) {
	var names []string
	for _, it := range items {
		name, err := it.Text("name")
		if err != nil {
			return nil, err
		}
		if name == "" && it.ID != "" {
			if name = s.tagNamed(org, it.ID); name == "" {
				return nil, jsonapi.NotFound()
			}
		}
		if err := checkTagName(name); err != nil {
			return nil, err
		}
		name = strings.ToLower(name)
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// checkTagName returns what is wrong with the name of a flat tag, or nil.
func checkTagName(name string) error {
	switch {
	case name == "":
		return jsonapi.Invalid("name", "Name can't be blank")
	case !validName(strings.ReplaceAll(name, ":", "-"), maxTagName):
		return jsonapi.Invalid("name", "Name can only include letters, numbers, colons, hyphens, and underscores.")
	}
	return nil
}

// maxTagName is the maximum length of a flat tag's name.
const maxTagName = 255

func (s *Server) tagNamed(org, id string) string {
	for _, w := range s.byName[org] {
		for _, name := range w.TagNames {
			if tagID(org+"/"+name) == id {
				return name
			}
		}
	}
	return ""
}

// listTags answers GET /workspaces/:id/relationships/tags.
func listTags(c *call, w *workspace) (*jsonapi.Answer, error) {
	query := strings.ToLower(c.r.URL.Query().Get("name"))
	data := []jsonapi.Resource{}
	for _, name := range slices.Sorted(slices.Values(w.TagNames)) {
		if strings.Contains(name, query) {
			data = append(data, c.s.tagResource(w.Org, name))
		}
	}
	return jsonapi.List(c.r, data, jsonapi.Itself, nil)
}

// addTags answers POST /workspaces/:id/relationships/tags.
func addTags(c *call, w *workspace) (*jsonapi.Answer, error) {
	names, err := c.s.readTagNames(w.Org, c.body.Many)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !slices.Contains(w.TagNames, name) {
			w.TagNames = append(w.TagNames, name)
		}
	}
	c.s.put(w)
	return jsonapi.NoContent(), nil
}

// removeTags answers DELETE /workspaces/:id/relationships/tags.
func removeTags(c *call, w *workspace) (*jsonapi.Answer, error) {
	names, err := c.s.readTagNames(w.Org, c.body.Many)
	if err != nil {
		return nil, err
	}
	w.TagNames = slices.DeleteFunc(slices.Clone(w.TagNames), func(n string) bool { return slices.Contains(names, n) })
	c.s.put(w)
	return jsonapi.NoContent(), nil
}

// listBindings answers GET /workspaces/:id/tag-bindings.
func listBindings(c *call, w *workspace) (*jsonapi.Answer, error) {
	return jsonapi.OK(jsonapi.Document{Data: bindingResources("tag-bindings", w.ID, w.Tags)}), nil
}

// listEffectiveBindings answers GET /workspaces/:id/effective-tag-bindings.
func listEffectiveBindings(c *call, w *workspace) (*jsonapi.Answer, error) {
	return jsonapi.OK(jsonapi.Document{Data: c.s.effectiveTagResources(w)}), nil
}

// effectiveTagResources returns a workspace's effective tag bindings, with a link to the
// source of inherited ones.
func (s *Server) effectiveTagResources(w *workspace) []jsonapi.Resource {
	data := bindingResources("effective-tag-bindings", w.ID, s.effectiveTags(w))
	for i := range data {
		if own := slices.ContainsFunc(w.Tags, func(b binding) bool { return b.Key == data[i].Attributes["key"] }); !own {
			data[i].Links = map[string]any{"inherited-from": "/api/v2/projects/" + w.Project}
		}
	}
	return data
}

// addBindings answers PATCH /workspaces/:id/tag-bindings: existing keys get the new value.
func addBindings(c *call, w *workspace) (*jsonapi.Answer, error) {
	tags, err := bindingsOf(w.Tags, c.body.Many)
	if err != nil {
		return nil, err
	}
	w.Tags = tags
	c.s.put(w)
	return jsonapi.OK(jsonapi.Document{Data: bindingResources("tag-bindings", w.ID, w.Tags)}), nil
}

// listProjectBindings answers GET /projects/:project_id/tag-bindings and
// …/effective-tag-bindings.
func listProjectBindings(kind string) handler {
	return forProject(accessRead, func(c *call, p *project) (*jsonapi.Answer, error) {
		return jsonapi.OK(jsonapi.Document{Data: bindingResources(kind, p.ID, p.Tags)}), nil
	})
}

// addProjectBindings answers PATCH /projects/:project_id/tag-bindings.
func addProjectBindings(c *call, p *project) (*jsonapi.Answer, error) {
	tags, err := bindingsOf(p.Tags, c.body.Many)
	if err != nil {
		return nil, err
	}
	p.Tags = tags
	c.s.put(p)
	return jsonapi.OK(jsonapi.Document{Data: bindingResources("tag-bindings", p.ID, p.Tags)}), nil
}
