// Package crash passes a panic in any goroutine to a handler. Without it, Go ends the
// process with exit code 2 and a dump of its goroutines, and a lock may be left behind.
package crash

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// A Panic describes a panic. It does not hold the panic's value, which may be part of a
// state.
type Panic struct {
	// Reason is the runtime's message, or the type of the panic's value.
	Reason string
	// Frames are the functions that were running, innermost first.
	Frames []string
}

type handlerKey struct{}

// Handle returns a context in which Catch passes panics to handle.
func Handle(ctx context.Context, handle func(Panic)) context.Context {
	return context.WithValue(ctx, handlerKey{}, handle)
}

// Catch, when deferred, passes a panic in its goroutine to the handler of ctx. The
// goroutine then blocks forever, so that no other one mistakes its unfinished work for
// finished. Without a handler the panic continues.
func Catch(ctx context.Context) {
	handle, ok := ctx.Value(handlerKey{}).(func(Panic))
	if !ok {
		return // without recovering
	}
	value := recover()
	if value == nil {
		return
	}
	handle(Panic{Reason: reasonOf(value), Frames: frames()})
	select {}
}

// Go runs f in a new goroutine with Catch deferred.
func Go(ctx context.Context, f func()) {
	go func() {
		defer Catch(ctx)
		f()
	}()
}

func reasonOf(value any) string {
	if err, ok := value.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a panic with a %T", value)
}

// frames returns the functions on the stack below the panic.
func frames() []string {
	const deepest = 32
	callers := make([]uintptr, deepest)
	all := runtime.CallersFrames(callers[:runtime.Callers(4, callers)])
	var named []string
	for {
		frame, more := all.Next()
		if frame.Function != "" && !strings.HasPrefix(frame.Function, "runtime.") {
			named = append(named, fmt.Sprintf("%s (%s:%d)", frame.Function, filepath.Base(frame.File), frame.Line))
		}
		if !more {
			return named
		}
	}
}
