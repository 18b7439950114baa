package tfesim

import (
	"net/http"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
	"tfhaul/tfesim/runs"
)

// A runHost is the Server as its runs see it: a runs.Host.
type runHost struct{ s *Server }

func (h runHost) Do(f func()) error                  { return h.s.do(f) }
func (h runHost) Put(bucket, key string, record any) { h.s.putRecord(bucket, key, record) }
func (h runHost) Drop(bucket, key string)            { h.s.dropRecord(bucket, key) }
func (h runHost) Discard(gone ...*blobs.Blob)        { h.s.discard(gone...) }

func (h runHost) Workspace(id string) (runs.Workspace, bool) {
	if w := h.s.workspaces[id]; w != nil {
		return h.s.runWorkspace(w), true
	}
	return runs.Workspace{}, false
}

// runWorkspace returns what runs know about a workspace.
func (s *Server) runWorkspace(w *workspace) runs.Workspace {
	view := runs.Workspace{ID: w.ID, Org: w.Org, Name: w.Name,
		TerraformVersion: jsonapi.TextSetting(w.Settings, "terraform-version", s.options.TerraformVersion),
		WorkingDirectory: jsonapi.TextSetting(w.Settings, "working-directory", ""),
		AutoApply:        jsonapi.BoolSetting(w.Settings, "auto-apply", false),
	}
	view.ExecutionMode, _ = s.executionMode(w)
	if pool := s.assets[s.agentPool(w)]; pool != nil {
		view.AgentPool = pool.Name
	}
	if w.Lock != nil {
		view.LockedBy = &runs.LockHolder{Ref: w.Lock.Holder, Text: s.holderText(w.Lock.Holder)}
	}
	return view
}

func (h runHost) Lock(workspace, run string) {
	h.s.lock(h.s.workspaces[workspace], jsonapi.Ref{ID: run, Type: "runs"}, "", time.Now())
}

func (h runHost) Unlock(workspace string) { h.s.release(h.s.workspaces[workspace]) }

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

func (h runHost) AddState(workspace string, state runs.State) error {
	now := time.Now()
	v := &stateVersion{ID: jsonapi.NewID("sv"), Workspace: workspace, Serial: state.Serial, Lineage: state.Lineage,
		MD5: state.Blob.MD5, Created: now, CreatedBy: state.CreatedBy, Run: state.Run}
	h.s.arrive(v, state.Blob, h.s.readContents(state.Blob), now)
	return h.s.do(func() {
		w := h.s.workspaces[workspace]
		if w == nil { // deleted in the meantime
			h.s.discard(state.Blob)
			return
		}
		h.s.addVersion(w, v)
		h.s.put(v)
	})
}

func (h runHost) StateVersions(workspace, run string) []jsonapi.Ref {
	var refs []jsonapi.Ref
	for _, v := range h.s.workspaces[workspace].versions {
		if v.Run == run {
			refs = append(refs, jsonapi.Ref{ID: v.ID, Type: "state-versions"})
		}
	}
	return refs
}

func (h runHost) OffersTerraform(version string) bool { return h.s.offersTerraform(version) }

func (h runHost) User(who jsonapi.Ref) (jsonapi.Resource, bool) {
	if p := h.s.principal(who); p != nil {
		return h.s.userResource(p), true
	}
	return jsonapi.Resource{}, false
}

func (h runHost) HolderName(who jsonapi.Ref) string { return h.s.holderName(who) }

// The methods below make a call a runs.Call.

func (c *call) Request() *http.Request { return c.r }
func (c *call) Now() time.Time         { return c.now }
func (c *call) Body() *jsonapi.Payload { return c.body }
func (c *call) Asker() jsonapi.Ref     { return c.who.Ref }

func (c *call) May(do runs.Access, workspace string) bool {
	w := c.s.workspaces[workspace]
	return w != nil && c.s.accessToWorkspace(c.who, w) >= accessFor(do)
}

// accessFor returns the access that runs ask for.
func accessFor(do runs.Access) access {
	return [...]access{runs.Read: accessRead, runs.Write: accessWrite, runs.Administer: accessAdmin}[do]
}

func (c *call) MayRun() bool { return c.who.mayStoreState() }

func (c *call) Workspace(need runs.Access) (runs.Workspace, error) {
	w, err := c.workspace(accessFor(need))
	if err != nil {
		return runs.Workspace{}, err
	}
	return c.s.runWorkspace(w), nil
}

func (c *call) Organization() (name string, workspaces []runs.Workspace, err error) {
	o, err := c.organization()
	if err != nil {
		return "", nil, err
	}
	for _, w := range c.s.byName[o.Name] {
		workspaces = append(workspaces, c.s.runWorkspace(w))
	}
	return o.Name, workspaces, nil
}

func (c *call) WorkspaceResource(id string) jsonapi.Resource {
	return c.workspaceResource(c.s.workspaces[id])
}
