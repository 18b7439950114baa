package command

import (
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// variableOf is the variable that sets a flag.
func variableOf(flag string) string {
	return "TFHAUL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Every flag of every command is made by one of these, so that each has its variable.

func textFlag(name, value, usage string) *cli.StringFlag {
	return &cli.StringFlag{Name: name, Value: value, Usage: usage, EnvVars: []string{variableOf(name)}}
}

func fileFlag(name, usage string) *cli.StringFlag {
	f := textFlag(name, "", usage)
	f.TakesFile = true
	return f
}

func switchFlag(name, usage string) *cli.BoolFlag {
	return &cli.BoolFlag{Name: name, Usage: usage, EnvVars: []string{variableOf(name)}, DisableDefaultText: true}
}

func durationFlag(name string, value time.Duration, usage string) *cli.DurationFlag {
	return &cli.DurationFlag{Name: name, Value: value, Usage: usage, EnvVars: []string{variableOf(name)}}
}

func countFlag(name string, value int, usage string) *cli.IntFlag {
	return &cli.IntFlag{Name: name, Value: value, Usage: usage, EnvVars: []string{variableOf(name)}}
}

func numberFlag(name, usage string) *cli.Float64Flag {
	return &cli.Float64Flag{Name: name, Usage: usage, EnvVars: []string{variableOf(name)}, DefaultText: "no bound of our own"}
}

func listFlag(name, usage string) *cli.StringSliceFlag {
	return &cli.StringSliceFlag{Name: name, Usage: usage + "; repeatable", EnvVars: []string{variableOf(name)}}
}

func jsonFlag() *cli.BoolFlag {
	return switchFlag("json", "print one JSON document on stdout")
}

// originOf returns where a flag's value comes from: the flag, or its variable.
func (p *process) originOf(flag string) string {
	if p.typed[flag] {
		return "--" + flag
	}
	return variableOf(flag)
}

// oneOf refuses a flag's value that is none of those it can have.
func (p *process) oneOf(c *cli.Context, flag string, values ...string) (string, error) {
	given := c.String(flag)
	for _, v := range values {
		if given == v {
			return v, nil
		}
	}
	return "", usagef("%s cannot be %q: it is %s", p.originOf(flag), given, strings.Join(values, ", "))
}
