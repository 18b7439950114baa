package tfesim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"tfhaul/tfesim/jsonapi"
)

// tokenYears is the lifetime of a token without a requested expiry.
const tokenYears = 2

// expired reports whether the token has expired.
func (t *token) expired(now time.Time) bool {
	return !t.Expires.IsZero() && !t.Expires.After(now)
}

// id returns the token's ID. It is derived from the secret, but does not reveal it.
func (t *token) id() string {
	sum := sha256.Sum256([]byte(t.Secret))
	return "at-" + hex.EncodeToString(sum[:8])
}

// sameDescription reports whether the token has the description; nil means none.
func (t *token) sameDescription(d *string) bool {
	if t.Description == nil || d == nil {
		return t.Description == nil && d == nil
	}
	return *t.Description == *d
}

// tokensOf returns a holder's tokens, the oldest first.
func (s *Server) tokensOf(holder jsonapi.Ref) []*token {
	var all []*token
	for _, t := range s.tokens {
		if t.Holder == holder {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *token) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.id(), b.id())) })
	return all
}

// plainToken returns the one token without a description that a team or an organization may
// have.
func (s *Server) plainToken(holder jsonapi.Ref) *token {
	for _, t := range s.tokensOf(holder) {
		if t.Description == nil {
			return t
		}
	}
	return nil
}

func (s *Server) deleteToken(t *token) {
	delete(s.tokens, t.Secret)
	s.drop(t)
}

// createTeamToken answers POST /teams/:id/authentication-token: a new token replaces the
// one without a description.
func createTeamToken(c *call, t *team) (*jsonapi.Answer, error) {
	return c.makeToken(jsonapi.Ref{ID: t.ID, Type: "teams"}, nil)
}

// createNamedTeamToken answers POST /teams/:id/authentication-tokens: it adds a token with
// a description that no other token of the team has.
func createNamedTeamToken(c *call, t *team) (*jsonapi.Answer, error) {
	holder := jsonapi.Ref{ID: t.ID, Type: "teams"}
	if !c.body.One.Has("description") {
		return c.makeToken(holder, nil)
	}
	description, err := c.body.One.Text("description")
	if err != nil {
		return nil, err
	}
	for _, other := range c.s.tokensOf(holder) {
		if other.sameDescription(&description) {
			return nil, &jsonapi.Error{Status: 422, Title: "invalid attributes", Detail: "Validation failed: Description has already been taken"}
		}
	}
	return c.makeToken(holder, &description)
}

// createOrganizationToken answers POST /organizations/:organization/authentication-token.
func createOrganizationToken(c *call, o *organization) (*jsonapi.Answer, error) {
	return c.makeToken(jsonapi.Ref{ID: o.Name, Type: "organizations"}, nil)
}

// makeToken creates a token and shows its secret, which no other response does.
func (c *call) makeToken(holder jsonapi.Ref, description *string) (*jsonapi.Answer, error) {
	expires := c.now.AddDate(tokenYears, 0, 0)
	if at, err := c.body.One.Text("expired-at"); err != nil {
		return nil, err
	} else if at != "" {
		if expires, err = time.Parse(time.RFC3339, at); err != nil {
			return nil, jsonapi.Invalid("expired-at", "expired-at must be a time")
		}
	}
	if was := c.s.plainToken(holder); was != nil && description == nil {
		c.s.deleteToken(was)
	}
	t := c.s.newToken(holder, expires)
	t.Description, t.Created, t.CreatedBy = description, c.now, c.who.Ref
	c.s.put(t)
	shown := c.tokenResource(t)
	shown.Attributes["token"] = t.Secret
	return jsonapi.Created(jsonapi.Document{Data: shown}), nil
}

// tokenResource is a token without its secret.
func (c *call) tokenResource(t *token) jsonapi.Resource {
	at := func(when time.Time) any {
		if when.IsZero() {
			return nil
		}
		return jsonapi.Timestamp(when)
	}
	var description any
	if t.Description != nil {
		description = *t.Description
	}
	relationships := map[string]any{"created-by": jsonapi.ToOne(c.s.actor(&t.CreatedBy), "")}
	if t.Holder.Type == "teams" {
		relationships["team"] = jsonapi.ToOne(&t.Holder, "")
	}
	return jsonapi.Resource{ID: t.id(), Type: "authentication-tokens", Attributes: map[string]any{
		"created-at": at(t.Created), "last-used-at": at(t.Used), "description": description, "expired-at": at(t.Expires), "token": nil,
	}, Relationships: relationships}
}

// plainTokenOf answers GET of …/authentication-token.
func (c *call) plainTokenOf(holder jsonapi.Ref) (*jsonapi.Answer, error) {
	t := c.s.plainToken(holder)
	if t == nil {
		return nil, jsonapi.NotFound()
	}
	return jsonapi.OK(jsonapi.Document{Data: c.tokenResource(t)}), nil
}

// dropPlainToken answers DELETE of …/authentication-token.
func (c *call) dropPlainToken(holder jsonapi.Ref) (*jsonapi.Answer, error) {
	t := c.s.plainToken(holder)
	if t == nil {
		return nil, jsonapi.NotFound()
	}
	c.s.deleteToken(t)
	return jsonapi.NoContent(), nil
}

// ofTeam returns a handler for the team in the path.
func ofTeam(do func(*call, jsonapi.Ref) (*jsonapi.Answer, error)) handler {
	return about((*call).team, func(c *call, t *team) (*jsonapi.Answer, error) {
		return do(c, jsonapi.Ref{ID: t.ID, Type: "teams"})
	})
}

// ofOrganization returns a handler for the organization in the path, for its owners.
func ofOrganization(do func(*call, jsonapi.Ref) (*jsonapi.Answer, error)) handler {
	return about((*call).ownedOrganization, func(c *call, o *organization) (*jsonapi.Answer, error) {
		return do(c, jsonapi.Ref{ID: o.Name, Type: "organizations"})
	})
}

// listTokens answers GET /teams/:id/authentication-tokens.
func (c *call) listTokens(holder jsonapi.Ref) (*jsonapi.Answer, error) {
	return c.tokenPage(c.s.tokensOf(holder))
}

func (c *call) tokenPage(all []*token) (*jsonapi.Answer, error) {
	return jsonapi.List(c.r, all, c.tokenResource, nil)
}

// listTeamTokens answers GET /organizations/:organization/team-tokens.
func listTeamTokens(c *call, o *organization) (*jsonapi.Answer, error) {
	q := c.r.URL.Query()
	query := strings.ToLower(q.Get("q"))
	var all []*token
	for _, t := range c.s.tokens {
		if team := c.s.teams[t.Holder.ID]; team != nil && team.Org == o.Name && strings.Contains(strings.ToLower(team.Name), query) {
			all = append(all, t)
		}
	}
	sort, descending := strings.CutPrefix(cmp.Or(q.Get("sort"), "team-name"), "-")
	team := func(t *token) string { return c.s.teams[t.Holder.ID].Name }
	orders := map[string]func(a, b *token) int{
		"team-name": func(a, b *token) int { return strings.Compare(team(a), team(b)) },
		"created-by": func(a, b *token) int {
			return strings.Compare(c.s.holderName(a.CreatedBy), c.s.holderName(b.CreatedBy))
		},
		"expired-at":   func(a, b *token) int { return a.Expires.Compare(b.Expires) },
		"last-used-at": func(a, b *token) int { return a.Used.Compare(b.Used) },
	}
	order := orders[sort]
	if order == nil {
		return nil, jsonapi.BadRequest("%q is not a valid sort parameter", q.Get("sort"))
	}
	slices.SortFunc(all, func(a, b *token) int {
		return cmp.Or(order(a, b), a.Created.Compare(b.Created), strings.Compare(a.id(), b.id()))
	})
	if descending {
		slices.Reverse(all)
	}
	return c.tokenPage(all)
}

// tokenByID returns the token in the path, for those who may change its holder.
func (c *call) tokenByID() (*token, error) {
	for _, t := range c.s.tokens {
		if t.id() != c.r.PathValue("token_id") {
			continue
		}
		org := t.Holder.ID
		if team := c.s.teams[t.Holder.ID]; team != nil {
			org = team.Org
		}
		if t.Holder.Type != "users" && (c.s.owns(c.who, org) || c.who.org != nil && c.who.org.Name == org) {
			return t, nil
		}
	}
	return nil, jsonapi.NotFound()
}

// getToken answers GET /authentication-tokens/:id.
func getToken(c *call, t *token) (*jsonapi.Answer, error) {
	return jsonapi.OK(jsonapi.Document{Data: c.tokenResource(t)}), nil
}

// deleteTokenCall answers DELETE /authentication-tokens/:id.
func deleteTokenCall(c *call, t *token) (*jsonapi.Answer, error) {
	c.s.deleteToken(t)
	return jsonapi.NoContent(), nil
}
