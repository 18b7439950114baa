// Tfhaul hauls Terraform state into HCP Terraform and Terraform Enterprise. What
// it can do stands in package command; here are the signals and the exit code.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"tfhaul/command"
)

func main() {
	// The standard library logs here what it was sent: with GODEBUG=http2debug=2
	// tokens, signed addresses and states. We log through slog, to a handler of our own.
	log.SetOutput(io.Discard)
	ctx, stop := context.WithCancel(context.Background())
	abandon := make(chan struct{})
	// A reader of our output that goes away must not end us: we may hold a lock. To
	// be notified, and not to look, is enough; to ignore it would make the programs
	// that we start ignore it, too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals, quits := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	// nohup ignores SIGHUP, and a script ignores SIGINT in what it starts with &.
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	// Go's own answer is a dump of all goroutines and exit code 2, which scripts take
	// for "there is work to do".
	signal.Notify(quits, syscall.SIGQUIT)
	go func() {
		defer close(abandon)
		select {
		case <-quits:
			return
		case <-signals:
			stop()
		}
		select {
		case <-quits:
		case <-signals:
		}
	}()
	os.Exit(command.Run(ctx, abandon, os.Args, os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
