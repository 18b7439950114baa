package command

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/migrate"
)

// A permission is what --replace, --bump-serial or --allow grants to moves into a
// workspace.
type permission struct {
	flag, origin string // origin: the flag, or its variable
	workspace    string // as the user wrote it
	rest         string // of the flag's value
	grant        func(*migrate.Move)
}

// permissions reads the flags.
func (p *process) permissions(c *cli.Context) ([]permission, error) {
	var all []permission
	add := func(flag, workspace, rest string, grant func(*migrate.Move)) {
		all = append(all, permission{flag, p.originOf(flag), workspace, rest, grant})
	}
	for _, workspace := range c.StringSlice("replace") {
		add("replace", workspace, "", func(m *migrate.Move) { m.Replace = true })
	}
	for _, workspace := range c.StringSlice("bump-serial") {
		add("bump-serial", workspace, "", func(m *migrate.Move) { m.Bump = true })
	}
	for _, given := range c.StringSlice("allow") {
		workspace, code, ok := strings.Cut(given, "=")
		if !ok || workspace == "" {
			return nil, usagef("%s is %q: write WORKSPACE=CODE, such as network=%s", p.originOf("allow"), given, migrate.CodeUnusable)
		}
		if err := migrate.CheckAllow(code); err != nil {
			return nil, usagef("%s is %q: %v", p.originOf("allow"), given, err)
		}
		add("allow", workspace, "="+code, func(m *migrate.Move) { m.Permit(migrate.Code(code)) })
	}
	return all, nil
}

// to grants the permission to a move, and keeps the workspace's name as the user wrote it.
// Whether that is the name on the server is known when the server has been asked.
func (q permission) to(m *migrate.Move, noun string) error {
	if m.PermittedFor == "" && (m.Replace || m.Bump || len(m.Allow) > 0) {
		m.PermittedFor = m.Workspace // by the manifest
	}
	if m.PermittedFor != "" && m.PermittedFor != q.workspace {
		return usagef("%s names the %s %q, and it was also written %q: write its name as the server has it", q.origin, noun, q.workspace, m.PermittedFor)
	}
	m.PermittedFor = q.workspace
	q.grant(m)
	return nil
}

// permitOne grants what the flags permit to the only move. They must name its state, by its
// name or its whole address, and a workspace perhaps in another case.
func permitOne(m *migrate.Move, to destination, permissions []permission) error {
	for _, q := range permissions {
		if q.workspace == to.String() {
			q.workspace = m.Workspace
		}
		if nameAt(to.kind.Traits, q.workspace) != nameAt(to.kind.Traits, m.Workspace) {
			return usagef("%s names the %s %q, but the target is %q: write --%s=%s%s if you mean the target",
				q.origin, to.noun(), q.workspace, m.Workspace, q.flag, m.Workspace, q.rest)
		}
		if err := q.to(m, to.noun()); err != nil {
			return err
		}
	}
	return nil
}

// permit grants what the flags permit to the moves into the states that they name. Permission
// for a state that no move goes into is a mistake.
func permit(moves []migrate.Move, to destination, permissions []permission) error {
	if len(permissions) == 0 {
		return nil
	}
	into := map[string][]*migrate.Move{} // by the folded name
	var names []string
	for i := range moves {
		if moves[i].Unnamed {
			continue
		}
		key := nameAt(to.kind.Traits, moves[i].Workspace)
		into[key] = append(into[key], &moves[i])
		names = append(names, moves[i].Workspace)
	}
	for _, q := range permissions {
		found := into[nameAt(to.kind.Traits, q.workspace)]
		if found == nil {
			slices.Sort(names)
			return usagef("%s names the %s %q, and no move goes there%s", q.origin, to.noun(), q.workspace, didYouMean(closest(q.workspace, slices.Compact(names))))
		}
		for _, m := range found {
			if err := q.to(m, to.noun()); err != nil {
				return err
			}
		}
	}
	return nil
}

// nameAt returns the form in which names at a target are compared.
func nameAt(t backend.Traits, name string) string {
	if t.Workspaces {
		return strings.ToLower(name)
	}
	return name
}
