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

	// releasing holds a token for as long as a Release lasts: a channel, since the
	// others wait for minutes there.
	releasing chan struct{}

	mu   sync.Mutex // guards over; never held for long
	over bool       // released, or kept on purpose

	sure time.Time // when the lock was last known to be ours; guarded by releasing
}

func newLease(l Locker) *Lease {
	return &Lease{locker: l, sure: time.Now(), releasing: make(chan struct{}, 1)}
}

// Resume returns the lease of a lock that is known to be ours from before, such
// as one that a process that died has left behind.
func Resume(l Locker) *Lease { return newLease(l) }

const (
	// releaseTime is how long in all a release is tried. The server's processing of
	// a state, which an unlock has to await, takes seconds.
	releaseTime = 2 * time.Minute
	// staleAfter is for how long a lock that was ours is taken to be ours without
	// asking. Nobody forces a lock in less; after more, somebody may have, and
	// another process of our own identity may hold the lock now, which the place of
	// the lock would let us release as if it were this one.
	staleAfter = 30 * time.Second
)

// Release gives the lock back: nil means that it is no longer ours. It works on
// a context of its own, so that whatever ended ctx does not also prevent the
// release; values of ctx remain. What can be tried again is tried for two
// minutes. A second Release does nothing; one that comes during the first waits
// for it.
//
// ErrNotHeld says that the lock had been taken from us: then it is not released,
// for it may be somebody else's now. After any other error the lock may still be
// ours, and Release may be tried again.
func (l *Lease) Release(ctx context.Context) error {
	l.releasing <- struct{}{}
	defer func() { <-l.releasing }()
	ctx, cancel := detached(ctx, releaseTime)
	defer cancel()
	r := release{Lease: l}
	for pause := firstPause; l.Held(); pause = min(2*pause, longestPause) {
		err := r.attempt(ctx)
		switch {
		case err == nil, errors.Is(err, errReleased):
			l.Keep()
			return nil
		case errors.Is(err, ErrNotHeld):
			l.Keep()
			return err
		case errors.Is(err, ErrGone):
			return err
		case !errors.Is(err, ErrPending) && !errors.Is(err, ErrUnsure):
			return err
		}
		if sleep(ctx, pause) != nil {
			return fmt.Errorf("given up after %s: %w", releaseTime, err)
		}
	}
	return nil
}

// A release is one call of Release.
type release struct {
	*Lease
	lost error // a reply to Unlock was, which may have taken effect
}

// attempt tries once. Where it is doubtful that the lock is ours, it asks before.
func (r *release) attempt(ctx context.Context) error {
	if r.lost != nil || time.Since(r.sure) > staleAfter {
		if err := r.look(ctx); err != nil {
			return err
		}
	}
	err := r.locker.Unlock(ctx)
	switch {
	case errors.Is(err, ErrUnsure):
		r.lost = err
		if looked := r.look(ctx); looked != nil {
			return looked
		}
	case errors.Is(err, ErrNotHeld) && r.lost != nil:
		return errReleased // by the request whose reply was lost
	}
	return err
}

// errReleased says that a request took effect though its reply was lost.
var errReleased = errors.New("released")

// look asks who holds the lock. It returns nil when that may still be us.
func (r *release) look(ctx context.Context) error {
	holder, err := r.locker.Holder(ctx)
	switch {
	case err != nil && r.lost != nil:
		return fmt.Errorf("%w, and asking who holds the lock failed: %w", r.lost, err)
	case err != nil:
		return nil // Unlock will tell
	case holder.Ours:
		r.sure = time.Now()
		return nil
	case !holder.free() && !holder.another():
		return nil
	case r.lost != nil:
		return errReleased
	case holder.free():
		return fmt.Errorf("%w: somebody has unlocked it", ErrNotHeld)
	default:
		return fmt.Errorf("%w: it is locked by %s", ErrNotHeld, holder)
	}
}

// Keep ends the lease without releasing the lock, for a lock that is to stay:
// Release does nothing afterwards, and one that is trying stops.
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
