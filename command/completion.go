package command

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// The completion scripts ask the program what can follow: see completeCommand. They let
// the shell complete the names of files.
var (
	//go:embed completion/tfhaul.bash
	bashCompletion string
	//go:embed completion/tfhaul.zsh
	zshCompletion string
	//go:embed completion/tfhaul.fish
	fishCompletion string
	//go:embed completion/tfhaul.ps1
	powershellCompletion string
)

func (p *process) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a shell completion script",
		UsageText: "tfhaul completion bash|zsh|fish|powershell",
		Description: `Prints a script that completes tfhaul's commands, flags, values of flags, and the names of files. Completing sends no
request to any server.

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
			script, known := map[string]string{
				"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion, "powershell": powershellCompletion,
			}[args[0]]
			if !known {
				return usagef("no completion for the shell %q: use bash, zsh, fish or powershell", args[0])
			}
			_, err = io.WriteString(p.stdout, script)
			return err
		},
	}
}

// completeCommand is what the completion scripts call:
//
//	tfhaul complete --word=WORD -- WORDS…
//
// WORD is the beginning of the word to complete, and WORDS are those between it and the
// program's name. Each line of the answer is a word and, after a tab, its description.
// The line ":files" or ":directories" leaves the answer to the shell.
func (p *process) completeCommand() *cli.Command {
	return &cli.Command{
		Name:   "complete",
		Hidden: true,
		Flags:  []cli.Flag{textFlag("word", "", "")},
		Action: func(c *cli.Context) error {
			return writeCompletions(p.stdout, c.App, c.Args().Slice(), c.String("word"))
		},
	}
}

// writeCompletions writes what can stand after the words and begins with word.
func writeCompletions(w io.Writer, app *cli.App, words []string, word string) error {
	line := commandLine{app: app, flags: app.Flags}
	for _, before := range words {
		line.read(before)
	}
	prefix := ""
	if name, _, ok := strings.Cut(word, "="); ok && line.value == nil && !line.ended && strings.HasPrefix(name, "-") {
		line.value = flagNamed(line.flags, strings.TrimLeft(name, "-"))
		prefix = name + "="
	}
	// bash makes a word of the "=" in --flag=value.
	if word == "=" && line.value != nil {
		word = ""
	}
	for _, c := range line.candidates(word) {
		candidate, _, _ := strings.Cut(c, "\t")
		if !strings.HasPrefix(c, ":") {
			c, candidate = prefix+c, prefix+candidate
			if !strings.HasPrefix(candidate, word) {
				continue
			}
		}
		if _, err := fmt.Fprintln(w, c); err != nil {
			return err
		}
	}
	return nil
}

// A commandLine is what the words before the one to complete have decided.
type commandLine struct {
	app       *cli.App
	command   *cli.Command
	flags     []cli.Flag // the command's, or the program's before there is one
	given     []string   // the first names of the flags before
	value     cli.Flag   // the flag whose value is next, if any
	ended     bool       // "--" was given
	arguments []string
}

func (l *commandLine) read(word string) {
	flag := l.value
	l.value = nil
	switch {
	case flag != nil && word == "=": // see writeCompletions
		l.value = flag
	case flag != nil:
	case word == "--":
		l.ended = true
	case !l.ended && strings.HasPrefix(word, "-") && word != "-":
		name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if f := flagNamed(l.flags, name); f != nil {
			l.given = append(l.given, f.Names()[0])
			if takesValue(f) && !hasValue {
				l.value = f
			}
		}
	case l.command == nil:
		if l.command = l.app.Command(word); l.command != nil {
			l.flags = l.command.Flags
		}
	default:
		l.arguments = append(l.arguments, word)
	}
}

// The answers that leave the work to the shell.
const (
	completeFiles       = ":files"
	completeDirectories = ":directories"
)

// candidates returns what can follow, each with its description after a tab.
func (l *commandLine) candidates(word string) []string {
	switch {
	case l.value != nil:
		return valuesOf(l.value, word[strings.IndexByte(word, '=')+1:])
	case !l.ended && strings.HasPrefix(word, "-"):
		return l.flagCandidates()
	case l.command == nil:
		return commandCandidates(l.app)
	}
	var all []string
	for usage := range strings.Lines(l.command.UsageText) {
		for _, c := range l.argument(placeholders(usage), word) {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	return all
}

func commandCandidates(app *cli.App) []string {
	var all []string
	for _, c := range app.VisibleCommands() {
		all = append(all, c.Name+"\t"+c.Usage)
	}
	return all
}

// flagCandidates are the visible flags that were not given, or can be given again.
func (l *commandLine) flagCandidates() []string {
	var all []string
	for _, f := range l.flags {
		visible, ok := f.(cli.VisibleFlag)
		_, repeatable := f.(*cli.StringSliceFlag)
		if name := f.Names()[0]; ok && visible.IsVisible() && (repeatable || !slices.Contains(l.given, name)) {
			all = append(all, "--"+name+"\t"+entryOf(f).Text)
		}
	}
	return all
}

// valuesOf returns what a flag can be set to, as far as that is known, where word is the
// beginning of the value.
func valuesOf(f cli.Flag, word string) []string {
	switch f := f.(type) {
	case *choiceFlag:
		return f.values
	case *cli.BoolFlag:
		return []string{"true", "false"}
	case *cli.StringFlag:
		if kind := filesIn(entryOf(f).Term, word); kind != nil {
			return kind
		}
		if f.TakesFile {
			return []string{completeFiles}
		}
	}
	return nil
}

// filesIn returns which files a placeholder stands for. A target is a workspace unless word, the
// beginning of it, is that of a path.
func filesIn(placeholder, word string) []string {
	if strings.Contains(placeholder, "TARGET") && word != "" && strings.Contains("./~", word[:1]) {
		return []string{completeFiles}
	}
	for _, word := range []string{"FILE", "SOURCE", "JOURNAL", "MANIFEST"} {
		if strings.Contains(placeholder, word) {
			return []string{completeFiles}
		}
	}
	if strings.Contains(placeholder, "DIR") {
		return []string{completeDirectories}
	}
	return nil
}

// placeholders returns the arguments that a line of a command's usage has.
func placeholders(usage string) []string {
	var list []string
	words := strings.Fields(usage)[2:] // after the program and the command
	for i := 0; i < len(words); i++ {
		switch flag := strings.TrimPrefix(words[i], "["); {
		case flag == "flags]":
		case strings.HasPrefix(flag, "--") && !strings.HasSuffix(flag, "]"):
			i++ // its value
		case !strings.HasPrefix(flag, "--"):
			list = append(list, words[i])
		}
	}
	return list
}

// argument returns what the next argument, which begins with word, can be where the usage has
// these placeholders.
// It does not complete workspaces, which only a server knows.
func (l *commandLine) argument(usage []string, word string) []string {
	for i, given := range l.arguments {
		if i < len(usage) && isLiteral(usage[i]) && !slices.Contains(strings.Split(usage[i], "|"), given) {
			return nil
		}
	}
	n := len(l.arguments)
	if n >= len(usage) {
		if n = len(usage) - 1; n < 0 || !strings.HasSuffix(usage[n], "…") {
			return nil
		}
	}
	switch placeholder := usage[n]; {
	case isLiteral(placeholder):
		return strings.Split(placeholder, "|")
	case strings.Trim(placeholder, "[]") == "COMMAND":
		return commandCandidates(l.app)
	default:
		return filesIn(placeholder, word)
	}
}

// isLiteral reports whether users type a placeholder as it is.
func isLiteral(placeholder string) bool { return placeholder == strings.ToLower(placeholder) }
