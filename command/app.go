// Package command is the command line: it turns arguments and environment into
// calls of the packages that do the work, and their results into text, JSON and
// exit codes. It is the only package that knows flags, terminals and exit codes.
package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Run runs the program with args, of which the first is its name, and returns its
// exit code; environ holds NAME=VALUE. Results go to stdout, all else to stderr.
// When ctx ends, what is under way is brought to a clean end, and what is locked is
// unlocked. See Abandonable for those who cannot wait for that.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	p := &process{
		stdin: stdin, stdout: &terminal{w: stdout}, stderr: &terminal{w: stderr}, environ: environ,
		held: &heldLocks{}, leftovers: &leftovers{},
	}
	p.styleTerminals()
	code := make(chan int, 1)
	go func() { code <- p.run(ctx, args) }()
	select {
	case c := <-code:
		return c
	case <-abandoned(ctx):
		p.stderr.direct()
		p.held.report(p.stderr)
		p.leftovers.remove(p.stderr)
		return exitInterrupted
	}
}

type abandonKey struct{}

// Abandonable makes a context for Run. When abandon is closed, Run returns at
// once, and says on stderr what may be left locked. What was under way is left
// running: the process must end.
func Abandonable(ctx context.Context, abandon <-chan struct{}) context.Context {
	return context.WithValue(ctx, abandonKey{}, abandon)
}

func abandoned(ctx context.Context) <-chan struct{} {
	abandon, _ := ctx.Value(abandonKey{}).(<-chan struct{})
	return abandon
}

// A process is what a run of the program has been given.
type process struct {
	stdin          io.Reader
	stdout, stderr *terminal
	environ        []string
	args           []string // as given, the program's name first
	log            *slog.Logger
	held           *heldLocks
	leftovers      *leftovers

	// trust holds the authorities of --ca-file and SSL_CERT_FILE, for every server; see connector.
	trust *tls.Config

	// typed are the flags that stand on the command line, and not in a variable.
	typed map[string]bool
}

// getenv looks a variable up; "" where it is not set.
func (p *process) getenv(name string) string {
	for _, variable := range slices.Backward(p.environ) {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}

// run parses, does and reports.
func (p *process) run(ctx context.Context, args []string) int {
	p.log = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p.args = args
	app := p.app()
	arranged, err := p.arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, arranged)
	}
	return p.exitCode(ctx, err)
}

// app is the program as urfave/cli knows it. Its own help and version are not
// used: they live in variables of that package, which several runs in one process
// would share.
func (p *process) app() *cli.App {
	app := &cli.App{
		Name:      "tfhaul",
		HelpName:  "tfhaul",
		Usage:     "haul Terraform state into HCP Terraform and Terraform Enterprise",
		UsageText: "tfhaul COMMAND [flags] [arguments]",
		Description: "tfhaul reads state files from where they live today and puts them into workspaces, under the workspace's lock,\n" +
			"byte for byte, and proves that they arrived. Nothing newer and nothing unrelated is overwritten unless you say so.\n\n" +
			"New here? `tfhaul demo` shows a whole move on a server of its own, in seconds and without a network.",
		Flags: []cli.Flag{
			textFlag("log-level", "warn", "log to stderr from `LEVEL` on: debug, info, warn or error"),
			&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help; behind a command, that command's", DisableDefaultText: true},
			&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "show the version", DisableDefaultText: true},
		},
		Commands: []*cli.Command{
			p.auditCommand(), p.planCommand(), p.migrateCommand(), p.rehearseCommand(), p.moveCommand(), p.verifyCommand(), p.unlockCommand(), p.historyCommand(), p.proveCommand(), p.configCommand(), p.reportCommand(),
			p.demoCommand(), p.simCommand(), p.versionCommand(), p.completionCommand(), p.manCommand(),
		},
		Before:                    p.setLogLevel,
		HideHelp:                  true,
		HideVersion:               true,
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true, // globs have commas of their own
		Reader:                    p.stdin,
		Writer:                    p.stdout,
		ErrWriter:                 p.stderr,
		OnUsageError:              p.onUsageError,
		// Errors come back from RunContext; urfave/cli must not end the process.
		ExitErrHandler: func(*cli.Context, error) {},
	}
	for _, c := range app.Commands {
		c.HideHelp = true
		c.OnUsageError = p.onUsageError
		c.Flags = append(c.Flags, &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show this", DisableDefaultText: true})
	}
	app.Setup()
	return app
}

func (p *process) setLogLevel(c *cli.Context) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return usagef("%s cannot be %q: it is debug, info, warn or error", originOf(c, "log-level"), c.String("log-level"))
	}
	p.log = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level}))
	return nil
}

// onUsageError rewrites what package flag says of a value it cannot read.
func (p *process) onUsageError(c *cli.Context, err error, _ bool) error {
	if _, ok := errors.AsType[*usageError](err); ok {
		return err
	}
	return &usageError{p.explainFlag(c, err)}
}

// noArguments refuses arguments where a command takes none.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("tfhaul %s takes no arguments, and was given %q", c.Command.Name, c.Args().First())
	}
	return nil
}

// exactly returns a command's arguments when there are as many as it takes.
func exactly(c *cli.Context, names ...string) ([]string, error) {
	given := c.Args().Slice()
	form := fmt.Sprintf("tfhaul %s %s", c.Command.Name, strings.Join(names, " "))
	switch {
	case len(given) < len(names):
		return nil, usagef("%s is missing: %s (more: tfhaul %s --help)", names[len(given)], form, c.Command.Name)
	case len(given) > len(names):
		return nil, usagef("there is an argument too many, %q: %s", given[len(names)], form)
	}
	return given, nil
}
