package tfesim

import (
	"slices"
	"strings"

	"tfhaul/tfesim/jsonapi"
)

// An asset is something in an organization that workspaces refer to and that this server
// knows only by name: an agent pool or an SSH key.
type asset struct {
	ID   string
	Kind string // "agent-pools" or "ssh-keys"
	Org  string
	Name string
}

const (
	agentPools = "agent-pools"
	sshKeys    = "ssh-keys"
)

// asset returns the asset in the path.
func (c *call) asset(need access) (*asset, error) {
	a := c.s.assets[c.r.PathValue("asset_id")]
	if a == nil || !strings.HasPrefix(c.r.URL.Path, apiPrefix+"/"+a.Kind+"/") || c.s.accessTo(c.who, a.Org) < need {
		return nil, jsonapi.NotFound()
	}
	return a, nil
}

// listAssets answers GET /organizations/:organization/agent-pools and …/ssh-keys.
func listAssets(kind string) handler {
	return about((*call).organization, func(c *call, o *organization) (*jsonapi.Answer, error) {
		query := strings.ToLower(c.r.URL.Query().Get("q"))
		var all []*asset
		for _, a := range c.s.assets {
			if a.Org == o.Name && a.Kind == kind && strings.Contains(strings.ToLower(a.Name), query) {
				all = append(all, a)
			}
		}
		slices.SortFunc(all, func(a, b *asset) int { return strings.Compare(a.Name, b.Name) })
		return jsonapi.List(c.r, all, assetResource, nil)
	})
}

// createAsset answers POST /organizations/:organization/agent-pools and …/ssh-keys. It does
// not keep the private part of an SSH key.
func createAsset(kind, prefix string) handler {
	return about((*call).ownedOrganization, func(c *call, o *organization) (*jsonapi.Answer, error) {
		name, err := c.body.One.Text("name")
		if err != nil {
			return nil, err
		}
		if name == "" {
			return nil, jsonapi.Invalid("name", "Name can't be blank")
		}
		a := &asset{ID: jsonapi.NewID(prefix), Kind: kind, Org: o.Name, Name: name}
		c.s.assets[a.ID] = a
		c.s.put(a)
		return jsonapi.Created(jsonapi.Document{Data: assetResource(a)}), nil
	})
}

// getAsset answers GET /agent-pools/:id and /ssh-keys/:id.
func getAsset(c *call, a *asset) (*jsonapi.Answer, error) {
	return jsonapi.OK(jsonapi.Document{Data: assetResource(a)}), nil
}

// deleteAsset answers DELETE /agent-pools/:id and /ssh-keys/:id.
func deleteAsset(c *call, a *asset) (*jsonapi.Answer, error) {
	delete(c.s.assets, a.ID)
	c.s.drop(a)
	return jsonapi.NoContent(), nil
}

func assetResource(a *asset) jsonapi.Resource {
	attributes := map[string]any{"name": a.Name}
	if a.Kind == agentPools {
		attributes["agent-count"] = 0
		attributes["organization-scoped"] = true
	}
	return jsonapi.Resource{ID: a.ID, Type: a.Kind, Attributes: attributes,
		Relationships: map[string]any{"organization": jsonapi.ToOne(&jsonapi.Ref{ID: a.Org, Type: "organizations"}, "")},
		Links:         map[string]any{"self": "/api/v2/" + a.Kind + "/" + a.ID}}
}

// assetRef returns a relationship to an asset, or nil if no asset has the ID.
func (s *Server) assetRef(id string) *jsonapi.Ref {
	if a := s.assets[id]; a != nil {
		return &jsonapi.Ref{ID: a.ID, Type: a.Kind}
	}
	return nil
}

// assignSSHKey answers PATCH /workspaces/:id/relationships/ssh-key; a null ID removes the
// key.
func assignSSHKey(c *call, w *workspace) (*jsonapi.Answer, error) {
	id, err := c.body.One.Text("id")
	if err != nil {
		return nil, err
	}
	if a := c.s.assets[id]; id != "" && (a == nil || a.Kind != sshKeys || a.Org != w.Org) {
		return nil, jsonapi.NotFound()
	}
	w.SSHKey = id
	c.s.put(w)
	return c.showWorkspace(w)
}
