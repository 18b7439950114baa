package runs

import (
	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// Endpoints returns the endpoints that a Service answers.
func (s *Service) Endpoints() []Endpoint {
	const (
		org   = "/organizations/{organization}"
		ws    = "/workspaces/{workspace_id}"
		cv    = "/configuration-versions/{configuration_version_id}"
		runID = "/runs/{run_id}"
	)
	var all []Endpoint
	for _, e := range []struct {
		pattern string
		handle  handler
	}{
		{"GET " + ws + "/vars", forWorkspace(Read, listVariables)},
		{"POST " + ws + "/vars", forWorkspace(Write, createVariable)},
		{"GET " + ws + "/vars/{variable_id}", getVariable},
		{"PATCH " + ws + "/vars/{variable_id}", updateVariable},
		{"DELETE " + ws + "/vars/{variable_id}", deleteVariable},
		{"GET " + ws + "/configuration-versions", forWorkspace(Read, listConfigurations)},
		{"POST " + ws + "/configuration-versions", forWorkspace(Write, createConfiguration)},
		{"GET " + cv, forConfiguration(Read, getConfiguration)},
		{"GET " + cv + "/ingress-attributes", forConfiguration(Read, getIngress)},
		{"GET " + cv + "/download", forConfiguration(Read, downloadConfiguration)},
		{"POST " + cv + "/actions/archive", forConfiguration(Write, archiveConfiguration)},
		{"POST " + cv + "/actions/soft_delete_backing_data", moveConfigurationData(blobs.DataKept, blobs.DataSoftDeleted)},
		{"POST " + cv + "/actions/restore_backing_data", moveConfigurationData(blobs.DataSoftDeleted, blobs.DataKept)},
		{"POST " + cv + "/actions/permanently_delete_backing_data", moveConfigurationData(blobs.DataSoftDeleted, blobs.DataDeleted)},
		{"POST /runs", createRun},
		{"GET " + ws + "/runs", forWorkspace(Read, listRuns)},
		{"GET " + org + "/runs", listOrganizationRuns},
		{"GET " + org + "/runs/queue", listRunQueue},
		{"GET " + org + "/capacity", getCapacity},
		{"GET " + runID, forRun(Read, getRun)},
		{"GET " + runID + "/configuration-version", forRun(Read, getRunConfiguration)},
		{"GET " + runID + "/plan", forPlan(getPlan)},
		{"GET " + runID + "/apply", forApply(getApply)},
		{"GET " + runID + "/run-events", forRun(Read, listRunEvents)},
		{"GET " + runID + "/comments", forRun(Read, listComments)},
		{"GET " + runID + "/policy-checks", forRun(Read, listNothing)},
		{"GET " + runID + "/task-stages", forRun(Read, listNothing)},
		{"POST " + runID + "/actions/apply", applyRun},
		{"POST " + runID + "/actions/cancel", cancelRun},
		{"POST " + runID + "/actions/discard", discardRun},
		{"POST " + runID + "/actions/force-cancel", forceCancelRun},
		{"POST " + runID + "/actions/force-execute", forceExecuteRun},
		{"GET /plans/{plan_id}", forPlan(getPlan)},
		{"GET /plans/{plan_id}/json-output", forPlan(getPlanJSON)},
		{"GET /plans/{plan_id}/json-output-redacted", forPlan(getRedactedPlan)},
		{"GET /applies/{apply_id}", forApply(getApply)},
		{"GET /comments/{comment_id}", getComment},
	} {
		all = append(all, Endpoint{e.pattern, func(c Call) (*jsonapi.Answer, error) { return e.handle(&call{c, s}) }})
	}
	return all
}

// A handler answers a Call.
type handler = func(*call) (*jsonapi.Answer, error)

// about returns a handler for something that the path names. When find refuses, so does it.
func about[T any](find func(*call) (T, error), handle func(*call, T) (*jsonapi.Answer, error)) handler {
	return func(c *call) (*jsonapi.Answer, error) {
		found, err := find(c)
		if err != nil {
			return nil, err
		}
		return handle(c, found)
	}
}

// forWorkspace, and those like it below, are about for what needs an access.
func forWorkspace(need Access, handle func(*call, Workspace) (*jsonapi.Answer, error)) handler {
	return about(func(c *call) (Workspace, error) { return c.Workspace(need) }, handle)
}

func forConfiguration(need Access, handle func(*call, *configurationVersion) (*jsonapi.Answer, error)) handler {
	return about(func(c *call) (*configurationVersion, error) { return c.configuration(need) }, handle)
}

func forRun(need Access, handle func(*call, *run) (*jsonapi.Answer, error)) handler {
	return about(func(c *call) (*run, error) { return c.runNamed(need) }, handle)
}

func forPlan(handle func(*call, *run) (*jsonapi.Answer, error)) handler {
	return about(func(c *call) (*run, error) { return c.runOfPart("plan_id", "plan-") }, handle)
}

func forApply(handle func(*call, *run) (*jsonapi.Answer, error)) handler {
	return about(func(c *call) (*run, error) { return c.runOfPart("apply_id", "apply-") }, handle)
}
