package runs

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// An atlasVersion holds the attributes that a configuration version has only in the first API.
type atlasVersion struct {
	Number    int
	Metadata  map[string]string
	Variables map[string]string
}

// CreateAtlasVersion answers POST /configurations/:user/:name/versions of the first API. As with
// terraform push, the workspace gets the version's variables unless it already has them.
func (s *Service) CreateAtlasVersion(c Call, w Workspace, raw []byte) (*jsonapi.Answer, error) {
	var document struct {
		Version *struct {
			Metadata  map[string]string `json:"metadata"`
			Variables map[string]string `json:"variables"`
		} `json:"version"`
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, jsonapi.Unprocessable("the document does not describe a version: metadata and variables are maps of strings")
	}
	if document.Version == nil {
		return nil, jsonapi.Missing("version")
	}
	for key := range document.Version.Variables {
		if !validVariableName(key) {
			return nil, jsonapi.Unprocessable("%q is not a valid variable name", strings.ToValidUTF8(key, "?"))
		}
	}
	v := &configurationVersion{ID: jsonapi.NewID("cv"), Workspace: w.ID, Created: c.Now(), Source: "atlas", AutoQueueRuns: true}
	v.Atlas = &atlasVersion{Number: 1, Metadata: document.Version.Metadata, Variables: document.Version.Variables}
	for _, other := range s.configurationsOf(w.ID) {
		if other.Atlas != nil {
			v.Atlas.Number = max(v.Atlas.Number, other.Atlas.Number+1)
		}
	}
	s.addMissingVariables(w, document.Version.Variables)
	s.addConfiguration(v)
	upload := s.options.Signer.Address(jsonapi.Origin(c.Request()), blobs.Ticket{Upload: true, Kind: blobConfiguration, ID: v.ID})
	return &jsonapi.Answer{Status: http.StatusOK, Body: map[string]any{
		"version": v.Atlas.Number, "token": v.ID, "upload_path": upload,
	}}, nil
}

// addMissingVariables adds the Terraform variables that a workspace does not have yet.
func (s *Service) addMissingVariables(w Workspace, values map[string]string) {
	have := map[string]bool{}
	for _, v := range s.variablesOf(w.ID) {
		have[v.Key] = have[v.Key] || v.Category == categoryTerraform
	}
	for key, value := range values {
		if !have[key] {
			s.addVariable(w.ID, categoryTerraform, key, value)
		}
	}
}

// LatestAtlasVersion answers GET /configurations/:user/:name/versions/latest of the first API.
func (s *Service) LatestAtlasVersion(_ Call, w Workspace, _ []byte) (*jsonapi.Answer, error) {
	for _, v := range s.configurationsOf(w.ID) {
		if v.Atlas != nil {
			return &jsonapi.Answer{Status: http.StatusOK, Body: map[string]any{"version": map[string]any{
				"version": v.Atlas.Number, "metadata": v.Atlas.Metadata, "variables": v.Atlas.Variables, "tf_vars": []any{},
			}}}, nil
		}
	}
	return nil, jsonapi.NotFound()
}

// AtlasProgress answers GET …/versions/progress/:token of the first API with the number of bytes
// that have arrived. The form of the answer is a guess: the documentation does not show it.
func (s *Service) AtlasProgress(c Call, w Workspace, _ []byte) (*jsonapi.Answer, error) {
	v := s.configurations[c.Request().PathValue("token")]
	if v == nil || v.Workspace != w.ID || v.Atlas == nil {
		return nil, jsonapi.NotFound()
	}
	received := int64(0)
	switch arriving := s.arriving[v.ID]; {
	case v.Archive != nil:
		received = v.Archive.Size
	case arriving != nil:
		received = arriving.Load()
	}
	return &jsonapi.Answer{Status: http.StatusOK, Body: map[string]any{"progress": received}}, nil
}

// arrivingBytes counts the bytes of an upload while they arrive.
func (s *Service) arrivingBytes(id string, body io.Reader) (counted io.Reader, done func()) {
	n := new(atomic.Int64)
	// Nothing is written to disk.
	_ = s.host.Do(func() { s.arriving[id] = n })
	return io.TeeReader(body, countWriter{n}), func() {
		_ = s.host.Do(func() { delete(s.arriving, id) })
	}
}

type countWriter struct{ n *atomic.Int64 }

func (c countWriter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}
