package tfesim

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"tfhaul/tfesim/jsonapi"
)

// A grant gives a team access to one workspace, in addition to its access to all of them.
type grant struct {
	ID    string
	Team  string
	Name  string // as in the API: read, plan, write, admin, custom
	Given time.Time
}

// level returns the access that a grant gives, as far as this server supports it.
func (g grant) level() access {
	switch g.Name {
	case "admin":
		return accessAdmin
	case "write":
		return accessWrite
	}
	return accessRead
}

// organizationAccess reads a team's organization-wide rights, as far as this server
// supports them.
func organizationAccess(it jsonapi.Item) access {
	var rights struct {
		ManageWorkspaces bool `json:"manage-workspaces"`
		ManageProjects   bool `json:"manage-projects"`
		ReadWorkspaces   bool `json:"read-workspaces"`
		ReadProjects     bool `json:"read-projects"`
	}
	// Ignore rights of the wrong type.
	_ = json.Unmarshal(it.Attributes["organization-access"], &rights)
	switch {
	case rights.ManageWorkspaces || rights.ManageProjects:
		return accessAdmin
	case rights.ReadWorkspaces || rights.ReadProjects:
		return accessRead
	}
	return accessNone
}

// ownedOrganization returns the organization in the path, for its owners.
func (c *call) ownedOrganization() (*organization, error) {
	o, err := c.organization()
	if err != nil {
		return nil, err
	}
	if !c.s.owns(c.who, o.Name) && c.who.org != o {
		return nil, jsonapi.NotFound()
	}
	return o, nil
}

// team returns the team in the path, for the organization's owners.
func (c *call) team() (*team, error) {
	t := c.s.teams[c.r.PathValue("team_id")]
	if t == nil || !(c.s.owns(c.who, t.Org) || (c.who.org != nil && c.who.org.Name == t.Org)) {
		return nil, jsonapi.NotFound()
	}
	return t, nil
}

// listTeams answers GET /organizations/:organization/teams.
func listTeams(c *call, o *organization) (*jsonapi.Answer, error) {
	q := c.r.URL.Query()
	names, query := jsonapi.SplitList(q.Get("filter[names]")), q.Get("q")
	var all []*team
	for _, t := range c.s.teams {
		if t.Org == o.Name && (len(names) == 0 || slices.Contains(names, t.Name)) && strings.Contains(t.Name, query) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *team) int { return strings.Compare(a.Name, b.Name) })
	return jsonapi.List(c.r, all, c.s.teamResource, nil)
}

// createTeam answers POST /organizations/:organization/teams.
func createTeam(c *call, o *organization) (*jsonapi.Answer, error) {
	name, err := c.body.One.Text("name")
	if err != nil {
		return nil, err
	}
	if !validName(name, 90) {
		return nil, jsonapi.Invalid("name", "Name can only include letters, numbers, -, and _.")
	}
	for _, t := range c.s.teams {
		if t.Org == o.Name && t.Name == name {
			return nil, jsonapi.Invalid("name", "Name has already been taken")
		}
	}
	return jsonapi.Created(jsonapi.Document{Data: c.s.teamResource(c.s.newTeam(o, name, organizationAccess(c.body.One), ""))}), nil
}

// getTeam answers GET /teams/:id.
func getTeam(c *call, t *team) (*jsonapi.Answer, error) {
	return jsonapi.OK(jsonapi.Document{Data: c.s.teamResource(t)}), nil
}

// deleteTeam answers DELETE /teams/:id.
func deleteTeam(c *call, t *team) (*jsonapi.Answer, error) {
	if t.Name == "owners" {
		return nil, &jsonapi.Error{Status: 403, Title: "forbidden", Detail: "The owners team cannot be deleted"}
	}
	c.s.deleteTeam(t)
	return jsonapi.NoContent(), nil
}

// deleteTeam removes a team, its memberships, grants and tokens.
func (s *Server) deleteTeam(t *team) {
	delete(s.teams, t.ID)
	s.drop(t)
	for _, u := range s.users {
		if i := slices.Index(u.Teams, t.ID); i >= 0 {
			u.Teams = slices.Delete(u.Teams, i, i+1)
			s.put(u)
		}
	}
	for _, w := range s.byName[t.Org] {
		if n := len(w.Grants); n > 0 {
			w.Grants = slices.DeleteFunc(slices.Clone(w.Grants), func(g grant) bool { return g.Team == t.ID })
			s.put(w)
		}
	}
	s.deleteTokens(jsonapi.Ref{ID: t.ID, Type: "teams"})
}

func (s *Server) deleteTokens(holder jsonapi.Ref) {
	for secret, t := range s.tokens {
		if t.Holder == holder {
			delete(s.tokens, secret)
			s.drop(t)
		}
	}
}

// teamResource returns a team; include=locked_by shows it, too.
func (s *Server) teamResource(t *team) jsonapi.Resource {
	members := 0
	for _, u := range s.users {
		if slices.Contains(u.Teams, t.ID) {
			members++
		}
	}
	return jsonapi.Resource{ID: t.ID, Type: "teams", Attributes: map[string]any{
		"name":                          t.Name,
		"users-count":                   members,
		"visibility":                    "organization",
		"sso-team-id":                   nil,
		"is-unified":                    false,
		"allow-member-token-management": true,
		"organization-access": map[string]any{
			"manage-workspaces": t.Access >= accessAdmin,
			"manage-projects":   t.Access >= accessAdmin,
			"read-workspaces":   t.Access >= accessRead,
			"read-projects":     t.Access >= accessRead,
		},
		"permissions": map[string]any{"can-destroy": t.Name != "owners", "can-update-membership": true},
	}, Relationships: map[string]any{
		"organization": jsonapi.ToOne(&jsonapi.Ref{ID: t.Org, Type: "organizations"}, ""),
	}, Links: map[string]any{"self": "/api/v2/teams/" + t.ID}}
}

// grantAccess answers POST /team-workspaces.
func grantAccess(c *call) (*jsonapi.Answer, error) {
	it := c.body.One
	teamRef, err := it.Related("team")
	if err != nil {
		return nil, err
	}
	workspaceRef, err := it.Related("workspace")
	if err != nil {
		return nil, err
	}
	name, err := it.Text("access")
	if err != nil {
		return nil, err
	}
	if teamRef == nil || workspaceRef == nil {
		return nil, jsonapi.Unprocessable("the relationships team and workspace are required")
	}
	t, w := c.s.teams[teamRef.ID], c.s.workspaces[workspaceRef.ID]
	if t == nil || w == nil || t.Org != w.Org || c.s.accessToWorkspace(c.who, w) < accessAdmin {
		return nil, jsonapi.NotFound()
	}
	if !slices.Contains([]string{"read", "plan", "write", "admin", "custom"}, name) {
		return nil, jsonapi.Invalid("access", "Access is not included in the list")
	}
	g := grant{ID: jsonapi.NewID("tws"), Team: t.ID, Name: name, Given: c.now}
	w.Grants = append(slices.Clone(w.Grants), g)
	c.s.put(w)
	return jsonapi.Created(jsonapi.Document{Data: grantResource(w, g)}), nil
}

// findGrant returns the grant in the path, for admins of its workspace.
func (c *call) findGrant() (*workspace, grant, error) {
	for _, w := range c.s.workspaces {
		for _, g := range w.Grants {
			if g.ID == c.r.PathValue("grant_id") && c.s.accessToWorkspace(c.who, w) >= accessAdmin {
				return w, g, nil
			}
		}
	}
	return nil, grant{}, jsonapi.NotFound()
}

// getGrant answers GET /team-workspaces/:id.
func getGrant(c *call) (*jsonapi.Answer, error) {
	w, g, err := c.findGrant()
	if err != nil {
		return nil, err
	}
	return jsonapi.OK(jsonapi.Document{Data: grantResource(w, g)}), nil
}

// revokeAccess answers DELETE /team-workspaces/:id.
func revokeAccess(c *call) (*jsonapi.Answer, error) {
	w, g, err := c.findGrant()
	if err != nil {
		return nil, err
	}
	w.Grants = slices.DeleteFunc(slices.Clone(w.Grants), func(other grant) bool { return other.ID == g.ID })
	c.s.put(w)
	return jsonapi.NoContent(), nil
}

// listGrants answers GET /team-workspaces.
func listGrants(c *call) (*jsonapi.Answer, error) {
	w := c.s.workspaces[c.r.URL.Query().Get("filter[workspace][id]")]
	if w == nil || c.s.accessToWorkspace(c.who, w) < accessAdmin {
		return nil, jsonapi.NotFound()
	}
	return jsonapi.List(c.r, w.Grants, func(g grant) jsonapi.Resource {
		return grantResource(w, g)
	}, nil)
}

func grantResource(w *workspace, g grant) jsonapi.Resource {
	write := g.level() >= accessWrite
	state := "read"
	if write {
		state = "write"
	}
	return jsonapi.Resource{ID: g.ID, Type: "team-workspaces", Attributes: map[string]any{
		"access": g.Name, "state-versions": state, "workspace-locking": write, "run-tasks": g.level() >= accessAdmin,
		"runs": map[bool]string{true: "apply", false: "read"}[write], "variables": state, "sentinel-mocks": "none",
	}, Relationships: map[string]any{
		"team":      jsonapi.ToOne(&jsonapi.Ref{ID: g.Team, Type: "teams"}, ""),
		"workspace": jsonapi.ToOne(&jsonapi.Ref{ID: w.ID, Type: "workspaces"}, ""),
	}, Links: map[string]any{"self": "/api/v2/team-workspaces/" + g.ID}}
}
