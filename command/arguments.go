package command

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

// arrange orders the arguments for urfave/cli, which stops looking for flags at the
// first argument: `tfhaul move a.tfstate acme/net --json` becomes
// `tfhaul move --json -- a.tfstate acme/net`. Flags that are not given are taken from
// their variables, and then from the settings file. Its errors are *usageError.
func (p *process) arrange(app *cli.App, args []string) ([]string, error) {
	p.typed = map[string]bool{}
	a := arranger{app: app, known: app.Flags, typed: p.typed}
	if err := a.read(args); err != nil {
		return nil, err
	}
	arranged := []string{app.Name}
	if a.command != nil {
		arranged = append(arranged, a.command.Name)
	}
	switch {
	case a.typed["help"]:
		return a.help(), nil
	case a.typed["version"]:
		return []string{app.Name, "version"}, nil
	}
	if a.command != nil && !aboutCommands(a.command) {
		var err error
		if p.settings, err = p.readSettings(a.command.Name); err != nil {
			return nil, err
		}
	}
	if err := a.defaults(p.getenv, p.settings); err != nil {
		return nil, err
	}
	return slices.Concat(arranged, a.flags, []string{"--"}, a.positional), nil
}

// aboutCommands reports whether a command only describes commands. Such a command works in
// spite of a mistake in the settings file.
func aboutCommands(c *cli.Command) bool {
	return c.Hidden || slices.Contains([]string{"help", "completion", "man"}, c.Name)
}

// An arranger separates flags from arguments.
type arranger struct {
	app        *cli.App
	command    *cli.Command
	known      []cli.Flag // the command's, or the program's before there is one
	flags      []string   // each with its value
	positional []string
	typed      map[string]bool // by the flag's first name
	helps      bool            // the help is asked for
}

// help returns the arguments that show the help: of the program, or of the command.
func (a *arranger) help() []string {
	args := []string{a.app.Name, "help"}
	if !a.typed["all"] {
		args = append(args, "--"+briefFlag)
	}
	if a.command != nil {
		args = append(args, a.command.Name)
	}
	return args
}

func (a *arranger) read(args []string) error {
	a.helps = slices.ContainsFunc(args, func(arg string) bool { return arg == "--help" || arg == "-h" })
	for i := 1; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			a.positional = append(a.positional, args[i+1:]...)
			return nil
		case strings.HasPrefix(arg, "-") && arg != "-":
			used, err := a.flag(arg, args[i+1:])
			if err != nil {
				return err
			}
			i += used
		case a.command != nil:
			a.positional = append(a.positional, arg)
		default:
			if a.command = a.app.Command(arg); a.command == nil {
				return unknownCommand(a.app, arg)
			}
			a.known = a.command.Flags
		}
	}
	return nil
}

// flag reads a flag, and its value from the following arguments unless it is part of
// the flag's own. It returns how many of them it used.
func (a *arranger) flag(arg string, following []string) (int, error) {
	name, value, given := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	known, used := flagNamed(a.known, name), 0
	switch {
	case known == nil && name == "all" && a.helps: // commands with long lists have a flag --all
		a.typed["all"] = true
		return 0, nil
	case known == nil:
		return 0, a.unknownFlag(arg, name)
	case given:
	case !takesValue(known):
		value = "true"
	case len(following) == 0:
		return 0, usagef("--%s requires a value: --%s=VALUE", name, name)
	case following[0] == "--", strings.HasPrefix(following[0], "--") && flagNamed(a.known, following[0][2:]) != nil:
		return 0, usagef("--%s requires a value, and %s follows it: --%s=VALUE", name, following[0], name)
	default:
		value, used = following[0], 1
		arg += "=" + value
	}
	a.typed[known.Names()[0]] = true
	a.flags = append(a.flags, arg)
	return used, checkValue(known, "--"+name, value)
}

// defaults adds the flags that are not given: from their variables, or else from the
// settings file. A repeatable flag takes one value from each line of its variable.
func (a *arranger) defaults(getenv func(string) string, file settings) error {
	for _, f := range a.known {
		name := f.Names()[0]
		if !hasVariable(f) {
			continue
		}
		values, origin := valuesOfVariable(f, getenv), variableOf(name)
		if set, ok := file.values[name]; ok && values == nil {
			values, origin = set.values, file.origin(name)
			if _, ok := f.(*cli.StringSliceFlag); !ok && len(values) != 1 {
				return usagef("%s cannot be a list: it takes one value", origin)
			}
		}
		for _, v := range values {
			if err := checkValue(f, origin, v); err != nil {
				return err
			}
			if !a.typed[name] {
				a.flags = append(a.flags, "--"+name+"="+v)
			}
		}
	}
	return nil
}

// valuesOfVariable returns the values that a flag's variable sets; nil if it is not set.
func valuesOfVariable(f cli.Flag, getenv func(string) string) []string {
	value := getenv(variableOf(f.Names()[0]))
	if value == "" {
		return nil
	}
	if _, ok := f.(*cli.StringSliceFlag); ok {
		return strings.Split(strings.TrimSpace(value), "\n")
	}
	return []string{value}
}

// checkValue refuses a value that the flag cannot have. origin is the flag or variable
// that it comes from.
func checkValue(f cli.Flag, origin, value string) error {
	var (
		number float64
		err    error
		valid  string
	)
	switch f := f.(type) {
	case *choiceFlag:
		if !f.open && value != f.Value && !slices.Contains(f.values, value) {
			last := len(f.values) - 1
			return usagef("%s cannot be %q: use %s or %s", origin, value, strings.Join(f.values[:last], ", "), f.values[last])
		}
	case *cli.DurationFlag:
		var d time.Duration
		d, err = time.ParseDuration(value)
		number, valid = float64(d), "a duration such as 30s, 5m or 1h"
	case *cli.IntFlag:
		var n int64
		n, err = strconv.ParseInt(value, 0, strconv.IntSize)
		number, valid = float64(n), "a whole number"
	case *cli.Float64Flag:
		number, err = strconv.ParseFloat(value, 64)
		valid = "a number"
	case *cli.BoolFlag:
		_, err = strconv.ParseBool(value)
		valid = "true or false"
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		return usagef("%s cannot be %q: the number is too large", origin, value)
	case err != nil, math.IsNaN(number), math.IsInf(number, 0):
		return usagef("%s cannot be %q: use %s", origin, value, valid)
	case number < 0:
		return usagef("%s cannot be negative", origin)
	}
	return nil
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

func unknownCommand(app *cli.App, given string) error {
	var names []string
	for _, c := range app.VisibleCommands() {
		names = append(names, c.Name)
	}
	return usagef("unknown command %q%s; the commands are %s", given,
		didYouMean(closest(given, names)), strings.Join(names, ", "))
}

// unknownFlag shows no value, which might be a secret.
func (a *arranger) unknownFlag(arg, name string) error {
	arg, _, _ = strings.Cut(arg, "=")
	if strings.ContainsAny(arg, " \t\n") {
		arg = strings.Fields(arg)[0] + "…"
	}
	if name == "token" {
		return usagef("--token is not supported, because process lists would show the token: set TFE_TOKEN, or use --token-file")
	}
	if a.command == nil {
		for _, c := range a.app.Commands {
			if flagNamed(c.Flags, name) != nil {
				return usagef("put --%s after the command: tfhaul %s … --%s", name, c.Name, name)
			}
		}
		return usagef("unknown flag %s; see tfhaul --help", arg)
	}
	var names []string
	for _, f := range a.known {
		names = append(names, "--"+f.Names()[0])
	}
	meant := closest("--"+name, names)
	if len(name) == 1 {
		meant = usualLetters[name]
		if !slices.Contains(names, meant) {
			meant = ""
		}
	}
	return usagef("unknown flag %s%s: see tfhaul %s --help", arg, didYouMean(meant), a.command.Name)
}

// usualLetters are the flags that other programs shorten to one letter. We have no such
// short forms: a letter says too little about a write.
var usualLetters = map[string]string{
	"n": "--dry-run", "y": "--yes", "o": "--out", "f": "--force", "q": "--quiet", "j": "--json", "a": "--all", "p": "--parallelism", "t": "--target",
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", name)
}

// closest returns the candidate nearest to what was given, or "" if none is near: up to
// a third of the letters may be wrong, and two in short words. urfave/cli's own
// suggestions always name one.
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
