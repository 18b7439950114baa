package tfe

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A meteredServer counts requests as servers with a rate limit do.
type meteredServer struct {
	mu       sync.Mutex
	arrivals []time.Time
	limit    string // the header; "" means not sent
	latency  time.Duration
}

func (s *meteredServer) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.arrivals = append(s.arrivals, time.Now())
	s.mu.Unlock()
	if err := lockwait.Sleep(req.Context(), s.latency); err != nil {
		return nil, err
	}
	h := http.Header{"Content-Type": {jsonAPI}}
	if s.limit != "" {
		h.Set("X-RateLimit-Limit", s.limit)
	}
	return &http.Response{StatusCode: http.StatusNoContent, Header: h, Body: http.NoBody, Request: req, ProtoMajor: 1, ProtoMinor: 1}, nil
}

// most returns the largest number of arrivals in any window of a length: sliding windows
// and the server's fixed ones.
func (s *meteredServer) most(window time.Duration) int {
	slices.SortFunc(s.arrivals, time.Time.Compare)
	most := 0
	for i, first := range s.arrivals {
		n, _ := slices.BinarySearchFunc(s.arrivals[i:], first.Add(window), time.Time.Compare)
		most = max(most, n)
	}
	return most
}

func TestRateLimitIsKeptAndUsed(t *testing.T) {
	cases := []struct {
		name             string
		header           string
		ceiling, allowed float64 // requests a second
		workers          int
		latency          time.Duration
	}{
		{"learned from the header", "30", 0, 30, 8, 20 * time.Millisecond},
		{"many workers", "30", 0, 30, 64, 100 * time.Millisecond},
		{"a small limit", "2", 0, 2, 8, 50 * time.Millisecond},
		{"one per second", "1", 0, 1, 8, 50 * time.Millisecond},
		{"a ceiling of one in two seconds", "30", 0.5, 0.5, 8, 50 * time.Millisecond},
		{"a ceiling below the server's limit", "30", 7, 7, 8, 20 * time.Millisecond},
		{"a ceiling above the server's limit", "10", 50, 10, 8, 20 * time.Millisecond},
		{"a ceiling without a limit of the server", "", 12, 12, 8, 20 * time.Millisecond},
		{"a ceiling with a header that is not a number", "30, 30;w=1", 12, 12, 8, 20 * time.Millisecond},
		{"a fractional ceiling", "30", 2.5, 2.5, 8, 20 * time.Millisecond},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const seconds = 60
				server := &meteredServer{limit: c.header, latency: c.latency}
				tr := transportOver(server, c.ceiling)
				ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
				defer cancel()
				var all sync.WaitGroup
				for range c.workers {
					all.Go(func() {
						for {
							resp, err := tr.RoundTrip(apiRequest(ctx, t, http.MethodGet, nil))
							if err != nil {
								return
							}
							discard(resp)
						}
					})
				}
				all.Wait()
				most := int(math.Ceil(c.allowed))
				if c.ceiling == 0 && c.workers > most {
					// Requests sent before the first response cannot know the limit, but
					// count.
					second := time.Duration(float64(time.Second) * max(1, 1/c.allowed))
					n, _ := slices.BinarySearchFunc(server.arrivals, server.arrivals[0].Add(second), time.Time.Compare)
					if n > c.workers {
						t.Errorf("%d requests in the first second of %d workers", n, c.workers)
					}
					server.arrivals = server.arrivals[n:]
				}
				window := time.Duration(float64(time.Second) * max(1, 1/c.allowed))
				if got := server.most(window); got > most {
					t.Errorf("%d requests in one window of %s, the limit is %d", got, window, most)
				}
				if used := float64(len(server.arrivals)) / (c.allowed * (seconds - 2)); used < 0.95 {
					t.Errorf("%.0f %% of the limit used in %d s", 100*used, seconds)
				}
			})
		})
	}
}

func TestRequestsBeforeTheLimitIsKnownCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0)
		for range 20 {
			if pause, _ := b.reserve(time.Now(), false); pause != 0 {
				t.Fatal("delayed without a limit")
			}
		}
		b.observe(http.Header{"X-Ratelimit-Limit": {"30"}})
		n := 0
		for pause, _ := b.reserve(time.Now(), false); pause == 0; pause, _ = b.reserve(time.Now(), false) {
			n++
		}
		if n != 10 {
			t.Errorf("%d more in the same second, want 10 of 30", n)
		}
	})
}

func TestAbsurdLimitsAreIgnored(t *testing.T) {
	for _, value := range []string{"", "0", "-5", "NaN", "Inf", "1e300", "0.0001", "0x1p-10", "0.999", "1e-300", "-0x1p-10", "thirty", "30;w=1", "30,30"} {
		b := newBudget(0)
		b.observe(http.Header{"X-Ratelimit-Limit": {value}})
		if b.most != 0 {
			t.Errorf("%q is taken as a limit of %d", value, b.most)
		}
	}
}

func TestWaitAfter429(t *testing.T) {
	cases := []struct {
		header, value string
		want          time.Duration
	}{
		{"X-RateLimit-Reset", "0.25", 250 * time.Millisecond},
		{"X-RateLimit-Reset", "3", 3 * time.Second},
		{"X-RateLimit-Reset", "0", shortestReset},
		{"X-RateLimit-Reset", "600", longestReset},
		{"X-RateLimit-Reset", "1767225600", time.Second}, // a date
		{"X-RateLimit-Reset", "soon", time.Second},
		{"X-RateLimit-Reset", "-1", time.Second},
		{"X-RateLimit-Reset", "NaN", time.Second},
		{"X-RateLimit-Reset", "+Inf", time.Second},
		{"X-RateLimit-Reset", "", time.Second},
		{"Retry-After", "2", 2 * time.Second},
		{"Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT", time.Second},
	}
	for _, c := range cases {
		h := http.Header{}
		h.Set(c.header, c.value)
		if got := pauseOf(h, 0); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.header, c.value, got, c.want)
		}
	}
	zero := http.Header{"X-Ratelimit-Reset": {"0"}}
	if got := pauseOf(zero, 4); got != 16*shortestReset {
		t.Errorf("the fifth refusal in a row waits %s", got)
	}
	if got := pauseOf(zero, 1<<30); got != longestFloor {
		t.Errorf("the last refusal waits %s", got)
	}
}

// A refusingServer answers 429 for a while.
type refusingServer struct {
	meteredServer
	until time.Time
	reset string
}

func (s *refusingServer) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.meteredServer.RoundTrip(req)
	if err == nil && time.Now().Before(s.until) {
		resp.StatusCode = http.StatusTooManyRequests
		if s.reset != "" {
			resp.Header.Set("X-RateLimit-Reset", s.reset)
		}
	}
	return resp, err
}

func TestA429HoldsEverybodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &refusingServer{until: time.Now().Add(time.Millisecond), reset: "5"}
		tr := transportOver(server, 0)
		start := time.Now()
		resp, err := tr.RoundTrip(apiRequest(t.Context(), t, http.MethodGet, nil)) // refused, and repeated
		if err != nil || resp.StatusCode != http.StatusNoContent || time.Since(start) != 5*time.Second {
			t.Fatalf("%v after %s", err, time.Since(start))
		}
		server.until = time.Now().Add(time.Millisecond)
		go func() { _, _ = tr.RoundTrip(apiRequest(t.Context(), t, http.MethodGet, nil)) }()
		synctest.Wait()
		start = time.Now()
		if _, err := tr.RoundTrip(apiRequest(t.Context(), t, http.MethodGet, nil)); err != nil || time.Since(start) != 5*time.Second {
			t.Errorf("another request started %s after the 429, want 5s (%v)", time.Since(start), err)
		}
	})
}

func TestPatienceWithA429IsBounded(t *testing.T) {
	for _, reset := range []string{"", "0", "0.2", "1", "59", "3000", "99999999999", "soon"} {
		synctest.Test(t, func(t *testing.T) {
			server := &refusingServer{until: time.Now().Add(24 * time.Hour), reset: reset}
			tr := transportOver(server, 0)
			start := time.Now()
			_, err := tr.RoundTrip(apiRequest(t.Context(), t, http.MethodPost, func() string { return "{}" }))
			took := time.Since(start)
			if backend.CodeOf(err) != backend.RateLimited {
				t.Fatalf("reset %q: %v", reset, err)
			}
			if took > patience || took < patience-longestReset {
				t.Errorf("reset %q: failed after %s", reset, took)
			}
			if n := len(server.arrivals); n > 310 && reset != "0" && reset != "0.2" || n > 400 {
				t.Errorf("reset %q: %d requests", reset, n)
			}
		})
	}
}

func TestRateWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &meteredServer{}
		tr := transportOver(server, 0.01)
		if _, err := tr.RoundTrip(apiRequest(t.Context(), t, http.MethodGet, nil)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		req := apiRequest(ctx, t, http.MethodPost, func() string { return "{}" })
		closed := &closeNoting{ReadCloser: req.Body}
		req.Body = closed
		_, err := tr.RoundTrip(req)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second || len(server.arrivals) != 1 {
			t.Errorf("%v after %s and %d requests", err, time.Since(start), len(server.arrivals))
		}
		if !closed.closed {
			t.Error("the body of the request that was never sent is still open")
		}
	})
}

// go-tfe exits on a Reset or Limit that is not a finite number, and fails every call if the
// announced limit is 1 to 3.
func TestHostileRateHeadersDoNotReachGoTFE(t *testing.T) {
	for i, h := range []http.Header{
		{"X-Ratelimit-Reset": {"soon"}, "X-Ratelimit-Limit": {"x"}, "X-Ratelimit-Remaining": {"-"}},
		{"X-Ratelimit-Reset": {"1"}, "X-Ratelimit-Limit": {"2"}},
		{"X-Ratelimit-Limit": {"1e999"}},
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			refused := false
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for name, values := range h {
					w.Header()[name] = values
				}
				if r.URL.Path == "/api/v2/runs/run-1" && !refused {
					refused = true
					w.Header().Set("X-RateLimit-Reset", "0")
					answer(http.StatusTooManyRequests, jsonAPI, `{"errors":[{"status":429,"title":"Too many requests"}]}`)(w, r)
					return
				}
				answer(http.StatusOK, jsonAPI, `{"data":{"id":"run-1","type":"runs","attributes":{"status":"planned"}}}`)(w, r)
			}))
			ctx, meter := backend.WithMeter(t.Context())
			run, err := c.Run(ctx, "run-1")
			if err != nil || run.Status != "planned" || meter.Calls() != 3 {
				t.Errorf("got %+v, %v after %d calls", run, err, meter.Calls())
			}
		})
	}
}

// Making the go-tfe client costs a request, so only those who need it pay for it, once.
func TestGoTFEIsMadeOnce(t *testing.T) {
	var asked []string
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, strings.TrimPrefix(r.URL.Path, "/api/v2/"))
		kind := "runs"
		if strings.HasSuffix(r.URL.Path, "details") {
			kind = "users"
		}
		answer(http.StatusOK, jsonAPI, `{"data":{"id":"run-1","type":"`+kind+`"}}`)(w, r)
	}))
	if _, err := c.Identity(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.Run(t.Context(), "run-1"); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"account/details", "ping", "runs/run-1", "runs/run-1"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

// An interrupt ends the request that makes the go-tfe client, and the next call makes it.
func TestMakingGoTFECanBeInterrupted(t *testing.T) {
	pinged := make(chan struct{})
	silent := true
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if silent {
			close(pinged)
			<-r.Context().Done()
			return
		}
		answer(http.StatusOK, jsonAPI, `{"data":{"id":"run-1","type":"runs"}}`)(w, r)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-pinged
		cancel()
	}()
	if _, err := c.Run(ctx, "run-1"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	silent = false
	if _, err := c.Run(t.Context(), "run-1"); err != nil {
		t.Error(err)
	}
}

// A ceiling above any possible server limit has no effect; 1e300 does not overflow.
func TestRatesBeyondAllBoundsAreNone(t *testing.T) {
	for _, rate := range []float64{100_001, 1e9, 1e300} {
		if b := newBudget(rate); b.most != 0 || b.window != time.Second {
			t.Errorf("%g requests a second: %d in %s", rate, b.most, b.window)
		}
	}
}
