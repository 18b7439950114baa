package tfesim

import (
	"strings"

	"tfhaul/tfesim/jsonapi"
)

// listResources answers GET /workspaces/:id/resources: the managed resource instances of the
// current state version.
func listResources(c *call, w *workspace) (*jsonapi.Answer, error) {
	all := []jsonapi.Resource{}
	if v := c.s.current(w, c.now); v != nil && c.s.processed(v, c.now) && c.who.mayStoreState() {
		for _, r := range v.Contents.Resources {
			if !r.Managed {
				continue
			}
			for _, key := range r.Keys {
				all = append(all, workspaceResourceOf(v, r, key))
			}
		}
	}
	return jsonapi.List(c.r, all, jsonapi.Itself, nil)
}

func workspaceResourceOf(v *stateVersion, r contentResource, key string) jsonapi.Resource {
	// The API writes module paths without "module." and the root module as nothing.
	module := strings.TrimPrefix(strings.ReplaceAll(r.Module, ".module.", "."), "module.")
	address := r.Type + "." + r.Name + key
	if module != "root" {
		address = module + "." + address
	}
	provider := r.Provider
	if _, source, found := strings.Cut(provider, `provider["`); found {
		provider = strings.TrimPrefix(strings.TrimSuffix(source, `"]`), "registry.terraform.io/")
	}
	var index any
	if key != "" {
		index = strings.Trim(key, `[]"`)
	}
	return jsonapi.Resource{ID: "wsr-" + strings.TrimPrefix(tagID(v.Workspace+address), "tag-"), Type: "resources", Attributes: map[string]any{
		"address":                      address,
		"name":                         r.Name,
		"created-at":                   jsonapi.Timestamp(v.Created),
		"updated-at":                   jsonapi.Timestamp(v.Created),
		"module":                       module,
		"provider":                     provider,
		"provider-type":                r.Type,
		"modified-by-state-version-id": v.ID,
		"name-index":                   index,
	}}
}
