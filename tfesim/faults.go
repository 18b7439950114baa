package tfesim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strconv"
	"time"

	"tfhaul/tfesim/jsonapi"
)

// FaultKind is what goes wrong.
type FaultKind int

const (
	// FaultAnswer sends Status, Header and Body instead of the real response.
	FaultAnswer FaultKind = iota
	// FaultReset resets the connection without a response (RST on TCP; elsewhere it is
	// closed, and over HTTP/2 the stream is reset).
	FaultReset
	// FaultClose closes the connection without a response.
	FaultClose
	// FaultCut sends the headers and half of the real response's body, and closes the
	// connection. It implies After.
	FaultCut
	// FaultLate responds as without a fault, but delayed by Wait: before the request takes
	// effect, or with After between its effect and the response.
	FaultLate
	// FaultPostpone resets the connection without a response, and lets the request take
	// effect after Wait, as if something on the way had delayed it.
	FaultPostpone
	// FaultChange lets the request take effect and sends the real response's body as
	// changed by Change.
	FaultChange
	// FaultHang does not respond until the client gives up or the server is closed.
	FaultHang
)

// A Fault is something that goes wrong with requests sent after its injection.
type Fault struct {
	// Endpoint selects the requests, in the format of Request.Endpoint, with * for any part
	// of a path segment; "" selects all.
	Endpoint string
	// Nth is the first of the selected requests to be affected, counted from 1; 0 means 1.
	Nth int
	// Times is how many requests are affected; 0 means 1, a negative number all.
	Times int
	// After lets the request take effect first, so that only its response is affected.
	After bool
	Kind  FaultKind
	// Status, Header and Body are the response for FaultAnswer. With Status 0, the status
	// and headers of the real response are kept, if there is one, and its body is replaced.
	Status int
	Header http.Header
	Body   string
	// Wait is the delay for FaultLate and FaultPostpone.
	Wait time.Duration
	// Change returns the body for FaultChange, given the real one.
	Change func([]byte) []byte
}

// AnswerHTML is a proxy's response: a status with an HTML page.
func AnswerHTML(status int) Fault {
	text := fmt.Sprintf("%d %s", status, http.StatusText(status))
	return Fault{Status: status, Header: http.Header{"Content-Type": {"text/html"}},
		Body: "<html>\r\n<head><title>" + text + "</title></head>\r\n<body>\r\n<center><h1>" + text + "</h1></center>\r\n</body>\r\n</html>\r\n"}
}

// AnswerError is a JSON:API error.
func AnswerError(status int, title, detail string) Fault {
	e := &jsonapi.Error{Status: status, Title: title, Detail: detail}
	return Fault{Status: status, Header: http.Header{"Content-Type": {jsonapi.MediaType}}, Body: string(e.Body())}
}

// AnswerRateLimited is a 429 with this X-RateLimit-Reset; "" sends none.
func AnswerRateLimited(reset string) Fault {
	f := AnswerError(http.StatusTooManyRequests, "Too many requests", "You have exceeded the API's rate limit.")
	if reset != "" {
		f.Header.Set("X-RateLimit-Reset", reset)
	}
	return f
}

// AnswerRedirect redirects the client to another URL.
func AnswerRedirect(location string) Fault {
	return Fault{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {location}}}
}

// AnswerShape has the real response's status, but JSON of the wrong shape.
func AnswerShape() Fault {
	return Fault{After: true, Body: `{"data":[{"type":7,"attributes":"none"}]}`}
}

// AnswerEmpty has the real response's status, but no body.
func AnswerEmpty() Fault { return Fault{After: true} }

type activeFault struct {
	Fault
	seen int
}

// Inject adds a fault. Faults injected earlier take precedence.
func (s *Server) Inject(f Fault) {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.faults = append(s.record.faults, &activeFault{Fault: f})
}

// ClearFaults removes all faults.
func (s *Server) ClearFaults() {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.faults = nil
}

// faultFor counts the request for every fault and returns the fault that affects it, if
// any.
func (s *Server) faultFor(q Request) *Fault {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	var hit *Fault
	for _, f := range s.record.faults {
		if f.Endpoint != "" && f.Endpoint != q.Endpoint {
			if match, err := path.Match(f.Endpoint, q.Endpoint); err != nil || !match {
				continue
			}
		}
		f.seen++
		first := max(f.Nth, 1)
		within := f.Times < 0 || f.seen < first+max(f.Times, 1)
		if hit == nil && f.seen >= first && within {
			fault := f.Fault
			hit = &fault
		}
	}
	return hit
}

// serveFault responds to a request with a fault.
func (s *Server) serveFault(w http.ResponseWriter, r *http.Request, f *Fault) {
	var real *heldAnswer
	if f.Kind == FaultLate && !f.After {
		s.sleep(f.Wait)
	}
	if f.Kind == FaultPostpone {
		s.postpone(r, f.Wait)
		abort(w, true)
		return
	}
	if f.After || f.Kind == FaultCut || f.Kind == FaultLate || f.Kind == FaultChange {
		real = &heldAnswer{header: http.Header{}}
		s.mux.ServeHTTP(real, r)
	}
	switch f.Kind {
	case FaultLate:
		if f.After {
			s.sleep(f.Wait)
		}
		real.send(w, real.body.Bytes())
	case FaultChange:
		real.send(w, f.Change(real.body.Bytes()))
	case FaultReset:
		abort(w, true)
	case FaultClose:
		abort(w, false)
	case FaultHang:
		// A disconnected client is noticed only after its request has been read.
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		abort(w, false)
	case FaultCut:
		real.copyHeader(w)
		w.Header().Set("Content-Length", strconv.Itoa(real.body.Len()))
		w.WriteHeader(real.status)
		// The client may have disconnected; the connection ends either way.
		_, _ = w.Write(real.body.Bytes()[:real.body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		abort(w, false)
	default:
		f.answer(w, real)
	}
}

// sleep waits for this time or until the server is closed.
func (s *Server) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.done:
	}
}

// postpone lets a request take effect later, when its client no longer waits for the
// response.
func (s *Server) postpone(r *http.Request, wait time.Duration) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client did not send the whole body
	}
	later := r.Clone(context.WithoutCancel(r.Context()))
	s.late.Go(func() {
		s.sleep(wait)
		select {
		case <-s.done:
			return
		default:
		}
		later.Body = io.NopCloser(bytes.NewReader(body))
		s.mux.ServeHTTP(&heldAnswer{header: http.Header{}}, later)
	})
}

// answer sends the fault's response instead of the real one.
func (f *Fault) answer(w http.ResponseWriter, real *heldAnswer) {
	status := f.Status
	if real != nil && status == 0 {
		real.copyHeader(w)
		w.Header().Del("Content-Length")
		status = real.status
	}
	for k, v := range f.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(max(status, http.StatusOK))
	// An error means that the client has disconnected.
	_, _ = io.WriteString(w, f.Body)
}

// abort ends the connection without a response, or without the rest of it. If there is no
// connection to take over (HTTP/2, another kind of ResponseWriter), it aborts the handler,
// which resets the stream.
func abort(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if wrapped, isTLS := conn.(interface{ NetConn() net.Conn }); isTLS {
		raw = wrapped.NetConn()
	}
	if tcp, isTCP := raw.(*net.TCPConn); isTCP && reset {
		// An error means that the connection is already closed, as intended.
		_ = tcp.SetLinger(0)
	}
	_ = raw.Close()
}

// A heldAnswer records the real response.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (h *heldAnswer) Header() http.Header { return h.header }

// WriteHeader implements http.ResponseWriter.
func (h *heldAnswer) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

// Write implements http.ResponseWriter.
func (h *heldAnswer) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(p)
}

// send sends the recorded status and headers with this body.
func (h *heldAnswer) send(w http.ResponseWriter, body []byte) {
	h.copyHeader(w)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(h.status)
	// An error means that the client has disconnected.
	_, _ = w.Write(body)
}

func (h *heldAnswer) copyHeader(w http.ResponseWriter) {
	for k, v := range h.header {
		w.Header()[k] = v
	}
}
