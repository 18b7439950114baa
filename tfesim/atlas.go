package tfesim

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// An atlasVersion is what the first API knows of a configuration version besides.
type atlasVersion struct {
	Number    int
	Metadata  map[string]string
	Variables map[string]string
}

// atlasRoutes registers the first API, as Atlas had it: states and configuration versions of
// users, which are the organizations here, by names, which are those of workspaces.
func (s *Server) atlasRoutes() {
	const (
		root  = "/api/v1/terraform"
		state = root + "/state/{organization}/{workspace}"
		of    = root + "/configurations/{organization}/{workspace}/versions"
	)
	s.mux.HandleFunc("GET "+state, s.atlas(accessRead, atlasGetState))
	s.mux.HandleFunc("PUT "+state, s.atlas(accessWrite, atlasPutState))
	s.mux.HandleFunc("POST "+of, s.atlas(accessWrite, atlasCreateVersion))
	s.mux.HandleFunc("GET "+of+"/latest", s.atlas(accessRead, atlasLatestVersion))
	s.mux.HandleFunc("GET "+of+"/progress/{token}", s.atlas(accessRead, atlasProgress))
}

// maxAtlasState bounds a state that the first API takes: it is held in memory.
const maxAtlasState = 64 << 20

// An atlasHandler answers a request of the first API about a workspace.
type atlasHandler func(c *call, w *workspace, body []byte) (*jsonapi.Answer, error)

// atlas is the way of a request of the first API: its token is in a header of its own, its
// errors are plain strings. The body is read before anything is locked.
func (s *Server) atlas(need access, handle atlasHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxAtlasState+1))
		switch {
		case err != nil:
			writeAtlasError(w, jsonapi.BadRequest("the request body could not be read to its end"))
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

// holderOfToken is who a token stands for; nil when it is missing, unknown or expired.
func (s *Server) holderOfToken(secret string) *principal {
	t := s.tokens[secret]
	if t == nil || t.expired(time.Now()) {
		return nil
	}
	t.Used = time.Now() // kept on disk with the token's next change: a request need not wait for that
	return s.principal(t.Holder)
}

// writeAtlas writes an answer: a blob as it is, anything else as JSON.
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

// atlasPutState answers PUT /state/:user/:name. There were no locks: what is compared is the
// serial, and the MD5 of the same serial.
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

// atlasCreateVersion answers POST /configurations/:user/:name/versions. Its variables become
// the workspace's where that has none of the name, as terraform push had it.
func atlasCreateVersion(c *call, w *workspace, raw []byte) (*jsonapi.Answer, error) {
	var document struct {
		Version *struct {
			Metadata  map[string]string `json:"metadata"`
			Variables map[string]string `json:"variables"`
		} `json:"version"`
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, jsonapi.Unprocessable("the document is not one of a version: metadata and variables are maps of strings")
	}
	if document.Version == nil {
		return nil, jsonapi.Missing("version")
	}
	for key := range document.Version.Variables {
		if !validVariableName(key) {
			return nil, jsonapi.Unprocessable("%q cannot name a variable", strings.ToValidUTF8(key, "?"))
		}
	}
	v := &configurationVersion{ID: jsonapi.NewID("cv"), Workspace: w.ID, Created: c.now, Source: "atlas", AutoQueueRuns: true}
	v.Atlas = &atlasVersion{Number: 1, Metadata: document.Version.Metadata, Variables: document.Version.Variables}
	for _, other := range c.s.configurationsOf(w) {
		if other.Atlas != nil {
			v.Atlas.Number = max(v.Atlas.Number, other.Atlas.Number+1)
		}
	}
	c.s.addMissingVariables(w, document.Version.Variables)
	c.s.addConfiguration(v)
	upload := c.s.signer.Address(jsonapi.Origin(c.r), blobs.Ticket{Upload: true, Kind: blobConfiguration, ID: v.ID})
	return &jsonapi.Answer{Status: http.StatusOK, Body: map[string]any{
		"version": v.Atlas.Number, "token": v.ID, "upload_path": upload,
	}}, nil
}

// addMissingVariables gives a workspace the Terraform variables that it does not have yet.
func (s *Server) addMissingVariables(w *workspace, values map[string]string) {
	have := map[string]bool{}
	for _, v := range s.variablesOf(w) {
		have[v.Key] = have[v.Key] || v.Category == categoryTerraform
	}
	for key, value := range values {
		if !have[key] {
			s.addVariable(w, categoryTerraform, key, value)
		}
	}
}

// atlasLatestVersion answers GET /configurations/:user/:name/versions/latest.
func atlasLatestVersion(c *call, w *workspace, _ []byte) (*jsonapi.Answer, error) {
	for _, v := range c.s.configurationsOf(w) {
		if v.Atlas != nil {
			return &jsonapi.Answer{Status: http.StatusOK, Body: map[string]any{"version": map[string]any{
				"version": v.Atlas.Number, "metadata": v.Atlas.Metadata, "variables": v.Atlas.Variables, "tf_vars": []any{},
			}}}, nil
		}
	}
	return nil, jsonapi.NotFound()
}

// atlasProgress answers GET …/versions/progress/:token with the bytes that have arrived. The
// documentation does not show the answer's shape.
func atlasProgress(c *call, w *workspace, _ []byte) (*jsonapi.Answer, error) {
	v := c.s.work.configurations[c.r.PathValue("token")]
	if v == nil || v.Workspace != w.ID || v.Atlas == nil {
		return nil, jsonapi.NotFound()
	}
	received := int64(0)
	switch arriving := c.s.work.arriving[v.ID]; {
	case v.Archive != nil:
		received = v.Archive.Size
	case arriving != nil:
		received = arriving.Load()
	}
	return &jsonapi.Answer{Status: http.StatusOK, Body: map[string]any{"progress": received}}, nil
}

// arrivingBytes counts the bytes of an upload while they come.
func (s *Server) arrivingBytes(id string, body io.Reader) (counted io.Reader, done func()) {
	n := new(atomic.Int64)
	s.mu.Lock()
	s.work.arriving[id] = n
	s.mu.Unlock()
	return io.TeeReader(body, countWriter{n}), func() {
		s.mu.Lock()
		delete(s.work.arriving, id)
		s.mu.Unlock()
	}
}

type countWriter struct{ n *atomic.Int64 }

func (c countWriter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}
