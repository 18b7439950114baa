package tfe

import (
	"context"
	"time"

	"tfhaul/backend"
)

// untilSent returns a context for the waits of one request before it is sent. Its cause is
// the reason why they ended.
func untilSent(ctx context.Context) (context.Context, context.CancelFunc) {
	sign := backend.StopOf(ctx)
	if sign == nil {
		return ctx, func() {}
	}
	waits, cancel := context.WithCancelCause(ctx)
	forget := context.AfterFunc(sign.Interrupted, func() {
		if sign.Unsent {
			cancel(sign.Interrupted.Err())
			return
		}
		late := time.AfterFunc(backend.MaxStopWait, func() { cancel(&Error{Code: backend.RateLimited, Status: 429}) })
		context.AfterFunc(waits, func() { late.Stop() })
	})
	return waits, func() {
		forget()
		cancel(nil)
	}
}

// hurryAfterStop shortens the silence that a watchdog accepts once the request's work has
// been interrupted.
func (w *watchdog) hurryAfterStop(ctx context.Context) (forget func() bool) {
	sign := backend.StopOf(ctx)
	if sign == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(sign.Interrupted, func() {
		if w.after.Load() > int64(backend.MaxStopWait) {
			w.after.Store(int64(backend.MaxStopWait))
			w.moved()
		}
	})
}
