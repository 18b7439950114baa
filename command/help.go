package command

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// A helpError asks for help instead of a command's work.
type helpError struct {
	app     *cli.App
	command *cli.Command // nil for the program's own
	missing bool         // no command was given, which is a mistake
}

func (e *helpError) Error() string { return "help is wanted" }

// printHelp prints what was asked for, and returns the exit code.
func (p *process) printHelp(h *helpError) int {
	switch {
	case h.missing:
		cli.HelpPrinter(p.stderr, appHelp, h.app)
		fmt.Fprintln(p.stderr)
		p.complain("which command?")
		return exitUsage
	case h.command == nil:
		cli.HelpPrinter(p.stdout, appHelp, h.app)
	default:
		cli.HelpPrinter(p.stdout, commandHelp, h.command)
	}
	return exitDone
}

const appHelp = `{{.HelpName}} - {{.Usage}}

{{.Description}}

Usage:
  {{.UsageText}}

Commands:{{range .VisibleCommands}}
  {{.Name}}{{"\t"}}{{.Usage}}{{end}}

Flags of all commands:{{range .VisibleFlags}}
  {{.}}{{end}}

tfhaul COMMAND --help tells more, with examples. Every flag can be set by the variable that stands behind it.
`

const commandHelp = `{{.HelpName}} - {{.Usage}}

Usage:
  {{.UsageText}}

{{.Description}}
{{with .VisibleFlags}}
Flags:{{range .}}
  {{.}}{{end}}
{{end}}`
