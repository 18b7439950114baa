package tfesim

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tfhaul/tfesim/jsonapi"
)

// announcedLimit is the real server's limit, in requests per second and user.
const announcedLimit = 30

// A limiter counts each user's requests in windows of one second. A window starts with the
// first request after the previous window.
type limiter struct {
	limit   int // announced; below 0 means none
	enforce bool

	mu      sync.Mutex
	windows map[string]*window
}

type window struct {
	ends time.Time
	used int
}

func newLimiter(limit int) *limiter {
	l := &limiter{limit: limit, enforce: limit > 0, windows: map[string]*window{}}
	if limit == 0 {
		l.limit = announcedLimit
	}
	return l
}

// take uses one request of the user's budget, sets the headers that announce the rest, and
// returns the 429 if nothing was left.
func (l *limiter) take(h http.Header, user string, now time.Time) error {
	if l.limit < 0 {
		return nil
	}
	l.mu.Lock()
	w := l.windows[user]
	if w == nil {
		w = &window{}
		l.windows[user] = w
	}
	if !now.Before(w.ends) {
		*w = window{ends: now.Add(time.Second)}
	}
	w.used++
	left, reset := l.limit-w.used, w.ends.Sub(now)
	l.mu.Unlock()

	h.Set("X-RateLimit-Limit", strconv.Itoa(l.limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(left, 0)))
	// Rounded up: a client that waits exactly this long is admitted.
	h.Set("X-RateLimit-Reset", fmt.Sprintf("%.3f", (reset+time.Millisecond-1).Truncate(time.Millisecond).Seconds()))
	if l.enforce && left < 0 {
		return &jsonapi.Error{Status: http.StatusTooManyRequests, Title: "Too many requests", Detail: "You have exceeded the API's rate limit."}
	}
	return nil
}
