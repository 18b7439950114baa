package lockwait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A request is sent only if the lock was seen as ours at most MaxAge ago. Both clocks
// count, from before the request that showed it was sent.
func TestEnsureAsksAgainWhenTheAnswerIsOld(t *testing.T) {
	other := Holder{Name: "user ci", Reason: "another haul"}
	cases := []struct {
		name    string
		latency time.Duration // of every answer
		wait    time.Duration
		jump    time.Duration // of the wall clock
		holder  *Holder       // who took the lock in the meantime
		want    error
		looks   string
	}{
		{name: "fresh", wait: MaxAge},
		{name: "old", wait: MaxAge + time.Second, looks: "holder"},
		{name: "late answer to the lock request", latency: 4 * time.Second, wait: 2 * time.Second, looks: "holder"},
		{name: "process suspended", jump: time.Hour, looks: "holder"},
		{name: "wall clock set back", wait: MaxAge + time.Second, jump: -time.Hour, looks: "holder"},
		{name: "taken by another user", wait: time.Minute, holder: &other, want: ErrNotHeld, looks: "holder"},
		{name: "taken by another user while suspended", jump: time.Hour, holder: &other, want: ErrNotHeld, looks: "holder"},
		{name: "unlocked by another user", wait: time.Minute, holder: &Holder{}, want: ErrNotHeld, looks: "holder"},
		{name: "every answer arrives too old", latency: 6 * time.Second, want: ErrTooSlow, looks: "holder holder holder"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var jumped time.Duration
				clock := func() Instant {
					now := SystemClock()
					now.Wall = now.Wall.Add(jumped)
					return now
				}
				p := &place{latency: c.latency / 2, slowBack: c.latency / 2}
				lease, err := Acquire(t.Context(), party{p, "ours"}, Options{Clock: clock})
				if err != nil {
					t.Fatal(err)
				}
				p.journal = nil
				time.Sleep(c.wait) // virtual
				jumped = c.jump
				if c.holder != nil {
					p.hold(*c.holder)
				}
				if err := lease.Ensure(t.Context(), MaxAge); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if got := p.requests(); got != c.looks {
					t.Errorf("requests %q, want %q", got, c.looks)
				}
				if lost := errors.Is(c.want, ErrNotHeld); lease.Held() == lost {
					t.Errorf("Held is %t afterwards", lease.Held())
				}
			})
		})
	}
}

func TestEnsureReportsAnUnknownHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{mute: true}
		lease, err := Acquire(t.Context(), party{p, "ours"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if lease.Unsure() {
			t.Error("unsure of a lock that was just granted")
		}
		time.Sleep(time.Minute) // virtual
		if err := lease.Ensure(t.Context(), MaxAge); err != nil || !lease.Unsure() {
			t.Errorf("got %v, unsure %t", err, lease.Unsure())
		}
	})
}

func TestResumedLeaseOfUnknownAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{holder: Holder{Name: "user ci", Reason: "ours"}}
		if err := Resume(party{p, "ours"}, nil, Instant{}).Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := p.requests(); got != "holder unlock" {
			t.Errorf("requests %q", got)
		}
	})
}

func TestRetake(t *testing.T) {
	cases := []struct {
		name    string
		arrange func(*place)
		want    error
	}{
		{"free", func(p *place) {}, nil},
		{"held by another user", func(p *place) { p.hold(alice) }, ErrHeld},
		{"reply lost after the request took effect", func(p *place) { p.fail("lock", lostBack) }, nil},
		{"reply lost before the request took effect", func(p *place) { p.fail("lock", lostAway) }, ErrUnsure},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &place{}
				lease := Resume(party{p, "ours"}, nil, Instant{})
				c.arrange(p)
				if err := lease.Retake(t.Context()); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if c.want == nil {
					p.journal = nil
					if err := lease.Ensure(context.Background(), MaxAge); err != nil || p.requests() != "" {
						t.Errorf("got %v after %q", err, p.requests())
					}
				}
			})
		})
	}
}
