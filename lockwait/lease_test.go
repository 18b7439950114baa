package lockwait

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRelease(t *testing.T) {
	other := Holder{Name: "user ci", Reason: "another haul"} // of our own identity: the place would let us unlock it
	cases := []struct {
		name     string
		arrange  func(*place) // after the lock was taken
		held     time.Duration
		requests string
		want     error // found with errors.Is; nil: released
		left     string
		took     time.Duration // at least
	}{
		{name: "at once, with one request",
			requests: "unlock"},
		{name: "while the state is still processed",
			arrange:  func(p *place) { p.pending = 4 },
			requests: "unlock unlock unlock unlock holder unlock", took: 7 * time.Second},
		{name: "stops at its bound",
			arrange: func(p *place) { p.pending = 1000 },
			want:    ErrPending, left: "ours", took: releaseTime},
		{name: "the reply was lost and it took effect",
			arrange:  func(p *place) { p.fail("unlock", lostBack) },
			requests: "unlock holder"},
		{name: "the reply was lost and it took no effect",
			arrange:  func(p *place) { p.fail("unlock", lostAway) },
			requests: "holder holder unlock", took: firstPause},
		{name: "the reply was lost and somebody else has it by now",
			arrange:  func(p *place) { p.hold(other); p.fail("unlock", lostAway) },
			requests: "holder", left: other.Reason},
		{name: "the reply was lost and nobody can tell who has it",
			arrange:  func(p *place) { p.mute = true; p.fail("unlock", lostAway) },
			requests: "holder holder unlock", took: firstPause},
		{name: "nobody can be asked for a while",
			arrange:  func(p *place) { p.fail("unlock", lostAway).fail("holder", lostAway, lostAway, none) },
			requests: "holder unlock", took: firstPause},
		{name: "nobody can be asked any more",
			arrange: func(p *place) { p.fail("unlock", lostAway).fail("holder", lostAway) },
			want:    ErrUnsure, left: "ours", took: releaseTime},
		{name: "somebody took it from us, of another identity",
			arrange:  func(p *place) { p.hold(alice) },
			requests: "unlock", want: ErrNotHeld, left: alice.Reason},
		{name: "somebody of our own identity took it from us meanwhile",
			arrange: func(p *place) { p.hold(other) }, held: time.Minute,
			requests: "holder", want: ErrNotHeld, left: other.Reason},
		{name: "somebody unlocked it meanwhile",
			arrange: func(p *place) { p.hold(Holder{}) }, held: time.Minute,
			requests: "holder", want: ErrNotHeld},
		{name: "held for long and still ours",
			held:     time.Minute,
			requests: "holder unlock"},
		{name: "held for long where nobody can tell",
			arrange: func(p *place) { p.mute = true }, held: time.Minute,
			requests: "holder unlock"},
		{name: "held for long and the question fails",
			arrange: func(p *place) { p.fail("holder", broken) }, held: time.Minute,
			requests: "holder", want: errBroken, left: "ours"},
		{name: "held for long and the reply to the question is lost once",
			arrange: func(p *place) { p.fail("holder", lostBack) }, held: time.Minute,
			requests: "holder holder unlock", took: firstPause},
		{name: "no permission is no reason to try again",
			arrange:  func(p *place) { p.fail("unlock", broken) },
			requests: "unlock", want: errBroken, left: "ours"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &place{}
				lease, err := Acquire(t.Context(), party{p, "ours"}, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if c.arrange != nil {
					c.arrange(p)
				}
				p.journal = nil
				time.Sleep(c.held) // virtual
				ctx, cancel := context.WithCancel(t.Context())
				cancel() // whatever ended the work must not end the release
				start := time.Now()
				err = lease.Release(ctx)
				took := time.Since(start)
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Fatalf("got the error %v, want %v", err, c.want)
				}
				if c.requests != "" && p.requests() != c.requests {
					t.Errorf("requests %q, want %q", p.requests(), c.requests)
				}
				if p.heldBy() != c.left {
					t.Errorf("the lock is held for %q, want %q", p.heldBy(), c.left)
				}
				if took < c.took || took > releaseTime {
					t.Errorf("took %s, want between %s and %s", took, c.took, releaseTime)
				}
				if mayBeOurs := err != nil && !errors.Is(err, ErrNotHeld); lease.Held() != mayBeOurs {
					t.Errorf("held afterwards: %t", lease.Held())
				}
			})
		})
	}
}

func TestReleaseInFlightMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The reply was lost, the question finds the lock still ours, and only then
		// the request takes effect: the next is told that the lock is not held.
		p := &place{}
		lease, err := Acquire(t.Context(), party{p, "ours"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		p.fail("unlock", lostAway)
		late := lateUnlock{party{p, "ours"}}
		lease.locker = late
		if err := lease.Release(t.Context()); err != nil {
			t.Fatalf("released by the request whose reply was lost, got %v", err)
		}
	})
}

// lateUnlock frees the lock just before the second unlock arrives.
type lateUnlock struct{ party }

func (l lateUnlock) Unlock(ctx context.Context, sending Sending) error {
	l.mu.Lock()
	second := len(l.faults["unlock"]) == 0
	l.mu.Unlock()
	if second {
		l.hold(Holder{})
	}
	return l.party.Unlock(ctx, sending)
}

func TestSecondReleaseDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{latency: time.Second, pending: 3}
		lease, err := Acquire(t.Context(), party{p, "ours"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := lease.Release(t.Context()); err != nil {
					t.Error(err)
				}
				if p.heldBy() != "" {
					t.Error("a Release returned before the lock was free")
				}
			})
		}
		all.Wait()
		if got := p.requests(); got != "lock unlock unlock unlock holder unlock" {
			t.Errorf("requests %q", got)
		}
		p.hold(Holder{Name: "user ci", Reason: "the next"})
		if err := lease.Release(t.Context()); err != nil || p.heldBy() != "the next" {
			t.Errorf("a late Release freed the next holder's lock (%v)", err)
		}
	})
}

func TestReleaseMayBeTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := (&place{}).fail("unlock", broken)
		lease, err := Acquire(t.Context(), party{p, "ours"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := lease.Release(t.Context()); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		if err := lease.Release(t.Context()); err != nil || p.heldBy() != "" {
			t.Fatalf("the second try: %v, held for %q", err, p.heldBy())
		}
	})
}

func TestKeptLockStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{}
		lease, err := Acquire(t.Context(), party{p, "ours"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		lease.Keep()
		if err := lease.Release(t.Context()); err != nil || lease.Held() || p.heldBy() != "ours" {
			t.Fatalf("after Keep: %v, held %t, on the place %q", err, lease.Held(), p.heldBy())
		}
	})
}

func TestStateOfTheLeaseIsToldDuringARelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{pending: 1000}
		lease, err := Acquire(t.Context(), party{p, "ours"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		released := make(chan error, 1)
		go func() { released <- lease.Release(t.Context()) }()
		time.Sleep(10 * time.Second) // virtual
		start := time.Now()
		if !lease.Held() || time.Since(start) != 0 {
			t.Error("Held has to wait for the Release")
		}
		lease.Keep() // ends the Release at its next turn
		if err := <-released; err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited > longestPause {
			t.Errorf("the Release went on for %s", waited)
		}
	})
}
