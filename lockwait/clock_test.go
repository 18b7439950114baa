package lockwait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What is sent relies on a lock that was seen as ours at most MaxAge before, on both
// clocks, counted from before the request whose answer showed it.
func TestEnsureLooksAgainWhenTheLockIsOld(t *testing.T) {
	other := Holder{Name: "user ci", Reason: "another haul"}
	cases := []struct {
		name    string
		latency time.Duration // of every answer
		wait    time.Duration
		jump    time.Duration // of the wall clock
		holder  *Holder       // who has taken the lock meanwhile
		want    error
		looks   string
	}{
		{name: "fresh", wait: MaxAge},
		{name: "old", wait: MaxAge + time.Second, looks: "holder"},
		{name: "the answer to the lock request came late", latency: 4 * time.Second, wait: 2 * time.Second, looks: "holder"},
		{name: "the process was suspended", jump: time.Hour, looks: "holder"},
		{name: "the wall clock was set back", wait: MaxAge + time.Second, jump: -time.Hour, looks: "holder"},
		{name: "another has it by now", wait: time.Minute, holder: &other, want: ErrNotHeld, looks: "holder"},
		{name: "another took it while the process was suspended", jump: time.Hour, holder: &other, want: ErrNotHeld, looks: "holder"},
		{name: "nobody has it by now", wait: time.Minute, holder: &Holder{}, want: ErrNotHeld, looks: "holder"},
		{name: "every answer is old when it arrives", latency: 6 * time.Second, want: ErrTooSlow, looks: "holder holder holder"},
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
					t.Errorf("held afterwards: %t", lease.Held())
				}
			})
		})
	}
}

// Where the server does not say who holds a lock, Ensure says so.
func TestEnsureReportsThatTheHolderIsNotKnown(t *testing.T) {
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

// A resumed lease of which nobody knows when it was seen is looked at first.
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

// A lock that was lost is asked for again, and is fresh then.
func TestRetake(t *testing.T) {
	cases := []struct {
		name    string
		arrange func(*place)
		want    error
	}{
		{"free", func(p *place) {}, nil},
		{"held by another", func(p *place) { p.hold(alice) }, ErrHeld},
		{"the reply is lost and it took effect", func(p *place) { p.fail("lock", lostBack) }, nil},
		{"the reply is lost and it took no effect", func(p *place) { p.fail("lock", lostAway) }, ErrUnsure},
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
