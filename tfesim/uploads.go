package tfesim

import (
	"cmp"
	"io"
	"net/http"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// Kinds of a state version's bytes.
const (
	blobState blobs.Kind = 's'
	blobJSON  blobs.Kind = 'j'
)

func (c *call) uploadAddress(v *stateVersion, kind blobs.Kind) any {
	if c.s.options.InlineOnly || c.s.options.Personality == OldTFE {
		return nil
	}
	// Only those with write access get the URL.
	if c.s.accessToWorkspace(c.who, c.s.workspaces[v.Workspace]) < accessWrite {
		return nil
	}
	return c.s.signer.Address(jsonapi.Origin(c.r), blobs.Ticket{Upload: true, Kind: kind, ID: v.ID})
}

func (c *call) downloadAddress(v *stateVersion, kind blobs.Kind) any {
	if c.s.options.Personality == Lax {
		if kind == blobState {
			return "/api/v2/state-versions/" + v.ID + "/download"
		}
		return "/api/v2/state-versions/" + v.ID + "/download?format=json"
	}
	if c.s.options.HostedState {
		if kind == blobState {
			return jsonapi.Origin(c.r) + hostedPath + v.ID + "/hosted_state"
		}
		return jsonapi.Origin(c.r) + hostedPath + v.ID + "/hosted_json_state"
	}
	return c.s.signer.Address(jsonapi.Origin(c.r), blobs.Ticket{Kind: kind, ID: v.ID, Expires: c.now.Add(blobs.DownloadLife).Unix()})
}

// hostedPath is where the API's own host serves states.
const hostedPath = "/api/state-versions/"

// getHosted redirects from the URL of a version's bytes on the API's own host to a signed
// URL.
func getHosted(kind blobs.Kind) handler {
	return forVersion(accessRead, func(c *call, v *stateVersion) (*jsonapi.Answer, error) {
		if v.BackingData != "" || v.blob(kind) == nil {
			return nil, jsonapi.NotFound()
		}
		to := c.s.signer.Address(cmp.Or(c.s.options.BlobOrigin, jsonapi.Origin(c.r)), blobs.Ticket{Kind: kind, ID: v.ID, Expires: c.now.Add(blobs.DownloadLife).Unix()})
		return &jsonapi.Answer{Status: http.StatusFound, Header: http.Header{"Location": {to}}}, nil
	})
}

// putBlob answers PUT to an upload URL. It accepts the bytes of a version once.
func (s *Server) putBlob(w http.ResponseWriter, r *http.Request) {
	t, valid := s.signer.Unseal(r.PathValue("token"))
	if valid && t.Upload && t.Kind != blobState && t.Kind != blobJSON {
		s.runs.Receive(w, r, t)
		return
	}
	if !valid || !t.Upload || !s.awaits(t) {
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	writer, err := s.blobs.Create()
	if err != nil {
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	if _, err := io.Copy(writer, r.Body); err != nil {
		// The version stays pending, so the client may retry with the same URL.
		_ = writer.Abort()
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	b, err := writer.Finish()
	if err != nil {
		_ = writer.Abort()
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	var read contents
	if t.Kind == blobState {
		read = s.readContents(b)
	}
	if err := s.keepUpload(t, b, read); err != nil {
		s.removeBlobs(b)
		jsonapi.WriteError(w, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// awaits reports whether the bytes for an upload URL have not arrived.
func (s *Server) awaits(t blobs.Ticket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awaiting(t) != nil
}

func (s *Server) awaiting(t blobs.Ticket) *stateVersion {
	v := s.versions[t.ID]
	if v == nil || v.Discarded || (t.Kind == blobState && !v.Arrived.IsZero()) || (t.Kind == blobJSON && v.JSON != nil) {
		return nil
	}
	return v
}

// keepUpload adds uploaded bytes to their version. When it returns nil, they are on disk.
func (s *Server) keepUpload(t blobs.Ticket, b *blobs.Blob, read contents) error {
	var refused error
	err := s.do(func() {
		v := s.awaiting(t)
		switch {
		case v == nil:
			refused = jsonapi.Forbidden()
			return
		case t.Kind == blobState && b.MD5 != v.MD5 && s.options.Personality != Lax:
			refused = jsonapi.BadRequest(textMD5Content)
			return
		case t.Kind == blobState:
			s.arrive(v, b, read, time.Now())
		default:
			v.JSON = b
		}
		s.put(v)
	})
	return cmp.Or(refused, err)
}

// getBlob answers GET to a download URL.
func (s *Server) getBlob(w http.ResponseWriter, r *http.Request) {
	t, valid := s.signer.Unseal(r.PathValue("token"))
	if !valid || t.Upload || time.Now().Unix() > t.Expires {
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	if t.Kind != blobState && t.Kind != blobJSON {
		s.runs.Send(w, r, t)
		return
	}
	s.mu.Lock()
	v := s.versions[t.ID]
	var b *blobs.Blob
	if v != nil && v.BackingData == "" {
		b = v.blob(t.Kind)
	}
	s.mu.Unlock()
	blobs.Send(w, s.blobs, b)
}

func (v *stateVersion) blob(kind blobs.Kind) *blobs.Blob {
	if kind == blobJSON {
		return v.JSON
	}
	return v.State
}

// downloadVersion serves the URL that compatible servers use: relative, and with the token.
func (s *Server) downloadVersion(w http.ResponseWriter, r *http.Request) {
	s.announce(w.Header())
	s.mu.Lock()
	c := &call{s: s, r: r, now: time.Now(), who: s.authenticate(r)}
	var v *stateVersion
	err := error(jsonapi.Unauthorized())
	if c.who != nil {
		v, err = c.version(accessRead)
	}
	var b *blobs.Blob
	if err == nil {
		if b = v.State; r.URL.Query().Get("format") == "json" {
			b = v.JSON
		}
	}
	s.mu.Unlock()
	if err != nil {
		jsonapi.WriteError(w, err)
		return
	}
	blobs.Send(w, s.blobs, b)
}

// removeBlobs removes bytes that no version refers to. If that fails, they are removed at
// the next start.
func (s *Server) removeBlobs(gone ...*blobs.Blob) {
	for _, b := range gone {
		if b != nil {
			if err := s.blobs.Remove(b.ID); err != nil {
				s.options.Logger.Warn("a blob could not be removed", "error", err)
			}
		}
	}
}
