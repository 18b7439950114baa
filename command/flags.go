package command

import (
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// variableOf returns the variable that sets a flag. The package urfave/cli does not know
// these variables: it would read them even to print help, and fail there on a wrong value.
// arrange reads them.
func variableOf(flag string) string {
	return "TFHAUL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// hasVariable reports whether a variable sets a flag. All flags but --help and --version
// have one.
func hasVariable(f cli.Flag) bool { return f.Names()[0] != "help" && f.Names()[0] != "version" }

func textFlag(name, value, usage string) *cli.StringFlag {
	return &cli.StringFlag{Name: name, Value: value, Usage: usage}
}

// A choiceFlag takes one of a few values or, if it is open, others as well.
type choiceFlag struct {
	*cli.StringFlag
	values []string
	open   bool
}

func newChoiceFlag(name, value, usage string, values ...string) *choiceFlag {
	return &choiceFlag{StringFlag: textFlag(name, value, usage), values: values}
}

// suggestFlag returns a flag that takes any value, and completes to some.
func suggestFlag(name, value, usage string, values ...string) *choiceFlag {
	f := newChoiceFlag(name, value, usage, values...)
	f.open = true
	return f
}

func personalityFlag(value, usage string) *choiceFlag {
	return newChoiceFlag("personality", value, usage, "tfe", "hcp", "old-tfe", "lax")
}

func fileFlag(name, usage string) *cli.StringFlag {
	f := textFlag(name, "", usage)
	f.TakesFile = true
	return f
}

func switchFlag(name, usage string) *cli.BoolFlag {
	return &cli.BoolFlag{Name: name, Usage: usage, DisableDefaultText: true}
}

func durationFlag(name string, value time.Duration, usage string) *cli.DurationFlag {
	return &cli.DurationFlag{Name: name, Value: value, Usage: usage}
}

func countFlag(name string, value int, usage string) *cli.IntFlag {
	return &cli.IntFlag{Name: name, Value: value, Usage: usage}
}

func numberFlag(name, usage string) *cli.Float64Flag {
	return &cli.Float64Flag{Name: name, Usage: usage, DefaultText: "only the server's limit"}
}

func listFlag(name, usage string) *cli.StringSliceFlag {
	return &cli.StringSliceFlag{Name: name, Usage: usage + "; repeatable"}
}

func fileListFlag(name, usage string) *cli.StringSliceFlag {
	f := listFlag(name, usage)
	f.TakesFile = true
	return f
}

func jsonFlag() *cli.BoolFlag {
	return switchFlag("json", "print one JSON document on stdout")
}

// originOf returns where a flag's value comes from: the flag, its variable or the settings
// file.
func (p *process) originOf(flag string) string {
	switch {
	case p.typed[flag]:
		return "--" + flag
	case p.fromFile(flag):
		return p.settings.origin(flag)
	}
	return variableOf(flag)
}

// fromFile reports whether the settings file sets a flag.
func (p *process) fromFile(flag string) bool {
	_, ok := p.settings.values[flag]
	return ok && !p.typed[flag] && p.getenv(variableOf(flag)) == ""
}
