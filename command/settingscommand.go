package command

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/report"
)

// A showSettings shows the value of every flag of a command, and where it comes from.
type showSettings struct {
	*process
	command *cli.Command
}

func (p *process) settingsCommand() *cli.Command {
	return &cli.Command{
		Name:      "settings",
		Usage:     "show the defaults of a command's flags, and where they are set",
		UsageText: "tfhaul settings [--json] [COMMAND]",
		Description: `Shows which flags of COMMAND are set by an environment variable or by the settings file. Without COMMAND, it shows those of
tfhaul migrate.

The settings file is ` + settingsName + ` in the current directory or the nearest one above it, up to the root of the repository
or your home directory. ` + settingsVariable + ` names another file; /dev/null disables it. A flag takes precedence over its
variable, and the variable over the file. A file that belongs to another user is not used. Paths are relative to the file.
The file cannot hold a token, add a certificate authority, or permit what needs a decision (--create, --replace, --yes):

  target = "tfe.example.com/acme"
  workspace_name = "{{ .Dir | replace \"/\" \"-\" }}"
  exclude = ["**/sandbox/**"]
  parallelism = 16
  backup_dir = "backups"

Examples:
  tfhaul settings
  tfhaul settings plan --json

Exit codes: 0 shown; 1 could not write the output; 4 the settings file or a variable has a mistake; 130 interrupted.`,
		Flags:  []cli.Flag{jsonFlag()},
		Action: action(p.parseSettingsCommand),
	}
}

func (p *process) parseSettingsCommand(c *cli.Context) (*showSettings, error) {
	if c.NArg() > 1 {
		return nil, usagef("unexpected argument %q: %s", c.Args().Get(1), c.Command.UsageText)
	}
	name := "migrate"
	if c.Args().Present() {
		name = c.Args().First()
	}
	s := &showSettings{p, c.App.Command(name)}
	if s.command == nil {
		return nil, unknownCommand(c.App, name)
	}
	return s, nil
}

// settingsShown is the document of tfhaul settings --json.
type settingsShown struct {
	Command string `json:"command"`
	// File is the settings file; "" if there is none.
	File     string         `json:"file"`
	Settings []settingShown `json:"settings"`
}

// A settingShown is one flag that is set.
type settingShown struct {
	Flag   string   `json:"flag"`
	Values []string `json:"values"`
	Origin string   `json:"origin"`
}

// Run shows the settings.
func (s *showSettings) Run(context.Context) error {
	file, err := s.readSettings(s.command.Name)
	if err != nil {
		return err
	}
	// The same checks as when the command runs.
	if err := (&arranger{known: s.command.Flags, typed: map[string]bool{}}).defaults(s.getenv, file); err != nil {
		return err
	}
	shown := []settingShown{}
	for _, f := range s.command.Flags {
		name := f.Names()[0]
		if values := valuesOfVariable(f, s.getenv); values != nil && hasVariable(f) {
			if name == "var" {
				values = []string{"(not shown: it may be a secret)"}
			}
			shown = append(shown, settingShown{name, values, variableOf(name)})
		} else if set, ok := file.values[name]; ok {
			shown = append(shown, settingShown{name, set.values, file.origin(name)})
		}
	}
	if s.json {
		return report.JSON(s.stdout, settingsShown{s.command.Name, file.path, shown})
	}
	return s.print(file, shown)
}

func (s *showSettings) print(file settings, shown []settingShown) error {
	var b bytes.Buffer
	if file.path == "" {
		fmt.Fprintf(&b, "No settings file (%s) found.\n", settingsName)
	} else {
		fmt.Fprintf(&b, "Settings file: %s\n", report.PlainLine(file.path))
	}
	if len(shown) == 0 {
		fmt.Fprintf(&b, "All flags of tfhaul %s have their defaults.\n", s.command.Name)
	}
	for _, f := range shown {
		fmt.Fprintf(&b, "  --%s %s  (%s)\n", f.Flag, report.PlainLine(strings.Join(f.Values, ", ")), report.PlainLine(f.Origin))
	}
	_, err := s.stdout.Write(b.Bytes())
	return err
}
