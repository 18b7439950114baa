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

// FaultKind says what goes wrong.
type FaultKind int

const (
	// FaultAnswer answers Status, Header and Body instead of the real answer.
	FaultAnswer FaultKind = iota
	// FaultReset resets the connection without an answer (RST on TCP; elsewhere it is closed,
	// and over HTTP/2 the stream is reset).
	FaultReset
	// FaultClose closes the connection without an answer.
	FaultClose
	// FaultCut sends the first half of the real answer's body, which it announced in full, and
	// closes the connection. It implies After.
	FaultCut
	// FaultLate answers as it would without a fault, but late by Wait: the time passes before
	// the request takes effect, or with After between its effect and its answer.
	FaultLate
	// FaultPostpone resets the connection without an answer, and lets the request take effect
	// when Wait has passed, as when something on the way has kept it.
	FaultPostpone
	// FaultChange lets the request take effect and answers what Change makes of the real
	// answer's body.
	FaultChange
	// FaultHang answers nothing until the client gives up or the server is closed.
	FaultHang
)

// A Fault is something that goes wrong with a request. It is counted from the moment of its
// injection.
type Fault struct {
	// Endpoint chooses the requests, written as in Request.Endpoint, with * for any part of
	// a path segment; "" chooses all.
	Endpoint string
	// Nth is which of the chosen requests is the first to be hit, counted from 1; 0 is 1.
	Nth int
	// Times is how many are hit from there on; 0 is 1, negative is all.
	Times int
	// After lets the request take effect first and spoils only its answer.
	After bool
	Kind  FaultKind
	// Status, Header and Body are what FaultAnswer answers. Status 0 keeps the status and
	// headers of the real answer, when there is one, and replaces its body.
	Status int
	Header http.Header
	Body   string
	// Wait is how long FaultLate and FaultPostpone take.
	Wait time.Duration
	// Change makes the body that FaultChange answers of the real one.
	Change func([]byte) []byte
}

// AnswerHTML is an answer of a proxy: a status with an HTML page.
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

// AnswerRateLimited is a 429 with the X-RateLimit-Reset given; "" sends none.
func AnswerRateLimited(reset string) Fault {
	f := AnswerError(http.StatusTooManyRequests, "Too many requests", "You have exceeded the API's rate limit.")
	if reset != "" {
		f.Header.Set("X-RateLimit-Reset", reset)
	}
	return f
}

// AnswerRedirect sends the client to another address.
func AnswerRedirect(location string) Fault {
	return Fault{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {location}}}
}

// AnswerShape is an answer of the real status whose JSON has the wrong shape.
func AnswerShape() Fault {
	return Fault{After: true, Body: `{"data":[{"type":7,"attributes":"none"}]}`}
}

// AnswerEmpty is an answer of the real status without a body.
func AnswerEmpty() Fault { return Fault{After: true} }

type activeFault struct {
	Fault
	seen int
}

// Inject makes the fault happen. Faults that were injected earlier come first.
func (s *Server) Inject(f Fault) {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.faults = append(s.record.faults, &activeFault{Fault: f})
}

// ClearFaults takes back every fault that was injected.
func (s *Server) ClearFaults() {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.faults = nil
}

// faultFor counts the request against the faults and returns the one that hits it.
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

// serveFault answers a request that a fault has hit.
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
		// Whether the client is still there is only known once its request has been read.
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
		// The client may be gone; the connection ends either way.
		_, _ = w.Write(real.body.Bytes()[:real.body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		abort(w, false)
	default:
		f.answer(w, real)
	}
}

// sleep waits until the time has passed or the server is closed.
func (s *Server) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.done:
	}
}

// postpone has a request take effect later, when nobody waits for its answer any more.
func (s *Server) postpone(r *http.Request, wait time.Duration) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client did not send all of it
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

// answer writes what the fault says instead of the real answer.
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
	// The client is gone if this fails, and there is nobody to tell.
	_, _ = io.WriteString(w, f.Body)
}

// abort ends the connection without an answer, or without the rest of it. Where there is no
// connection to take over (HTTP/2, a ResponseWriter of another kind) the handler is aborted,
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
		// An error means the connection is gone already, which is what was wanted.
		_ = tcp.SetLinger(0)
	}
	_ = raw.Close()
}

// A heldAnswer takes the real answer in.
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

// send answers with the real status and headers, and the body given.
func (h *heldAnswer) send(w http.ResponseWriter, body []byte) {
	h.copyHeader(w)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(h.status)
	// The client is gone if this fails, and there is nobody to tell.
	_, _ = w.Write(body)
}

func (h *heldAnswer) copyHeader(w http.ResponseWriter) {
	for k, v := range h.header {
		w.Header()[k] = v
	}
}
