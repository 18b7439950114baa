package command

import (
	_ "embed"
	"io"

	"github.com/urfave/cli/v2"
)

// The completion scripts ask the program itself what can follow. What it answers
// is urfave/cli's: commands, or the command's flags.
var (
	//go:embed completion/tfhaul.bash
	bashCompletion string
	//go:embed completion/tfhaul.zsh
	zshCompletion string
	//go:embed completion/tfhaul.ps1
	powershellCompletion string
)

func (p *process) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a shell completion script",
		UsageText: "tfhaul completion bash|zsh|fish|powershell",
		Description: `Prints a script that completes tfhaul's commands and flags.

Examples:
  source <(tfhaul completion bash)                                     in ~/.bashrc
  source <(tfhaul completion zsh)                                      in ~/.zshrc, after compinit
  tfhaul completion fish > ~/.config/fish/completions/tfhaul.fish
  tfhaul completion powershell | Out-String | Invoke-Expression        in $PROFILE`,
		Action: func(c *cli.Context) error {
			args, err := exactly(c, "bash|zsh|fish|powershell")
			if err != nil {
				return err
			}
			return p.printCompletion(c.App, args[0])
		},
	}
}

// printCompletion prints a shell's completion script.
func (p *process) printCompletion(app *cli.App, shell string) error {
	var script string
	switch shell {
	case "bash":
		script = bashCompletion
	case "zsh":
		script = zshCompletion
	case "powershell":
		script = powershellCompletion
	case "fish":
		var err error
		if script, err = app.ToFishCompletion(); err != nil {
			return err
		}
	default:
		return usagef("no completion for the shell %q: use bash, zsh, fish or powershell", shell)
	}
	_, err := io.WriteString(p.stdout, script)
	return err
}
