// Package lockwait acquires a lock by waiting for it, holds it, and releases it whatever
// happens. It knows how to wait, how to recognize its own lock after a lost reply, and
// what must never be released. What is locked and how is up to a [Locker].
package lockwait

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// A Locker is one lock, used by one party. The reason that it locks with is unique to it,
// so that it recognizes its own lock.
//
// Each method takes a function that must be called just before each attempt to send the
// request, after any waiting that the request involves. If the function returns an error,
// nothing is sent and the method returns an error that wraps it.
type Locker interface {
	// Lock asks for the lock once. It returns nil if the lock is ours, ErrHeld if it is
	// held, perhaps by us, and ErrUnsure if the reply was lost or ctx ended while the
	// request was under way, so that the lock may be ours. Any other error ends the wait,
	// and must mean that the request took no effect.
	Lock(ctx context.Context, sending Sending) error
	// Holder returns who holds the lock now: the zero Holder if and only if nobody does.
	// It returns ErrUnsure if the reply was lost and the question can be asked again, and
	// ErrNotHeld if our lock has ended, as with the connection that held it.
	Holder(ctx context.Context, sending Sending) (Holder, error)
	// Unlock releases the lock, trying once. It returns ErrPending if it should be called
	// again shortly, ErrNotHeld if the lock was no longer ours, and ErrUnsure if the
	// reply was lost.
	Unlock(ctx context.Context, sending Sending) error
}

// A Sending is called just before a request is sent.
type Sending func(context.Context) error

// Errors that a Locker's methods return. Compare them with errors.Is.
var (
	ErrHeld   = errors.New("the lock is held")
	ErrUnsure = errors.New("the reply was lost")
	// ErrGone is returned when the server has not responded for so long that retrying is
	// pointless.
	ErrGone    = errors.New("the server has not responded for too long")
	ErrPending = errors.New("the lock cannot be released yet")
	ErrNotHeld = errors.New("the lock is no longer ours")
	// ErrTooSlow is returned when answers about the holder arrive too late to rely on.
	ErrTooSlow = errors.New("the server is too slow to report who holds the lock, so it is not safe to write or unlock")
)

// A Holder describes who holds a lock.
type Holder struct {
	// Name is the holder's name, such as "user alice"; "" if the lock is free.
	Name string
	// Reason is the reason that the holder gave; "" if unknown.
	Reason string
	// Since is when the lock was taken; zero if unknown.
	Since time.Time
	// Ours reports whether this Locker is the holder.
	Ours bool
	// Other reports whether the holder is known to be another. If neither Ours nor Other
	// is set, the server does not provide enough to decide. A Holder with a Reason that
	// is not Ours is always another.
	Other bool
}

// free reports whether the lock is free.
func (h Holder) free() bool { return h == Holder{} }

// another reports whether the lock is known to be held by another.
func (h Holder) another() bool {
	return !h.free() && !h.Ours && (h.Other || h.Reason != "")
}

// String returns the holder's name with what is known about the lock.
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

// A HeldError is returned when the lock did not become free in time.
type HeldError struct {
	// Holder is the last holder seen.
	Holder Holder
	// Waited is the total time spent waiting; 0 if no wait was requested.
	Waited time.Duration
	// MaybeOurs reports whether the reply to one of our requests was lost and the server
	// does not reveal whether we are the holder.
	MaybeOurs bool
}

func (e *HeldError) Error() string {
	text := "locked by " + e.Holder.String()
	if e.Waited > 0 {
		text = fmt.Sprintf("still locked by %s after waiting %s", e.Holder, rounded(e.Waited))
	}
	if e.MaybeOurs {
		text += "; the reply to one of our lock requests was lost, so the lock may be ours"
	}
	return text
}

// rounded rounds a duration for display.
func rounded(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// Is makes a HeldError match ErrHeld.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// Options control the wait.
type Options struct {
	// Timeout is how long to wait for a held lock; 0 fails immediately.
	Timeout time.Duration
	// OnWait, if not nil, is called before each pause with the current holder and the
	// length of the pause.
	OnWait func(h Holder, pause time.Duration)
	// Pause, if not nil, replaces the wait between attempts. It must call sleep, and can
	// free resources that others need around that call.
	Pause func(ctx context.Context, sleep func(context.Context) error) error
	// Clock measures how old an answer about the lock is; nil means SystemClock.
	Clock Clock
}

// Pauses between attempts double from firstPause to longestPause. Each is shortened at
// random by up to a third, so that clients do not retry in lockstep.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 15 * time.Second
)

// maxLost is how many requests in a row may be lost before Acquire gives up.
const maxLost = 3

// askTime is how long the question for the holder is retried when its answer decides
// whether a lock of ours is left behind.
const askTime = 30 * time.Second

// Acquire takes the lock, waiting while another holds it. It returns a *HeldError when
// the timeout expires, ctx's error when ctx ends, and any other error of the Locker.
// After a lost reply it makes sure that no lock is left behind; if it cannot, the error
// is an *AbandonedError or a *HeldError with MaybeOurs set.
//
// If the lock turns out to be ours, Acquire returns it even if ctx has ended: the caller
// must release it.
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

// An acquisition is one call to Acquire.
type acquisition struct {
	Locker
	Options
	start, deadline time.Time
	holder          Holder
	lost            bool // a reply was lost: the lock may be ours whatever Lock returns
}

// attempt asks for the lock, and again if a lost request took no effect. It returns
// neither a lease nor an error if another holds the lock.
func (a *acquisition) attempt(ctx context.Context) (*Lease, error) {
	for lost := 1; ; lost++ {
		if err := ctx.Err(); err != nil {
			return nil, a.ended(err)
		}
		request := attempt{clock: a.Clock}
		err := a.Lock(ctx, request.sending)
		switch {
		case err == nil:
			return newLease(a.Locker, a.Clock, request.sent), nil
		case errors.Is(err, ErrUnsure):
			a.lost = true
			lease, asked := a.whoHolds(ctx, err)
			if lease != nil || asked != nil || !a.holder.free() {
				return lease, asked
			}
			if lost == maxLost {
				return nil, err
			}
			if err := Sleep(ctx, firstPause); err != nil {
				return nil, err
			}
		case errors.Is(err, ErrHeld):
			return a.whoHolds(ctx, err)
		default:
			return nil, err
		}
	}
}

// whoHolds asks who holds the lock. It may be us, from a request whose reply was lost. In
// that case it retries even after ctx has ended, so as not to leave our lock behind.
func (a *acquisition) whoHolds(ctx context.Context, answer error) (*Lease, error) {
	ask := a.ask
	if a.lost {
		ask = a.insist
	}
	holder, sent, err := ask(ctx)
	switch {
	case err != nil && a.lost:
		return nil, &AbandonedError{Err: errors.Join(answer, err)}
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil && holder.Ours:
		return newLease(a.Locker, a.Clock, sent), nil
	}
	a.holder = holder // after a failed question: held by an unknown holder
	return nil, nil
}

func (a *acquisition) ask(ctx context.Context) (Holder, Instant, error) {
	return askHolder(ctx, a.Locker, a.Clock)
}

// insist asks who holds the lock until it gets an answer, for at most askTime.
func (a *acquisition) insist(ctx context.Context) (Holder, Instant, error) {
	ctx, cancel := detached(ctx, askTime)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		holder, sent, err := a.ask(ctx)
		if err == nil || errors.Is(err, ErrGone) || Sleep(ctx, pause) != nil {
			return holder, sent, err
		}
	}
}

// pause waits before the next attempt, or returns why there is none.
func (a *acquisition) pause(ctx context.Context, pause time.Duration) error {
	now := time.Now()
	if err := ctx.Err(); err != nil {
		return a.ended(err)
	}
	left := a.deadline.Sub(now)
	if left <= 0 {
		return a.held()
	}
	pause -= rand.N(pause / 3)
	pause = min(pause, left)
	if a.OnWait != nil {
		a.OnWait(a.holder, pause)
	}
	doze := func(ctx context.Context) error { return Sleep(ctx, pause) }
	if a.Pause != nil {
		return a.ended(a.Pause(ctx, doze))
	}
	return a.ended(doze(ctx))
}

// ended adds to err that a lock may be left behind.
func (a *acquisition) ended(err error) error {
	if held := a.held(); err != nil && held.MaybeOurs {
		return fmt.Errorf("%w (%w)", err, held)
	}
	return err
}

// held returns the error for a lock that is still held.
func (a *acquisition) held() *HeldError {
	e := &HeldError{Holder: a.holder}
	if a.Timeout > 0 {
		e.Waited = time.Since(a.start)
	}
	e.MaybeOurs = a.lost && !a.holder.free() && !a.holder.another()
	return e
}

// An AbandonedError is returned when a lock may have been taken and could be neither used
// nor released because the server stopped responding.
type AbandonedError struct{ Err error }

func (e *AbandonedError) Error() string {
	return "the reply to the lock request was lost, and the server does not say who holds the lock: " + e.Err.Error()
}

// Unwrap returns why the question failed.
func (e *AbandonedError) Unwrap() error { return e.Err }

// detached returns a context that outlives ctx, for work that must be finished.
func detached(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}

// Sleep waits for d. It returns ctx.Err() if ctx ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
