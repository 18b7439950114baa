package runs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tfhaul/tfesim/jsonapi"
)

// The methods in this file answer the host's questions about runs.

// WorkspaceOf returns the id of the workspace that a run belongs to, or "" for an unknown run.
func (s *Service) WorkspaceOf(runID string) string {
	if r := s.runs[runID]; r != nil {
		return r.Workspace
	}
	return ""
}

// AddLockHolder adds a run that is never executed and can hold its workspace's lock, and returns its
// id.
func (s *Service) AddLockHolder(workspace string) (runID string) {
	r := &run{ID: jsonapi.NewID("run"), Workspace: workspace, Created: time.Now()}
	s.runs[r.ID] = r
	s.put(r)
	return r.ID
}

// Resource returns a run as the asker sees it.
func (s *Service) Resource(c Call, runID string) (shown jsonapi.Resource, ok bool) {
	r := s.runs[runID]
	if r == nil {
		return jsonapi.Resource{}, false
	}
	return (&call{c, s}).runResource(r), true
}

// Current returns the active run of a workspace, or else its newest run that is not plan-only, or
// nil.
func (s *Service) Current(workspace string) *Info {
	r := s.currentRun(workspace)
	if r == nil {
		return nil
	}
	info := s.info(r)
	return &info
}

// CurrentConfiguration returns a workspace's current configuration version as a relationship, or
// nil.
func (s *Service) CurrentConfiguration(workspace string) *jsonapi.Ref {
	return configurationRef(s.currentConfiguration(workspace))
}

// Included returns what a workspace's include parameter asks for when it names the current run, the
// current configuration version, or something that belongs to them.
func (s *Service) Included(in Call, workspace, name string) []jsonapi.Resource {
	c := &call{in, s}
	if strings.HasPrefix(name, "current_configuration_version") {
		if v := s.currentConfiguration(workspace); v != nil {
			return []jsonapi.Resource{c.configurationResource(v)}
		}
		return nil
	}
	r := s.currentRun(workspace)
	if r == nil {
		return nil
	}
	out := []jsonapi.Resource{c.runResource(r)}
	switch v := s.configurations[r.Configuration]; {
	case name == "current_run.plan":
		out = append(out, c.planResource(r))
	case strings.HasPrefix(name, "current_run.configuration_version") && v != nil:
		out = append(out, c.configurationResource(v))
	}
	return out
}

// An Info describes a run.
type Info struct {
	ID            string
	Status        string
	Configuration string // the id of its configuration version
	PlanOnly      bool
	Message       string
	Created       time.Time
}

// Ref returns the run as a relationship, or nil for no run.
func (i *Info) Ref() *jsonapi.Ref {
	if i == nil {
		return nil
	}
	return &jsonapi.Ref{ID: i.ID, Type: "runs"}
}

func (s *Service) info(r *run) Info {
	return Info{ID: r.ID, Status: r.Status, Configuration: r.Configuration, PlanOnly: s.speculative(r), Message: r.Message, Created: r.Created}
}

// List returns a workspace's runs, newest first.
func (s *Service) List(workspace string) []Info {
	var out []Info
	for _, r := range s.runsOf(workspace) {
		out = append(out, s.info(r))
	}
	return out
}

// Await waits until a run has one of the statuses or has ended, and returns its status. Call it
// with the host unlocked.
func (s *Service) Await(ctx context.Context, runID string, statuses ...string) (string, error) {
	for {
		var r run
		var moved chan struct{}
		err := s.host.Do(func() {
			if found := s.runs[runID]; found != nil {
				r, moved = *found, s.moved
			}
		})
		switch {
		case err != nil:
			return "", err
		case moved == nil:
			return "", fmt.Errorf("tfesim: no run %s", runID)
		case r.final() || slices.Contains(statuses, r.Status):
			return r.Status, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return r.Status, ctx.Err()
		}
	}
}

// SetVariable sets a workspace's variable of the category "terraform" or "env".
func (s *Service) SetVariable(workspace, category, key, value string) {
	for _, v := range s.variablesOf(workspace) {
		if v.Key == key && v.Category == category {
			v.Value = value
			s.put(v)
			return
		}
	}
	s.addVariable(workspace, category, key, value)
}
