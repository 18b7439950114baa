package tfesim

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
	"tfhaul/tfesim/runs"
)

// The methods in this file let a test change and examine the server's data without the API
// and its rules. They make no requests, so they are not counted and not affected by faults.

// A Holder is the holder of a lock.
type Holder struct {
	// Identity is the predefined identity; "" for a run and for other users.
	Identity Identity
	Kind     string // "users", "teams" or "runs"
	ID       string
	Name     string
	Reason   string
	Since    time.Time
}

// named returns a workspace, or an error if it does not exist.
func (s *Server) named(org, workspace string) (*workspace, error) {
	w := s.workspaceNamed(org, workspace)
	if w == nil {
		return nil, fmt.Errorf("tfesim: no workspace %s/%s", org, workspace)
	}
	return w, nil
}

// AddWorkspace creates a workspace unless one has this name, and returns its ID.
func (s *Server) AddWorkspace(org, name string) (id string, err error) {
	var w *workspace
	werr := s.do(func() { w, err = s.ensureWorkspace(org, name) })
	if err != nil {
		return "", err
	}
	return w.ID, werr
}

func (s *Server) ensureWorkspace(org, name string) (*workspace, error) {
	if w := s.workspaceNamed(org, name); w != nil {
		return w, nil
	}
	o := s.organizationNamed(org)
	if o == nil {
		return nil, fmt.Errorf("tfesim: no organization %s", org)
	}
	if !validName(name, maxWorkspaceName) {
		return nil, fmt.Errorf("tfesim: %q is not a valid workspace name", name)
	}
	now := time.Now()
	w := &workspace{ID: jsonapi.NewID("ws"), Org: o.Name, Project: o.DefaultProject, Name: name, Created: now, Updated: now,
		Settings: map[string]json.RawMessage{}}
	jsonapi.SetText(w.Settings, "terraform-version", s.options.TerraformVersion)
	s.shareNewState(w)
	s.addWorkspace(w)
	return w, nil
}

// RenameWorkspace renames a workspace.
func (s *Server) RenameWorkspace(org, workspace, name string) error {
	return s.arrange(org, workspace, func(w *workspaceRecord) error {
		delete(s.byName[w.Org], strings.ToLower(w.Name))
		w.Name = name
		s.byName[w.Org][strings.ToLower(name)] = w
		s.put(w)
		return nil
	})
}

// DeleteWorkspace deletes a workspace and all its state, locked or not.
func (s *Server) DeleteWorkspace(org, workspace string) error {
	return s.arrange(org, workspace, func(w *workspaceRecord) error {
		s.deleteWorkspace(w)
		return nil
	})
}

// workspaceRecord is an alias for functions with a parameter named workspace.
type workspaceRecord = workspace

// arrange changes a workspace and waits until the change is on disk.
func (s *Server) arrange(org, workspace string, change func(*workspaceRecord) error) error {
	var refused error
	err := s.do(func() {
		w, err := s.named(org, workspace)
		if err == nil {
			err = change(w)
		}
		refused = err
	})
	return cmp.Or(refused, err)
}

// Seed adds a finalized current state version with these bytes to a workspace, which it
// creates if needed, whatever its lock. It returns the version's ID. Serial and lineage are
// read from the bytes; for SeedVersion they are given.
func (s *Server) Seed(org, workspace string, raw []byte) (id string, err error) {
	header, err := readStateHeader(raw)
	if err != nil {
		return "", fmt.Errorf("tfesim: the state to seed %s/%s is not JSON; use SeedVersion", org, workspace)
	}
	return s.SeedVersion(org, workspace, raw, header.Serial, header.Lineage)
}

// SeedVersion is Seed with explicit attributes, for bytes with other attributes or none.
func (s *Server) SeedVersion(org, workspace string, raw []byte, serial int64, lineage string) (id string, err error) {
	b, err := blobs.Keep(s.blobs, bytes.NewReader(raw))
	if err != nil {
		return "", err
	}
	read := s.readContents(b)
	now := time.Now()
	v := &stateVersion{ID: jsonapi.NewID("sv"), Serial: serial, Lineage: lineage, MD5: b.MD5, Created: now}
	// Old enough to have been processed.
	s.arrive(v, b, read, now.Add(-2*s.options.ProcessingDelay))
	werr := s.do(func() {
		var w *workspaceRecord
		if w, err = s.ensureWorkspace(org, workspace); err != nil {
			s.discard(b)
			return
		}
		v.Workspace = w.ID
		s.addVersion(w, v)
		s.put(v)
	})
	if err != nil {
		return "", err
	}
	return v.ID, werr
}

// Current returns the bytes and the serial attribute of a workspace's current state
// version; ok is false if there is no workspace or no current version.
func (s *Server) Current(org, workspace string) (raw []byte, serial int64, ok bool) {
	s.mu.Lock()
	var v *stateVersion
	if w := s.workspaceNamed(org, workspace); w != nil {
		v = s.current(w, time.Now())
	}
	s.mu.Unlock()
	if v == nil || v.State == nil {
		return nil, 0, false
	}
	f, err := s.blobs.Open(v.State.ID)
	if err != nil {
		return nil, 0, false
	}
	defer f.Close()
	if raw, err = io.ReadAll(f); err != nil {
		return nil, 0, false
	}
	return raw, v.Serial, true
}

// A Version is what the server stores of a state version, including the write-only
// attributes.
type Version struct {
	ID           string
	Serial       int64
	Lineage      string
	MD5          string
	Size         int64
	Status       string
	Intermediate bool
	Current      bool
	Run          string
}

// Versions returns a workspace's state versions, oldest first, including discarded ones.
func (s *Server) Versions(org, workspace string) []Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workspaceNamed(org, workspace)
	if w == nil {
		return nil
	}
	now := time.Now()
	current := s.current(w, now)
	var out []Version
	for _, v := range w.versions {
		var size int64
		if v.State != nil {
			size = v.State.Size
		}
		out = append(out, Version{ID: v.ID, Serial: v.Serial, Lineage: v.Lineage, MD5: v.MD5, Size: size,
			Status: s.status(v, now), Intermediate: v.Intermediate, Current: v == current, Run: v.Run})
	}
	return out
}

// Workspaces returns the names of an organization's workspaces, sorted.
func (s *Server) Workspaces(org string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, w := range s.workspacesOf(org) {
		names = append(names, w.Name)
	}
	slices.Sort(names)
	return names
}

// Locked returns the names of an organization's workspaces that are locked, sorted.
func (s *Server) Locked(org string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, w := range s.workspacesOf(org) {
		if w.Lock != nil {
			names = append(names, w.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Lock locks a workspace for a predefined identity.
func (s *Server) Lock(org, workspace string, holder Identity, reason string) error {
	return s.arrange(org, workspace, func(w *workspaceRecord) error {
		who, err := s.identityRef(holder, org)
		if err != nil {
			return err
		}
		return s.setLock(w, who, reason)
	})
}

// LockByRun locks a workspace for a new run that applies forever, and returns the run's ID.
func (s *Server) LockByRun(org, workspace string) (runID string, err error) {
	err = s.arrange(org, workspace, func(w *workspaceRecord) error {
		if w.Lock != nil {
			return fmt.Errorf("tfesim: %s/%s is already locked", org, workspace)
		}
		runID = s.runs.AddLockHolder(w.ID)
		return s.setLock(w, jsonapi.Ref{ID: runID, Type: "runs"}, "")
	})
	return runID, err
}

// RunToken creates a token for the run to use with its workspace.
func (s *Server) RunToken(runID string) (string, error) {
	var t *token
	err := s.do(func() {
		if s.runs.WorkspaceOf(runID) != "" {
			t = s.newToken(jsonapi.Ref{ID: runID, Type: "runs"}, time.Time{})
		}
	})
	if t == nil {
		return "", fmt.Errorf("tfesim: no run %s", runID)
	}
	return t.Secret, err
}

func (s *Server) setLock(w *workspace, holder jsonapi.Ref, reason string) error {
	if w.Lock != nil {
		return fmt.Errorf("tfesim: %s/%s is already locked", w.Org, w.Name)
	}
	s.lock(w, holder, reason, time.Now())
	return nil
}

// Unlock removes a workspace's lock, even if someone else holds it.
func (s *Server) Unlock(org, workspace string) error {
	return s.arrange(org, workspace, func(w *workspaceRecord) error {
		if w.Lock != nil {
			s.release(w)
		}
		return nil
	})
}

// LockHolder returns the holder of a workspace's lock; ok is false if it is unlocked.
func (s *Server) LockHolder(org, workspace string) (h Holder, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workspaceNamed(org, workspace)
	if w == nil || w.Lock == nil {
		return Holder{}, false
	}
	h = Holder{Kind: w.Lock.Holder.Type, ID: w.Lock.Holder.ID, Name: s.holderName(w.Lock.Holder), Reason: w.Lock.Reason, Since: w.Lock.At}
	if p := s.principal(w.Lock.Holder); p != nil {
		h.Identity = p.identity
	}
	return h, true
}

// identityRef returns the user or team of a predefined identity.
func (s *Server) identityRef(id Identity, org string) (jsonapi.Ref, error) {
	for _, u := range s.users {
		if u.Identity == id {
			return jsonapi.Ref{ID: u.ID, Type: "users"}, nil
		}
	}
	for _, t := range s.teams {
		if t.Identity == id && id != "" && t.Org == org {
			return jsonapi.Ref{ID: t.ID, Type: "teams"}, nil
		}
	}
	return jsonapi.Ref{}, fmt.Errorf("tfesim: %q cannot hold a lock in %s", id, org)
}

// ExpireToken makes a token expire now: from now on it gets 401.
func (s *Server) ExpireToken(secret string) error {
	var t *token
	err := s.do(func() {
		if t = s.tokens[secret]; t != nil {
			t.Expires = time.Now()
			s.put(t)
		}
	})
	if t == nil {
		return fmt.Errorf("tfesim: no such token")
	}
	return err
}

// SetTerraformVersion sets a workspace's Terraform version.
func (s *Server) SetTerraformVersion(org, workspace, version string) error {
	return s.set(org, workspace, "terraform-version", version)
}

// SetWorkingDirectory sets the directory, inside the configuration, where a workspace's
// runs are executed.
func (s *Server) SetWorkingDirectory(org, workspace, directory string) error {
	return s.set(org, workspace, "working-directory", directory)
}

func (s *Server) set(org, workspace, name, value string) error {
	return s.arrange(org, workspace, func(w *workspaceRecord) error {
		w.Settings = maps.Clone(w.Settings)
		jsonapi.SetText(w.Settings, name, value)
		s.put(w)
		return nil
	})
}

// SetAutoApply sets whether a workspace applies its runs without confirmation.
func (s *Server) SetAutoApply(org, workspace string, applies bool) error {
	return s.setJSON(org, workspace, "auto-apply", applies)
}

// SetVCSRepository makes a workspace report a VCS repository, such as "acme/network".
func (s *Server) SetVCSRepository(org, workspace, repository string) error {
	return s.setJSON(org, workspace, vcsRepositorySetting, vcsRepository{Identifier: repository, OAuthTokenID: "ot-tfesim"})
}

// AddRunTrigger makes a workspace report that runs of another one start runs there.
func (s *Server) AddRunTrigger(org, workspace, source string) error {
	return s.setJSON(org, workspace, runTriggersSetting, []string{source})
}

func (s *Server) setJSON(org, workspace, name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.arrange(org, workspace, func(w *workspaceRecord) error {
		w.Settings = maps.Clone(w.Settings)
		w.Settings[name] = text
		s.put(w)
		return nil
	})
}

// AwaitRun waits until a run has one of the statuses or has ended, and returns its status.
func (s *Server) AwaitRun(ctx context.Context, runID string, statuses ...string) (string, error) {
	return s.runs.Await(ctx, runID, statuses...)
}

// SetVariable sets a workspace's variable of the category "terraform" or "env".
func (s *Server) SetVariable(org, workspace, category, key, value string) error {
	return s.arrange(org, workspace, func(w *workspaceRecord) error {
		s.runs.SetVariable(w.ID, category, key, value)
		return nil
	})
}

// RunInfo describes a run.
type RunInfo = runs.Info

// Runs returns a workspace's runs, newest first.
func (s *Server) Runs(org, workspace string) []RunInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.workspaceNamed(org, workspace); w != nil {
		return s.runs.List(w.ID)
	}
	return nil
}

// RunsTerraform reports whether a run of a workspace can start: it has a VCS repository, applies
// its runs automatically, or runs Terraform on the server or on agents.
func (s *Server) RunsTerraform(org, workspace string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workspaceNamed(org, workspace)
	if w == nil {
		return false
	}
	mode, _ := s.executionMode(w)
	return mode != "local" || jsonapi.BoolSetting(w.Settings, "auto-apply", false) || vcsRepositoryOf(w.Settings) != nil
}
