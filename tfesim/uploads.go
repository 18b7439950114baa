package tfesim

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"strings"
	"tfhaul/tfesim/jsonapi"
	"time"
)

// A lateBlob makes its blob when the first byte comes: most creates bring none.
type lateBlob struct {
	store blobStore
	w     *blobWriter
	done  bool
}

// Write implements io.Writer.
func (l *lateBlob) Write(p []byte) (int, error) {
	if l.w == nil {
		w, err := l.store.create()
		if err != nil {
			return 0, err
		}
		l.w = w
	}
	return l.w.Write(p)
}

// finish keeps the blob; nil when nothing was written.
func (l *lateBlob) finish() (*blob, error) {
	if l.w == nil {
		return nil, nil
	}
	l.done = true
	b, err := l.w.finish()
	if err != nil {
		// The first error is the one to tell.
		_ = l.w.abort()
	}
	return b, err
}

// abort drops what was written, unless it was finished.
func (l *lateBlob) abort() {
	if l.w != nil && !l.done {
		// What stays behind is removed at the next start.
		_ = l.w.abort()
	}
}

// The kinds of blob that a state version has addresses for.
type blobKind byte

const (
	blobState blobKind = 's'
	blobJSON  blobKind = 'j'
)

// downloadLife is how long a download address works.
const downloadLife = 24 * time.Hour

// A ticket is what a blob address says. Addresses are secrets: nobody can make one without
// the server's key, and they need no token.
type ticket struct {
	upload  bool
	kind    blobKind
	version string
	expires int64 // Unix seconds; 0 for uploads, which end when the bytes have come
}

func (s *Server) seal(t ticket) string {
	b := []byte{'d', byte(t.kind)}
	if t.upload {
		b[0] = 'u'
	}
	b = binary.BigEndian.AppendUint64(b, uint64(t.expires))
	b = append(b, t.version...)
	mac := hmac.New(sha256.New, s.secret)
	mac.Write(b)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(b))
}

func (s *Server) unseal(text string) (ticket, bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 10+sha256.Size {
		return ticket{}, false
	}
	b, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	mac := hmac.New(sha256.New, s.secret)
	mac.Write(b)
	if !hmac.Equal(sum, mac.Sum(nil)) {
		return ticket{}, false
	}
	return ticket{upload: b[0] == 'u', kind: blobKind(b[1]), expires: int64(binary.BigEndian.Uint64(b[2:10])), version: string(b[10:])}, true
}

const blobPath = "/_archivist/v1/object/"

func (c *call) uploadAddress(v *stateVersion, kind blobKind) any {
	if c.s.options.InlineOnly || c.s.options.Personality == OldTFE {
		return nil
	}
	// Only who may write is told the address.
	if c.s.accessToWorkspace(c.who, c.s.workspaces[v.Workspace]) < accessWrite {
		return nil
	}
	return jsonapi.Origin(c.r) + blobPath + c.s.seal(ticket{upload: true, kind: kind, version: v.ID})
}

func (c *call) downloadAddress(v *stateVersion, kind blobKind) any {
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
	return jsonapi.Origin(c.r) + blobPath + c.s.seal(ticket{kind: kind, version: v.ID, expires: c.now.Add(downloadLife).Unix()})
}

// hostedPath is where the API's own host gives states.
const hostedPath = "/api/state-versions/"

// getHosted answers the address of a version's bytes on the API's own host with a redirect to a
// signed address.
func getHosted(kind blobKind) func(*call) (*jsonapi.Answer, error) {
	return func(c *call) (*jsonapi.Answer, error) {
		v, err := c.version(accessRead)
		if err != nil {
			return nil, err
		}
		if v.BackingData != "" || v.blob(kind) == nil {
			return nil, jsonapi.NotFound()
		}
		to := cmp.Or(c.s.options.BlobOrigin, jsonapi.Origin(c.r)) + blobPath + c.s.seal(ticket{kind: kind, version: v.ID, expires: c.now.Add(downloadLife).Unix()})
		return &jsonapi.Answer{Status: http.StatusFound, Header: http.Header{"Location": {to}}}, nil
	}
}

// putBlob answers PUT on an upload address. It takes the bytes of a version once.
func (s *Server) putBlob(w http.ResponseWriter, r *http.Request) {
	t, valid := s.unseal(r.PathValue("token"))
	if valid && t.upload && t.kind == blobConfiguration {
		s.putConfiguration(w, r, t)
		return
	}
	if !valid || !t.upload || !s.awaits(t) {
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	writer, err := s.blobs.create()
	if err != nil {
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	if _, err := io.Copy(writer, r.Body); err != nil {
		// The version stays pending: the same address may be tried again.
		_ = writer.abort()
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	b, err := writer.finish()
	if err != nil {
		_ = writer.abort()
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	var read contents
	if t.kind == blobState {
		read = s.readContents(b)
	}
	if err := s.keepUpload(t, b, read); err != nil {
		s.removeBlobs(b)
		jsonapi.WriteError(w, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// awaits says whether the bytes that an upload address stands for are still to come.
func (s *Server) awaits(t ticket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awaiting(t) != nil
}

func (s *Server) awaiting(t ticket) *stateVersion {
	v := s.versions[t.version]
	if v == nil || v.Discarded || (t.kind == blobState && !v.Arrived.IsZero()) || (t.kind == blobJSON && v.JSON != nil) {
		return nil
	}
	return v
}

// keepUpload makes uploaded bytes part of their version. When it returns nil they are on disk.
func (s *Server) keepUpload(t ticket, b *blob, read contents) error {
	var refused error
	err := s.do(func() {
		v := s.awaiting(t)
		switch {
		case v == nil:
			refused = jsonapi.Forbidden()
			return
		case t.kind == blobState && b.MD5 != v.MD5 && s.options.Personality != Lax:
			refused = jsonapi.BadRequest(textMD5Content)
			return
		case t.kind == blobState:
			s.arrive(v, b, read, time.Now())
		default:
			v.JSON = b
		}
		s.put(v)
	})
	return cmp.Or(refused, err)
}

// getBlob answers GET on a download address.
func (s *Server) getBlob(w http.ResponseWriter, r *http.Request) {
	t, valid := s.unseal(r.PathValue("token"))
	if !valid || t.upload || time.Now().Unix() > t.expires {
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	if t.kind != blobState && t.kind != blobJSON {
		s.getRunBlob(w, r, t)
		return
	}
	s.mu.Lock()
	v := s.versions[t.version]
	var b *blob
	if v != nil && v.BackingData == "" {
		b = v.blob(t.kind)
	}
	s.mu.Unlock()
	s.sendBlob(w, b)
}

func (v *stateVersion) blob(kind blobKind) *blob {
	if kind == blobJSON {
		return v.JSON
	}
	return v.State
}

// downloadVersion answers the address that compatible servers give: relative, and with the
// bearer.
func (s *Server) downloadVersion(w http.ResponseWriter, r *http.Request) {
	s.announce(w.Header())
	s.mu.Lock()
	c := &call{s: s, r: r, now: time.Now(), who: s.authenticate(r)}
	var v *stateVersion
	err := error(jsonapi.Unauthorized())
	if c.who != nil {
		v, err = c.version(accessRead)
	}
	var b *blob
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
	s.sendBlob(w, b)
}

func (s *Server) sendBlob(w http.ResponseWriter, b *blob) {
	if b == nil {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	content, err := s.blobs.open(b.ID)
	if err != nil {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	defer content.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "private, no-store")
	h.Set("Content-Length", strconv.FormatInt(b.Size, 10))
	// The client is gone if this fails, and there is nobody to tell.
	_, _ = io.Copy(w, content)
}

// removeBlobs drops bytes that no version holds any more. One that cannot be removed is
// removed at the next start.
func (s *Server) removeBlobs(blobs ...*blob) {
	for _, b := range blobs {
		if b != nil {
			if err := s.blobs.remove(b.ID); err != nil {
				s.warn("a blob could not be removed", err)
			}
		}
	}
}

// isBlobPath says whether the path is one of the blob host's, which has no rate limit.
func isBlobPath(path string) bool {
	return strings.HasPrefix(path, blobPath)
}
