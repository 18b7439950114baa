package command

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/migrate"
)

// An allowance is one --allow: in spite of what the moves into a workspace go on.
type allowance struct {
	workspace string
	code      migrate.Code
}

// allowances reads --allow.
func (p *process) allowances(c *cli.Context) ([]allowance, error) {
	var all []allowance
	for _, given := range c.StringSlice("allow") {
		workspace, code, ok := strings.Cut(given, "=")
		if !ok || workspace == "" {
			return nil, usagef("%s is %q: write WORKSPACE=CODE, such as network=%s", p.originOf("allow"), given, migrate.CodeUnusable)
		}
		if err := migrate.CheckAllow(code); err != nil {
			return nil, usagef("%s is %q: %v", p.originOf("allow"), given, err)
		}
		all = append(all, allowance{workspace, migrate.Code(code)})
	}
	return all, nil
}

// allowedFor is what --allow says of the one workspace that a move goes into.
func (p *process) allowedFor(c *cli.Context, workspace string) ([]migrate.Code, error) {
	all, err := p.allowances(c)
	if err != nil {
		return nil, err
	}
	var codes []migrate.Code
	for _, a := range all {
		if !strings.EqualFold(a.workspace, workspace) {
			return nil, usagef("%s names the workspace %q, and the target is %q: write --allow=%s=%s, if that is what you want",
				p.originOf("allow"), a.workspace, workspace, workspace, a.code)
		}
		codes = append(codes, a.code)
	}
	return codes, nil
}

// allow adds a code to those that do not stop a move.
func allow(m *migrate.Move, code migrate.Code) {
	if !slices.Contains(m.Allow, code) {
		m.Allow = append(m.Allow, code)
	}
}
