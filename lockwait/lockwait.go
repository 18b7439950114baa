// Package lockwait acquires a lock by waiting for it, holds it, and releases it
// whatever happens. It knows how to wait, how to tell a lock whose reply was
// lost from somebody else's, and what must never be released; it does not know
// what is locked, nor how: that is a Locker's business.
package lockwait

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// A Locker is one lock somewhere, and one party that wants it: the reason it
// gives for locking is its own, so that it recognises itself.
type Locker interface {
	// Lock asks for the lock once. nil: it is ours. ErrHeld: somebody holds it,
	// perhaps we ourselves. ErrUnsure: the reply was lost, it may be ours. Any
	// other error ends the waiting.
	Lock(ctx context.Context) error
	// Holder says who holds the lock now; the zero Holder when nobody does.
	Holder(ctx context.Context) (Holder, error)
	// Unlock gives the lock back once. ErrPending: not yet, come back shortly.
	// ErrNotHeld: it was not ours any more. ErrUnsure: the reply was lost.
	Unlock(ctx context.Context) error
}

// What a Locker's calls can answer; they are found with errors.Is.
var (
	ErrHeld    = errors.New("the lock is held")
	ErrUnsure  = errors.New("the reply was lost")
	ErrPending = errors.New("the lock cannot be released yet")
	ErrNotHeld = errors.New("the lock is not ours")
)

// A Holder is who holds a lock.
type Holder struct {
	// Name is how to call the holder, such as "user alice"; "" for nobody.
	Name string
	// Reason is what the holder gave as the reason; "" when unknown.
	Reason string
	// Since is when the lock was taken; zero when the lock's place does not tell.
	Since time.Time
	// Ours says that the holder is this very Locker.
	Ours bool
}

// String names the holder with what is known about the lock.
func (h Holder) String() string {
	s := h.Name
	if s == "" {
		s = "somebody"
	}
	if !h.Since.IsZero() {
		s += " since " + h.Since.Format(time.RFC3339)
	}
	if h.Reason != "" {
		s += fmt.Sprintf(" (%q)", h.Reason)
	}
	return s
}

// A HeldError says that the lock did not become free in time.
type HeldError struct {
	// Holder is who held it last.
	Holder Holder
	// FirstSeen is when this wait first saw the lock held by anybody.
	FirstSeen time.Time
	// Waited is how long was waited in all; 0 when waiting was not asked for.
	Waited time.Duration
}

func (e *HeldError) Error() string {
	if e.Waited == 0 {
		return "locked by " + e.Holder.String()
	}
	return fmt.Sprintf("still locked by %s after waiting %s", e.Holder, e.Waited.Round(time.Second))
}

// Is makes a HeldError an ErrHeld.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// Options say how to wait.
type Options struct {
	// Timeout is how long to wait for a lock that somebody holds; 0 fails at once.
	Timeout time.Duration
	// OnWait, if not nil, is called before each pause with who holds the lock,
	// since when this wait has seen it held, and how long the pause will be.
	OnWait func(h Holder, firstSeen time.Time, pause time.Duration)
	// Pause replaces how a pause is spent, if not nil: a caller that holds
	// something others could use meanwhile gives it back around the call of sleep.
	Pause func(ctx context.Context, sleep func(context.Context) error) error
}

// The pauses between two attempts: they double from the first to the longest,
// each shortened at random by up to a third so that many who wait do not ask in
// step.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 15 * time.Second
)

// mostLost is how many requests for one lock may be lost before it is given up.
const mostLost = 3

// Acquire takes the lock, waiting while somebody else holds it. It fails with a
// *HeldError when the time is over, with the context's error when that ends,
// and with whatever else the Locker answers. When it fails after a lost reply,
// it has made sure that the lock is not left behind, or the error is an
// *AbandonedError.
func Acquire(ctx context.Context, l Locker, o Options) (*Lease, error) {
	start := time.Now()
	a := acquisition{Locker: l, Options: o, start: start, deadline: start.Add(o.Timeout)}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		lease, err := a.attempt(ctx)
		if lease != nil || err != nil {
			return lease, err
		}
		if err := a.pause(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// An acquisition is one call of Acquire.
type acquisition struct {
	Locker
	Options
	start, deadline time.Time
	firstSeen       time.Time
	holder          Holder
}

// attempt asks once, and again when a request was lost without effect. It returns
// neither a lease nor an error when somebody else holds the lock.
func (a *acquisition) attempt(ctx context.Context) (*Lease, error) {
	for lost := 1; ; lost++ {
		err := a.Lock(ctx)
		switch {
		case err == nil:
			return newLease(a.Locker), nil
		case errors.Is(err, ErrUnsure):
			free, lease, asked := a.afterLostReply(ctx, err)
			if lease != nil || asked != nil || !free {
				return lease, asked
			}
			if lost == mostLost {
				return nil, err
			}
			if err := sleep(ctx, firstPause); err != nil {
				return nil, err
			}
		case errors.Is(err, ErrHeld):
			return a.whoHolds(ctx)
		default:
			return nil, err
		}
	}
}

// afterLostReply finds out whose the lock is now. The question is asked even
// when the context has ended, or a lock might be left behind.
func (a *acquisition) afterLostReply(ctx context.Context, lost error) (free bool, lease *Lease, err error) {
	ask, cancel := detached(ctx)
	defer cancel()
	a.holder, err = a.Holder(ask)
	switch {
	case err != nil:
		return false, nil, &AbandonedError{Err: errors.Join(lost, err)}
	case a.holder.Ours:
		return false, newLease(a.Locker), nil
	}
	return a.holder == Holder{}, nil, nil
}

// whoHolds asks who holds the lock: it may be ourselves, from a request whose
// reply was lost.
func (a *acquisition) whoHolds(ctx context.Context) (*Lease, error) {
	holder, err := a.Holder(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil && holder.Ours {
		return newLease(a.Locker), nil
	}
	a.holder = holder // after a failed question: held, not known by whom
	return nil, nil
}

// pause waits before the next attempt, or says why there will be none.
func (a *acquisition) pause(ctx context.Context, pause time.Duration) error {
	now := time.Now()
	if a.firstSeen.IsZero() {
		a.firstSeen = now
	}
	left := a.deadline.Sub(now)
	if left <= 0 {
		waited := now.Sub(a.start)
		if a.Timeout == 0 {
			waited = 0
		}
		return &HeldError{Holder: a.holder, FirstSeen: a.firstSeen, Waited: waited}
	}
	pause -= rand.N(pause / 3)
	pause = min(pause, left)
	if a.OnWait != nil {
		a.OnWait(a.holder, a.firstSeen, pause)
	}
	doze := func(ctx context.Context) error { return sleep(ctx, pause) }
	if a.Pause != nil {
		return a.Pause(ctx, doze)
	}
	return doze(ctx)
}

// An AbandonedError says that a lock may have been taken and could be neither
// used nor released, because the server could not be asked any more.
type AbandonedError struct{ Err error }

func (e *AbandonedError) Error() string {
	return "the reply to the lock request was lost, and the lock's state cannot be read: " + e.Err.Error()
}

// Unwrap gives what prevented the question.
func (e *AbandonedError) Unwrap() error { return e.Err }

// detached is a context that outlives the end of ctx, for what must be done in
// any case.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
