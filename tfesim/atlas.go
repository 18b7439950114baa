package tfesim

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
	"tfhaul/tfesim/runs"
)

// atlasRoutes registers the original Atlas API: states and configuration versions by user
// and name, which here are organizations and workspaces.
func (s *Server) atlasRoutes() {
	const (
		root  = "/api/v1/terraform"
		state = root + "/state/{organization}/{workspace}"
		of    = root + "/configurations/{organization}/{workspace}/versions"
	)
	s.mux.HandleFunc("GET "+state, s.atlas(accessRead, atlasGetState))
	s.mux.HandleFunc("PUT "+state, s.atlas(accessWrite, atlasPutState))
	s.mux.HandleFunc("POST "+of, s.atlas(accessWrite, ofRuns(s.runs.CreateAtlasVersion)))
	s.mux.HandleFunc("GET "+of+"/latest", s.atlas(accessRead, ofRuns(s.runs.LatestAtlasVersion)))
	s.mux.HandleFunc("GET "+of+"/progress/{token}", s.atlas(accessRead, ofRuns(s.runs.AtlasProgress)))
}

// maxAtlasState limits a state in the original API, which is held in memory.
const maxAtlasState = 64 << 20

// An atlasHandler answers a request of the original API about a workspace.
type atlasHandler func(c *call, w *workspace, body []byte) (*jsonapi.Answer, error)

// ofRuns adapts a handler of package runs.
func ofRuns(handle func(runs.Call, runs.Workspace, []byte) (*jsonapi.Answer, error)) atlasHandler {
	return func(c *call, w *workspace, body []byte) (*jsonapi.Answer, error) {
		return handle(c, c.s.runWorkspace(w), body)
	}
}

// atlas serves a request of the original API: its token is in a header of its own, and its
// errors are plain strings. The body is read before anything is locked.
func (s *Server) atlas(need access, handle atlasHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxAtlasState+1))
		switch {
		case err != nil:
			writeAtlasError(w, jsonapi.BadRequest("the request body could not be read completely"))
			return
		case len(body) > maxAtlasState:
			writeAtlasError(w, jsonapi.TooLarge())
			return
		}
		var a *jsonapi.Answer
		if s.do(func() { a, err = s.atlasAnswer(r, need, handle, body) }) != nil {
			err = jsonapi.Broken()
		}
		if err != nil {
			writeAtlasError(w, err)
			return
		}
		s.writeAtlas(w, a)
	}
}

func (s *Server) atlasAnswer(r *http.Request, need access, handle atlasHandler, body []byte) (*jsonapi.Answer, error) {
	c := &call{s: s, r: r, now: time.Now(), who: s.holderOfToken(r.Header.Get("X-Atlas-Token"))}
	if c.who == nil {
		return nil, jsonapi.Unauthorized()
	}
	w, err := c.workspace(need)
	if err != nil {
		return nil, err
	}
	if !c.who.mayStoreState() {
		return nil, jsonapi.NotFound()
	}
	return handle(c, w, body)
}

// holderOfToken returns the principal of a token, or nil if the token is missing, unknown
// or expired.
func (s *Server) holderOfToken(secret string) *principal {
	t := s.tokens[secret]
	if t == nil || t.expired(time.Now()) {
		return nil
	}
	t.Used = time.Now() // stored with the token's next change, so that the request need not wait
	return s.principal(t.Holder)
}

// writeAtlas writes a response: a blob unchanged, anything else as JSON.
func (s *Server) writeAtlas(w http.ResponseWriter, a *jsonapi.Answer) {
	for k, v := range a.Header {
		w.Header()[k] = v
	}
	switch body := a.Body.(type) {
	case nil:
		w.WriteHeader(a.Status)
	case *blobs.Blob:
		blobs.Send(w, s.blobs, body)
	default:
		b, err := json.Marshal(body)
		if err != nil {
			writeAtlasError(w, err)
			return
		}
		jsonapi.WriteBody(w, a.Status, "application/json", b)
	}
}

func writeAtlasError(w http.ResponseWriter, err error) {
	e := jsonapi.AsError(err)
	text := e.Detail
	if text == "" {
		text = e.Title
	}
	b, err := json.Marshal(map[string]any{"errors": []string{text}})
	if err != nil {
		panic(err) // a string always marshals
	}
	jsonapi.WriteBody(w, e.Status, "application/json", b)
}

// atlasGetState answers GET /state/:user/:name: the raw state, or 204.
func atlasGetState(c *call, w *workspace, _ []byte) (*jsonapi.Answer, error) {
	v := c.s.current(w, c.now)
	if v == nil || v.State == nil || v.BackingData != blobs.DataKept {
		return jsonapi.NoContent(), nil
	}
	return &jsonapi.Answer{Status: http.StatusOK, Body: v.State, Header: http.Header{"Content-Md5": {base64MD5(v.State.MD5)}}}, nil
}

func base64MD5(sum string) string {
	b, err := hex.DecodeString(sum)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

// atlasPutState answers PUT /state/:user/:name. This API has no locks: it compares the
// serial and, for the same serial, the MD5.
func atlasPutState(c *call, w *workspace, raw []byte) (*jsonapi.Answer, error) {
	header, err := readStateHeader(raw)
	if err != nil {
		return nil, jsonapi.Unprocessable("the state is not JSON")
	}
	b, err := blobs.Keep(c.s.blobs, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	refuse := func(e *jsonapi.Error) (*jsonapi.Answer, error) {
		c.s.discard(b)
		return nil, e
	}
	if sent := c.r.Header.Get("Content-MD5"); sent != base64MD5(b.MD5) {
		return refuse(jsonapi.BadRequest(textMD5Content))
	}
	switch was := known(w); {
	case w.Lock != nil && w.Lock.Holder != c.who.Ref:
		return refuse(jsonapi.Conflict(textLockedBy, c.s.holderText(w.Lock.Holder)))
	case was == nil:
	case header.Serial < was.Serial:
		return refuse(&jsonapi.Error{Status: http.StatusPreconditionFailed, Title: "Precondition Failed", Detail: textSerial})
	case header.Serial == was.Serial && was.MD5 != b.MD5:
		return refuse(jsonapi.Conflict(textMD5Known))
	}
	v := &stateVersion{ID: jsonapi.NewID("sv"), Workspace: w.ID, Serial: header.Serial, Lineage: header.Lineage, MD5: b.MD5,
		Created: c.now, CreatedBy: c.who.Ref}
	c.s.arrive(v, b, c.s.readContents(b), c.now)
	c.s.addVersion(w, v)
	c.s.put(v)
	return &jsonapi.Answer{Status: http.StatusOK}, nil
}
