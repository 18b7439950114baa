// Package command is the command line: it turns arguments and environment into
// calls of the packages that do the work, and their results into text, JSON and
// exit codes. It is the only package that knows flags, terminals and exit codes.
package command

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/crash"
)

// Run runs the program with args, of which the first is its name, and returns its
// exit code; environ holds NAME=VALUE. Results go to stdout, all else to stderr.
// When ctx ends, no move begins any more, and those that hold a lock are finished. When
// abandon is closed, Run reports on stderr what may be left locked and returns, although
// moves may still be under way: the process must end. abandon may be nil. A panic ends
// the run with exit code 1, after what may be left locked has been reported.
func Run(ctx context.Context, abandon <-chan struct{}, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	return newProcess(stdin, stdout, stderr, environ).guard(ctx, abandon, args)
}

func newProcess(stdin io.Reader, stdout, stderr io.Writer, environ []string) *process {
	return &process{
		stdin: stdin, stdout: &terminal{w: stdout}, stderr: &terminal{w: stderr}, environ: environ,
		held: &heldLocks{}, leftovers: &leftovers{}, backends: kinds,
	}
}

// guard runs the program until it ends, is abandoned or panics.
func (p *process) guard(ctx context.Context, abandon <-chan struct{}, args []string) int {
	p.styleTerminals()
	code, crashed := make(chan int, 1), make(chan crash.Panic, 1)
	guarded := crash.Handle(ctx, func(c crash.Panic) {
		select {
		case crashed <- c:
		default: // one is enough to end the process
		}
	})
	crash.Go(guarded, func() { code <- p.run(guarded, args) })
	for stopped := ctx.Done(); ; {
		select {
		case c := <-code:
			return c
		case <-stopped:
			stopped = nil
			p.tellStopping()
		case <-abandon:
			p.abandon()
			return exitInterrupted
		case c := <-crashed:
			p.tellCrash(c)
			p.abandon()
			return exitFailed
		}
	}
}

// abandon says what is left behind when the process ends without finishing its work.
func (p *process) abandon() {
	p.stderr.direct()
	p.tell("%s", p.held.report())
	p.leftovers.remove(p.stderr)
}

// tellStopping says what the first interrupt does, where it does not end the process
// immediately: moves that hold a lock are finished.
func (p *process) tellStopping() {
	switch n := p.held.underWay(); n {
	case 0:
		if p.held.isHaul() {
			p.tell("Stopping: no move holds a lock.")
		}
	case 1:
		p.tell("Stopping: finishing 1 move. Press Ctrl-C again to stop now; that leaves its lock.")
	default:
		p.tell("Stopping: finishing %d moves. Press Ctrl-C again to stop now; that leaves their locks.", n)
	}
}

// tellCrash reports a bug of ours.
func (p *process) tellCrash(c crash.Panic) {
	p.stderr.direct()
	p.complain("internal error, please report it: " + c.Reason)
	for _, frame := range c.Frames {
		fmt.Fprintf(p.stderr, "  %s\n", frame)
	}
}

// A process is what a run of the program has been given.
type process struct {
	stdin          io.Reader
	stdout, stderr *terminal
	environ        []string
	args           []string          // as given, but without passwords; the program's name first
	passwords      map[string]string // that addresses had, by the address without it
	started        time.Time
	log            *slog.Logger
	held           *heldLocks
	leftovers      *leftovers
	backends       func(backend.Connection) backend.Kinds

	// offline: no server is asked, so the system's authorities are not read, which takes longer
	// than many states.
	offline bool

	// typed are the flags that stand on the command line, and not in a variable.
	typed map[string]bool
	// settings are what the settings file sets for the command.
	settings settings
	json     bool // --json
	quiet    bool // --quiet
}

// getenv returns a variable of the process; "" if it is not set.
func (p *process) getenv(name string) string { return backend.Getenv(p.environ)(name) }

// run parses, does and reports.
func (p *process) run(ctx context.Context, args []string) int {
	p.log = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	args = p.cutPasswords(args)
	p.args, p.started = args, time.Now()
	app := p.app()
	arranged, err := p.arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, arranged)
	}
	return p.exitCode(ctx, err)
}

// app is the program as urfave/cli knows it. Its own flags for help and version are not
// used: they are variables of that package, which several runs in one process would
// share.
func (p *process) app() *cli.App {
	app := &cli.App{
		Name:      "tfhaul",
		HelpName:  "tfhaul",
		Usage:     "move Terraform state into and out of HCP Terraform and Terraform Enterprise",
		UsageText: "tfhaul COMMAND [flags] [arguments]",
		Description: "tfhaul reads state from where it is now, writes it to its target byte for byte, under the target's lock, and reads it\n" +
			"back to compare. It overwrites newer or unrelated state only if you allow it.\n\n" +
			"New here? Run tfhaul demo: it shows a whole move in seconds, with an embedded server and without a network.",
		Flags: []cli.Flag{
			logLevelFlag(),
			&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help for tfhaul, or for the command it follows", DisableDefaultText: true},
			&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "show the version", DisableDefaultText: true},
		},
		Commands: []*cli.Command{
			p.auditCommand(), p.discoverCommand(), p.planCommand(), p.migrateCommand(), p.rehearseCommand(), p.moveCommand(), p.verifyCommand(), p.rollbackCommand(), p.unlockCommand(), p.backupCommand(), p.historyCommand(), p.diffCommand(), p.proveCommand(), p.configCommand(), p.reportCommand(), p.rewriteCommand(), p.backendsCommand(), p.schemaCommand(),
			p.demoCommand(), p.simCommand(), p.settingsCommand(), p.versionCommand(), p.helpCommand(), p.completionCommand(), p.manCommand(), p.completeCommand(),
		},
		Action:                    p.missingCommand,
		HideHelp:                  true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true, // globs have commas of their own
		Reader:                    p.stdin,
		Writer:                    p.stdout,
		ErrWriter:                 p.stderr,
		OnUsageError:              onUsageError,
		// Errors come back from RunContext; urfave/cli must not end the process.
		ExitErrHandler: func(*cli.Context, error) {},
	}
	for _, c := range app.Commands {
		c.HideHelp = true
		c.Before = p.commonFlags
		c.OnUsageError = onUsageError
		c.Flags = append(c.Flags, switchFlag("quiet", "print only results, questions and errors: no progress and no advice"), logLevelFlag(), &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show this help", DisableDefaultText: true})
	}
	app.Setup()
	return app
}

func logLevelFlag() cli.Flag {
	return suggestFlag("log-level", "warn", "lowest `LEVEL` of the log on stderr: debug, info, warn or error", "debug", "info", "warn", "error")
}

// commonFlags reads the flags that commands have in common.
func (p *process) commonFlags(c *cli.Context) error {
	p.json, p.quiet = c.Bool("json"), c.Bool("quiet")
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return usagef("%s cannot be %q: use debug, info, warn or error", p.originOf("log-level"), c.String("log-level"))
	}
	p.log = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level}))
	return nil
}

// onUsageError gives what urfave/cli cannot parse the exit code of a usage error.
// arrange has refused nearly all of it.
func onUsageError(_ *cli.Context, err error, _ bool) error {
	return &usageError{err.Error()}
}

// missingCommand shows the help if no command was given.
func (p *process) missingCommand(c *cli.Context) error {
	if err := p.writeAppHelp(p.stderr, c.App); err != nil {
		return err
	}
	fmt.Fprintln(p.stderr)
	return usagef("no command given")
}

// action is the action of a command: it reads the arguments and flags, and runs what they
// ask for.
func action[T interface{ Run(context.Context) error }](read func(*cli.Context) (T, error)) cli.ActionFunc {
	return func(c *cli.Context) error {
		asked, err := read(c)
		if err != nil {
			return err
		}
		return asked.Run(c.Context)
	}
}

// noArguments refuses arguments where a command takes none.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("tfhaul %s takes no arguments, but got %q", c.Command.Name, c.Args().First())
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
		return nil, usagef("unexpected argument %q: %s", given[len(names)], form)
	}
	return given, nil
}
