package tfesim

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"tfhaul/tfesim/jsonapi"
)

// AwaitRun waits until a run has one of the statuses, or is over, and returns the status it
// has then.
func (s *Server) AwaitRun(ctx context.Context, runID string, statuses ...string) (string, error) {
	for {
		s.mu.Lock()
		r := s.runs[runID]
		status, over := "", false
		if r != nil {
			status, over = r.Status, r.final()
		}
		moved := s.work.moved
		s.mu.Unlock()
		switch {
		case r == nil:
			return "", fmt.Errorf("tfesim: there is no run %s", runID)
		case over || slices.Contains(statuses, status):
			return status, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return status, ctx.Err()
		}
	}
}

// SetVariable gives a workspace a variable of the category "terraform" or "env", or another
// value where it has one of the key.
func (s *Server) SetVariable(org, workspace, category, key, value string) error {
	return s.arrange(org, workspace, func(w *workspaceRecord) error {
		for _, v := range s.variablesOf(w) {
			if v.Key == key && v.Category == category {
				v.Value = value
				s.put(v)
				return nil
			}
		}
		s.addVariable(w, category, key, value)
		return nil
	})
}

// A RunInfo is what the server holds of a run.
type RunInfo struct {
	ID            string
	Status        string
	Configuration string
	PlanOnly      bool
	Message       string
}

// Runs returns a workspace's runs, newest first.
func (s *Server) Runs(org, workspace string) []RunInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workspaceNamed(org, workspace)
	if w == nil {
		return nil
	}
	var out []RunInfo
	for _, r := range s.runsOf(w) {
		out = append(out, RunInfo{ID: r.ID, Status: r.Status, Configuration: r.Configuration, PlanOnly: s.speculative(r), Message: r.Message})
	}
	return out
}

// SetWorkingDirectory sets the directory of the configuration in which a workspace's runs are
// executed.
func (s *Server) SetWorkingDirectory(org, workspace, directory string) error {
	return s.arrange(org, workspace, func(w *workspaceRecord) error {
		settings := maps.Clone(w.Settings)
		jsonapi.SetText(settings, "working-directory", directory)
		w.Settings = settings
		s.put(w)
		return nil
	})
}
