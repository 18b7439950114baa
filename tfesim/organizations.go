package tfesim

import (
	"encoding/json"
	"sort"
	"strings"
	"time"
)

var organizationSettings = []setting{
	{"assessments-enforced", kindBool, false},
	{"collaborator-auth-policy", kindString, "password"},
	{"cost-estimation-enabled", kindBool, false},
	{"default-execution-mode", kindString, "remote"},
	{"owners-team-saml-role-id", kindString, nil},
	{"session-remember", kindNumber, nil},
	{"session-timeout", kindNumber, nil},
	{"send-passing-statuses-for-untriggered-speculative-plans", kindBool, false},
	{"aggregated-commit-status-enabled", kindBool, true},
	{"speculative-plan-management-enabled", kindBool, true},
	{"allow-force-delete-workspaces", kindBool, false},
	{"stacks-enabled", kindBool, false},
	{"user-tokens-enabled", kindBool, true},
	{"max-ttl-enabled", kindBool, false},
	{"enforce-hyok", kindBool, false},
}

// newOrganization makes an organization with its default project.
func (s *Server) newOrganization(name, email, executionMode string) *organization {
	o := &organization{Name: name, ID: newID("org"), Email: email, Created: time.Now(), Settings: map[string]json.RawMessage{}}
	setText(o.Settings, "default-execution-mode", executionMode)
	s.organizations[name] = o
	s.byName[name] = map[string]*workspace{}
	o.DefaultProject = s.newProject(name, "Default Project").ID
	s.put(o)
	return o
}

// organization finds the organization that the path names, if the asker may see it.
func (c *call) organization() (*organization, error) {
	o := c.s.organizationNamed(c.r.PathValue("organization"))
	if o != nil && c.who.user != nil && !boolSetting(o.Settings, "user-tokens-enabled", true) {
		return nil, errUnauthorized()
	}
	if o == nil || !c.s.belongs(c.who, o.Name) {
		return nil, errNotFound()
	}
	return o, nil
}

// listOrganizations answers GET /organizations.
func listOrganizations(c *call) (*answer, error) {
	query := strings.ToLower(c.r.URL.Query().Get("q"))
	var all []*organization
	for _, o := range c.s.organizations {
		if c.s.belongs(c.who, o.Name) && strings.Contains(strings.ToLower(o.Name+"\n"+o.Email), query) {
			all = append(all, o)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return list(c.r, all, c.organizationResource, nil)
}

// createOrganization answers POST /organizations. Who makes it owns it.
func createOrganization(c *call) (*answer, error) {
	if c.who.user == nil {
		return nil, errNotFound()
	}
	name, err := c.body.one.str("name")
	if err != nil {
		return nil, err
	}
	email, err := c.body.one.str("email")
	if err != nil {
		return nil, err
	}
	switch {
	case name == "":
		return nil, errInvalid("name", "Name can't be blank")
	case !validName(name, 40):
		return nil, errInvalid("name", "Name can only include letters, numbers, -, and _.")
	case c.s.organizationNamed(name) != nil:
		return nil, errInvalid("name", "Name has already been taken")
	case email == "":
		return nil, errInvalid("email", "Email can't be blank")
	}
	settings, err := applySettings(organizationSettings, nil, c.body.one)
	if err != nil {
		return nil, err
	}
	o := c.s.newOrganization(name, email, textSetting(settings, "default-execution-mode", "remote"))
	for k, v := range settings {
		o.Settings[k] = v
	}
	owners := c.s.newTeam(o, "owners", accessAdmin, "")
	c.who.user.Teams = append(c.who.user.Teams, owners.ID)
	c.s.put(c.who.user)
	c.s.put(o)
	return created(document{Data: c.organizationResource(o)}), nil
}

// getOrganization answers GET /organizations/:organization.
func getOrganization(c *call) (*answer, error) {
	o, err := c.organization()
	if err != nil {
		return nil, err
	}
	var included []resource
	for _, name := range includes(c.r) {
		switch name {
		case "":
		case "default-project", "default_project":
			included = append(included, c.projectResource(c.s.projects[o.DefaultProject]))
		default:
			return nil, errInclude(name)
		}
	}
	return ok(document{Data: c.organizationResource(o), Included: included}), nil
}

// updateOrganization answers PATCH /organizations/:organization.
func updateOrganization(c *call) (*answer, error) {
	o, err := c.organization()
	if err != nil {
		return nil, err
	}
	if !c.s.owns(c.who, o.Name) {
		return nil, errNotFound()
	}
	settings, err := applySettings(organizationSettings, o.Settings, c.body.one)
	if err != nil {
		return nil, err
	}
	if err := c.changeDefaultPool(o, settings); err != nil {
		return nil, err
	}
	email, err := c.body.one.str("email")
	if err != nil {
		return nil, err
	}
	name, err := c.body.one.str("name")
	if err != nil {
		return nil, err
	}
	if name != "" && name != o.Name {
		if !validName(name, 40) {
			return nil, errInvalid("name", "Name can only include letters, numbers, -, and _.")
		}
		if taken := c.s.organizationNamed(name); taken != nil && taken != o {
			return nil, errInvalid("name", "Name has already been taken")
		}
		c.s.renameOrganization(o, name)
	}
	o.Settings = settings
	if email != "" {
		o.Email = email
	}
	c.s.put(o)
	return ok(document{Data: c.organizationResource(o)}), nil
}

// defaultPool is the setting that holds the id of the organization's default agent pool.
const defaultPool = "default-agent-pool"

// changeDefaultPool keeps the default agent pool and the default execution mode in step.
func (c *call) changeDefaultPool(o *organization, settings map[string]json.RawMessage) error {
	pool, err := c.body.one.related("default-agent-pool")
	if err != nil {
		return err
	}
	agent := textSetting(settings, "default-execution-mode", "remote") == "agent"
	switch {
	case pool != nil && !agent:
		return errInvalid("default-agent-pool", "Default agent pool must not be specified unless using 'agent' execution mode")
	case pool != nil:
		if a := c.s.assets[pool.ID]; a == nil || a.Kind != agentPools || a.Org != o.Name {
			return errNotFound()
		}
		setText(settings, defaultPool, pool.ID)
	case !agent:
		delete(settings, defaultPool)
	case textSetting(settings, defaultPool, "") == "":
		return errInvalid("default-agent-pool", "Default agent pool must be specified when using 'agent' execution mode")
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
		if t.Holder == (ref{was, "organizations"}) {
			t.Holder.ID = name
			s.put(t)
		}
	}
}

// deleteOrganization answers DELETE /organizations/:organization.
func deleteOrganization(c *call) (*answer, error) {
	o, err := c.organization()
	if err != nil {
		return nil, err
	}
	if !c.s.owns(c.who, o.Name) {
		return nil, errNotFound()
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
	s.deleteTokens(ref{o.Name, "organizations"})
	delete(s.byName, o.Name)
	delete(s.organizations, o.Name)
	s.drop(o)
	return noContent(), nil
}

// getEntitlements answers GET /organizations/:organization/entitlement-set.
func getEntitlements(c *call) (*answer, error) {
	o, err := c.organization()
	if err != nil {
		return nil, err
	}
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
	return ok(document{Data: resource{ID: o.ID, Type: "entitlement-sets", Attributes: attributes,
		Links: map[string]any{"self": "/api/v2/entitlement-sets/" + o.ID}}}), nil
}

func (c *call) organizationResource(o *organization) resource {
	owner := c.s.owns(c.who, o.Name)
	admin := c.s.accessTo(c.who, o.Name) >= accessAdmin
	attributes := map[string]any{}
	showSettings(organizationSettings, o.Settings, attributes)
	for k, v := range map[string]any{
		"name":                     o.Name,
		"external-id":              o.ID,
		"email":                    nil,
		"created-at":               timestamp(o.Created),
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
	relationships := map[string]any{"default-agent-pool": toOne(c.s.assetRef(textSetting(o.Settings, defaultPool, "")), "")}
	if c.s.options.Personality != Lax {
		relationships["default-project"] = toOne(&ref{o.DefaultProject, "projects"}, "/api/v2/projects/"+o.DefaultProject)
	}
	return resource{ID: o.Name, Type: "organizations", Attributes: attributes, Relationships: relationships,
		Links: map[string]any{"self": "/api/v2/organizations/" + o.Name}}
}
