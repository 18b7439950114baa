// Package crash lets a panic in any goroutine reach whoever knows what to say about
// it. Go ends a process that panics with exit code 2 and a dump of its goroutines,
// and by then a lock may be held.
package crash

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// A Panic is what is known of a panic. It holds no value that the program worked
// with: that may be a part of a state.
type Panic struct {
	// Reason is the runtime's own text, or the type of the panic's value.
	Reason string
	// Frames are the functions that were running, the innermost first.
	Frames []string
}

type handlerKey struct{}

// Handle returns a context that gives panics, where Catch is deferred, to handle.
func Handle(ctx context.Context, handle func(Panic)) context.Context {
	return context.WithValue(ctx, handlerKey{}, handle)
}

// Catch, when it is deferred, hands a panic of its goroutine to the handler of ctx.
// The goroutine never ends then, so that no other one takes its unfinished work for
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

// Go runs f in a goroutine of its own, with Catch.
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

// frames are the functions below the panic.
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
