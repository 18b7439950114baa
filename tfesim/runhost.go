package tfesim

import (
	"net/http"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// A runHost is the Server as its runs see it.
type runHost struct{ s *Server }

// Do implements runs.Host.
func (h runHost) Do(f func()) error { return h.s.do(f) }

// Put implements runs.Host.
func (h runHost) Put(bucket, key string, record any) { h.s.putRecord(bucket, key, record) }

// Drop implements runs.Host.
func (h runHost) Drop(bucket, key string) { h.s.dropRecord(bucket, key) }

// Discard implements runs.Host.
func (h runHost) Discard(gone ...*blobs.Blob) { h.s.discard(gone...) }

// Workspace implements runs.Host.
func (h runHost) Workspace(id string) (Workspace, bool) {
	if w := h.s.workspaces[id]; w != nil {
		return h.s.runWorkspace(w), true
	}
	return Workspace{}, false
}

// runWorkspace is what runs know of a workspace.
func (s *Server) runWorkspace(w *workspace) Workspace {
	view := Workspace{ID: w.ID, Org: w.Org, Name: w.Name,
		TerraformVersion: jsonapi.TextSetting(w.Settings, "terraform-version", s.options.TerraformVersion),
		WorkingDirectory: jsonapi.TextSetting(w.Settings, "working-directory", ""),
		AutoApply:        jsonapi.BoolSetting(w.Settings, "auto-apply", false),
	}
	view.ExecutionMode, _ = s.executionMode(w)
	if pool := s.assets[s.agentPool(w)]; pool != nil {
		view.AgentPool = pool.Name
	}
	if w.Lock != nil {
		view.LockedBy = &LockHolder{Ref: w.Lock.Holder, Text: s.holderText(w.Lock.Holder)}
	}
	return view
}

// Lock implements runs.Host.
func (h runHost) Lock(workspace, run string) {
	h.s.lock(h.s.workspaces[workspace], jsonapi.Ref{ID: run, Type: "runs"}, "", time.Now())
}

// Unlock implements runs.Host.
func (h runHost) Unlock(workspace string) { h.s.release(h.s.workspaces[workspace]) }

// CurrentState implements runs.Host.
func (h runHost) CurrentState(workspace string) (state *blobs.Blob, newest int64) {
	w := h.s.workspaces[workspace]
	newest = -1
	if v := known(w); v != nil {
		newest = v.Serial
	}
	if v := h.s.current(w, time.Now()); v != nil {
		state = v.State
	}
	return state, newest
}

// AddState implements runs.Host.
func (h runHost) AddState(workspace string, state State) error {
	now := time.Now()
	v := &stateVersion{ID: jsonapi.NewID("sv"), Workspace: workspace, Serial: state.Serial, Lineage: state.Lineage,
		MD5: state.Blob.MD5, Created: now, CreatedBy: state.CreatedBy, Run: state.Run}
	h.s.arrive(v, state.Blob, h.s.readContents(state.Blob), now)
	return h.s.do(func() {
		w := h.s.workspaces[workspace]
		if w == nil { // it was deleted meanwhile
			h.s.discard(state.Blob)
			return
		}
		h.s.addVersion(w, v)
		h.s.put(v)
	})
}

// StateVersions implements runs.Host.
func (h runHost) StateVersions(workspace, run string) []jsonapi.Ref {
	var refs []jsonapi.Ref
	for _, v := range h.s.workspaces[workspace].versions {
		if v.Run == run {
			refs = append(refs, jsonapi.Ref{ID: v.ID, Type: "state-versions"})
		}
	}
	return refs
}

// OffersTerraform implements runs.Host.
func (h runHost) OffersTerraform(version string) bool { return h.s.offersTerraform(version) }

// User implements runs.Host.
func (h runHost) User(who jsonapi.Ref) (jsonapi.Resource, bool) {
	if p := h.s.principal(who); p != nil {
		return h.s.userResource(p), true
	}
	return jsonapi.Resource{}, false
}

// HolderName implements runs.Host.
func (h runHost) HolderName(who jsonapi.Ref) string { return h.s.holderName(who) }

// Request implements runs.Call.
func (c *call) Request() *http.Request { return c.r }

// Now implements runs.Call.
func (c *call) Now() time.Time { return c.now }

// Body implements runs.Call.
func (c *call) Body() *jsonapi.Payload { return c.body }

// Asker implements runs.Call.
func (c *call) Asker() jsonapi.Ref { return c.who.Ref }

// May implements runs.Call.
func (c *call) May(do Access, workspace string) bool {
	w := c.s.workspaces[workspace]
	return w != nil && c.s.accessToWorkspace(c.who, w) >= accessFor(do)
}

func accessFor(do Access) access {
	return [...]access{Read: accessRead, Write: accessWrite, Administer: accessAdmin}[do]
}

// MayRun implements runs.Call.
func (c *call) MayRun() bool { return c.who.mayStoreState() }

// Workspace implements runs.Call.
func (c *call) Workspace(need Access) (Workspace, error) {
	w, err := c.workspace(accessFor(need))
	if err != nil {
		return Workspace{}, err
	}
	return c.s.runWorkspace(w), nil
}

// Organization implements runs.Call.
func (c *call) Organization() (name string, workspaces []Workspace, err error) {
	o, err := c.organization()
	if err != nil {
		return "", nil, err
	}
	for _, w := range c.s.byName[o.Name] {
		workspaces = append(workspaces, c.s.runWorkspace(w))
	}
	return o.Name, workspaces, nil
}

// WorkspaceResource implements runs.Call.
func (c *call) WorkspaceResource(id string) jsonapi.Resource {
	return c.workspaceResource(c.s.workspaces[id])
}
