package backend

import (
	"context"
	"sync"
	"time"
)

// A Wire counts the requests to a target, lets its callers check each one just before it is
// sent, and knows for how long the server has not answered. It is safe for concurrent use; a
// nil *Wire does nothing.
type Wire struct {
	mu    sync.Mutex
	since time.Time // of the first request without an answer since the last answer
}

// An UnsentError is returned for a request that its sender's check withheld.
type UnsentError struct{ error }

func (e *UnsentError) Unwrap() error { return e.error }

// Sending is called just before a request is sent.
func (w *Wire) Sending(ctx context.Context) error {
	if w == nil {
		return nil
	}
	if stop := StopOf(ctx); stop != nil && stop.Unsent && stop.Interrupted.Err() != nil {
		return &UnsentError{stop.Interrupted.Err()}
	}
	if check := SendingOf(ctx); check != nil {
		if err := check(ctx); err != nil {
			return &UnsentError{err}
		}
	}
	CountRequest(ctx)
	return nil
}

// Observe records whether the server answered.
func (w *Wire) Observe(ctx context.Context, err error) {
	if w == nil || err != nil && ctx.Err() != nil { // canceled by us
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = time.Now()
	}
}

// Down reports whether the server has left all requests unanswered for too long.
func (w *Wire) Down() bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.since.IsZero() && time.Since(w.since) >= DownAfter
}
