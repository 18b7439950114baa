package tfe

import (
	"context"
	"errors"
	"fmt"

	"tfhaul/backend"
)

// An unsentError ends a request that WithSending's check has held back.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// wasUnsent reports whether a check has held a request back.
func wasUnsent(err error) bool {
	_, unsent := errors.AsType[*unsentError](err)
	return unsent
}

// checkSending calls the check that the context carries.
func checkSending(ctx context.Context) error {
	check := backend.SendingOf(ctx)
	if check == nil {
		return nil
	}
	// What the check itself asks waits after a 429 but not for its turn; others wait longer
	// instead.
	if err := check(context.WithValue(backend.WithSending(ctx, nil), urgentKey{}, true)); err != nil {
		return &unsentError{err}
	}
	return nil
}

type urgentKey struct{}

// isUrgent reports whether a request must not wait for its turn, because another that
// has waited already depends on it.
func isUrgent(ctx context.Context) bool { return ctx.Value(urgentKey{}) != nil }

// A strangerError says that an answer is about something else than what was asked.
type strangerError struct{ what, asked, told string }

func (e *strangerError) Error() string {
	return fmt.Sprintf("the answer is about %s %q instead of %q", e.what, e.told, e.asked)
}
