package tfesim

import (
	"net/http"
	"strings"
	"time"

	"tfhaul/tfesim/jsonapi"
)

// lockWorkspace answers POST /workspaces/:id/actions/lock. It fails if anyone holds the
// lock, including the asker.
func lockWorkspace(c *call, w *workspace) (*jsonapi.Answer, error) {
	reason, err := lockReason(c)
	if err != nil {
		return nil, err
	}
	if w.Lock != nil {
		if c.s.options.Personality == Lax {
			return nil, &jsonapi.Error{Status: 409, Empty: true}
		}
		return nil, jsonapi.Conflict("Unable to lock workspace. The workspace is already locked.")
	}
	c.s.lock(w, c.who.Ref, reason, c.now)
	return c.lockAnswer(w), nil
}

// lock locks an unlocked workspace.
func (s *Server) lock(w *workspace, holder jsonapi.Ref, reason string, now time.Time) {
	w.Lock = &lock{Holder: holder, Reason: reason, At: now, Cycle: jsonapi.NewID("lock")}
	s.put(w)
}

// lockReason reads {"reason":"…"}, which is not a JSON:API document; go-tfe sends it as an
// attribute of one.
func lockReason(c *call) (string, error) {
	if r, err := c.body.One.Text("reason"); r != "" || err != nil {
		return r, err
	}
	return c.body.Reason, nil
}

// unlockWorkspace answers POST /workspaces/:id/actions/unlock, for the holder only.
func unlockWorkspace(c *call, w *workspace) (*jsonapi.Answer, error) {
	switch {
	case w.Lock == nil:
		return nil, jsonapi.Conflict("Unable to unlock workspace. The workspace is already unlocked.")
	case w.Lock.Holder != c.who.Ref:
		if c.s.options.Personality == Lax {
			return nil, &jsonapi.Error{Status: 409, Empty: true}
		}
		return nil, jsonapi.Conflict("Unable to unlock workspace. The workspace is locked by %s and may not be unlocked except by them.", c.s.holderText(w.Lock.Holder))
	case c.s.options.Personality != Lax && c.s.stillPending(w, c.now):
		status := c.s.options.Personality.stillPendingStatus()
		return nil, &jsonapi.Error{Status: status, Title: strings.ToLower(http.StatusText(status)),
			Detail: "Unable to unlock workspace. The latest state version is still pending."}
	}
	c.s.release(w)
	return c.lockAnswer(w), nil
}

// forceUnlockWorkspace answers POST /workspaces/:id/actions/force-unlock, for admins of the
// workspace.
func forceUnlockWorkspace(c *call, w *workspace) (*jsonapi.Answer, error) {
	if w.Lock == nil {
		return nil, jsonapi.Conflict("Unable to force unlock workspace. The workspace is already unlocked.")
	}
	c.s.release(w)
	return c.lockAnswer(w), nil
}

// release removes the lock. The newest intermediate version made under it becomes current
// and the others are deleted; one whose bytes never arrived stays unchanged.
func (s *Server) release(w *workspace) {
	cycle := w.Lock.Cycle
	w.Lock = nil
	s.put(w)
	defer s.runs.Advance(w.ID) // a run may be waiting for it

	var newest *stateVersion
	for _, v := range w.versions {
		if v.Intermediate && v.Cycle == cycle && !v.Arrived.IsZero() {
			newest = v
		}
	}
	if newest == nil {
		return
	}
	newest.Intermediate = false
	s.put(newest)
	kept := w.versions[:0:0]
	for _, v := range w.versions {
		if v.Intermediate && v.Cycle == cycle && !v.Arrived.IsZero() {
			s.dropVersion(v)
			continue
		}
		kept = append(kept, v)
	}
	w.versions = kept
}

// dropVersion deletes a state version and its bytes.
func (s *Server) dropVersion(v *stateVersion) {
	delete(s.versions, v.ID)
	s.drop(v)
	s.discard(v.State, v.JSON, v.Outputs)
}

// lockAnswer returns the workspace as in the response to a lock action.
func (c *call) lockAnswer(w *workspace) *jsonapi.Answer {
	return jsonapi.OK(jsonapi.Document{Data: c.workspaceResource(w)})
}

// lockedByRef returns a lock's holder as a relationship.
func lockedByRef(l *lock) *jsonapi.Ref {
	if l == nil {
		return nil
	}
	return &l.Holder
}

// lockedByResource returns the holder, for include=locked_by.
func (c *call) lockedByResource(l *lock) []jsonapi.Resource {
	if l == nil {
		return nil
	}
	p := c.s.principal(l.Holder)
	switch {
	case p == nil:
		return nil
	case p.team != nil:
		return []jsonapi.Resource{c.s.teamResource(p.team)}
	case p.runs != "":
		shown, _ := c.s.runs.Resource(c, p.ID)
		return []jsonapi.Resource{shown}
	}
	return []jsonapi.Resource{c.s.userResource(p)}
}
