package lockwait

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Lease is a lock that we hold. It is safe for concurrent use.
type Lease struct {
	locker Locker
	clock  Clock

	// releasing is a semaphore that Release holds. It is a channel because other calls of
	// Release may wait for minutes.
	releasing chan struct{}

	mu     sync.Mutex // guards the fields below; never held for long
	over   bool       // released, lost, or deliberately kept
	seen   Instant    // when the request that last showed the lock as ours was sent
	sure   Instant    // same as seen, but only for answers that identify the holder
	unsure bool       // the last answer did not identify the holder
	ended  Ending
}

// An Ending describes how a release went.
type Ending struct {
	// Took is the time between sending the last unlock request and learning that it took
	// effect. It may have taken effect at any moment in between.
	Took time.Duration
	// Outstanding reports whether an earlier unlock request got no reply. It may still
	// take effect, and would then release a lock taken by another process with our
	// identity.
	Outstanding bool
}

// Late reports whether another process with our identity may have held the lock when the
// release took effect: the request was under way for longer than a lock is trusted.
func (e Ending) Late() bool { return e.Took > MaxAge }

func newLease(l Locker, c Clock, seen Instant) *Lease {
	return &Lease{locker: l, clock: c, seen: seen, sure: seen, releasing: make(chan struct{}, 1)}
}

// Resume returns the lease of a lock that is already ours, such as one left behind by a
// process that died. seen is when the request that showed it was sent, or the zero
// Instant if unknown.
func Resume(l Locker, c Clock, seen Instant) *Lease {
	lease := newLease(l, c, seen)
	lease.sure = c.Now() // the caller knows that the lock is ours
	return lease
}

const (
	// releaseTime limits how long Release keeps trying. An unlock waits for the server to
	// process the state, which takes seconds.
	releaseTime = 2 * time.Minute
	// MaxAge is how long we trust that a lock seen as ours still is. After that another
	// user may have forced it open and another process with our identity may hold it. The
	// server would let us write under that lock, and release it.
	MaxAge = 5 * time.Second
	// MaxWriteAge is MaxAge for writes, where more is at stake. Waiting for the lock
	// reply and for a turn within the rate limit usually takes less.
	MaxWriteAge = 2500 * time.Millisecond
	// maxLooks is how many answers in a row may be too old on arrival.
	maxLooks = 3
	// MaxUnsureAge replaces MaxWriteAge where the server does not identify the holder. It
	// is long enough to wait for a turn within the rate limit, and too short for a
	// suspended machine.
	MaxUnsureAge = 30 * time.Second
)

// Ensure returns nil if the lock was seen as ours within maxAge, and otherwise asks for
// the holder again. Call it just before sending anything that relies on the lock.
//
// ErrNotHeld ends the lease. After any other error, including ErrTooSlow, the lock may
// still be ours, and nothing must be sent.
func (l *Lease) Ensure(ctx context.Context, maxAge time.Duration) error {
	if !l.Held() {
		return ErrNotHeld
	}
	for range maxLooks {
		if l.Age() <= maxAge {
			return nil
		}
		if err := l.look(ctx); err != nil {
			return err
		}
	}
	if l.Age() <= maxAge {
		return nil
	}
	return ErrTooSlow
}

// Age returns how long ago the lock was last seen as ours.
func (l *Lease) Age() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock.Now().Since(l.seen)
}

// Unsure reports whether the lock was last seen held by an unidentified holder. Ensure
// then relies on the server, which accepts writes and unlocks only from the holder.
func (l *Lease) Unsure() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unsure
}

// Doubtful reports whether the holder could not be identified and the lock was last known
// to be ours too long ago to write under it.
func (l *Lease) Doubtful() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unsure && l.clock.Now().Since(l.sure) > MaxUnsureAge
}

// Ending returns how the release went, once it has succeeded.
func (l *Lease) Ending() Ending {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// saw records an answer that shows the lock as ours or does not identify the holder.
func (l *Lease) saw(sent Instant, unsure bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen, l.unsure = sent, unsure
	if !unsure {
		l.sure = sent
	}
}

// look asks who holds the lock. It returns nil if we do, or may.
func (l *Lease) look(ctx context.Context) error {
	holder, sent, err := askHolder(ctx, l.locker, l.clock)
	switch {
	case errors.Is(err, ErrNotHeld):
		l.Keep()
		return err
	case err != nil:
		return &lookError{err}
	case holder.free():
		l.Keep()
		return fmt.Errorf("%w: another user unlocked it", ErrNotHeld)
	case holder.another():
		l.Keep()
		return fmt.Errorf("%w: it is locked by %s", ErrNotHeld, holder)
	}
	l.saw(sent, !holder.Ours)
	return nil
}

// A lookError is returned when the holder of the lock could not be determined.
type lookError struct{ err error }

func (e *lookError) Error() string { return "cannot determine who holds the lock: " + e.err.Error() }
func (e *lookError) Unwrap() error { return e.err }

// Retake asks for the lock again, once, after the server reported it free. It returns
// ErrHeld if another user holds it now, and ErrUnsure if the holder could not be
// determined.
func (l *Lease) Retake(ctx context.Context) error {
	lock := attempt{clock: l.clock}
	err := l.locker.Lock(ctx, lock.sending)
	if err == nil {
		l.saw(lock.sent, false)
		return nil
	}
	if !errors.Is(err, ErrUnsure) {
		return err
	}
	looking, cancel := detached(ctx, askTime)
	defer cancel()
	holder, sent, asked := askHolder(looking, l.locker, l.clock)
	if asked == nil && holder.Ours {
		l.saw(sent, false)
		return nil
	}
	return errors.Join(err, asked)
}

// An attempt records when a request is sent.
type attempt struct {
	clock Clock
	sent  Instant
}

// sending is called just before each attempt.
func (a *attempt) sending(context.Context) error {
	a.sent = a.clock.Now()
	return nil
}

// askHolder returns who holds the lock, and when the question was sent.
func askHolder(ctx context.Context, l Locker, c Clock) (Holder, Instant, error) {
	question := attempt{clock: c}
	holder, err := l.Holder(ctx, question.sending)
	return holder, question.sent, err
}

// Release releases the lock. It returns nil once the lock is no longer ours. The end of
// ctx does not stop it, but ctx's values still apply. Temporary failures are retried for
// two minutes. A second Release does nothing; a concurrent one waits for the first.
//
// ErrNotHeld is returned when the lock was taken from us. It is left alone, since it may
// be another user's. After any other error the lock may still be ours, and Release can be
// called again.
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
			l.end(Ending{l.clock.Now().Since(r.sent), err == nil && r.lost != nil})
			return nil
		case errors.Is(err, ErrNotHeld):
			l.Keep()
			return err
		case errors.Is(err, ErrGone):
			return err
		case !errors.Is(err, ErrPending) && !errors.Is(err, ErrUnsure) && !errors.Is(err, ErrTooSlow):
			return err
		}
		if Sleep(ctx, pause) != nil {
			return fmt.Errorf("gave up after %s: %w", releaseTime, err)
		}
	}
	return nil
}

// A release is one call to Release.
type release struct {
	*Lease
	lost error   // the error of an Unlock that got no reply and may have taken effect
	sent Instant // when the last Unlock was sent
}

// attempt tries once. After a lost reply it checks the holder first.
func (r *release) attempt(ctx context.Context) error {
	if r.lost != nil {
		if err := r.lookAgain(ctx); err != nil {
			return err
		}
	}
	err := r.locker.Unlock(ctx, r.ready)
	switch {
	case errors.Is(err, errNotSent), errors.Is(err, ErrTooSlow), errors.Is(err, errReleased):
		return err // nothing was sent
	case errors.Is(err, ErrUnsure):
		r.lost = err
		if looked := r.lookAgain(ctx); looked != nil {
			return looked
		}
	case errors.Is(err, ErrNotHeld) && r.lost != nil:
		return errReleased // the request that got no reply took effect
	}
	return err
}

// ready calls Ensure just before an unlock is sent. If the holder cannot be determined,
// nothing is sent; a lost reply to the question is retried later.
func (r *release) ready(ctx context.Context) error {
	err := r.Ensure(ctx, MaxAge)
	switch failed, asked := errors.AsType[*lookError](err); {
	case asked:
		return fmt.Errorf("%w: %w", errNotSent, failed)
	case r.lost != nil && errors.Is(err, ErrNotHeld):
		return errReleased
	}
	if err == nil {
		r.sent = r.clock.Now()
	}
	return err
}

var (
	// errReleased reports that a request took effect although its reply was lost.
	errReleased = errors.New("released")
	// errNotSent reports that nothing was sent because the holder is unknown.
	errNotSent = errors.New("the unlock was not sent")
)

// lookAgain checks the holder after a lost reply. It returns nil if the lock may still be
// ours.
func (r *release) lookAgain(ctx context.Context) error {
	err := r.look(ctx)
	switch failed, asked := errors.AsType[*lookError](err); {
	case asked:
		return fmt.Errorf("%w, and %w", r.lost, failed)
	case errors.Is(err, ErrNotHeld):
		return errReleased
	}
	return err
}

// Keep ends the lease without releasing the lock. Later calls to Release do nothing, and
// one in progress stops.
func (l *Lease) Keep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// end marks the lock as released.
func (l *Lease) end(e Ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over, l.ended = true, e
}

// Held reports whether the lock is still ours to release.
func (l *Lease) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over
}
