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
	other := Holder{Name: "user ci", Reason: "another haul"} // has our identity, so the server would let us unlock it
	cases := []struct {
		name     string
		arrange  func(*place) // runs after the lock was taken
		held     time.Duration
		requests string
		want     error // compared with errors.Is; nil means released
		left     string
		took     time.Duration // at least
	}{
		{name: "one request",
			requests: "unlock"},
		{name: "retried while the state is processed",
			arrange:  func(p *place) { p.pending = 4 },
			requests: "unlock unlock unlock unlock holder unlock", took: 7 * time.Second},
		{name: "gives up after releaseTime",
			arrange: func(p *place) { p.pending = 1000 },
			want:    ErrPending, left: "ours", took: releaseTime},
		{name: "reply lost after the request took effect",
			arrange:  func(p *place) { p.fail("unlock", lostBack) },
			requests: "unlock holder"},
		{name: "reply lost before the request took effect",
			arrange:  func(p *place) { p.fail("unlock", lostAway) },
			requests: "holder holder unlock", took: firstPause},
		{name: "reply lost and another user holds the lock",
			arrange:  func(p *place) { p.hold(other); p.fail("unlock", lostAway) },
			requests: "holder", left: other.Reason},
		{name: "reply lost and the holder is unknown",
			arrange:  func(p *place) { p.mute = true; p.fail("unlock", lostAway) },
			requests: "holder holder unlock", took: firstPause},
		{name: "server unreachable for a while",
			arrange:  func(p *place) { p.fail("unlock", lostAway).fail("holder", lostAway, lostAway, none) },
			requests: "holder unlock", took: firstPause},
		{name: "server stays unreachable",
			arrange: func(p *place) { p.fail("unlock", lostAway).fail("holder", lostAway) },
			want:    ErrUnsure, left: "ours", took: releaseTime},
		{name: "taken by another identity",
			arrange:  func(p *place) { p.hold(alice) },
			requests: "unlock", want: ErrNotHeld, left: alice.Reason},
		{name: "taken by our own identity",
			arrange: func(p *place) { p.hold(other) }, held: time.Minute,
			requests: "holder", want: ErrNotHeld, left: other.Reason},
		{name: "unlocked by another user",
			arrange: func(p *place) { p.hold(Holder{}) }, held: time.Minute,
			requests: "holder", want: ErrNotHeld},
		{name: "held for a long time and still ours",
			held:     time.Minute,
			requests: "holder unlock"},
		{name: "held for a long time and the holder is unknown",
			arrange: func(p *place) { p.mute = true }, held: time.Minute,
			requests: "holder unlock"},
		{name: "held for a long time and the question fails",
			arrange: func(p *place) { p.fail("holder", broken) }, held: time.Minute,
			requests: "holder", want: errBroken, left: "ours"},
		{name: "held for a long time and the reply to the question is lost once",
			arrange: func(p *place) { p.fail("holder", lostBack) }, held: time.Minute,
			requests: "holder holder unlock", took: firstPause},
		{name: "a missing permission is not retried",
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
				cancel() // the end of ctx must not stop the release
				start := time.Now()
				err = lease.Release(ctx)
				took := time.Since(start)
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Fatalf("got error %v, want %v", err, c.want)
				}
				if c.requests != "" && p.requests() != c.requests {
					t.Errorf("requests %q, want %q", p.requests(), c.requests)
				}
				if p.heldBy() != c.left {
					t.Errorf("the lock's holder gave the reason %q, want %q", p.heldBy(), c.left)
				}
				if took < c.took || took > releaseTime {
					t.Errorf("took %s, want between %s and %s", took, c.took, releaseTime)
				}
				if mayBeOurs := err != nil && !errors.Is(err, ErrNotHeld); lease.Held() != mayBeOurs {
					t.Errorf("Held is %t afterwards", lease.Held())
				}
			})
		})
	}
}

func TestReleaseByAnEarlierRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The first unlock's reply is lost, and the lock is still ours when we ask. The
		// first unlock takes effect only then, so the server answers the second with "not
		// locked".
		p := &place{}
		lease, err := Acquire(t.Context(), party{p, "ours"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		p.fail("unlock", lostAway)
		late := lateUnlock{party{p, "ours"}}
		lease.locker = late
		if err := lease.Release(t.Context()); err != nil {
			t.Fatalf("got %v, want success: the first request released the lock", err)
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

func TestReleaseCanBeRetried(t *testing.T) {
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
			t.Fatalf("the second try: %v, locked with reason %q", err, p.heldBy())
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
			t.Fatalf("after Keep: %v, Held %t, locked with reason %q", err, lease.Held(), p.heldBy())
		}
	})
}

func TestHeldDoesNotWaitForARelease(t *testing.T) {
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
			t.Error("Held waits for the Release")
		}
		lease.Keep() // stops the Release at its next attempt
		if err := <-released; err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited > longestPause {
			t.Errorf("the Release continued for %s", waited)
		}
	})
}

// An endedLock is a lock that ended with the connection that held it.
type endedLock struct{ Locker }

func (endedLock) Holder(context.Context, Sending) (Holder, error) { return Holder{}, ErrNotHeld }

func TestALockThatEndedWithItsConnection(t *testing.T) {
	lease := Resume(endedLock{}, nil, Instant{})
	if err := lease.Ensure(t.Context(), 0); !errors.Is(err, ErrNotHeld) {
		t.Errorf("Holder reports the lock as held: %v", err)
	}
	if lease.Held() {
		t.Error("it is still to be released")
	}
}
