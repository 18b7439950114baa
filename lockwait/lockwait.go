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
//
// Each call takes a function that has to be called just before each attempt to send
// the request that the answer relies on, after whatever the request waited for. If it
// returns an error, nothing is sent, and the call returns an error that wraps it.
type Locker interface {
	// Lock asks for the lock once. nil: it is ours. ErrHeld: somebody holds it,
	// perhaps we ourselves. ErrUnsure: the reply was lost, it may be ours; this is
	// also the answer when the context ended while a request was under way. Any
	// other error ends the waiting, and must mean that the request took no effect.
	Lock(ctx context.Context, sending Sending) error
	// Holder says who holds the lock now; the zero Holder, and only that, when
	// nobody does. ErrUnsure: the reply was lost, and the question may be asked again.
	Holder(ctx context.Context, sending Sending) (Holder, error)
	// Unlock gives the lock back once. ErrPending: not yet, come back shortly.
	// ErrNotHeld: it was not ours any more. ErrUnsure: the reply was lost.
	Unlock(ctx context.Context, sending Sending) error
}

// A Sending is called just before a request is sent.
type Sending func(context.Context) error

// What a Locker's calls can answer; they are found with errors.Is.
var (
	ErrHeld   = errors.New("the lock is held")
	ErrUnsure = errors.New("the reply was lost")
	// ErrGone says that whoever keeps the lock has not answered for so long that it
	// is of no use to try again.
	ErrGone    = errors.New("there has been no answer for too long")
	ErrPending = errors.New("the lock cannot be released yet")
	ErrNotHeld = errors.New("the lock is not ours")
	// ErrTooSlow is returned when no answer about the holder arrives in time to be
	// relied on.
	ErrTooSlow = errors.New("the server takes too long to say who holds the lock, so nothing can be sent under it safely")
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
	// Other says that the holder is known to be another. Neither Ours nor Other
	// is the answer where the lock's place does not say enough to tell. A Holder
	// with a Reason that is not Ours is another's in any case.
	Other bool
}

// free says that nobody holds the lock.
func (h Holder) free() bool { return h == Holder{} }

// another says that somebody else is known to hold the lock.
func (h Holder) another() bool {
	return !h.free() && !h.Ours && (h.Other || h.Reason != "")
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
	// MaybeOurs says that the reply to one of our own requests was lost, and that
	// the lock's place does not tell whether the holder is ourselves.
	MaybeOurs bool
}

func (e *HeldError) Error() string {
	text := "locked by " + e.Holder.String()
	if e.Waited > 0 {
		text = fmt.Sprintf("still locked by %s after waiting %s", e.Holder, rounded(e.Waited))
	}
	if e.MaybeOurs {
		text += "; the reply to a lock request of ours was lost, so the lock may be our own"
	}
	return text
}

// rounded drops what nobody wants to read of a duration.
func rounded(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
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
	// Clock tells how old what was seen of the lock is; nil means SystemClock.
	Clock Clock
}

// The pauses between two attempts: they double from the first to the longest,
// each shortened at random by up to a third so that many who wait do not ask in
// step.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 15 * time.Second
)

// mostLost is how many requests for one lock may be lost in a row before it is
// given up.
const mostLost = 3

// askTime is how long in all the question who holds the lock is repeated, when
// its answer decides whether a lock of ours is left behind.
const askTime = 30 * time.Second

// Acquire takes the lock, waiting while somebody else holds it. It fails with a
// *HeldError when the time is over, with the context's error when that ends,
// and with whatever else the Locker answers. When it fails after a lost reply,
// it has made sure that the lock is not left behind, or the error is an
// *AbandonedError or a *HeldError that says MaybeOurs.
//
// A lock that turns out to be ours is returned even when the context has ended
// meanwhile: the caller has to release it.
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
	lost            bool // a reply was: the lock may be ours whatever Lock answers
}

// attempt asks once, and again when a request was lost without effect. It returns
// neither a lease nor an error when somebody else holds the lock.
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
			if lost == mostLost {
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

// whoHolds asks who holds the lock: it may be ourselves, from a request whose
// reply was lost. Once one was lost the question is asked stubbornly, even when
// the context has ended, or a lock of ours might be left behind.
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
	a.holder = holder // after a failed question: held, not known by whom
	return nil, nil
}

func (a *acquisition) ask(ctx context.Context) (Holder, Instant, error) {
	return askHolder(ctx, a.Locker, a.Clock)
}

// insist asks who holds the lock until there is an answer, for askTime.
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

// pause waits before the next attempt, or says why there will be none.
func (a *acquisition) pause(ctx context.Context, pause time.Duration) error {
	now := time.Now()
	if a.firstSeen.IsZero() {
		a.firstSeen = now
	}
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
		a.OnWait(a.holder, a.firstSeen, pause)
	}
	doze := func(ctx context.Context) error { return Sleep(ctx, pause) }
	if a.Pause != nil {
		return a.ended(a.Pause(ctx, doze))
	}
	return a.ended(doze(ctx))
}

// ended adds to the error that ends the waiting that the lock may be left behind.
func (a *acquisition) ended(err error) error {
	if held := a.held(); err != nil && held.MaybeOurs {
		return fmt.Errorf("%w (%w)", err, held)
	}
	return err
}

// held says who has the lock and how long was waited for it.
func (a *acquisition) held() *HeldError {
	e := &HeldError{Holder: a.holder, FirstSeen: a.firstSeen}
	if a.Timeout > 0 {
		e.Waited = time.Since(a.start)
	}
	e.MaybeOurs = a.lost && !a.holder.free() && !a.holder.another()
	return e
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
