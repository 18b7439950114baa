package migrate

import (
	"context"
	"time"

	"tfhaul/backend/tfe"
	"tfhaul/lockwait"
)

// A read has readAttempts attempts. The pause before the second is firstReadPause, and
// each later one is twice as long.
const (
	readAttempts   = 4
	firstReadPause = 500 * time.Millisecond
)

// patiently repeats a read that did not reach the server or got an unclear answer. If
// the server has been silent for long it does not retry: in a haul every move would wait
// for it.
func patiently[T any](ctx context.Context, server *tfe.Client, read func() (T, error)) (T, error) {
	pause := firstReadPause
	for attempt := 1; ; attempt++ {
		value, err := read()
		code := tfe.CodeOf(err)
		if attempt == readAttempts || code != tfe.Ambiguous && code != tfe.Unreachable || ctx.Err() != nil || server.Silent() {
			return value, err
		}
		if err := lockwait.Sleep(ctx, pause); err != nil {
			return value, err
		}
		pause *= 2
	}
}
