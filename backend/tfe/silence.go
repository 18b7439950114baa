package tfe

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"time"

	"tfhaul/backend"
)

// A server is silent when it has answered none of that many requests for that long.
// A restart takes less; all that run at once find out together.
const (
	// SilentAfter is how long a server may leave all requests unanswered.
	SilentAfter   = backend.DownAfter
	leastSilenced = 20 // requests
)

// A silenceWatch counts the requests in a row that the API did not answer.
type silenceWatch struct {
	mu         sync.Mutex
	since      time.Time
	unanswered int
}

// observe takes the end of a request. A gateway's page is no answer of the API's.
func (s *silenceWatch) observe(req *http.Request, resp *http.Response, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gateway := err == nil && resp.StatusCode >= http.StatusBadGateway && !strings.Contains(resp.Header.Get("Content-Type"), "json")
	switch {
	case err == nil && !gateway:
		s.unanswered, s.since = 0, time.Time{}
	case err != nil && req.Context().Err() != nil: // given up by us
	case wasUnsent(err): // held back by us
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

// isPage reports whether an answer is a web page, and not the XML of a blob store.
func isPage(body []byte) bool {
	body = bytes.ToLower(bytes.TrimSpace(body))
	return bytes.HasPrefix(body, []byte("<!doctype html")) || bytes.HasPrefix(body, []byte("<html"))
}
