package tfesim

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"tfhaul/tfesim/blobs"
)

// A Request is what the server remembers of a request: never a body, a token or a signed
// address.
type Request struct {
	// Endpoint is the method and the path with its variable parts named, as in
	// "POST /workspaces/:workspace_id/state-versions"; blob addresses are
	// "PUT /_archivist/v1/object/:token"; what the server does not know is "unknown".
	Endpoint string
	Method   string
	// Path is the path as it was sent; of a blob address only what comes before the secret.
	Path  string
	Query string
	Host  string
	// Identity is the ready-made identity whose token was sent; "" for another or none.
	Identity Identity
	// Authorization says whether the request had an Authorization header.
	Authorization bool
	// Status is what was answered; 0 while it is being answered, and when a fault let no
	// answer through.
	Status int
	Time   time.Time
}

// keptRequests is how many requests are remembered; counters go on.
const keptRequests = 100_000

// A recorder remembers requests and counts them.
type recorder struct {
	mu     sync.Mutex
	kept   []*Request
	counts map[string]int
	hooks  []func(Request)
	faults []*activeFault
}

// begin remembers a request that has just arrived, and tells the hooks.
func (rec *recorder) begin(q Request) *Request {
	rec.mu.Lock()
	if rec.counts == nil {
		rec.counts = map[string]int{}
	}
	if len(rec.kept) == keptRequests {
		rec.kept = slices.Delete(rec.kept, 0, keptRequests/2)
	}
	kept := &q
	rec.kept = append(rec.kept, kept)
	rec.counts[q.Endpoint]++
	hooks := slices.Clone(rec.hooks)
	rec.mu.Unlock()
	for _, hook := range hooks {
		hook(q)
	}
	return kept
}

func (rec *recorder) end(q *Request, status int) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	q.Status = status
}

// Requests returns the requests since the last ResetRequests in the order of their arrival;
// the newest 50,000 at least.
func (s *Server) Requests() []Request {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	var out []Request
	for _, q := range s.record.kept {
		out = append(out, *q)
	}
	return out
}

// Count returns how often an endpoint was asked since the last ResetRequests. The endpoint is
// written as in Request.Endpoint; "" counts all of them.
func (s *Server) Count(endpoint string) int {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	if endpoint != "" {
		return s.record.counts[endpoint]
	}
	n := 0
	for _, c := range s.record.counts {
		n += c
	}
	return n
}

// ResetRequests forgets the requests and counters.
func (s *Server) ResetRequests() {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.kept, s.record.counts = nil, nil
}

// OnRequest has f called with every request before it takes effect. The request waits for f,
// which may use the Server: this is how a test acts "meanwhile".
func (s *Server) OnRequest(f func(Request)) {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.hooks = append(s.record.hooks, f)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.delay(r.Context()) {
		panic(http.ErrAbortHandler)
	}
	_, pattern := s.mux.Handler(r)
	q := s.describe(r, pattern)
	kept := s.record.begin(q)
	out := &statusWriter{ResponseWriter: w}
	defer func() {
		s.record.end(kept, out.status)
		s.log(q, out.status)
	}()
	if f := s.faultFor(q); f != nil {
		s.serveFault(out, r, f)
		return
	}
	s.mux.ServeHTTP(out, r)
}

// delay waits for the latency; false when the client left meanwhile.
func (s *Server) delay(ctx context.Context) bool {
	if s.options.Latency <= 0 {
		return true
	}
	t := time.NewTimer(s.options.Latency)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.done:
		return false
	}
}

func (s *Server) describe(r *http.Request, pattern string) Request {
	q := Request{Endpoint: endpointName(pattern), Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Host: r.Host, Authorization: r.Header.Get("Authorization") != "", Time: time.Now()}
	if blobs.IsPath(q.Path) {
		q.Path, q.Query = blobs.Path, ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tokens[bearer(r)]; t != nil {
		if p := s.principal(t.Holder); p != nil {
			q.Identity = p.identity
			if t.expired(q.Time) {
				q.Identity = Expired
			}
		}
	}
	return q
}

func (s *Server) log(q Request, status int) {
	s.options.Logger.Info("request", "method", q.Method, "endpoint", q.Endpoint, "status", status, "identity", string(q.Identity))
}

// A statusWriter notes the status that is written.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
