package runs

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"tfhaul/tfesim/jsonapi"
)

// A variable is an input variable of a workspace, or an environment variable of its runs.
type variable struct {
	ID        string
	Workspace string
	Sequence  uint64 // in the order of creation
	Key       string
	Value     string
	Category  string // categoryTerraform or categoryEnv
	Settings  map[string]json.RawMessage
	Version   string
}

const (
	categoryTerraform = "terraform"
	categoryEnv       = "env"
)

func (v *variable) sensitive() bool { return jsonapi.BoolSetting(v.Settings, "sensitive", false) }

// hcl reports whether the value is an expression instead of a string.
func (v *variable) hcl() bool { return jsonapi.BoolSetting(v.Settings, "hcl", false) }

var variableSettings = []jsonapi.Setting{
	{Name: "description", Kind: jsonapi.String},
	{Name: "hcl", Kind: jsonapi.Bool, Default: false},
	{Name: "sensitive", Kind: jsonapi.Bool, Default: false},
}

// variablesOf returns a workspace's variables, oldest first.
func (s *Service) variablesOf(workspace string) []*variable {
	var all []*variable
	for _, v := range s.variables {
		if v.Workspace == workspace {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b *variable) int { return int(a.Sequence) - int(b.Sequence) })
	return all
}

// listVariables answers GET /workspaces/:id/vars.
func listVariables(c *call, w Workspace) (*jsonapi.Answer, error) {
	return jsonapi.List(c.Request(), c.s.variablesOf(w.ID), variableResource, nil)
}

// createVariable answers POST /workspaces/:id/vars.
func createVariable(c *call, w Workspace) (*jsonapi.Answer, error) {
	c.s.sequence++
	v := &variable{ID: jsonapi.NewID("var"), Workspace: w.ID, Sequence: c.s.sequence}
	if err := c.changeVariable(w, v); err != nil {
		return nil, err
	}
	c.s.variables[v.ID] = v
	c.s.put(v)
	return jsonapi.Created(jsonapi.Document{Data: variableResource(v)}), nil
}

// addVariable adds a variable. The workspace must not have one with the key.
func (s *Service) addVariable(workspace, category, key, value string) {
	s.sequence++
	v := &variable{ID: jsonapi.NewID("var"), Workspace: workspace, Sequence: s.sequence, Key: key, Value: value, Category: category, Version: jsonapi.NewUUID()}
	s.variables[v.ID] = v
	s.put(v)
}

// variable returns the variable that the path names, and its workspace.
func (c *call) variable(need Access) (Workspace, *variable, error) {
	w, err := c.Workspace(need)
	if err != nil {
		return Workspace{}, nil, err
	}
	v := c.s.variables[c.Request().PathValue("variable_id")]
	if v == nil || v.Workspace != w.ID {
		return Workspace{}, nil, jsonapi.NotFound()
	}
	return w, v, nil
}

// getVariable answers GET /workspaces/:id/vars/:variable_id.
func getVariable(c *call) (*jsonapi.Answer, error) {
	_, v, err := c.variable(Read)
	if err != nil {
		return nil, err
	}
	return jsonapi.OK(jsonapi.Document{Data: variableResource(v)}), nil
}

// updateVariable answers PATCH /workspaces/:id/vars/:variable_id.
func updateVariable(c *call) (*jsonapi.Answer, error) {
	w, v, err := c.variable(Write)
	if err != nil {
		return nil, err
	}
	changed := *v
	if err := c.changeVariable(w, &changed); err != nil {
		return nil, err
	}
	*v = changed
	c.s.put(v)
	return jsonapi.OK(jsonapi.Document{Data: variableResource(v)}), nil
}

// deleteVariable answers DELETE /workspaces/:id/vars/:variable_id.
func deleteVariable(c *call) (*jsonapi.Answer, error) {
	_, v, err := c.variable(Write)
	if err != nil {
		return nil, err
	}
	delete(c.s.variables, v.ID)
	c.s.drop(v)
	return jsonapi.NoContent(), nil
}

// changeVariable applies the document to a variable, or returns what is wrong with it.
func (c *call) changeVariable(w Workspace, v *variable) error {
	it := c.Body().One
	for name, field := range map[string]*string{"key": &v.Key, "value": &v.Value, "category": &v.Category} {
		if !it.Has(name) {
			continue
		}
		text, err := it.Text(name)
		if err != nil {
			return err
		}
		*field = text
	}
	settings, err := jsonapi.ApplySettings(variableSettings, v.Settings, it)
	if err != nil {
		return err
	}
	switch {
	case v.Key == "":
		return jsonapi.Invalid("key", "Key can't be blank")
	case v.Category != categoryTerraform && v.Category != categoryEnv:
		return jsonapi.Invalid("category", "Category is not included in the list")
	case v.sensitive() && !jsonapi.BoolSetting(settings, "sensitive", false):
		return jsonapi.Invalid("sensitive", "Sensitive cannot be changed once it is true")
	case strings.ContainsAny(v.Key, "=\x00\n") || strings.ContainsRune(v.Value, 0):
		return jsonapi.Invalid("key", "Key must not contain =, line breaks or NUL")
	}
	for _, other := range c.s.variablesOf(w.ID) {
		if other.ID != v.ID && other.Key == v.Key && other.Category == v.Category {
			return jsonapi.Invalid("key", "Key has already been taken")
		}
	}
	v.Settings, v.Version = settings, jsonapi.NewUUID()
	return nil
}

// variableResource renders a variable, without the value if it is sensitive.
func variableResource(v *variable) jsonapi.Resource {
	attributes := map[string]any{"key": v.Key, "value": v.Value, "category": v.Category, "version-id": v.Version}
	jsonapi.ShowSettings(variableSettings, v.Settings, attributes)
	if v.sensitive() {
		attributes["value"] = nil
	}
	return jsonapi.Resource{ID: v.ID, Type: "vars", Attributes: attributes,
		Relationships: map[string]any{"configurable": jsonapi.ToOne(&jsonapi.Ref{ID: v.Workspace, Type: "workspaces"}, "/api/v2/workspaces/"+v.Workspace)},
		Links:         map[string]any{"self": "/api/v2/workspaces/" + v.Workspace + "/vars/" + v.ID}}
}

// validVariableName reports whether Terraform accepts the name.
func validVariableName(name string) bool {
	return regexp.MustCompile(`^[\pL_][\pL\pN_-]*$`).MatchString(name)
}
