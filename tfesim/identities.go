package tfesim

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"tfhaul/tfesim/jsonapi"
)

// Identity names a predefined identity with its own token. Team and organization identities
// belong to the first of Options.Organizations; for the others see Server.TeamToken and
// Server.OrganizationToken.
type Identity string

const (
	// Owner is a user who owns every predefined organization.
	Owner Identity = "owner"
	// SecondUser is a user with write access: it can lock, unlock and create state
	// versions, but is not a workspace admin, so it cannot force-unlock, create or delete
	// workspaces.
	SecondUser Identity = "second-user"
	// Team is a team with the right to manage all workspaces, represented by its team
	// token. A lock of the team is not a lock of its members.
	Team Identity = "team"
	// Organization is an organization token: it manages workspaces, but gets 404 for state
	// versions.
	Organization Identity = "organization"
	// ReadOnly is a user who can only read workspaces and their state.
	ReadOnly Identity = "read-only"
	// Expired is the owner with an expired token, which gets 401 everywhere.
	Expired Identity = "expired"
	// SiteAdmin is a user with all rights everywhere.
	SiteAdmin Identity = "site-admin"
	// Outsider is a user in no organization, who gets 404 everywhere.
	Outsider Identity = "outsider"
)

// access is what a principal may do with a workspace. Each level includes those before it.
type access int

const (
	accessNone access = iota
	accessRead
	accessWrite
	accessAdmin
)

// A principal is the sender of a request.
type principal struct {
	jsonapi.Ref
	identity Identity
	user     *user         // user tokens
	team     *team         // team tokens
	org      *organization // organization tokens
	// runs is the workspace of the run, for run tokens.
	runs string
}

// seedIdentities creates the predefined users, teams and tokens.
func (s *Server) seedIdentities() {
	users := []*user{
		{Name: "olivia", Email: "olivia@example.com", Identity: Owner},
		{Name: "walter", Email: "walter@example.com", Identity: SecondUser},
		{Name: "rita", Email: "rita@example.com", Identity: ReadOnly},
		{Name: "site-admin", Email: "admin@example.com", Admin: true, Identity: SiteAdmin},
		{Name: "oscar", Email: "oscar@example.com", Identity: Outsider},
	}
	for _, u := range users {
		u.ID = jsonapi.NewID("user")
		s.users[u.ID] = u
		s.put(u)
		s.newToken(jsonapi.Ref{ID: u.ID, Type: "users"}, time.Time{})
		if u.Identity == Owner {
			s.newToken(jsonapi.Ref{ID: u.ID, Type: "users"}, time.Unix(1, 0))
		}
	}
}

// seedTeams creates an organization's predefined teams and adds the predefined users to
// them.
func (s *Server) seedTeams(org *organization) {
	member := func(t *team, who Identity) {
		for _, u := range s.users {
			if u.Identity == who {
				u.Teams = append(u.Teams, t.ID)
				s.put(u)
			}
		}
	}
	member(s.newTeam(org, "owners", accessAdmin, ""), Owner)
	member(s.newTeam(org, "developers", accessWrite, ""), SecondUser)
	member(s.newTeam(org, "readers", accessRead, ""), ReadOnly)
	platform := s.newTeam(org, "platform", accessAdmin, Team)
	s.newToken(jsonapi.Ref{ID: platform.ID, Type: "teams"}, time.Time{})
	s.newToken(jsonapi.Ref{ID: org.Name, Type: "organizations"}, time.Time{})
}

func (s *Server) newTeam(org *organization, name string, a access, id Identity) *team {
	t := &team{ID: jsonapi.NewID("team"), ExternalID: jsonapi.NewUUID(), Org: org.Name, Name: name, Access: a, Identity: id}
	s.teams[t.ID] = t
	s.put(t)
	return t
}

func (s *Server) newToken(holder jsonapi.Ref, expires time.Time) *token {
	t := &token{Secret: jsonapi.RandomText(14) + ".atlasv1." + jsonapi.RandomText(67), Holder: holder, Expires: expires, Created: time.Now()}
	s.tokens[t.Secret] = t
	s.put(t)
	return t
}

// Token returns the secret of a predefined identity. It panics for an unknown identity,
// which is a mistake in a test.
func (s *Server) Token(id Identity) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch id {
	case Team:
		return s.tokenOf(func(p *principal) bool {
			return p.team != nil && p.identity == Team && strings.EqualFold(p.team.Org, s.options.Organizations[0])
		})
	case Organization:
		return s.tokenOf(func(p *principal) bool {
			return p.org != nil && strings.EqualFold(p.org.Name, s.options.Organizations[0])
		})
	case Expired:
		for secret, t := range s.tokens {
			if t.Expires.Equal(time.Unix(1, 0)) {
				return secret
			}
		}
	}
	return s.tokenOf(func(p *principal) bool { return p.user != nil && p.identity == id })
}

// TeamToken returns the secret of the "platform" team of an organization in Options.
func (s *Server) TeamToken(org string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokenOf(func(p *principal) bool {
		return p.team != nil && p.identity == Team && strings.EqualFold(p.team.Org, org)
	})
}

// OrganizationToken returns the organization token of an organization in Options.
func (s *Server) OrganizationToken(org string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokenOf(func(p *principal) bool { return p.org != nil && strings.EqualFold(p.org.Name, org) })
}

// tokenOf finds an unexpired token whose principal matches.
func (s *Server) tokenOf(fits func(*principal) bool) string {
	for secret, t := range s.tokens {
		if p := s.principal(t.Holder); t.Expires.IsZero() && p != nil && fits(p) {
			return secret
		}
	}
	panic("tfesim: no such identity or organization")
}

// principal returns the principal of a reference, or nil if it no longer exists.
func (s *Server) principal(holder jsonapi.Ref) *principal {
	p := &principal{Ref: holder}
	switch holder.Type {
	case "users":
		if p.user = s.users[holder.ID]; p.user == nil {
			return nil
		}
		p.identity = p.user.Identity
	case "teams":
		if p.team = s.teams[holder.ID]; p.team == nil {
			return nil
		}
		p.identity = p.team.Identity
	case "organizations":
		if p.org = s.organizations[holder.ID]; p.org == nil {
			return nil
		}
		p.identity = Organization
	case "runs":
		if p.runs = s.runs.WorkspaceOf(holder.ID); p.runs == "" {
			return nil
		}
	default:
		return nil
	}
	return p
}

// bearer returns the token of a request, or "".
func bearer(r *http.Request) string {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}

// authenticate returns the sender of a request, or nil if its token is missing, unknown or
// expired.
func (s *Server) authenticate(r *http.Request) *principal {
	return s.holderOfToken(bearer(r))
}

// accessTo returns a principal's access to the workspaces of an organization. The caller
// limits run tokens to their workspace.
func (s *Server) accessTo(p *principal, org string) access {
	switch {
	case p.user != nil && p.user.Admin:
		return accessAdmin
	case p.user != nil:
		a := accessNone
		if o := s.organizations[org]; o == nil || !jsonapi.BoolSetting(o.Settings, "user-tokens-enabled", true) {
			return accessNone // user tokens cannot access the organization
		}
		for _, id := range p.user.Teams {
			if t := s.teams[id]; t != nil && t.Org == org {
				a = max(a, t.Access)
			}
		}
		return a
	case p.team != nil && p.team.Org == org:
		return p.team.Access
	case p.org != nil && p.org.Name == org:
		return accessAdmin
	}
	return accessNone
}

// accessToWorkspace returns accessTo plus what teams were granted for this workspace, and
// write access to its own workspace for a run.
func (s *Server) accessToWorkspace(p *principal, w *workspace) access {
	if p.runs != "" {
		if p.runs == w.ID {
			return accessWrite
		}
		return accessNone
	}
	a := s.accessTo(p, w.Org)
	for _, g := range w.Grants {
		if (p.team != nil && p.team.ID == g.Team) || (p.user != nil && slices.Contains(p.user.Teams, g.Team)) {
			a = max(a, g.level())
		}
	}
	return a
}

// belongs reports whether the principal is part of the organization, with or without access
// to all of its workspaces.
func (s *Server) belongs(p *principal, org string) bool {
	switch {
	case s.accessTo(p, org) > accessNone:
		return true
	case p.team != nil:
		return p.team.Org == org
	case p.runs != "":
		w := s.workspaces[p.runs]
		return w != nil && w.Org == org
	case p.user != nil:
		return slices.ContainsFunc(p.user.Teams, func(id string) bool { return s.teams[id] != nil && s.teams[id].Org == org })
	}
	return false
}

// owns reports whether the principal may change the organization itself.
func (s *Server) owns(p *principal, org string) bool {
	if p.team != nil {
		return p.team.Org == org && p.team.Name == "owners"
	}
	if p.user == nil {
		return false
	}
	return p.user.Admin || slices.ContainsFunc(p.user.Teams, func(id string) bool {
		t := s.teams[id]
		return t != nil && t.Org == org && t.Name == "owners"
	})
}

// mayStoreState reports whether this kind of token can create and read state versions at
// all; organization tokens cannot.
func (p *principal) mayStoreState() bool {
	return p.org == nil
}

// holderText returns a lock's holder as in error texts.
func (s *Server) holderText(h jsonapi.Ref) string {
	switch h.Type {
	case "teams":
		if t := s.teams[h.ID]; t != nil {
			return "Team " + t.ExternalID
		}
		return "Team " + h.ID
	case "runs":
		return "Run " + h.ID
	}
	return "User " + s.holderName(h)
}

// holderName returns a holder's display name: a username, a team's name, or a run's ID.
func (s *Server) holderName(h jsonapi.Ref) string {
	if u := s.users[h.ID]; u != nil {
		return u.Name
	}
	if t := s.teams[h.ID]; t != nil {
		return t.Name
	}
	return h.ID
}

// actor returns the user, or the service user of a token, who did something; nil if nobody.
func (s *Server) actor(who *jsonapi.Ref) *jsonapi.Ref {
	if who == nil {
		return nil
	}
	if p := s.principal(*who); p != nil {
		return &jsonapi.Ref{ID: s.userResource(p).ID, Type: "users"}
	}
	return nil
}

// getAccount answers GET /account/details. For team and organization tokens the API returns
// their service user.
func getAccount(c *call) (*jsonapi.Answer, error) {
	res := c.s.userResource(c.who)
	return jsonapi.OK(jsonapi.Document{Data: res, Links: map[string]any{"self": "/api/v2/users/" + res.ID}}), nil
}

// getUser answers GET /users/:id.
func getUser(c *call) (*jsonapi.Answer, error) {
	u := c.s.users[c.r.PathValue("user_id")]
	if u == nil {
		return nil, jsonapi.NotFound()
	}
	return jsonapi.OK(jsonapi.Document{Data: c.s.userResource(&principal{Ref: jsonapi.Ref{ID: u.ID, Type: "users"}, user: u})}), nil
}

func (s *Server) userResource(p *principal) jsonapi.Resource {
	id, name, service := p.ID, "", true
	email := any(nil)
	admin := false
	switch {
	case p.user != nil:
		name, email, admin, service = p.user.Name, p.user.Email, p.user.Admin, false
	case p.team != nil:
		id = "user-" + strings.TrimPrefix(p.team.ID, "team-")
		name = "api-team_" + p.team.ID
	case p.org != nil:
		id = "user-" + strings.TrimPrefix(p.org.ID, "org-")
		name = "api-org-" + p.org.Name
	case p.runs != "":
		id = "user-" + strings.TrimPrefix(p.ID, "run-")
		name = "api-run-" + p.ID
	}
	return jsonapi.Resource{ID: id, Type: "users", Attributes: map[string]any{
		"username":           name,
		"email":              email,
		"avatar-url":         "https://www.gravatar.com/avatar/?s=100&d=mm",
		"is-service-account": service,
		"is-site-admin":      admin,
		"is-admin":           admin,
		"is-sso-login":       false,
		"v2-only":            true,
		"unconfirmed-email":  nil,
		"auth-method":        "tfc",
		"two-factor":         map[string]any{"enabled": false, "verified": false},
		"permissions": map[string]any{
			"can-create-organizations": !service,
			"can-change-email":         !service,
			"can-change-username":      !service,
			"can-manage-user-tokens":   !service,
		},
	}, Links: map[string]any{"self": "/api/v2/users/" + id}}
}
