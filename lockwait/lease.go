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
	clock  Clock

	// releasing holds a token for as long as a Release lasts: a channel, since the
	// others wait for minutes there.
	releasing chan struct{}

	mu     sync.Mutex // guards the rest; never held for long
	over   bool       // released, lost, or kept on purpose
	seen   Instant    // when the request was sent whose answer last showed the lock as ours
	sure   Instant    // the same, but for answers that do not tell whose the lock is
	unsure bool       // the last look could not tell whose the lock is
	ended  Ending
}

// An Ending is what a release knows of the requests that it took.
type Ending struct {
	// Took is how long after the last request was sent it was known to have taken
	// effect. It may have been effective at any time between.
	Took time.Duration
	// Outstanding says that a request before the last got no answer, and may still take
	// effect: then it releases a lock that another process of our identity holds.
	Outstanding bool
}

// Late reports whether another process of our identity may have held the lock when the
// release took effect, for it was under way for longer than a lock is trusted.
func (e Ending) Late() bool { return e.Took > MaxAge }

func newLease(l Locker, c Clock, seen Instant) *Lease {
	return &Lease{locker: l, clock: c, seen: seen, sure: seen, releasing: make(chan struct{}, 1)}
}

// Resume returns the lease of a lock that is known to be ours from before, such
// as one that a process that died has left behind. seen is when the request was
// sent whose answer showed that; the zero Instant when that is not known.
func Resume(l Locker, c Clock, seen Instant) *Lease {
	lease := newLease(l, c, seen)
	lease.sure = c.Now() // as the caller is
	return lease
}

const (
	// releaseTime is how long in all a release is tried. The server's processing of
	// a state, which an unlock has to await, takes seconds.
	releaseTime = 2 * time.Minute
	// MaxAge is for how long a lock that was seen as ours is taken to be ours.
	// After that another user may have forced it, and another process of our own
	// identity may hold the lock, in which case the server would let us write under
	// it, and release it.
	MaxAge = 5 * time.Second
	// MaxWriteAge is the same for what is written under the lock, where more is at
	// stake. A usual request waits less than that for the lock's answer and for its
	// turn within the rate limit.
	MaxWriteAge = 2500 * time.Millisecond
	// maxLooks is how many answers in a row may be too old when they arrive.
	maxLooks = 3
	// MaxUnsureAge is for how long a lock that was ours is taken to be ours where the
	// server does not say whose it is: long enough to wait for a turn within the rate
	// limit, and too short for a machine that was suspended.
	MaxUnsureAge = 30 * time.Second
)

// Ensure returns nil if the lock was seen as ours within maxAge, and otherwise looks
// at the holder again. Call it just before anything is sent that relies on the lock.
//
// After ErrNotHeld the lease is over. After any other error, ErrTooSlow among them,
// the lock may still be ours, and nothing must be sent.
func (l *Lease) Ensure(ctx context.Context, maxAge time.Duration) error {
	if !l.Held() {
		return fmt.Errorf("%w any more", ErrNotHeld)
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

// Age is how long ago the lock was last seen as ours.
func (l *Lease) Age() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock.Now().Since(l.seen)
}

// Unsure reports whether the last look found the lock held and could not tell by
// whom: there Ensure relies on the server, which accepts writes and unlocks from the
// holder only.
func (l *Lease) Unsure() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unsure
}

// Doubtful reports whether the last look could not tell whose the lock is, and it was last
// known to be ours too long ago to write under it.
func (l *Lease) Doubtful() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unsure && l.clock.Now().Since(l.sure) > MaxUnsureAge
}

// Ending is about the release, once that has succeeded.
func (l *Lease) Ending() Ending {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// saw notes an answer that shows the lock as ours, or does not tell whose it is.
func (l *Lease) saw(sent Instant, unsure bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen, l.unsure = sent, unsure
	if !unsure {
		l.sure = sent
	}
}

// look asks who holds the lock. It returns nil when that is us, or may be.
func (l *Lease) look(ctx context.Context) error {
	holder, sent, err := askHolder(ctx, l.locker, l.clock)
	switch {
	case err != nil:
		return &lookError{err}
	case holder.free():
		l.Keep()
		return fmt.Errorf("%w: another user has unlocked it", ErrNotHeld)
	case holder.another():
		l.Keep()
		return fmt.Errorf("%w: it is locked by %s", ErrNotHeld, holder)
	}
	l.saw(sent, !holder.Ours)
	return nil
}

// A lookError says that the question who holds the lock was not answered.
type lookError struct{ err error }

func (e *lookError) Error() string { return "asking who holds the lock failed: " + e.err.Error() }
func (e *lookError) Unwrap() error { return e.err }

// Retake asks for the lock again, once, after the server said that nobody holds it.
// ErrHeld says that another holds it now, and ErrUnsure that whose it is could not
// be found out.
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

// An attempt notes when a request is sent.
type attempt struct {
	clock Clock
	sent  Instant
}

// sending is called just before each attempt of a request is sent.
func (a *attempt) sending(context.Context) error {
	a.sent = a.clock.Now()
	return nil
}

// askHolder asks who holds the lock, and tells when the question was sent.
func askHolder(ctx context.Context, l Locker, c Clock) (Holder, Instant, error) {
	question := attempt{clock: c}
	holder, err := l.Holder(ctx, question.sending)
	return holder, question.sent, err
}

// Release gives the lock back: nil means that it is no longer ours. It works on
// a context of its own, so that whatever ended ctx does not also prevent the
// release; values of ctx remain. What can be tried again is tried for two
// minutes. A second Release does nothing; one that comes during the first waits
// for it.
//
// ErrNotHeld says that the lock had been taken from us: then it is not released,
// for it may be another user's now. After any other error the lock may still be
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
			return fmt.Errorf("given up after %s: %w", releaseTime, err)
		}
	}
	return nil
}

// A release is one call of Release.
type release struct {
	*Lease
	lost error   // a reply to Unlock was, which may have taken effect
	sent Instant // when the last Unlock was
}

// attempt tries once. After a lost reply it looks at the holder first.
func (r *release) attempt(ctx context.Context) error {
	if r.lost != nil {
		if err := r.lookAgain(ctx); err != nil {
			return err
		}
	}
	err := r.locker.Unlock(ctx, r.ready)
	switch {
	case errors.Is(err, errNotAsked), errors.Is(err, ErrTooSlow), errors.Is(err, errReleased):
		return err // nothing was sent
	case errors.Is(err, ErrUnsure):
		r.lost = err
		if looked := r.lookAgain(ctx); looked != nil {
			return looked
		}
	case errors.Is(err, ErrNotHeld) && r.lost != nil:
		return errReleased // by the request whose reply was lost
	}
	return err
}

// ready is Ensure just before an unlock is sent. A question whose reply was lost is
// asked again later; without an answer nothing is sent.
func (r *release) ready(ctx context.Context) error {
	err := r.Ensure(ctx, MaxAge)
	switch failed, asked := errors.AsType[*lookError](err); {
	case asked:
		return fmt.Errorf("%w: %w", errNotAsked, failed)
	case r.lost != nil && errors.Is(err, ErrNotHeld):
		return errReleased
	}
	if err == nil {
		r.sent = r.clock.Now()
	}
	return err
}

var (
	// errReleased says that a request took effect though its reply was lost.
	errReleased = errors.New("released")
	// errNotAsked says that nothing was sent, because who holds the lock is not known.
	errNotAsked = errors.New("the unlock was not sent")
)

// lookAgain looks at the holder after a lost reply. It returns nil when the lock may
// still be ours.
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

// Keep ends the lease without releasing the lock, for a lock that is to stay:
// Release does nothing afterwards, and one that is trying stops.
func (l *Lease) Keep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// end ends the lease of a lock that was released.
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
