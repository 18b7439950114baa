package command

import (
	"context"
	"errors"
	"fmt"

	"tfhaul/migrate"
)

// The exit codes. Scripts depend on them.
const (
	exitDone        = 0   // everything asked for is so
	exitFailed      = 1   // something failed, or the command could not do its work
	exitWork        = 2   // with --detailed-exitcode on a dry run: there is work to do
	exitRefused     = 3   // nothing failed, something needs a decision
	exitUsage       = 4   // usage or configuration: nothing was attempted
	exitInterrupted = 130 // interrupted by the user
)

// A usageError says what is wrong with what the user asked for, or with what is
// needed to begin, and what to do about it. Nothing was attempted.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// An endedError carries the exit code of a command that has said all there is to say.
type endedError struct{ code int }

func (e *endedError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// ended is the error of a command that is to exit with a code, or nil for 0.
func ended(code int) error {
	if code == exitDone {
		return nil
	}
	return &endedError{code}
}

// codeOfResults is the exit code that results stand for. detailed is
// --detailed-exitcode; it only matters to a dry run, which alone has planned moves.
func codeOfResults(ctx context.Context, results []migrate.Result, detailed bool) int {
	count := map[migrate.Outcome]int{}
	interrupted := false
	for _, r := range results {
		count[r.Outcome]++
		// A journal may contain moves that an earlier process could not finish.
		interrupted = interrupted || ctx.Err() != nil && (r.Code == migrate.CodeInterrupted || r.Code == migrate.CodeNotAttempted)
	}
	switch {
	case interrupted, ctx.Err() != nil && count[migrate.Failed] > 0:
		return exitInterrupted
	case count[migrate.Failed] > 0:
		return exitFailed
	case count[migrate.Refused] > 0:
		return exitRefused
	case detailed && count[migrate.WouldMove] > 0:
		return exitWork
	}
	return exitDone
}

// exitCode is the exit code that a command's end stands for; it prints what has
// not been said yet.
func (p *process) exitCode(ctx context.Context, err error) int {
	var (
		end   *endedError
		usage *usageError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &end):
		return end.code
	case errors.As(err, &usage):
		p.complain(usage.message)
		return exitUsage
	case ctx.Err() != nil:
		p.complain("interrupted")
		return exitInterrupted
	}
	p.complain(err.Error())
	return exitFailed
}

// complain prints an error for a person.
func (p *process) complain(message string) {
	p.stderr.message(p.stderr.style().Bad("tfhaul:")+" ", message)
}

// note prints optional advice; with --quiet, nothing.
func (p *process) note(format string, args ...any) {
	if !p.quiet {
		p.stderr.message("", fmt.Sprintf(format, args...))
	}
}

// tell prints what the user must know.
func (p *process) tell(format string, args ...any) {
	p.stderr.message("", fmt.Sprintf(format, args...))
}
