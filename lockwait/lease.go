package lockwait

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Lease is a lock that we hold. It is safe for use by many goroutines.
type Lease struct {
	locker Locker
	mu     sync.Mutex
	over   bool // released, or kept on purpose
}

func newLease(l Locker) *Lease { return &Lease{locker: l} }

// Resume returns the lease of a lock that is known to be ours from before, such
// as one that a process that died has left behind.
func Resume(l Locker) *Lease { return newLease(l) }

// releaseTime is how long in all a release is tried. The server's processing of
// a state, which an unlock has to await, takes seconds.
const releaseTime = 2 * time.Minute

// Release gives the lock back: nil means that it is no longer ours. It works on
// a context of its own, so that whatever ended ctx does not also prevent the
// release; values of ctx remain. What can be tried again is tried for two
// minutes. A second Release does nothing.
//
// ErrNotHeld says that the lock had been taken from us: then it is not released,
// for it may be somebody else's now.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return nil
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := l.release(ctx)
		if err == nil || errors.Is(err, ErrNotHeld) {
			l.over = true
			return err
		}
		if !errors.Is(err, ErrPending) && !errors.Is(err, ErrUnsure) {
			return err
		}
		if sleep(ctx, pause) != nil {
			return fmt.Errorf("given up after %s: %w", releaseTime, err)
		}
	}
}

// release tries once; a lost reply is looked into.
func (l *Lease) release(ctx context.Context) error {
	err := l.locker.Unlock(ctx)
	if !errors.Is(err, ErrUnsure) {
		return err
	}
	holder, asked := l.locker.Holder(ctx)
	switch {
	case asked != nil:
		return fmt.Errorf("%w, and asking who holds the lock failed: %w", err, asked)
	case holder.Ours:
		return err // it took no effect: again
	default:
		return nil // free, or somebody else's already
	}
}

// Keep ends the lease without releasing the lock, for a lock that is to stay:
// Release does nothing afterwards.
func (l *Lease) Keep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// Held says whether the lock is still ours to release.
func (l *Lease) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over
}
