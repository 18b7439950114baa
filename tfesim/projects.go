package tfesim

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

var projectSettings = []setting{
	{"description", kindString, nil},
	{"default-agent-pool-id", kindString, nil},
	{"default-execution-mode", kindString, "remote"},
	{"auto-destroy-activity-duration", kindString, nil},
}

func (s *Server) newProject(org, name string) *project {
	p := &project{ID: newID("prj"), Org: org, Name: name, Created: time.Now(), Settings: map[string]json.RawMessage{}}
	s.projects[p.ID] = p
	s.put(p)
	return p
}

// project finds the project that the path names.
func (c *call) project(need access) (*project, error) {
	p := c.s.projects[c.r.PathValue("project_id")]
	if p == nil || c.s.options.Personality == Lax || c.s.accessTo(c.who, p.Org) < need {
		return nil, errNotFound()
	}
	return p, nil
}

// listProjects answers GET /organizations/:organization/projects.
func listProjects(c *call) (*answer, error) {
	o, err := c.organization()
	if err != nil {
		return nil, err
	}
	if c.s.options.Personality == Lax {
		return nil, errNotFound()
	}
	q := c.r.URL.Query()
	names := splitList(q.Get("filter[names]"))
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
	return list(c.r, all, c.projectResource, c.projectIncludes)
}

// defaultFirst orders the organization's default project before all others.
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
func createProject(c *call) (*answer, error) {
	o, err := c.organization()
	if err != nil {
		return nil, err
	}
	if c.s.options.Personality == Lax || c.s.accessTo(c.who, o.Name) < accessAdmin {
		return nil, errNotFound()
	}
	settings, err := applySettings(projectSettings, nil, c.body.one)
	if err != nil {
		return nil, err
	}
	if err := inheritedSettings(c.body.one, settings); err != nil {
		return nil, err
	}
	name, err := c.projectName(o.Name, nil)
	if err != nil {
		return nil, err
	}
	tags, _, err := readBindings(c.body.one)
	if err != nil {
		return nil, err
	}
	p := c.s.newProject(o.Name, name)
	p.Settings = settings
	p.Tags = tags
	c.s.put(p)
	return created(document{Data: c.projectResource(p)}), nil
}

func errDuration() *apiError {
	return errInvalid("auto-destroy-activity-duration", "Auto destroy activity duration has an incorrect format, we expect up to 4 numeric digits and 1 unit ('d' or 'h')")
}

// validDuration says whether the text is a number of up to four digits of days or hours.
func validDuration(s string) bool {
	digits, unit := s[:len(s)-1], s[len(s)-1]
	return (unit == 'd' || unit == 'h') && len(digits) >= 1 && len(digits) <= 4 && strings.Trim(digits, "0123456789") == ""
}

// inheritedSettings checks a project's settings together and drops the execution mode of a
// project that is told to inherit it.
func inheritedSettings(it item, settings map[string]json.RawMessage) error {
	if d := textSetting(settings, "auto-destroy-activity-duration", ""); d != "" && !validDuration(d) {
		return errDuration()
	}
	if textSetting(settings, "default-execution-mode", "") != "agent" {
		if it.has("default-agent-pool-id") {
			return errUnprocessable("Default agent pool must not be specified unless using 'agent' execution mode")
		}
		delete(settings, "default-agent-pool-id")
	} else if textSetting(settings, "default-agent-pool-id", "") == "" {
		return errUnprocessable("Default agent pool must be specified when using 'agent' execution mode")
	}
	if !it.has("setting-overwrites") {
		return nil
	}
	var overwrites struct {
		ExecutionMode *bool `json:"default-execution-mode"`
		AgentPool     *bool `json:"default-agent-pool"`
	}
	if json.Unmarshal(it.Attributes["setting-overwrites"], &overwrites) != nil {
		return errInvalid("setting-overwrites", "setting-overwrites must be an object")
	}
	if overwrites.ExecutionMode != nil && overwrites.AgentPool != nil && *overwrites.ExecutionMode != *overwrites.AgentPool {
		return errUnprocessable("If agent-pool and execution-mode are both included in setting-overwrites, their values must be the same.")
	}
	if overwrites.ExecutionMode != nil && !*overwrites.ExecutionMode {
		delete(settings, "default-execution-mode")
		delete(settings, "default-agent-pool-id")
	}
	return nil
}

// projectName reads and checks the name of a new or renamed project.
func (c *call) projectName(org string, self *project) (string, error) {
	name, err := c.body.one.str("name")
	if err != nil {
		return "", err
	}
	name = strings.TrimSpace(name)
	switch {
	case name == "" && self != nil:
		return self.Name, nil
	case name == "":
		return "", errInvalid("name", "Name can't be blank")
	case len(name) < 3 || len(name) > 40 || !validName(strings.ReplaceAll(name, " ", ""), 40):
		return "", errInvalid("name", "Name may only contain letters, numbers, spaces, -, and _, and must be 3-40 characters long")
	}
	for _, p := range c.s.projects {
		if p != self && p.Org == org && p.Name == name {
			return "", errInvalid("name", "Name has already been taken")
		}
	}
	return name, nil
}

// getProject answers GET /projects/:project_id.
func getProject(c *call) (*answer, error) {
	p, err := c.project(accessRead)
	if err != nil {
		return nil, err
	}
	included, err := c.projectIncludes(p)
	if err != nil {
		return nil, err
	}
	return ok(document{Data: c.projectResource(p), Included: included}), nil
}

// projectIncludes returns the resources that the include parameter asks for.
func (c *call) projectIncludes(p *project) ([]resource, error) {
	var out []resource
	for _, name := range includes(c.r) {
		switch name {
		case "":
		case "effective_tag_bindings":
			out = append(out, bindingResources("effective-tag-bindings", p.ID, p.Tags)...)
		default:
			return nil, errInclude(name)
		}
	}
	return out, nil
}

// updateProject answers PATCH /projects/:project_id.
func updateProject(c *call) (*answer, error) {
	p, err := c.project(accessAdmin)
	if err != nil {
		return nil, err
	}
	name, err := c.projectName(p.Org, p)
	if err != nil {
		return nil, err
	}
	settings, err := applySettings(projectSettings, p.Settings, c.body.one)
	if err != nil {
		return nil, err
	}
	if err := inheritedSettings(c.body.one, settings); err != nil {
		return nil, err
	}
	tags, sent, err := readBindings(c.body.one)
	if err != nil {
		return nil, err
	}
	p.Name, p.Settings = name, settings
	if sent {
		p.Tags = tags
	}
	c.s.put(p)
	return ok(document{Data: c.projectResource(p)}), nil
}

// deleteProject answers DELETE /projects/:project_id.
func deleteProject(c *call) (*answer, error) {
	p, err := c.project(accessAdmin)
	if err != nil {
		return nil, err
	}
	if c.s.organizations[p.Org].DefaultProject == p.ID {
		return nil, &apiError{status: 403, title: "forbidden", detail: "The default project cannot be deleted"}
	}
	for _, w := range c.s.byName[p.Org] {
		if w.Project == p.ID {
			return nil, &apiError{status: 403, title: "forbidden", detail: "A project with workspaces cannot be deleted"}
		}
	}
	delete(c.s.projects, p.ID)
	c.s.drop(p)
	return noContent(), nil
}

func (c *call) projectResource(p *project) resource {
	admin := c.s.accessTo(c.who, p.Org) >= accessAdmin
	attributes := map[string]any{}
	showSettings(projectSettings, p.Settings, attributes)
	if _, set := p.Settings["default-execution-mode"]; !set {
		attributes["default-execution-mode"] = textSetting(c.s.organizations[p.Org].Settings, "default-execution-mode", "remote")
	}
	own := textSetting(p.Settings, "default-execution-mode", "") != ""
	n := 0
	for _, w := range c.s.byName[p.Org] {
		if w.Project == p.ID {
			n++
		}
	}
	for k, v := range map[string]any{
		"name":               p.Name,
		"created-at":         timestamp(p.Created),
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
	return resource{ID: p.ID, Type: "projects", Attributes: attributes, Relationships: map[string]any{
		"organization":           toOne(&ref{p.Org, "organizations"}, "/api/v2/organizations/"+p.Org),
		"default-agent-pool":     toOne(c.s.assetRef(textSetting(p.Settings, "default-agent-pool-id", "")), ""),
		"effective-tag-bindings": toMany(bindingRefs("effective-tag-bindings", p.ID, p.Tags)),
	}, Links: map[string]any{"self": "/api/v2/projects/" + p.ID}}
}
