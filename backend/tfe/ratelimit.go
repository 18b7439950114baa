package tfe

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tfhaul/lockwait"
)

// budget spends the whole of the server's rate limit and not more: in any
// window at most as many requests start as the server announces for a second.
// A burst up to the limit starts at once, which a single move is glad of, and a
// haul settles at the limit. x/time/rate cannot do both: a bucket of the limit's
// size, refilled at the limit's rate, lets twice the limit through in its first
// second.
//
// It is safe for use by many goroutines.
type budget struct {
	mu     sync.Mutex
	most   int           // requests a window; 0: no limit is known
	ceil   float64       // the user's own bound in requests a second; 0: none
	window time.Duration // a little over a second, see announce
	starts []time.Time   // when the last requests started or may start, oldest first
	until  time.Time     // nobody starts before this: the server said 429
}

// newBudget starts without knowing the server's limit. A ceiling in requests a
// second, if not 0, holds whatever the server announces.
func newBudget(ceiling float64) *budget {
	if ceiling > maxPerSecond {
		ceiling = 0
	}
	b := &budget{ceil: ceiling}
	b.announce(0)
	return b
}

// announce sets the server's limit in requests a second; 0 when it names none.
func (b *budget) announce(perSecond float64) {
	limit := perSecond
	if b.ceil > 0 && (limit <= 0 || b.ceil < limit) {
		limit = b.ceil
	}
	if limit <= 0 {
		b.most, b.window = 0, time.Second
		return
	}
	// A fraction is spread evenly: there is no burst of 2.5 requests a second.
	b.most = 1
	if limit == math.Trunc(limit) {
		b.most = int(limit)
	}
	// A request that waits in a queue on its way and the next that does not come
	// closer together than they started: a window 3 % over a second keeps them
	// apart, and still uses 97 % of the limit.
	b.window = time.Duration(float64(b.most) / limit * 1.03 * float64(time.Second))
}

// wait returns when the next request may start, or with the cause of the context's
// end. While the server keeps saying 429 to others, it waits at most patient. An urgent
// request waits for nothing else; those that come later wait for its place.
func (b *budget) wait(ctx context.Context, patient time.Duration, urgent bool) error {
	var held time.Duration // because of a 429
	for {
		pause, refused := b.reserve(time.Now(), urgent)
		if pause <= 0 {
			return context.Cause(ctx)
		}
		if refused {
			if held += pause; held > patient {
				return &Error{Code: RateLimited, Status: http.StatusTooManyRequests}
			}
		}
		if lockwait.Sleep(ctx, pause) != nil {
			return context.Cause(ctx)
		}
	}
}

// reserve takes a place in the window and returns 0, or how long to wait before asking
// again, and whether that is because the server said 429.
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
	// Also while no limit is known: what was sent before the first answer counts.
	b.starts = append(b.starts, now)
	return 0, false
}

// The limits that are believed. More than the largest is as good as none. A server
// that lets one through in less than a second would hold a workspace locked for the
// minutes that a move's calls take, or for years: such a header is a mistake.
const (
	minPerSecond = 1
	maxPerSecond = 100_000
)

// observe learns the limit from an answer. Headers that are not numbers, as proxies
// have been seen to send, are ignored.
func (b *budget) observe(h http.Header) {
	limit, err := strconv.ParseFloat(h.Get("X-RateLimit-Limit"), 64)
	if err != nil || !(limit >= minPerSecond && limit <= maxPerSecond) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.announce(limit)
}

// holdBack lets nobody start before a time: the server said 429.
func (b *budget) holdBack(until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.until) {
		b.until = until
	}
}

// The bounds of the wait after a 429.
const (
	longestReset  = 60 * time.Second
	shortestReset = 50 * time.Millisecond
	longestFloor  = 5 * time.Second
	absurdReset   = time.Hour // a Reset beyond is a date or nonsense
)

// pauseOf is how long to wait after a 429: as long as it says in seconds. Absent
// or absurd values are a second. A request that was refused before waits at
// least twice as long each time, so that a server that says 0 is not hammered.
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
