package migrate

import (
	"fmt"

	"tfhaul/backend"
)

// An outage counts what failed because a server is out of reach or out of order: the target, and
// each host of sources by itself, so that one that answers does not hide another that does not.
// Its user guards it.
type outage struct {
	target   func() bool    // reports whether the target is down
	failures int            // failures in a row of the target
	down     map[string]int // failures in a row by host of sources
}

// observe takes the result of a move that was attempted. It returns why everything ends, or nil.
func (o *outage) observe(r Result) *endedError {
	switch r.Code {
	case CodeUnreachable, CodeServerRefused, CodeLockLeft, CodeUnproven:
		if o.failures++; r.answered {
			o.failures = 0
		}
	case CodeNotAttempted, CodeUnreadable:
	default:
		o.failures = 0
	}
	switch host := r.server; {
	case r.sourceDown:
		if o.down == nil {
			o.down = map[string]int{}
		}
		o.down[host]++
	case r.Code != CodeNotAttempted:
		delete(o.down, host)
	}
	switch {
	case o.failures > 0 && o.target():
		return &endedError{why: "the server did not respond to any request for " + backend.DownAfter.String()}
	case o.failures >= maxConsecutiveFailures:
		return &endedError{why: fmt.Sprintf("%d consecutive moves failed because the server did not respond", o.failures)}
	}
	return nil
}

// sourceDown returns why a move from this source is not attempted, or nil.
func (o *outage) sourceDown(source backend.State) error {
	if n := o.down[serverOf(source)]; n >= maxConsecutiveFailures {
		return fmt.Errorf("not attempted: %d consecutive moves failed because their source did not respond", n)
	}
	return nil
}

// serverOf returns what the states on one server have in common; "" for files.
func serverOf(s backend.State) string {
	if served, ok := s.(backend.Served); ok {
		return served.Server()
	}
	return ""
}
