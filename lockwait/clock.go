package lockwait

import "time"

// A Clock returns the current time in a form that shows when this process was suspended.
type Clock func() Instant

// An Instant is a moment on two clocks. On some systems the monotonic clock stops while
// the machine is suspended, and the wall clock jumps when it is set. The age of something
// is the larger of the two differences.
type Instant struct {
	Wall time.Time
	// Mono is the monotonic time since a fixed moment.
	Mono time.Duration
}

// started is the moment from which Mono is counted.
var started = time.Now()

// SystemClock reads this machine's clocks.
func SystemClock() Instant {
	now := time.Now()
	return Instant{Wall: now.Round(0), Mono: now.Sub(started)}
}

// Since returns how much time may have passed between then and i. A zero then counts as
// long ago.
func (i Instant) Since(then Instant) time.Duration {
	if then == (Instant{}) {
		return longAgo
	}
	return max(i.Wall.Sub(then.Wall), i.Mono-then.Mono)
}

// longAgo exceeds the age at which any lock is still trusted.
const longAgo = 1<<63 - 1

// Now returns the current Instant. A nil Clock is SystemClock.
func (c Clock) Now() Instant {
	if c == nil {
		return SystemClock()
	}
	return c()
}
