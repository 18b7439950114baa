package tfe

import (
	"context"
	"errors"

	"tfhaul/backend"
)

// An unsentError is returned for a request that WithSending's check withheld.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// wasUnsent reports whether a check withheld a request.
func wasUnsent(err error) bool {
	_, unsent := errors.AsType[*unsentError](err)
	return unsent
}

// checkSending calls the check in the context.
func checkSending(ctx context.Context) error {
	check := backend.SendingOf(ctx)
	if check == nil {
		return nil
	}
	// The check's own requests do not wait their turn, except after a 429; other requests
	// wait longer instead.
	if err := check(context.WithValue(backend.WithSending(ctx, nil), urgentKey{}, true)); err != nil {
		return &unsentError{err}
	}
	return nil
}

type urgentKey struct{}

// isUrgent reports whether a request must not wait its turn, because another request
// depends on it that has already waited.
func isUrgent(ctx context.Context) bool { return ctx.Value(urgentKey{}) != nil }
