package tfe

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"tfhaul/backend"
)

// leastSilenced is how many requests in a row a server must leave unanswered to be down. All
// running requests find out together.
const leastSilenced = 20

// A silenceWatch counts consecutive requests that the API did not answer.
type silenceWatch struct {
	mu         sync.Mutex
	since      time.Time
	unanswered int
}

// observe records the result of a request. A gateway's page is not a response of the API.
func (s *silenceWatch) observe(req *http.Request, resp *http.Response, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gateway := err == nil && resp.StatusCode >= http.StatusBadGateway && !strings.Contains(resp.Header.Get("Content-Type"), "json")
	switch {
	case err == nil && !gateway:
		s.unanswered, s.since = 0, time.Time{}
	case err != nil && req.Context().Err() != nil: // canceled by us
	case wasUnsent(err): // withheld by us
	default:
		if s.unanswered == 0 {
			s.since = time.Now()
		}
		s.unanswered++
	}
}

// Down implements backend.Target. A restart takes less time than backend.DownAfter.
func (c *Client) Down() bool {
	s := &c.wire.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unanswered >= leastSilenced && time.Since(s.since) >= backend.DownAfter
}
