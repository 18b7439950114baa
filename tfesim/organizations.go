package tfesim

import (
	"encoding/json"
	"sort"
	"strings"
	"time"

	"tfhaul/tfesim/jsonapi"
)

var organizationSettings = []jsonapi.Setting{
	{Name: "assessments-enforced", Kind: jsonapi.Bool, Default: false},
	{Name: "collaborator-auth-policy", Kind: jsonapi.String, Default: "password"},
	{Name: "cost-estimation-enabled", Kind: jsonapi.Bool, Default: false},
	{Name: "default-execution-mode", Kind: jsonapi.String, Default: "remote"},
	{Name: "owners-team-saml-role-id", Kind: jsonapi.String},
	{Name: "session-remember", Kind: jsonapi.Number},
	{Name: "session-timeout", Kind: jsonapi.Number},
	{Name: "send-passing-statuses-for-untriggered-speculative-plans", Kind: jsonapi.Bool, Default: false},
	{Name: "aggregated-commit-status-enabled", Kind: jsonapi.Bool, Default: true},
	{Name: "speculative-plan-management-enabled", Kind: jsonapi.Bool, Default: true},
	{Name: "allow-force-delete-workspaces", Kind: jsonapi.Bool, Default: false},
	{Name: "stacks-enabled", Kind: jsonapi.Bool, Default: false},
	{Name: "user-tokens-enabled", Kind: jsonapi.Bool, Default: true},
	{Name: "max-ttl-enabled", Kind: jsonapi.Bool, Default: false},
	{Name: "enforce-hyok", Kind: jsonapi.Bool, Default: false},
}

// newOrganization creates an organization with its default project.
func (s *Server) newOrganization(name, email, executionMode string) *organization {
	o := &organization{Name: name, ID: jsonapi.NewID("org"), Email: email, Created: time.Now(), Settings: map[string]json.RawMessage{}}
	jsonapi.SetText(o.Settings, "default-execution-mode", executionMode)
	s.organizations[name] = o
	s.byName[name] = map[string]*workspace{}
	o.DefaultProject = s.newProject(name, "Default Project").ID
	s.put(o)
	return o
}

// organization returns the organization in the path, if the asker may see it.
func (c *call) organization() (*organization, error) {
	o := c.s.organizationNamed(c.r.PathValue("organization"))
	if o != nil && c.who.user != nil && !jsonapi.BoolSetting(o.Settings, "user-tokens-enabled", true) {
		return nil, jsonapi.Unauthorized()
	}
	if o == nil || !c.s.belongs(c.who, o.Name) {
		return nil, jsonapi.NotFound()
	}
	return o, nil
}

// listOrganizations answers GET /organizations.
func listOrganizations(c *call) (*jsonapi.Answer, error) {
	query := strings.ToLower(c.r.URL.Query().Get("q"))
	var all []*organization
	for _, o := range c.s.organizations {
		if c.s.belongs(c.who, o.Name) && strings.Contains(strings.ToLower(o.Name+"\n"+o.Email), query) {
			all = append(all, o)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return jsonapi.List(c.r, all, c.organizationResource, nil)
}

// createOrganization answers POST /organizations. Its creator becomes an owner.
func createOrganization(c *call) (*jsonapi.Answer, error) {
	if c.who.user == nil {
		return nil, jsonapi.NotFound()
	}
	name, err := c.body.One.Text("name")
	if err != nil {
		return nil, err
	}
	email, err := c.body.One.Text("email")
	if err != nil {
		return nil, err
	}
	switch {
	case name == "":
		return nil, jsonapi.Invalid("name", "Name can't be blank")
	case !validName(name, 40):
		return nil, jsonapi.Invalid("name", "Name can only include letters, numbers, -, and _.")
	case c.s.organizationNamed(name) != nil:
		return nil, jsonapi.Invalid("name", "Name has already been taken")
	case email == "":
		return nil, jsonapi.Invalid("email", "Email can't be blank")
	}
	settings, err := jsonapi.ApplySettings(organizationSettings, nil, c.body.One)
	if err != nil {
		return nil, err
	}
	o := c.s.newOrganization(name, email, jsonapi.TextSetting(settings, "default-execution-mode", "remote"))
	for k, v := range settings {
		o.Settings[k] = v
	}
	owners := c.s.newTeam(o, "owners", accessAdmin, "")
	c.who.user.Teams = append(c.who.user.Teams, owners.ID)
	c.s.put(c.who.user)
	c.s.put(o)
	return jsonapi.Created(jsonapi.Document{Data: c.organizationResource(o)}), nil
}

// getOrganization answers GET /organizations/:organization.
func getOrganization(c *call, o *organization) (*jsonapi.Answer, error) {
	var included []jsonapi.Resource
	for _, name := range jsonapi.Includes(c.r) {
		switch name {
		case "":
		case "default-project", "default_project":
			included = append(included, c.projectResource(c.s.projects[o.DefaultProject]))
		default:
			return nil, jsonapi.BadInclude(name)
		}
	}
	return jsonapi.OK(jsonapi.Document{Data: c.organizationResource(o), Included: included}), nil
}

// updateOrganization answers PATCH /organizations/:organization.
func updateOrganization(c *call, o *organization) (*jsonapi.Answer, error) {
	if !c.s.owns(c.who, o.Name) {
		return nil, jsonapi.NotFound()
	}
	settings, err := jsonapi.ApplySettings(organizationSettings, o.Settings, c.body.One)
	if err != nil {
		return nil, err
	}
	if err := c.changeDefaultPool(o, settings); err != nil {
		return nil, err
	}
	email, err := c.body.One.Text("email")
	if err != nil {
		return nil, err
	}
	name, err := c.body.One.Text("name")
	if err != nil {
		return nil, err
	}
	if name != "" && name != o.Name {
		if !validName(name, 40) {
			return nil, jsonapi.Invalid("name", "Name can only include letters, numbers, -, and _.")
		}
		if taken := c.s.organizationNamed(name); taken != nil && taken != o {
			return nil, jsonapi.Invalid("name", "Name has already been taken")
		}
		c.s.renameOrganization(o, name)
	}
	o.Settings = settings
	if email != "" {
		o.Email = email
	}
	c.s.put(o)
	return jsonapi.OK(jsonapi.Document{Data: c.organizationResource(o)}), nil
}

// defaultPool is the setting for the ID of the organization's default agent pool.
const defaultPool = "default-agent-pool"

// changeDefaultPool keeps the default agent pool and the default execution mode consistent.
func (c *call) changeDefaultPool(o *organization, settings map[string]json.RawMessage) error {
	pool, err := c.body.One.Related("default-agent-pool")
	if err != nil {
		return err
	}
	agent := jsonapi.TextSetting(settings, "default-execution-mode", "remote") == "agent"
	switch {
	case pool != nil && !agent:
		return jsonapi.Invalid("default-agent-pool", "Default agent pool must not be specified unless using 'agent' execution mode")
	case pool != nil:
		if a := c.s.assets[pool.ID]; a == nil || a.Kind != agentPools || a.Org != o.Name {
			return jsonapi.NotFound()
		}
		jsonapi.SetText(settings, defaultPool, pool.ID)
	case !agent:
		delete(settings, defaultPool)
	case jsonapi.TextSetting(settings, defaultPool, "") == "":
		return jsonapi.Invalid("default-agent-pool", "Default agent pool must be specified when using 'agent' execution mode")
	}
	return nil
}

func (s *Server) renameOrganization(o *organization, name string) {
	s.drop(o)
	was := o.Name
	o.Name = name
	delete(s.organizations, was)
	s.organizations[name] = o
	s.byName[name] = s.byName[was]
	delete(s.byName, was)
	for _, p := range s.projects {
		if p.Org == was {
			p.Org = name
			s.put(p)
		}
	}
	for _, w := range s.byName[name] {
		w.Org = name
		s.put(w)
	}
	for _, t := range s.teams {
		if t.Org == was {
			t.Org = name
			s.put(t)
		}
	}
	for _, a := range s.assets {
		if a.Org == was {
			a.Org = name
			s.put(a)
		}
	}
	for _, t := range s.tokens {
		if t.Holder == (jsonapi.Ref{ID: was, Type: "organizations"}) {
			t.Holder.ID = name
			s.put(t)
		}
	}
}

// deleteOrganization answers DELETE /organizations/:organization.
func deleteOrganization(c *call, o *organization) (*jsonapi.Answer, error) {
	if !c.s.owns(c.who, o.Name) {
		return nil, jsonapi.NotFound()
	}
	s := c.s
	for _, w := range s.byName[o.Name] {
		s.deleteWorkspace(w)
	}
	for id, p := range s.projects {
		if p.Org == o.Name {
			delete(s.projects, id)
			s.drop(p)
		}
	}
	for _, t := range s.teams {
		if t.Org == o.Name {
			s.deleteTeam(t)
		}
	}
	for id, a := range s.assets {
		if a.Org == o.Name {
			delete(s.assets, id)
			s.drop(a)
		}
	}
	s.deleteTokens(jsonapi.Ref{ID: o.Name, Type: "organizations"})
	delete(s.byName, o.Name)
	delete(s.organizations, o.Name)
	s.drop(o)
	return jsonapi.NoContent(), nil
}

// getEntitlements answers GET /organizations/:organization/entitlement-set.
func getEntitlements(c *call, o *organization) (*jsonapi.Answer, error) {
	attributes := map[string]any{}
	for _, name := range []string{"agents", "audit-logging", "cost-estimation", "global-run-tasks", "operations",
		"private-module-registry", "private-run-tasks", "run-tasks", "sso", "sentinel", "state-storage", "teams",
		"vcs-integrations", "policy-enforcement", "usage-reporting", "waypoint-templates-and-addons", "infragraph"} {
		attributes[name] = true
	}
	for _, name := range []string{"waypoint-actions", "infragraph-with-nrtu"} {
		attributes[name] = false
	}
	attributes["user-limit"] = nil
	return jsonapi.OK(jsonapi.Document{Data: jsonapi.Resource{ID: o.ID, Type: "entitlement-sets", Attributes: attributes,
		Links: map[string]any{"self": "/api/v2/entitlement-sets/" + o.ID}}}), nil
}

func (c *call) organizationResource(o *organization) jsonapi.Resource {
	owner := c.s.owns(c.who, o.Name)
	admin := c.s.accessTo(c.who, o.Name) >= accessAdmin
	attributes := map[string]any{}
	jsonapi.ShowSettings(organizationSettings, o.Settings, attributes)
	for k, v := range map[string]any{
		"name":                     o.Name,
		"external-id":              o.ID,
		"email":                    nil,
		"created-at":               jsonapi.Timestamp(o.Created),
		"plan-expired":             false,
		"plan-expires-at":          nil,
		"plan-is-trial":            false,
		"plan-is-enterprise":       true,
		"saml-enabled":             false,
		"two-factor-conformant":    true,
		"is-unified":               false,
		"fair-run-queuing-enabled": false,
		"remaining-testable-count": 1000,
		"permissions": map[string]any{
			"can-create-team":                owner,
			"can-create-workspace":           admin,
			"can-create-workspace-migration": owner,
			"can-create-project":             admin,
			"can-deploy-no-code-modules":     admin,
			"can-destroy":                    owner,
			"can-enable-stacks":              owner,
			"can-manage-auditing":            owner,
			"can-manage-no-code-modules":     owner,
			"can-manage-run-tasks":           owner,
			"can-manage-users":               owner,
			"can-traverse":                   true,
			"can-update":                     owner,
			"can-update-api-token":           owner,
			"can-update-oauth":               owner,
			"can-update-sentinel":            owner,
		},
	} {
		attributes[k] = v
	}
	if admin {
		attributes["email"] = o.Email
	}
	relationships := map[string]any{"default-agent-pool": jsonapi.ToOne(c.s.assetRef(jsonapi.TextSetting(o.Settings, defaultPool, "")), "")}
	if c.s.options.Personality != Lax {
		relationships["default-project"] = jsonapi.ToOne(&jsonapi.Ref{ID: o.DefaultProject, Type: "projects"}, "/api/v2/projects/"+o.DefaultProject)
	}
	return jsonapi.Resource{ID: o.Name, Type: "organizations", Attributes: attributes, Relationships: relationships,
		Links: map[string]any{"self": "/api/v2/organizations/" + o.Name}}
}
