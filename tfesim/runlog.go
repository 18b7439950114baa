package tfesim

import (
	"bytes"
	"io"
	"net/http"
	"strconv"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// keepLog writes a finished log into a blob; nil when that fails, which leaves the log empty.
func (s *Server) keepLog(text []byte) *blobs.Blob {
	b, err := blobs.Keep(s.blobs, bytes.NewReader(marked(text)))
	if err != nil {
		s.warn("a log could not be kept", err)
	}
	return b
}

// marked is a log between its markers.
func marked(text []byte) []byte {
	if len(text) == 0 || text[0] != startOfText[0] {
		text = append([]byte(startOfText), text...)
	}
	return append(text, endOfText...)
}

// getRunBlob answers GET on the addresses of a configuration, a plan's JSON and the logs.
func (s *Server) getRunBlob(w http.ResponseWriter, r *http.Request, t blobs.Ticket) {
	var b *blobs.Blob
	var live *liveLog
	err := s.do(func() {
		if t.Kind == blobConfiguration {
			if v := s.work.configurations[t.ID]; v != nil && v.BackingData == blobs.DataKept {
				b = v.Archive
			}
		} else if run := s.runs[t.ID]; run != nil {
			b, live = s.runBlob(run, t.Kind)
		}
	})
	if err != nil {
		jsonapi.WriteError(w, err)
		return
	}
	if t.Kind != blobPlanLog && t.Kind != blobApplyLog {
		blobs.Send(w, s.blobs, b)
		return
	}
	s.sendLog(w, r, b, live)
}

// runBlob is what a run holds of a kind, or the log that is being written.
func (s *Server) runBlob(r *run, kind blobs.Kind) (*blobs.Blob, *liveLog) {
	p, executed := &r.Plan, r.Plan.Status == phaseRunning
	switch kind {
	case blobPlanJSON:
		return r.Plan.JSON, nil
	case blobPlanRedacted:
		return r.Plan.Redacted, nil
	case blobApplyLog:
		p, executed = &r.Apply, r.Apply.Status == phaseRunning
	}
	if p.Log == nil && executed {
		if live, ok := s.work.executor.liveLogOf(r.ID); ok {
			return nil, live
		}
	}
	return p.Log, nil
}

// sendLog answers the part of a log that the offset and limit parameters name. A log that has
// not begun is empty.
func (s *Server) sendLog(w http.ResponseWriter, r *http.Request, b *blobs.Blob, live *liveLog) {
	number := func(name string) int64 {
		n, err := strconv.ParseInt(r.URL.Query().Get(name), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	offset, limit := number("offset"), number("limit")
	var text []byte
	switch {
	case live != nil:
		text = live.part(offset, limit)
	case b != nil:
		content, err := s.blobs.Open(b.ID)
		if err != nil {
			http.Error(w, "Not Found", http.StatusNotFound)
			return
		}
		defer content.Close()
		all, err := io.ReadAll(io.LimitReader(content, 2*maxLog))
		if err != nil {
			http.Error(w, "Internal Server Error", http.StatusInternalServerError)
			return
		}
		text = slicePart(all, offset, limit)
	}
	w.Header().Set("Cache-Control", "private, no-store")
	jsonapi.WriteBody(w, http.StatusOK, "text/plain; charset=utf-8", text)
}
