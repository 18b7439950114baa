package tfesim

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

type stateVersion struct {
	ID        string
	Workspace string
	Sequence  uint64 // in the order of creation, over all workspaces
	Serial    int64
	Lineage   string // "" if the client sent none
	MD5       string
	Created   time.Time
	CreatedBy jsonapi.Ref
	Run       string
	// Arrived is when the state's bytes arrived; zero while they are only announced.
	Arrived time.Time
	// Intermediate versions become current when their lock is released; Cycle identifies
	// that lock.
	Intermediate bool
	Cycle        string
	// Discarded versions were superseded before their bytes arrived.
	Discarded bool
	State     *blobs.Blob
	JSON      *blobs.Blob // json-state
	Outputs   *blobs.Blob // json-state-outputs
	Contents  contents
	// BackingData is one of the states in backingdata.go.
	BackingData string
}

// Statuses of a state version.
const (
	statusPending   = "pending"
	statusFinalized = "finalized"
	statusDiscarded = "discarded"
)

// status returns the version's status at a time: processing takes Options.ProcessingDelay
// from the arrival of the bytes.
func (s *Server) status(v *stateVersion, now time.Time) string {
	switch {
	case v.Discarded:
		return statusDiscarded
	case v.Arrived.IsZero() || now.Before(v.Arrived.Add(s.options.ProcessingDelay)):
		return statusPending
	}
	return statusFinalized
}

// processed reports whether resources and outputs are known.
func (s *Server) processed(v *stateVersion, now time.Time) bool {
	return s.status(v, now) == statusFinalized && !now.Before(v.Arrived.Add(2*s.options.ProcessingDelay))
}

// current returns the newest finalized version of a workspace that is not intermediate.
func (s *Server) current(w *workspace, now time.Time) *stateVersion {
	for _, v := range slices.Backward(w.versions) {
		if !v.Intermediate && s.status(v, now) == statusFinalized {
			return v
		}
	}
	return nil
}

// known returns the version that a new one is compared with: the newest with bytes,
// including intermediate ones. A version that was announced but never uploaded does not
// count; according to the documentation, a newer one supersedes it.
func known(w *workspace) *stateVersion {
	for _, v := range slices.Backward(w.versions) {
		if !v.Discarded && !v.Arrived.IsZero() {
			return v
		}
	}
	return nil
}

// stillPending reports whether the newest version prevents the workspace from being
// unlocked.
func (s *Server) stillPending(w *workspace, now time.Time) bool {
	if len(w.versions) == 0 {
		return false
	}
	return s.status(w.versions[len(w.versions)-1], now) == statusPending
}

// An incomingVersion is the request to create a state version, with its base64 strings
// already in blobs.
type incomingVersion struct {
	s       *Server
	item    jsonapi.Item
	state   *blobs.Blob
	json    *blobs.Blob
	outputs *blobs.Blob
	read    contents
	kept    bool
}

// receiveVersion reads the body of a create. It holds only the small attributes in memory,
// whatever the size of the body.
func receiveVersion(c *call) error {
	attributes := []string{"state", "json-state", "json-state-outputs"}
	sinks := map[string]*blobs.Late{}
	writers := map[string]io.Writer{}
	for _, a := range attributes {
		sinks[a] = &blobs.Late{Store: c.s.blobs}
		writers[a] = sinks[a]
	}
	p, err := jsonapi.ReadPayload(newDiverter(c.r.Body, writers))
	in := &incomingVersion{s: c.s}
	if err == nil {
		in.item = p.One
		for a, to := range map[string]**blobs.Blob{"state": &in.state, "json-state": &in.json, "json-state-outputs": &in.outputs} {
			if *to, err = sinks[a].Finish(); err != nil {
				break
			}
		}
	}
	if err != nil {
		for _, sink := range sinks {
			sink.Abort()
		}
		in.discardUnlessKept()
		return err
	}
	if in.state != nil {
		in.read = c.s.readContents(in.state)
	}
	c.incoming = in
	return nil
}

// discardUnlessKept removes the blobs of a create that was refused.
func (in *incomingVersion) discardUnlessKept() {
	if !in.kept {
		in.s.removeBlobs(in.state, in.json, in.outputs)
	}
}

// The real server's texts for refusing a state version.
const (
	textNotLocked   = "This workspace is not locked and will only accept state uploads when locked"
	textLockedBy    = "This workspace is locked by %s and will only accept state uploads from them while locked."
	textMD5Known    = "The MD5 hash of the state provided does not match what is currently known for the same serial number"
	textMD5Content  = "The MD5 parameter passed does not match the MD5 of the provided state"
	textLineage     = "The lineage provided in the state file does not match the value currently known by %s. This means that the provided state is most likely not related to the target workspace. Check that the backend configuration is correct and try again."
	textSerial      = "The serial provided in the state file is not greater than the serial currently known remotely. This means that there may be an update performed since your version of that state. Update to the latest state to resolve conflicts and try again"
	textUnprocessed = "%s is not a valid %s"
)

// createVersion answers POST /workspaces/:id/state-versions. The server checks the
// attributes that were sent, not the file.
func createVersion(c *call) (*jsonapi.Answer, error) {
	s, in := c.s, c.incoming
	w, err := c.workspace(accessWrite)
	if err != nil {
		return nil, err
	}
	if !c.who.mayStoreState() {
		return nil, jsonapi.NotFound()
	}
	v, err := c.readVersionAttributes(w)
	if err != nil {
		return nil, err
	}
	force, err := in.item.Bool("force", false)
	if err != nil {
		return nil, err
	}
	force = force && !s.options.IgnoreForce
	if err := c.checkLock(w, v); err != nil {
		return nil, err
	}
	if err := s.checkAgainstKnown(w, v, force); err != nil {
		return nil, err
	}
	if in.state != nil && in.state.MD5 != v.MD5 {
		if s.options.Personality == Lax {
			return nil, &jsonapi.Error{Status: 500, Empty: true}
		}
		return nil, jsonapi.BadRequest(textMD5Content)
	}

	s.supersede(w)
	in.kept = true
	v.JSON, v.Outputs = in.json, in.outputs
	s.addVersion(w, v)
	if in.state != nil {
		s.arrive(v, in.state, in.read, c.now)
	}
	s.put(v)
	return jsonapi.Created(jsonapi.Document{Data: c.versionResource(v)}), nil
}

// supersede discards the versions whose bytes never arrived, because there is a newer one.
func (s *Server) supersede(w *workspace) {
	for _, old := range w.versions {
		if old.Arrived.IsZero() && !old.Discarded {
			old.Discarded = true
			s.put(old)
		}
	}
}

// readVersionAttributes returns the version with these attributes, or which of them is
// missing or wrong.
func (c *call) readVersionAttributes(w *workspace) (*stateVersion, error) {
	it := c.incoming.item
	if it.Type != "" && it.Type != "state-versions" {
		return nil, jsonapi.Unprocessable("data.type must be state-versions")
	}
	v := &stateVersion{ID: jsonapi.NewID("sv"), Workspace: w.ID, Created: c.now, CreatedBy: c.who.Ref}
	for _, name := range []string{"serial", "md5"} {
		if !it.Has(name) {
			return nil, jsonapi.Missing(name)
		}
	}
	var err error
	if v.Serial, err = it.Integer("serial"); err != nil {
		return nil, err
	}
	if v.Serial < 0 {
		return nil, jsonapi.Invalid("serial", "serial must not be negative")
	}
	if v.MD5, err = it.Text("md5"); err != nil {
		return nil, err
	}
	v.MD5 = strings.ToLower(v.MD5)
	if !validMD5(v.MD5) {
		return nil, jsonapi.Invalid("md5", textUnprocessed, "md5", "MD5 in hex")
	}
	if v.Lineage, err = it.Text("lineage"); err != nil {
		return nil, err
	}
	inlineOnly := c.s.options.InlineOnly || c.s.options.Personality == OldTFE
	if c.incoming.state == nil && (inlineOnly || it.Has("state")) {
		return nil, jsonapi.Missing("state")
	}
	return v, c.readRun(w, v)
}

// readRun reads the relationship to the run that made the state.
func (c *call) readRun(w *workspace, v *stateVersion) error {
	rel, err := c.incoming.item.Related("run")
	if err != nil || rel == nil {
		return err
	}
	if c.s.runs.WorkspaceOf(rel.ID) != w.ID {
		return jsonapi.Unprocessable("the run %s is not a run of this workspace", strings.ToValidUTF8(rel.ID, "?"))
	}
	if w.Lock != nil && w.Lock.Holder != (jsonapi.Ref{ID: rel.ID, Type: "runs"}) {
		return jsonapi.Conflict("only the run that holds the lock of this workspace may be associated with a state version")
	}
	v.Run = rel.ID
	return nil
}

// checkLock checks who may create state versions now: only the holder of the lock, and
// nobody if the workspace is unlocked.
func (c *call) checkLock(w *workspace, v *stateVersion) error {
	if c.s.options.Personality == Lax {
		return nil
	}
	if w.Lock == nil {
		return jsonapi.Conflict(textNotLocked)
	}
	// Naming the run that holds the lock is not enough: its own token is required.
	if w.Lock.Holder != c.who.Ref {
		return jsonapi.Conflict(textLockedBy, c.s.holderText(w.Lock.Holder))
	}
	v.Cycle = w.Lock.Cycle
	v.Intermediate = c.s.promotesAtUnlock()
	return nil
}

func (s *Server) promotesAtUnlock() bool {
	return s.options.PromoteAtUnlock || s.options.Personality == HCP
}

// checkAgainstKnown compares the attributes with those of the known version.
func (s *Server) checkAgainstKnown(w *workspace, v *stateVersion, force bool) error {
	was := known(w)
	if was == nil {
		return nil
	}
	refused := &jsonapi.Error{}
	lax := s.options.Personality == Lax
	switch {
	case !lax && !force && was.Lineage != "" && v.Lineage != "" && v.Lineage != was.Lineage:
		return jsonapi.Conflict(textLineage, s.options.Personality.product())
	case !force && v.Serial < was.Serial:
		refused = &jsonapi.Error{Status: 412, Title: "Precondition Failed", Detail: textSerial}
	case v.Serial == was.Serial && v.MD5 != was.MD5 && !force:
		refused = jsonapi.Conflict(textMD5Known)
	default:
		return nil
	}
	if lax {
		refused.Status, refused.Title = 500, "Internal Server Error"
	}
	return refused
}

// addVersion makes a version the newest of its workspace.
func (s *Server) addVersion(w *workspace, v *stateVersion) {
	s.sequence++
	v.Sequence = s.sequence
	s.versions[v.ID] = v
	w.versions = append(w.versions, v)
}

// arrive adds the bytes to the version.
func (s *Server) arrive(v *stateVersion, state *blobs.Blob, read contents, now time.Time) {
	v.State, v.Contents, v.Arrived = state, read, now
}

// listVersions answers GET /state-versions, newest first.
func listVersions(c *call) (*jsonapi.Answer, error) {
	q := c.r.URL.Query()
	org, name := q.Get("filter[organization][name]"), q.Get("filter[workspace][name]")
	for filter, v := range map[string]string{"filter[organization][name]": org, "filter[workspace][name]": name} {
		if v == "" {
			return nil, jsonapi.BadRequest("The parameter %s is required", filter)
		}
	}
	w := c.s.workspaceNamed(org, name)
	if w == nil || c.s.accessToWorkspace(c.who, w) < accessRead || !c.who.mayStoreState() {
		return nil, jsonapi.NotFound()
	}
	status := q.Get("filter[status]")
	var all []*stateVersion
	for _, v := range slices.Backward(w.versions) {
		if st := c.s.status(v, c.now); (status == "" || st == status) && st != statusDiscarded {
			all = append(all, v)
		}
	}
	return jsonapi.List(c.r, all, c.versionResource, c.versionIncludes)
}

// currentVersion answers GET /workspaces/:id/current-state-version.
func currentVersion(c *call, w *workspace) (*jsonapi.Answer, error) {
	v := c.s.current(w, c.now)
	if v == nil || !c.who.mayStoreState() {
		return nil, jsonapi.NotFound()
	}
	return c.showVersion(v)
}

// getVersion answers GET /state-versions/:id.
func getVersion(c *call, v *stateVersion) (*jsonapi.Answer, error) {
	return c.showVersion(v)
}

// version returns the state version in the path.
func (c *call) version(need access) (*stateVersion, error) {
	v := c.s.versions[c.r.PathValue("state_version_id")]
	if v == nil || !c.who.mayStoreState() || c.s.accessToWorkspace(c.who, c.s.workspaces[v.Workspace]) < need {
		return nil, jsonapi.NotFound()
	}
	return v, nil
}

func (c *call) showVersion(v *stateVersion) (*jsonapi.Answer, error) {
	included, err := c.versionIncludes(v)
	if err != nil {
		return nil, err
	}
	return jsonapi.OK(jsonapi.Document{Data: c.versionResource(v), Included: included}), nil
}

// versionResource returns a state version as the API shows it. Lineage, MD5 and the state
// itself are write-only.
func (c *call) versionResource(v *stateVersion) jsonapi.Resource {
	s := c.s
	status := s.status(v, c.now)
	self := "/api/v2/state-versions/" + v.ID
	var size any
	if v.State != nil {
		size = v.State.Size
	}
	attributes := map[string]any{
		"created-at":                     jsonapi.Timestamp(v.Created),
		"serial":                         v.Serial,
		"size":                           size,
		"status":                         status,
		"intermediate":                   v.Intermediate,
		"hosted-state-download-url":      nil,
		"hosted-json-state-download-url": nil,
		"hosted-state-upload-url":        nil,
		"hosted-json-state-upload-url":   nil,
		"vcs-commit-sha":                 nil,
		"vcs-commit-url":                 nil,
		"billable-rum-count":             nil,
		"resources-processed":            false,
		"state-version":                  nil,
		"terraform-version":              nil,
		"modules":                        nil,
		"providers":                      nil,
		"resources":                      nil,
	}
	switch status {
	case statusPending:
		if v.Arrived.IsZero() {
			attributes["hosted-state-upload-url"] = c.uploadAddress(v, blobState)
			if v.JSON == nil {
				attributes["hosted-json-state-upload-url"] = c.uploadAddress(v, blobJSON)
			}
		}
	case statusFinalized:
		if v.BackingData == "" {
			attributes["hosted-state-download-url"] = c.downloadAddress(v, blobState)
			if v.JSON != nil && !s.options.HYOK {
				attributes["hosted-json-state-download-url"] = c.downloadAddress(v, blobJSON)
			}
		}
	}
	if s.processed(v, c.now) {
		v.Contents.describe(attributes)
	}
	relationships := map[string]any{
		"run":        jsonapi.ToOne(nil, ""),
		"created-by": jsonapi.ToOne(s.actor(&v.CreatedBy), self+"/created-by"),
		"workspace":  jsonapi.ToOne(&jsonapi.Ref{ID: v.Workspace, Type: "workspaces"}, ""),
		"outputs":    jsonapi.ToMany(c.outputRefs(v)),
	}
	if v.Run != "" {
		relationships["run"] = jsonapi.ToOne(&jsonapi.Ref{ID: v.Run, Type: "runs"}, "/api/v2/runs/"+v.Run)
	}
	return jsonapi.Resource{ID: v.ID, Type: "state-versions", Attributes: attributes, Relationships: relationships,
		Links: map[string]any{"self": self}}
}

// versionIncludes returns the resources that the include parameter asks for.
func (c *call) versionIncludes(v *stateVersion) ([]jsonapi.Resource, error) {
	var out []jsonapi.Resource
	for _, name := range jsonapi.Includes(c.r) {
		switch name {
		case "":
		case "created_by":
			if p := c.s.principal(v.CreatedBy); p != nil {
				out = append(out, c.s.userResource(p))
			}
		case "outputs":
			out = append(out, c.outputResources(v, false)...)
		case "run":
			if shown, known := c.s.runs.Resource(c, v.Run); known {
				out = append(out, shown)
			}
		case "run.created_by", "run.configuration_version":
		default:
			return nil, jsonapi.BadInclude(name)
		}
	}
	return out, nil
}

// rawJSON returns the text as a JSON value, or nil if it is not valid JSON.
func rawJSON(b []byte) any {
	if !json.Valid(b) {
		return nil
	}
	return json.RawMessage(b)
}
