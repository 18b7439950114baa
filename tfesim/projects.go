package tfesim

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"tfhaul/tfesim/jsonapi"
)

var projectSettings = []jsonapi.Setting{
	{Name: "description", Kind: jsonapi.String},
	{Name: "default-agent-pool-id", Kind: jsonapi.String},
	{Name: "default-execution-mode", Kind: jsonapi.String, Default: "remote"},
	{Name: "auto-destroy-activity-duration", Kind: jsonapi.String},
}

func (s *Server) newProject(org, name string) *project {
	p := &project{ID: jsonapi.NewID("prj"), Org: org, Name: name, Created: time.Now(), Settings: map[string]json.RawMessage{}}
	s.projects[p.ID] = p
	s.put(p)
	return p
}

// project returns the project in the path.
func (c *call) project(need access) (*project, error) {
	p := c.s.projects[c.r.PathValue("project_id")]
	if p == nil || c.s.options.Personality == Lax || c.s.accessTo(c.who, p.Org) < need {
		return nil, jsonapi.NotFound()
	}
	return p, nil
}

// listProjects answers GET /organizations/:organization/projects.
func listProjects(c *call, o *organization) (*jsonapi.Answer, error) {
	if c.s.options.Personality == Lax {
		return nil, jsonapi.NotFound()
	}
	q := c.r.URL.Query()
	names := jsonapi.SplitList(q.Get("filter[names]"))
	query := strings.ToLower(q.Get("q"))
	bindings := bindingFilters(q)
	var all []*project
	for _, p := range c.s.projects {
		named := len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, p.Name) })
		if p.Org == o.Name && named &&
			strings.Contains(strings.ToLower(p.Name), query) && bindingsFit(p.Tags, bindings) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *project) int {
		return cmp.Or(defaultFirst(o, a, b), b.Created.Compare(a.Created))
	})
	return jsonapi.List(c.r, all, c.projectResource, c.projectIncludes)
}

// defaultFirst sorts the organization's default project before all others.
func defaultFirst(o *organization, a, b *project) int {
	switch o.DefaultProject {
	case a.ID:
		return -1
	case b.ID:
		return 1
	}
	return 0
}

// createProject answers POST /organizations/:organization/projects.
func createProject(c *call, o *organization) (*jsonapi.Answer, error) {
	if c.s.options.Personality == Lax || c.s.accessTo(c.who, o.Name) < accessAdmin {
		return nil, jsonapi.NotFound()
	}
	settings, err := jsonapi.ApplySettings(projectSettings, nil, c.body.One)
	if err != nil {
		return nil, err
	}
	if err := inheritedSettings(c.body.One, settings); err != nil {
		return nil, err
	}
	name, err := c.projectName(o.Name, nil)
	if err != nil {
		return nil, err
	}
	tags, _, err := readBindings(c.body.One)
	if err != nil {
		return nil, err
	}
	p := c.s.newProject(o.Name, name)
	p.Settings = settings
	p.Tags = tags
	c.s.put(p)
	return jsonapi.Created(jsonapi.Document{Data: c.projectResource(p)}), nil
}

func errDuration() *jsonapi.Error {
	return jsonapi.Invalid("auto-destroy-activity-duration", "Auto destroy activity duration has an incorrect format, we expect up to 4 numeric digits and 1 unit ('d' or 'h')")
}

// validDuration reports whether the text is a number of up to four digits of days or hours.
func validDuration(s string) bool {
	digits, unit := s[:len(s)-1], s[len(s)-1]
	return (unit == 'd' || unit == 'h') && len(digits) >= 1 && len(digits) <= 4 && strings.Trim(digits, "0123456789") == ""
}

// inheritedSettings checks a project's settings in combination, and removes the execution
// mode of a project that inherits it.
func inheritedSettings(it jsonapi.Item, settings map[string]json.RawMessage) error {
	if d := jsonapi.TextSetting(settings, "auto-destroy-activity-duration", ""); d != "" && !validDuration(d) {
		return errDuration()
	}
	if jsonapi.TextSetting(settings, "default-execution-mode", "") != "agent" {
		if it.Has("default-agent-pool-id") {
			return jsonapi.Unprocessable("Default agent pool must not be specified unless using 'agent' execution mode")
		}
		delete(settings, "default-agent-pool-id")
	} else if jsonapi.TextSetting(settings, "default-agent-pool-id", "") == "" {
		return jsonapi.Unprocessable("Default agent pool must be specified when using 'agent' execution mode")
	}
	if !it.Has("setting-overwrites") {
		return nil
	}
	var overwrites struct {
		ExecutionMode *bool `json:"default-execution-mode"`
		AgentPool     *bool `json:"default-agent-pool"`
	}
	if json.Unmarshal(it.Attributes["setting-overwrites"], &overwrites) != nil {
		return jsonapi.Invalid("setting-overwrites", "setting-overwrites must be an object")
	}
	if overwrites.ExecutionMode != nil && overwrites.AgentPool != nil && *overwrites.ExecutionMode != *overwrites.AgentPool {
		return jsonapi.Unprocessable("If agent-pool and execution-mode are both included in setting-overwrites, their values must be the same.")
	}
	if overwrites.ExecutionMode != nil && !*overwrites.ExecutionMode {
		delete(settings, "default-execution-mode")
		delete(settings, "default-agent-pool-id")
	}
	return nil
}

// projectName reads and checks the name of a new or renamed project.
func (c *call) projectName(org string, self *project) (string, error) {
	name, err := c.body.One.Text("name")
	if err != nil {
		return "", err
	}
	name = strings.TrimSpace(name)
	switch {
	case name == "" && self != nil:
		return self.Name, nil
	case name == "":
		return "", jsonapi.Invalid("name", "Name can't be blank")
	case len(name) < 3 || len(name) > 40 || !validName(strings.ReplaceAll(name, " ", ""), 40):
		return "", jsonapi.Invalid("name", "Name may only contain letters, numbers, spaces, -, and _, and must be 3-40 characters long")
	}
	for _, p := range c.s.projects {
		if p != self && p.Org == org && p.Name == name {
			return "", jsonapi.Invalid("name", "Name has already been taken")
		}
	}
	return name, nil
}

// getProject answers GET /projects/:project_id.
func getProject(c *call, p *project) (*jsonapi.Answer, error) {
	included, err := c.projectIncludes(p)
	if err != nil {
		return nil, err
	}
	return jsonapi.OK(jsonapi.Document{Data: c.projectResource(p), Included: included}), nil
}

// projectIncludes returns the resources that the include parameter asks for.
func (c *call) projectIncludes(p *project) ([]jsonapi.Resource, error) {
	var out []jsonapi.Resource
	for _, name := range jsonapi.Includes(c.r) {
		switch name {
		case "":
		case "effective_tag_bindings":
			out = append(out, bindingResources("effective-tag-bindings", p.ID, p.Tags)...)
		default:
			return nil, jsonapi.BadInclude(name)
		}
	}
	return out, nil
}

// updateProject answers PATCH /projects/:project_id.
func updateProject(c *call, p *project) (*jsonapi.Answer, error) {
	name, err := c.projectName(p.Org, p)
	if err != nil {
		return nil, err
	}
	settings, err := jsonapi.ApplySettings(projectSettings, p.Settings, c.body.One)
	if err != nil {
		return nil, err
	}
	if err := inheritedSettings(c.body.One, settings); err != nil {
		return nil, err
	}
	tags, sent, err := readBindings(c.body.One)
	if err != nil {
		return nil, err
	}
	p.Name, p.Settings = name, settings
	if sent {
		p.Tags = tags
	}
	c.s.put(p)
	return jsonapi.OK(jsonapi.Document{Data: c.projectResource(p)}), nil
}

// deleteProject answers DELETE /projects/:project_id.
func deleteProject(c *call, p *project) (*jsonapi.Answer, error) {
	if c.s.organizations[p.Org].DefaultProject == p.ID {
		return nil, &jsonapi.Error{Status: 403, Title: "forbidden", Detail: "The default project cannot be deleted"}
	}
	for _, w := range c.s.byName[p.Org] {
		if w.Project == p.ID {
			return nil, &jsonapi.Error{Status: 403, Title: "forbidden", Detail: "A project with workspaces cannot be deleted"}
		}
	}
	delete(c.s.projects, p.ID)
	c.s.drop(p)
	return jsonapi.NoContent(), nil
}

func (c *call) projectResource(p *project) jsonapi.Resource {
	admin := c.s.accessTo(c.who, p.Org) >= accessAdmin
	attributes := map[string]any{}
	jsonapi.ShowSettings(projectSettings, p.Settings, attributes)
	if _, set := p.Settings["default-execution-mode"]; !set {
		attributes["default-execution-mode"] = jsonapi.TextSetting(c.s.organizations[p.Org].Settings, "default-execution-mode", "remote")
	}
	own := jsonapi.TextSetting(p.Settings, "default-execution-mode", "") != ""
	n := 0
	for _, w := range c.s.byName[p.Org] {
		if w.Project == p.ID {
			n++
		}
	}
	for k, v := range map[string]any{
		"name":               p.Name,
		"created-at":         jsonapi.Timestamp(p.Created),
		"workspace-count":    n,
		"team-count":         0,
		"stack-count":        0,
		"is-unified":         false,
		"setting-overwrites": map[string]any{"default-execution-mode": own, "default-agent-pool": own},
		"permissions": map[string]any{
			"can-read":             true,
			"can-update":           admin,
			"can-destroy":          admin,
			"can-create-workspace": admin,
			"can-move-workspace":   admin,
		},
	} {
		attributes[k] = v
	}
	return jsonapi.Resource{ID: p.ID, Type: "projects", Attributes: attributes, Relationships: map[string]any{
		"organization":           jsonapi.ToOne(&jsonapi.Ref{ID: p.Org, Type: "organizations"}, "/api/v2/organizations/"+p.Org),
		"default-agent-pool":     jsonapi.ToOne(c.s.assetRef(jsonapi.TextSetting(p.Settings, "default-agent-pool-id", "")), ""),
		"effective-tag-bindings": jsonapi.ToMany(bindingRefs("effective-tag-bindings", p.ID, p.Tags)),
	}, Links: map[string]any{"self": "/api/v2/projects/" + p.ID}}
}
