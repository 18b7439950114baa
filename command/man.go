package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// manSection is that of programs for users.
const manSection = 1

// A printMan prints the manual page.
type printMan struct {
	*process
}

func (p *process) manCommand() *cli.Command {
	return &cli.Command{
		Name:        "man",
		Usage:       "print the manual page",
		UsageText:   "tfhaul man",
		Description: "Prints the manual page, for packages.\n\nExample:\n  tfhaul man > tfhaul.1",
		Hidden:      true,
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return (&printMan{p}).Run(c.Context)
		},
	}
}

// Run prints the page. urfave/cli's page has a command's usage and no
// description, which is where ours teaches: so the description stands there, too.
func (m *printMan) Run(context.Context) error {
	app := m.app()
	for _, c := range app.Commands {
		c.UsageText = fmt.Sprintf("%s\n\n%s", c.UsageText, c.Description)
	}
	app.Description = strings.ReplaceAll(app.Description, "\n", "\n\n")
	page, err := app.ToManWithSection(manSection)
	if err != nil {
		return err
	}
	_, err = io.WriteString(m.stdout, page)
	return err
}
