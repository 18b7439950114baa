package command

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/report"
)

func (p *process) helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "show the help of a command, with all flags",
		UsageText: "tfhaul help [COMMAND]",
		Description: `Shows what a command does, with examples, exit codes and all flags. tfhaul COMMAND --help shows the same with the most
used flags only, and tfhaul COMMAND --help --all with all of them. tfhaul man COMMAND prints the manual page.

Example:
  tfhaul help migrate`,
		Flags: []cli.Flag{&cli.BoolFlag{Name: briefFlag, Hidden: true}},
		Action: func(c *cli.Context) error {
			given := c.Args().Slice()
			switch len(given) {
			case 0:
				return p.writeAppHelp(p.stdout, c.App)
			case 1:
				command := c.App.Command(given[0])
				if command == nil {
					return unknownCommand(c.App, given[0])
				}
				return p.writeCommandHelp(p.stdout, command, !c.Bool(briefFlag))
			}
			return usagef("unexpected argument %q: tfhaul help [COMMAND]", given[1])
		},
	}
}

// briefFlag is what arrange gives to help for --help.
const briefFlag = "brief"

// aboutVariables ends the help of every command.
const aboutVariables = "An environment variable can set each flag: TFHAUL_LOCK_TIMEOUT is --lock-timeout. A settings file can set some: tfhaul help settings."

// proseStyle is the style of help and other long texts. Lines of more than 120 columns
// are hard to read.
func (t *terminal) proseStyle() report.Style {
	s := t.style()
	if s.Width = min(s.Width, 120); s.Width == 0 {
		s.Width = 80
	}
	return s
}

func (p *process) writeAppHelp(t *terminal, app *cli.App) error {
	s := t.proseStyle()
	var b strings.Builder
	s.Prose(&b, fmt.Sprintf("%s - %s\n\n%s\n\nUsage:\n  %s\n\nCommands:", app.Name, app.Usage, app.Description, app.UsageText))
	var commands []report.Entry
	for _, c := range app.VisibleCommands() {
		commands = append(commands, report.Entry{Term: c.Name, Text: c.Usage})
	}
	s.Entries(&b, s.Column(commands), commands)
	b.WriteString("\nFlags of all commands:\n")
	flags := entriesOf(app.VisibleFlags())
	s.Entries(&b, s.Column(flags), flags)
	s.Prose(&b, "\nRun tfhaul COMMAND --help for details and examples. "+aboutVariables)
	_, err := io.WriteString(t, b.String())
	return err
}

// writeCommandHelp writes a command's help, with all flags or with the most used.
func (p *process) writeCommandHelp(t *terminal, c *cli.Command, all bool) error {
	s := t.proseStyle()
	flags := c.VisibleFlags()
	if !all {
		flags = mostUsed(flags)
	}
	var b strings.Builder
	s.Prose(&b, fmt.Sprintf("%s - %s\n\nUsage:\n  %s\n\n%s", c.HelpName, c.Usage, c.UsageText, c.Description))
	column := s.Column(entriesOf(flags))
	for _, g := range grouped(flags) {
		fmt.Fprintf(&b, "\n%s:\n", g.title)
		s.Entries(&b, column, entriesOf(g.flags))
	}
	last := aboutVariables
	if n := len(c.VisibleFlags()) - len(flags); n > 0 {
		last = fmt.Sprintf("%d more flags: tfhaul help %s", n, c.Name)
	}
	s.Prose(&b, "\n"+last)
	_, err := io.WriteString(t, b.String())
	return err
}

// A flagGroup is a titled group of flags.
type flagGroup struct {
	title string
	names []string // of all commands' flags
	flags []cli.Flag
}

// flagGroups are the groups in the order in which help shows them. Flags without a group
// are in the one that has no names.
var flagGroups = []flagGroup{
	{title: "Target flags", names: []string{"target", "workspace-name", "create", "project", "terraform-version", "execution-mode", "agent-pool", "tag", "run", "key-name"}},
	{title: "Selection flags", names: []string{"include", "exclude", "map", "include-empty", "haul", "limit"}},
	{title: "Flags"},
	{title: "Output flags", names: []string{"out", "json", "csv", "html", "junit", "force", "all", "logs", "fail-on", "detailed-exitcode", "env-file", "quiet", "log-level", "help"}},
	{title: "Connection flags", names: []string{"ca-file", "token-file", "timeout", "rate"}},
}

// grouped sorts flags into the groups that have any.
func grouped(flags []cli.Flag) []flagGroup {
	groups := slices.Clone(flagGroups)
	rest := slices.IndexFunc(groups, func(g flagGroup) bool { return len(g.names) == 0 })
	for _, f := range flags {
		i := slices.IndexFunc(groups, func(g flagGroup) bool { return slices.Contains(g.names, f.Names()[0]) })
		if i < 0 {
			i = rest
		}
		groups[i].flags = append(groups[i].flags, f)
	}
	return slices.DeleteFunc(groups, func(g flagGroup) bool { return len(g.flags) == 0 })
}

// mostUsed returns the flags that --help shows. It leaves out none if there are few.
func mostUsed(flags []cli.Flag) []cli.Flag {
	const few = 14
	if len(flags) <= few {
		return flags
	}
	shown := []string{
		"target", "include", "exclude", "map", "create", "dry-run", "lock-timeout", "replace", "journal", "yes", "prove",
		"out", "json", "csv", "html", "fail-on", "help", "local", "upgrade-state", "logs", "no-queue",
		"listen", "org", "data", "allow-runs", "env-file",
	}
	return slices.DeleteFunc(slices.Clone(flags), func(f cli.Flag) bool {
		return !slices.Contains(shown, f.Names()[0])
	})
}

// entriesOf returns flags as help lists them.
func entriesOf(flags []cli.Flag) []report.Entry {
	var entries []report.Entry
	for _, f := range flags {
		entries = append(entries, entryOf(f))
	}
	return entries
}

// entryOf returns a flag with its value, and its text. urfave/cli writes the names of
// repeatable flags twice.
func entryOf(f cli.Flag) report.Entry {
	term, text, _ := strings.Cut(f.String(), "\t")
	term, _, _ = strings.Cut(term, " [ ")
	return report.Entry{Term: term, Text: text}
}
