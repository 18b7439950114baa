package tfe

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// budget lets requests use all of the server's rate limit, but no more: in any window, at
// most as many requests start as the server announces per second. A burst up to the limit
// starts immediately, which helps a single move, and a haul settles at the limit.
// x/time/rate cannot do both: a bucket of the limit's size, refilled at the limit's rate,
// lets twice the limit through in its first second.
//
// It is safe for concurrent use.
type budget struct {
	mu     sync.Mutex
	most   int           // requests per window; 0 means no known limit
	ceil   float64       // the user's own limit in requests per second; 0 means none
	window time.Duration // slightly more than a second, see announce
	starts []time.Time   // when the last requests started or may start, oldest first
	until  time.Time     // no request starts before this, because the server answered 429
}

// newBudget returns a budget for a server with an unknown limit. A ceiling in requests per
// second, if not 0, applies whatever the server announces.
func newBudget(ceiling float64) *budget {
	if ceiling > maxPerSecond {
		ceiling = 0
	}
	b := &budget{ceil: ceiling}
	b.announce(0)
	return b
}

// announce sets the server's limit in requests per second; 0 means none.
func (b *budget) announce(perSecond float64) {
	limit := perSecond
	if b.ceil > 0 && (limit <= 0 || b.ceil < limit) {
		limit = b.ceil
	}
	if limit <= 0 {
		b.most, b.window = 0, time.Second
		return
	}
	// A fractional limit is spread evenly: there is no burst of 2.5 requests per second.
	b.most = 1
	if limit == math.Trunc(limit) {
		b.most = int(limit)
	}
	// Two requests may arrive closer together than they started, if the first waited in a
	// queue on the way. A window 3 % longer than a second keeps them apart and still uses
	// 97 % of the limit.
	b.window = time.Duration(float64(b.most) / limit * 1.03 * float64(time.Second))
}

// wait returns when the next request may start, or with the cause of the context's end.
// While the server answers 429 to others, it waits at most patient. An urgent request does
// not wait its turn; later requests wait for it instead.
func (b *budget) wait(ctx context.Context, patient time.Duration, urgent bool) error {
	var held time.Duration // because of a 429
	for {
		pause, refused := b.reserve(time.Now(), urgent)
		if pause <= 0 {
			return context.Cause(ctx)
		}
		if refused {
			if held += pause; held > patient {
				return &Error{Code: backend.RateLimited, Status: http.StatusTooManyRequests}
			}
		}
		if lockwait.Sleep(ctx, pause) != nil {
			return context.Cause(ctx)
		}
	}
}

// reserve takes a place in the window and returns 0, or how long to wait before trying
// again, and whether that is because of a 429.
func (b *budget) reserve(now time.Time, urgent bool) (pause time.Duration, refused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pause := b.until.Sub(now); pause > 0 {
		return pause, true
	}
	for len(b.starts) > 0 && now.Sub(b.starts[0]) >= b.window {
		b.starts = b.starts[1:]
	}
	if b.most > 0 && len(b.starts) >= b.most && !urgent {
		return b.starts[len(b.starts)-b.most].Add(b.window).Sub(now), false
	}
	// Count requests even while no limit is known: they may have been sent just before the
	// first response.
	b.starts = append(b.starts, now)
	return 0, false
}

// The range of credible limits. A larger limit has no effect. With a smaller one, a move's
// requests would keep a workspace locked for minutes or even years, so such a header must
// be a mistake.
const (
	minPerSecond = 1
	maxPerSecond = 100_000
)

// observe learns the limit from a response. It ignores headers that are not numbers; some
// proxies send those.
func (b *budget) observe(h http.Header) {
	limit, err := strconv.ParseFloat(h.Get("X-RateLimit-Limit"), 64)
	if err != nil || !(limit >= minPerSecond && limit <= maxPerSecond) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.announce(limit)
}

// holdBack delays all requests until a time, because the server answered 429.
func (b *budget) holdBack(until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.until) {
		b.until = until
	}
}

// Limits of the wait after a 429.
const (
	longestReset  = 60 * time.Second
	shortestReset = 50 * time.Millisecond
	longestFloor  = 5 * time.Second
	absurdReset   = time.Hour // a longer Reset is a date or nonsense
)

// pauseOf returns how long to wait after a 429: as many seconds as the response says, or
// one second if the value is missing or absurd. The wait at least doubles with each
// refusal, so that a server that says 0 is not flooded.
func pauseOf(h http.Header, refusals int) time.Duration {
	pause := time.Second
	for _, name := range []string{"X-RateLimit-Reset", "Retry-After"} {
		reset, err := strconv.ParseFloat(h.Get(name), 64)
		if err == nil && reset >= 0 && reset <= absurdReset.Seconds() {
			pause = min(time.Duration(reset*float64(time.Second)), longestReset)
			break
		}
	}
	floor := min(shortestReset<<min(refusals, 20), longestFloor)
	return max(pause, floor)
}
