package s3

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/backend"
)

// A wire counts the requests to a target, lets its callers check each one just before it is
// sent, and knows for how long the server has not answered. It is safe for concurrent use; a
// nil *wire does nothing.
type wire struct {
	mu    sync.Mutex
	since time.Time // of the first request without an answer since the last answer
}

// An unsentError is returned for a request that its sender's check withheld.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// sending is called just before a request is sent.
func (w *wire) sending(ctx context.Context) error {
	if w == nil {
		return nil
	}
	if stop := backend.StopOf(ctx); stop != nil && stop.Unsent && stop.Interrupted.Err() != nil {
		return &unsentError{stop.Interrupted.Err()}
	}
	if check := backend.SendingOf(ctx); check != nil {
		if err := check(ctx); err != nil {
			return &unsentError{err}
		}
	}
	backend.CountRequest(ctx)
	return nil
}

// observe records whether the server answered.
func (w *wire) observe(ctx context.Context, err error) {
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

// down reports whether the server has left all requests unanswered for too long.
func (w *wire) down() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.since.IsZero() && time.Since(w.since) >= backend.DownAfter
}

// once makes a call to a target a single request. A request that changes something is never
// repeated without finding out what the first one did.
func (w *wire) once(o *awss3.Options) {
	if w != nil {
		o.Retryer = aws.NopRetryer{}
	}
}

func (w *wire) onceInTable(o *dynamodb.Options) {
	if w != nil {
		o.Retryer = aws.NopRetryer{}
	}
}
