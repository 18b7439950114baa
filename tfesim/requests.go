package tfesim

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"tfhaul/tfesim/blobs"
)

// A Request is what the server remembers about a request: never a body, a token or a signed
// URL.
type Request struct {
	// Endpoint is the method and the path with its variable parts named, as in "POST
	// /workspaces/:workspace_id/state-versions"; for blob URLs "PUT
	// /_archivist/v1/object/:token"; "unknown" for anything else.
	Endpoint string
	Method   string
	// Path is the path as sent; of a blob URL only the part before the secret.
	Path  string
	Query string
	Host  string
	// Identity is the predefined identity whose token was sent; "" for another token or
	// none.
	Identity Identity
	// Authorization reports whether the request had an Authorization header.
	Authorization bool
	// Status is the status of the response; 0 until there is one, and if a fault prevented
	// it.
	Status int
	Time   time.Time
}

// keptRequests is how many requests are remembered; counters continue.
const keptRequests = 100_000

// A recorder remembers requests and counts them.
type recorder struct {
	mu     sync.Mutex
	kept   []*Request
	counts map[string]int
	hooks  []func(Request)
	faults []*activeFault
}

// begin records a request that has just arrived, and calls the hooks.
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

// Requests returns the requests since the last ResetRequests, in the order of arrival: at
// least the newest 50,000.
func (s *Server) Requests() []Request {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	var out []Request
	for _, q := range s.record.kept {
		out = append(out, *q)
	}
	return out
}

// Count returns how many requests an endpoint has received since the last ResetRequests.
// The endpoint is in the format of Request.Endpoint; "" counts all.
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

// OnRequest registers f to be called with every request before it takes effect. The request
// waits for f, which may use the Server, so that a test can act in the meantime.
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

// delay waits for the latency and reports whether the client is still connected.
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

// A statusWriter records the status.
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
