package tfe

import (
	"context"
	"time"
)

// maxStopWait is how long a request may wait, after an interrupt, for the rate limit,
// for an answer, or for more bytes.
const maxStopWait = 30 * time.Second

// A stopSign travels in the context of work that outlives an interrupt.
type stopSign struct {
	interrupted context.Context // ends at the interrupt
	unsent      bool            // an interrupt ends the wait of requests that were not sent
}

type stopSignKey struct{}

// WithStop returns a context for requests that outlive the end of interrupted. From
// then on, each of their waits takes at most 30 seconds. If unsent is set, requests
// that have not been sent, or that the server refused because of its rate limit, are
// given up at the interrupt. A context that has a sign keeps it: work within
// interrupted work is interrupted already.
func WithStop(ctx, interrupted context.Context, unsent bool) context.Context {
	if stopSignOf(ctx) != nil {
		return ctx
	}
	return context.WithValue(ctx, stopSignKey{}, &stopSign{interrupted, unsent})
}

func stopSignOf(ctx context.Context) *stopSign {
	sign, _ := ctx.Value(stopSignKey{}).(*stopSign)
	return sign
}

// untilSent returns a context for the waits of one request before it is sent. Its
// cause says why they ended.
func untilSent(ctx context.Context) (context.Context, context.CancelFunc) {
	sign := stopSignOf(ctx)
	if sign == nil {
		return ctx, func() {}
	}
	waits, cancel := context.WithCancelCause(ctx)
	forget := context.AfterFunc(sign.interrupted, func() {
		if sign.unsent {
			cancel(sign.interrupted.Err())
			return
		}
		late := time.AfterFunc(maxStopWait, func() { cancel(&Error{Code: RateLimited, Status: 429}) })
		context.AfterFunc(waits, func() { late.Stop() })
	})
	return waits, func() {
		forget()
		cancel(nil)
	}
}

// hurryAfterStop bounds the silence that a watchdog accepts once the request's work has been
// interrupted.
func (w *watchdog) hurryAfterStop(ctx context.Context) (forget func() bool) {
	sign := stopSignOf(ctx)
	if sign == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(sign.interrupted, func() {
		if w.after.Load() > int64(maxStopWait) {
			w.after.Store(int64(maxStopWait))
			w.moved()
		}
	})
}
