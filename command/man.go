package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// manSection is that of programs for users.
const manSection = 1

func (p *process) manCommand() *cli.Command {
	return &cli.Command{
		Name:        "man",
		Usage:       "print the manual page",
		UsageText:   "tfhaul man",
		Description: "Prints the manual page in roff format, for packages.\n\nExample:\n  tfhaul man > tfhaul.1",
		Hidden:      true,
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return p.printMan()
		},
	}
}

// printMan prints the page. urfave/cli's page has a command's usage but no description,
// which is where ours teaches, so the description is added to the usage.
func (p *process) printMan() error {
	app := p.app()
	for _, c := range app.Commands {
		c.UsageText = fmt.Sprintf("%s\n\n%s", c.UsageText, c.Description)
	}
	app.Description = strings.ReplaceAll(app.Description, "\n", "\n\n")
	page, err := app.ToManWithSection(manSection)
	if err != nil {
		return err
	}
	_, err = io.WriteString(p.stdout, page)
	return err
}
