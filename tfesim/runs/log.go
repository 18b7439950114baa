package runs

import (
	"bytes"
	"io"
	"net/http"
	"strconv"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// keepLog stores a finished log. It returns nil when that fails; the log is empty then.
func (s *Service) keepLog(text []byte) *blobs.Blob {
	b, err := blobs.Keep(s.options.Blobs, bytes.NewReader(marked(text)))
	if err != nil {
		s.options.Logger.Warn("cannot store a log", "error", err)
	}
	return b
}

// marked puts a log between its markers.
func marked(text []byte) []byte {
	if len(text) == 0 || text[0] != startOfText[0] {
		text = append([]byte(startOfText), text...)
	}
	return append(text, endOfText...)
}

// Send answers a download from the address of a ticket that is not the host's own: a
// configuration, a plan's JSON or a log. Call it with the host unlocked.
func (s *Service) Send(w http.ResponseWriter, r *http.Request, t blobs.Ticket) {
	var b *blobs.Blob
	var live *liveLog
	err := s.host.Do(func() {
		if t.Kind == blobConfiguration {
			if v := s.configurations[t.ID]; v != nil && v.BackingData == blobs.DataKept {
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
		blobs.Send(w, s.options.Blobs, b)
		return
	}
	s.sendLog(w, r, b, live)
}

// runBlob returns a run's blob of a kind, or the log that is being written.
func (s *Service) runBlob(r *run, kind blobs.Kind) (*blobs.Blob, *liveLog) {
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
		if live, ok := s.executor.liveLogOf(r.ID); ok {
			return nil, live
		}
	}
	return p.Log, nil
}

// sendLog sends the part of a log that the offset and limit parameters name. Before a phase
// starts, its log is empty.
func (s *Service) sendLog(w http.ResponseWriter, r *http.Request, b *blobs.Blob, live *liveLog) {
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
		content, err := s.options.Blobs.Open(b.ID)
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
