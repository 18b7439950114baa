package command

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

// completionFlag is what the completion scripts append; urfave/cli answers it.
const completionFlag = "--generate-bash-completion"

// arrange brings the arguments into the order that urfave/cli wants, which stops
// looking for flags at the first argument: `tfhaul move a.tfstate acme/net --json`
// becomes `tfhaul move --json -- a.tfstate acme/net`. Flags that are not given are
// taken from their variables. What cannot be understood is a *usageError.
func (p *process) arrange(app *cli.App, args []string) ([]string, error) {
	p.typed = map[string]bool{}
	app.Metadata = map[string]any{typedFlags: p.typed}
	if len(args) > 0 && args[len(args)-1] == completionFlag {
		return args, nil
	}
	a := arranger{app: app, typed: p.typed}
	if err := a.read(args); err != nil {
		return nil, err
	}
	if a.typed["help"] || a.command != nil && a.command.Name == "help" {
		return nil, a.helpWanted()
	}
	if a.typed["version"] && a.command == nil {
		a.command = app.Command("version")
	}
	if a.command == nil {
		return nil, &helpError{app: app, missing: true}
	}
	out := []string{app.Name}
	out = append(out, p.variables(app.Flags)...)
	out = append(out, a.global...)
	out = append(out, a.command.Name)
	out = append(out, p.variables(a.command.Flags)...)
	out = append(out, a.local...)
	out = append(out, "--")
	return append(out, a.positional...), nil
}

// An arranger sorts arguments.
type arranger struct {
	app           *cli.App
	command       *cli.Command
	global, local []string // flags, each one argument
	positional    []string
	typed         map[string]bool // by the flag's first name
}

func (a *arranger) read(args []string) error {
	onlyPositional := false
	for i := 1; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--" && !onlyPositional:
			onlyPositional = true
		case !onlyPositional && strings.HasPrefix(arg, "-") && arg != "-":
			used, err := a.flag(arg, args[i+1:])
			if err != nil {
				return err
			}
			i += used
		case a.command == nil && arg == "help":
			a.command = &cli.Command{Name: "help"}
		case a.command == nil:
			if a.command = a.app.Command(arg); a.command == nil {
				return a.unknownCommand(arg)
			}
		default:
			a.positional = append(a.positional, arg)
		}
	}
	return nil
}

// flag takes a flag, and its value from the following arguments where it stands
// there. It returns how many of them it used.
func (a *arranger) flag(arg string, following []string) (int, error) {
	name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	known, into := a.find(name)
	if known == nil {
		return 0, a.unknownFlag(arg, name)
	}
	a.typed[known.Names()[0]] = true
	if hasValue || !takesValue(known) {
		*into = append(*into, arg)
		return 0, nil
	}
	if len(following) == 0 {
		return 0, usagef("--%s wants a value: --%s=VALUE", name, name)
	}
	if next := following[0]; strings.HasPrefix(next, "--") {
		if follower, _ := a.find(strings.TrimLeft(next, "-")); follower != nil || next == "--" {
			return 0, usagef("--%s wants a value, and %s follows it: --%s=VALUE", name, next, name)
		}
	}
	*into = append(*into, arg+"="+following[0])
	return 1, nil
}

// find looks for a flag of the command, then of the program.
func (a *arranger) find(name string) (cli.Flag, *[]string) {
	if a.command != nil {
		if f := flagNamed(a.command.Flags, name); f != nil {
			return f, &a.local
		}
	}
	return flagNamed(a.app.Flags, name), &a.global
}

func flagNamed(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	documented, ok := f.(cli.DocGenerationFlag)
	return ok && documented.TakesValue()
}

func (a *arranger) unknownCommand(given string) error {
	var names []string
	for _, c := range a.app.VisibleCommands() {
		names = append(names, c.Name)
	}
	return usagef("there is no command %q%s; the commands are %s", given,
		didYouMean(closest(given, names)), strings.Join(names, ", "))
}

func (a *arranger) unknownFlag(arg, name string) error {
	if strings.ContainsAny(name, " \t\n") {
		arg = strings.Fields(arg)[0] + "…"
	}
	if name == "token" {
		return usagef("there is no --token, because it would show in the list of processes: set TFE_TOKEN, or use --token-file")
	}
	if a.command == nil {
		for _, c := range a.app.Commands {
			if flagNamed(c.Flags, name) != nil {
				return usagef("--%s belongs behind the command: tfhaul %s … --%s", name, c.Name, name)
			}
		}
		return usagef("there is no flag %s; see tfhaul --help", flagOnly(arg))
	}
	var names []string
	for _, f := range slices.Concat(a.command.Flags, a.app.Flags) {
		names = append(names, "--"+f.Names()[0])
	}
	return usagef("tfhaul %s has no flag %s%s; see tfhaul %s --help", a.command.Name, flagOnly(arg),
		didYouMean(closest("--"+name, names)), a.command.Name)
}

// flagOnly is an argument without a value, which might be a secret.
func flagOnly(arg string) string {
	name, _, _ := strings.Cut(arg, "=")
	return name
}

func (a *arranger) helpWanted() error {
	if a.command != nil && a.command.Name == "help" {
		a.command = nil
		if len(a.positional) > 0 {
			if a.command = a.app.Command(a.positional[0]); a.command == nil {
				return a.unknownCommand(a.positional[0])
			}
		}
	}
	return &helpError{app: a.app, command: a.command}
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return " (did you mean " + name + "?)"
}

// closest is the candidate nearest to what was given, or "" when none is near.
// A third of the letters may be wrong, and two in short words.
func closest(given string, candidates []string) string {
	best, least := "", max(2, len(given)/3)+1
	for _, c := range candidates {
		if len(strings.Trim(given, "-")) > 1 && strings.HasPrefix(c, given) {
			return c
		}
		if d := smetrics.WagnerFischer(given, c, 1, 1, 1); d < least && d < len(given) {
			best, least = c, d
		}
	}
	return best
}

// variables are the flags that the environment sets and the command line does not.
// A flag that may be repeated takes one value from each line of its variable.
func (p *process) variables(flags []cli.Flag) []string {
	var out []string
	for _, f := range flags {
		documented, ok := f.(cli.DocGenerationFlag)
		name := f.Names()[0]
		if !ok || p.typed[name] || len(documented.GetEnvVars()) == 0 {
			continue
		}
		value := p.getenv(documented.GetEnvVars()[0])
		if value == "" {
			continue
		}
		values := []string{value}
		if several, ok := f.(cli.DocGenerationSliceFlag); ok && several.IsSliceFlag() {
			values = strings.Split(strings.TrimSpace(value), "\n")
		}
		for _, v := range values {
			out = append(out, "--"+name+"="+v)
		}
	}
	return out
}

// badValue is how package flag, and urfave/cli for variables, complain of a value.
var badValue = regexp.MustCompile(`(?s)^(?:invalid (?:boolean )?value|could not parse) "(.*)" (?:as .*)?for (?:flag )?-?([a-z0-9-]+): `)

// explainFlag says of a value that a flag cannot have which it could, and where
// the value came from.
func (p *process) explainFlag(c *cli.Context, err error) string {
	m := badValue.FindStringSubmatch(err.Error())
	if m == nil {
		return err.Error()
	}
	value, name := m[1], m[2]
	origin := "--" + name
	if !p.typed[name] {
		origin = variableOf(name)
	}
	f := flagNamed(slices.Concat(c.Command.Flags, c.App.Flags), name)
	if strings.HasSuffix(err.Error(), "value out of range") {
		return fmt.Sprintf("%s cannot be %q: no number is as large as that here", origin, value)
	}
	return fmt.Sprintf("%s cannot be %q: it wants %s", origin, value, wants(f))
}

// wants says what values a flag takes.
func wants(f cli.Flag) string {
	switch f.(type) {
	case *cli.DurationFlag:
		return "a duration such as 30s, 5m or 1h"
	case *cli.IntFlag:
		return "a whole number"
	case *cli.Float64Flag:
		return "a number"
	case *cli.BoolFlag:
		return "true or false"
	}
	return "something else"
}
