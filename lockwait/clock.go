package lockwait

import "time"

// A Clock tells the time in a way that notices when this process stood still.
type Clock func() Instant

// An Instant is a moment on two clocks. While a machine is suspended, the monotonic
// clock of some systems stops; when the wall clock is set, it jumps. The larger of
// the two differences is how old something may be.
type Instant struct {
	Wall time.Time
	// Mono is the monotonic time since some fixed moment.
	Mono time.Duration
}

// started is the fixed moment of the system's monotonic time.
var started = time.Now()

// SystemClock reads the clocks of this machine.
func SystemClock() Instant {
	now := time.Now()
	return Instant{Wall: now.Round(0), Mono: now.Sub(started)}
}

// Since returns how much time may have passed between then and i. The zero Instant
// was long ago.
func (i Instant) Since(then Instant) time.Duration {
	if then == (Instant{}) {
		return longAgo
	}
	return max(i.Wall.Sub(then.Wall), i.Mono-then.Mono)
}

// longAgo is older than any lock is trusted.
const longAgo = 1<<63 - 1

// Now reads the clock; a nil Clock is SystemClock.
func (c Clock) Now() Instant {
	if c == nil {
		return SystemClock()
	}
	return c()
}
