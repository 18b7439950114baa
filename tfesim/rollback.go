package tfesim

import (
	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// receiveRollback reads the document of a rollback and copies the bytes of the version that
// it names, before anything is locked, because a state may be large.
func receiveRollback(c *call) error {
	if err := receiveDocument(c); err != nil {
		return err
	}
	rel, err := c.body.One.Related("rollback-state-version")
	if err != nil || rel == nil {
		return err
	}
	c.s.mu.Lock()
	from := c.rollbackSource(rel.ID)
	var state, jsonState, outputs *blobs.Blob
	in := &incomingVersion{s: c.s}
	if from != nil {
		state, jsonState, outputs, in.read = from.State, from.JSON, from.Outputs, from.Contents
	}
	c.s.mu.Unlock()
	c.incoming = in
	for _, part := range []struct {
		from *blobs.Blob
		to   **blobs.Blob
	}{{state, &in.state}, {jsonState, &in.json}, {outputs, &in.outputs}} {
		if part.from == nil {
			continue
		}
		if *part.to, err = c.s.duplicate(part.from); err != nil {
			in.discardUnlessKept()
			c.incoming = nil
			return jsonapi.NotFound()
		}
	}
	return nil
}

// rollbackSource returns the state version with this ID in the workspace of the path, if
// the caller may write there, and otherwise nil.
func (c *call) rollbackSource(id string) *stateVersion {
	v := c.s.versions[id]
	if w, err := c.workspace(accessWrite); err != nil || v == nil || v.Workspace != w.ID || !c.who.mayStoreState() {
		return nil
	}
	return v
}

// duplicate copies a blob.
func (s *Server) duplicate(b *blobs.Blob) (*blobs.Blob, error) {
	content, err := s.blobs.Open(b.ID)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return blobs.Keep(s.blobs, content)
}

// rollBack answers PATCH /workspaces/:id/state-versions: a copy of an earlier state version
// becomes the newest. Serial, lineage and MD5 are those of the earlier version, so nothing
// is compared.
func rollBack(c *call) (*jsonapi.Answer, error) {
	s := c.s
	w, err := c.workspace(accessWrite)
	if err != nil {
		return nil, err
	}
	if !c.who.mayStoreState() {
		return nil, jsonapi.NotFound()
	}
	if c.body.One.Type != "" && c.body.One.Type != "state-versions" {
		return nil, jsonapi.Unprocessable("data.type must be state-versions")
	}
	rel, err := c.body.One.Related("rollback-state-version")
	if err != nil {
		return nil, err
	}
	if rel == nil {
		return nil, jsonapi.Missing("rollback-state-version")
	}
	from := c.rollbackSource(rel.ID)
	if from == nil {
		return nil, jsonapi.NotFound()
	}
	v := &stateVersion{ID: jsonapi.NewID("sv"), Workspace: w.ID, Serial: from.Serial, Lineage: from.Lineage, MD5: from.MD5,
		Created: c.now, CreatedBy: c.who.Ref}
	if err := c.checkLock(w, v); err != nil {
		return nil, err
	}
	in := c.incoming
	if in == nil || in.state == nil || from.BackingData != blobs.DataKept || s.status(from, c.now) != statusFinalized {
		return nil, jsonapi.Unprocessable("the state version %s cannot be rolled back to: its state is missing", from.ID)
	}
	s.supersede(w)
	in.kept = true
	v.JSON, v.Outputs = in.json, in.outputs
	s.addVersion(w, v)
	s.arrive(v, in.state, in.read, c.now)
	s.put(v)
	return jsonapi.Created(jsonapi.Document{Data: c.versionResource(v)}), nil
}
