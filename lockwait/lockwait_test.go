package lockwait

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var alice = Holder{Name: "user alice", Reason: "apply by hand"}

// acquired is the result of one Acquire.
type acquired struct {
	lease *Lease
	err   error
	took  time.Duration
}

func acquire(ctx context.Context, l Locker, o Options) acquired {
	start := time.Now()
	lease, err := Acquire(ctx, l, o)
	return acquired{lease, err, time.Since(start)}
}

func TestFreeLockIsTakenWithOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{}
		got := acquire(t.Context(), party{p, "ours"}, Options{})
		if got.err != nil || !got.lease.Held() || got.took != 0 || p.requests() != "lock" {
			t.Fatalf("got %+v after %q", got, p.requests())
		}
	})
}

func TestHeldLockFailsImmediatelyWithoutTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{holder: alice}
		got := acquire(t.Context(), party{p, "ours"}, Options{})
		held, ok := errors.AsType[*HeldError](got.err)
		if !ok || !errors.Is(got.err, ErrHeld) || got.took != 0 || held.Holder.Name != alice.Name || held.MaybeOurs {
			t.Fatalf("got %+v", got)
		}
		if want := `locked by user alice ("apply by hand")`; got.err.Error() != want {
			t.Errorf("the error reads %q, want %q", got.err, want)
		}
	})
}

func TestWaitsUntilTheLockIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{holder: alice}
		const freeAfter = 40 * time.Second
		time.AfterFunc(freeAfter, func() { p.hold(Holder{}) })
		got := acquire(t.Context(), party{p, "ours"}, Options{Timeout: time.Hour})
		if got.err != nil || got.took < freeAfter || got.took > freeAfter+longestPause {
			t.Fatalf("got %+v", got)
		}
	})
}

func TestDeadlineIsExact(t *testing.T) {
	for _, timeout := range []time.Duration{time.Millisecond, 700 * time.Millisecond, 90 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p := &place{holder: alice}
			got := acquire(t.Context(), party{p, "ours"}, Options{Timeout: timeout})
			held, ok := errors.AsType[*HeldError](got.err)
			if !ok || got.took != timeout || held.Waited != timeout {
				t.Fatalf("timeout %s: got %+v", timeout, got)
			}
		})
		synctest.Test(t, func(t *testing.T) { // freed at the last moment
			p := &place{holder: alice}
			time.AfterFunc(timeout-time.Microsecond, func() { p.hold(Holder{}) })
			if got := acquire(t.Context(), party{p, "ours"}, Options{Timeout: timeout}); got.err != nil {
				t.Fatalf("timeout %s: missed the last chance: %v", timeout, got.err)
			}
		})
	}
}

func TestPausesGrowAndAreSpread(t *testing.T) {
	first := map[time.Duration]bool{}
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			p := &place{holder: alice}
			var pauses []time.Duration
			waits := func(h Holder, pause time.Duration) {
				if h != alice {
					t.Errorf("OnWait got %v", h)
				}
				pauses = append(pauses, pause)
			}
			acquire(t.Context(), party{p, "ours"}, Options{Timeout: 5 * time.Minute, OnWait: waits})
			most := firstPause
			for i, pause := range pauses[:len(pauses)-1] { // the last one is cut to the deadline
				if pause > most || pause <= most*2/3-1 {
					t.Errorf("pause %d is %s, want within a third of %s", i, pause, most)
				}
				most = min(2*most, longestPause)
			}
			first[pauses[0]] = true
		})
	}
	if len(first) < 10 {
		t.Errorf("only %d of 20 first pauses differ: clients retry in lockstep", len(first))
	}
}

func TestPauseHookSpendsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{holder: alice}
		var slots sync.Mutex // a resource that others could use during the wait
		slots.Lock()
		time.AfterFunc(10*time.Second, func() {
			slots.Lock() // would deadlock if Pause did not free it
			p.hold(Holder{})
			slots.Unlock()
		})
		got := acquire(t.Context(), party{p, "ours"}, Options{Timeout: time.Minute,
			Pause: func(ctx context.Context, sleep func(context.Context) error) error {
				slots.Unlock()
				defer slots.Lock()
				return sleep(ctx)
			}})
		if got.err != nil {
			t.Fatal(got.err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no free slot")
		p := &place{holder: alice}
		got := acquire(t.Context(), party{p, "ours"}, Options{Timeout: time.Minute,
			Pause: func(context.Context, func(context.Context) error) error { return full }})
		if !errors.Is(got.err, full) {
			t.Fatalf("got %v", got.err)
		}
	})
}

func TestLostReplies(t *testing.T) {
	cases := []struct {
		name     string
		arrange  func(*place)
		timeout  time.Duration
		requests string
		lease    bool
		check    func(error) bool
	}{
		{name: "the request took effect",
			arrange:  func(p *place) { p.fail("lock", lostBack) },
			requests: "lock holder", lease: true},
		{name: "the request took no effect",
			arrange:  func(p *place) { p.fail("lock", lostAway) },
			requests: "holder lock", lease: true},
		{name: "the question is lost for a while, too",
			arrange:  func(p *place) { p.fail("lock", lostBack).fail("holder", lostAway, lostAway, none) },
			requests: "lock holder", lease: true},
		{name: "the server stays unreachable",
			arrange:  func(p *place) { p.fail("lock", lostBack).fail("holder", lostAway) },
			requests: "lock",
			check: func(err error) bool {
				_, ok := errors.AsType[*AbandonedError](err)
				return ok && errors.Is(err, ErrUnsure)
			}},
		{name: "another user held it",
			arrange:  func(p *place) { p.holder = alice; p.fail("lock", lostBack) },
			requests: "lock holder",
			check: func(err error) bool {
				held, ok := errors.AsType[*HeldError](err)
				return ok && held.Holder == alice && !held.MaybeOurs
			}},
		{name: "the holder is unknown",
			arrange: func(p *place) { p.mute = true; p.fail("lock", lostBack) }, timeout: time.Second,
			requests: "lock holder lock holder lock holder lock holder",
			check: func(err error) bool {
				held, ok := errors.AsType[*HeldError](err)
				return ok && held.MaybeOurs && strings.Contains(err.Error(), "may be ours")
			}},
		{name: "every request is lost on its way",
			arrange:  func(p *place) { p.fail("lock", lostAway, lostAway, lostAway, lostAway, lostAway) },
			requests: "holder holder holder",
			check:    func(err error) bool { return errors.Is(err, ErrUnsure) }},
		{name: "a missing permission ends the wait",
			arrange:  func(p *place) { p.fail("lock", broken) },
			requests: "lock",
			check:    func(err error) bool { return errors.Is(err, errBroken) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &place{}
				c.arrange(p)
				got := acquire(t.Context(), party{p, "ours"}, Options{Timeout: c.timeout})
				if (got.lease != nil) != c.lease || (got.err == nil) != c.lease {
					t.Fatalf("got %+v", got)
				}
				if c.check != nil && !c.check(got.err) {
					t.Errorf("got error %v", got.err)
				}
				if c.timeout == 0 && p.requests() != c.requests {
					t.Errorf("requests %q, want %q", p.requests(), c.requests)
				}
				if !c.lease && !c.check(got.err) && p.heldBy() == "ours" {
					t.Error("a lock of ours is left behind without an error that says so")
				}
				if got.took > askTime+5*time.Second {
					t.Errorf("took %s", got.took)
				}
			})
		})
	}
}

func TestEndOfTheContext(t *testing.T) {
	t.Run("before the first request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			p := &place{}
			got := acquire(ctx, party{p, "ours"}, Options{})
			if !errors.Is(got.err, context.Canceled) || p.requests() != "" {
				t.Fatalf("got %+v after %q", got, p.requests())
			}
		})
	})
	t.Run("while waiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := &place{holder: alice}
			time.AfterFunc(7*time.Second, cancel)
			got := acquire(ctx, party{p, "ours"}, Options{Timeout: time.Hour})
			if !errors.Is(got.err, context.Canceled) || errors.Is(got.err, ErrHeld) || got.took != 7*time.Second {
				t.Fatalf("got %+v", got)
			}
		})
	})
	t.Run("while the request is under way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := &place{latency: 2 * time.Second}
			time.AfterFunc(time.Second, cancel)
			got := acquire(ctx, party{p, "ours"}, Options{Timeout: time.Hour})
			// The request did not arrive, so nothing is left behind. Acquire must have
			// asked.
			if !errors.Is(got.err, context.Canceled) || p.requests() != "holder" || p.heldBy() != "" {
				t.Fatalf("got %+v after %q", got, p.requests())
			}
		})
	})
	t.Run("after a lost reply to a request that took effect", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := (&place{}).fail("lock", lostBack)
			got := acquire(ctx, endsAfterLock{party{p, "ours"}, cancel}, Options{Timeout: time.Hour})
			if got.lease == nil {
				t.Fatalf("our lock was left behind: %v", got.err)
			}
			if err := got.lease.Release(ctx); err != nil || p.heldBy() != "" {
				t.Fatalf("released with an ended context: %v", err)
			}
		})
	})
	t.Run("after a lost reply with an unknown holder", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := (&place{mute: true}).fail("lock", lostBack)
			got := acquire(ctx, endsAfterLock{party{p, "ours"}, cancel}, Options{Timeout: time.Hour})
			held, ok := errors.AsType[*HeldError](got.err)
			if !ok || !held.MaybeOurs || !errors.Is(got.err, context.Canceled) {
				t.Fatalf("got %v", got.err)
			}
		})
	})
}

// endsAfterLock ends the context once the first lock request was answered.
type endsAfterLock struct {
	party
	cancel context.CancelFunc
}

func (l endsAfterLock) Lock(ctx context.Context, sending Sending) error {
	defer l.cancel()
	return l.party.Lock(ctx, sending)
}

func TestOneHolderAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{latency: 20 * time.Millisecond}
		var inside, most, done int
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				lease, err := Acquire(t.Context(), party{p, "worker " + string(rune('a'+i))}, Options{Timeout: 24 * time.Hour})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				time.Sleep(3 * time.Second)
				mu.Lock()
				inside--
				done++
				mu.Unlock()
				if err := lease.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most != 1 || done != 16 {
			t.Fatalf("%d held the lock at the same time, %d of 16 got it", most, done)
		}
	})
}

func TestHolderString(t *testing.T) {
	since := time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
	for want, h := range map[string]Holder{
		`somebody`:                                {},
		`user alice`:                              {Name: "user alice"},
		`run run-1 since 2026-03-01T12:30:00Z`:    {Name: "run run-1", Since: since},
		`user bob ("say \"hi\"")`:                 {Name: "user bob", Reason: `say "hi"`},
		`user b since 2026-03-01T12:30:00Z ("r")`: {Name: "user b", Reason: "r", Since: since},
	} {
		if got := h.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for want, e := range map[string]HeldError{
		"still locked by user a after waiting 300ms":  {Holder: Holder{Name: "user a"}, Waited: 300 * time.Millisecond},
		"still locked by user a after waiting 10m12s": {Holder: Holder{Name: "user a"}, Waited: 10*time.Minute + 11900*time.Millisecond},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
