package tfe

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"time"

	"tfhaul/backend"
)

// A server counts as silent if it has not answered this many requests in a row for this
// long. A restart takes less time. All running requests find out together.
const (
	// SilentAfter is how long a server may leave all requests unanswered.
	SilentAfter   = backend.DownAfter
	leastSilenced = 20 // requests
)

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

// Silent reports whether the server has not answered any request for SilentAfter.
func (c *Client) Silent() bool {
	s := &c.wire.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unanswered >= leastSilenced && time.Since(s.since) >= SilentAfter
}

// isPage reports whether a response is a web page rather than a blob store's XML.
func isPage(body []byte) bool {
	body = bytes.ToLower(bytes.TrimSpace(body))
	return bytes.HasPrefix(body, []byte("<!doctype html")) || bytes.HasPrefix(body, []byte("<html"))
}
