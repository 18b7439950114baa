package tfesim

import (
	"encoding/json"

	"tfhaul/tfesim/jsonapi"
)

// outputRefs returns a version's outputs as relationships; none until it is processed.
func (c *call) outputRefs(v *stateVersion) []jsonapi.Ref {
	var refs []jsonapi.Ref
	if c.s.processed(v, c.now) {
		for _, o := range v.Contents.Outputs {
			refs = append(refs, jsonapi.Ref{ID: o.ID, Type: "state-version-outputs"})
		}
	}
	return refs
}

// outputResources returns a version's outputs; none until it is processed.
func (c *call) outputResources(v *stateVersion, reveal bool) []jsonapi.Resource {
	out := []jsonapi.Resource{}
	if !c.s.processed(v, c.now) {
		return out
	}
	for _, o := range v.Contents.Outputs {
		out = append(out, outputResource(o, reveal))
	}
	return out
}

// outputResource shows an output. The value of a sensitive output is shown in the list of a
// version's outputs and by its ID, and is null where outputs are included in something
// else.
func outputResource(o contentOutput, reveal bool) jsonapi.Resource {
	var value any
	if !o.Sensitive || reveal {
		value = rawJSON(o.Value)
	}
	return jsonapi.Resource{ID: o.ID, Type: "state-version-outputs", Attributes: map[string]any{
		"name":          o.Name,
		"sensitive":     o.Sensitive,
		"type":          outputKind(o.Type),
		"value":         value,
		"detailed-type": rawJSON(o.Type),
	}, Links: map[string]any{"self": "/api/v2/state-version-outputs/" + o.ID}}
}

// outputKind returns the short name of a type: "string", "array" for lists, sets and
// tuples, "object" for maps and objects.
func outputKind(t json.RawMessage) any {
	var name string
	if json.Unmarshal(t, &name) == nil {
		if name == "bool" {
			return "boolean"
		}
		return name
	}
	var parts []json.RawMessage
	if json.Unmarshal(t, &parts) == nil && len(parts) > 0 && json.Unmarshal(parts[0], &name) == nil {
		switch name {
		case "list", "set", "tuple":
			return "array"
		case "map", "object":
			return "object"
		}
	}
	return nil
}

// listOutputs answers GET /state-versions/:id/outputs.
func listOutputs(c *call, v *stateVersion) (*jsonapi.Answer, error) {
	return c.outputPage(v, true)
}

// currentOutputs answers GET /workspaces/:id/current-state-version-outputs.
func currentOutputs(c *call, w *workspace) (*jsonapi.Answer, error) {
	v := c.s.current(w, c.now)
	if v == nil || !c.who.mayStoreState() {
		return nil, jsonapi.NotFound()
	}
	if !c.s.processed(v, c.now) {
		// The documented response while the outputs are unknown.
		return nil, &jsonapi.Error{Status: 503, Title: "service unavailable", Detail: "The state version's outputs are not processed yet"}
	}
	return c.outputPage(v, false)
}

func (c *call) outputPage(v *stateVersion, reveal bool) (*jsonapi.Answer, error) {
	return jsonapi.List(c.r, c.outputResources(v, reveal), jsonapi.Itself, nil)
}

// getOutput answers GET /state-version-outputs/:id, with the value of a sensitive output.
func getOutput(c *call) (*jsonapi.Answer, error) {
	id := c.r.PathValue("output_id")
	for _, v := range c.s.versions {
		for _, o := range v.Contents.Outputs {
			if o.ID != id {
				continue
			}
			if !c.who.mayStoreState() || c.s.accessToWorkspace(c.who, c.s.workspaces[v.Workspace]) < accessRead {
				return nil, jsonapi.NotFound()
			}
			return jsonapi.OK(jsonapi.Document{Data: outputResource(o, true)}), nil
		}
	}
	return nil, jsonapi.NotFound()
}
