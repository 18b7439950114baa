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
		handle  func(*call) (*jsonapi.Answer, error)
	}{
		{"GET " + ws + "/vars", listVariables},
		{"POST " + ws + "/vars", createVariable},
		{"GET " + ws + "/vars/{variable_id}", getVariable},
		{"PATCH " + ws + "/vars/{variable_id}", updateVariable},
		{"DELETE " + ws + "/vars/{variable_id}", deleteVariable},
		{"GET " + ws + "/configuration-versions", listConfigurations},
		{"POST " + ws + "/configuration-versions", createConfiguration},
		{"GET " + cv, getConfiguration},
		{"GET " + cv + "/ingress-attributes", getIngress},
		{"GET " + cv + "/download", downloadConfiguration},
		{"POST " + cv + "/actions/archive", archiveConfiguration},
		{"POST " + cv + "/actions/soft_delete_backing_data", moveConfigurationData(blobs.DataKept, blobs.DataSoftDeleted)},
		{"POST " + cv + "/actions/restore_backing_data", moveConfigurationData(blobs.DataSoftDeleted, blobs.DataKept)},
		{"POST " + cv + "/actions/permanently_delete_backing_data", moveConfigurationData(blobs.DataSoftDeleted, blobs.DataDeleted)},
		{"POST /runs", createRun},
		{"GET " + ws + "/runs", listRuns},
		{"GET " + org + "/runs", listOrganizationRuns},
		{"GET " + org + "/runs/queue", listRunQueue},
		{"GET " + org + "/capacity", getCapacity},
		{"GET " + runID, getRun},
		{"GET " + runID + "/configuration-version", getRunConfiguration},
		{"GET " + runID + "/plan", getPlan},
		{"GET " + runID + "/apply", getApply},
		{"GET " + runID + "/run-events", listRunEvents},
		{"GET " + runID + "/comments", listComments},
		{"GET " + runID + "/policy-checks", listNothing},
		{"GET " + runID + "/task-stages", listNothing},
		{"POST " + runID + "/actions/apply", applyRun},
		{"POST " + runID + "/actions/cancel", cancelRun},
		{"POST " + runID + "/actions/discard", discardRun},
		{"POST " + runID + "/actions/force-cancel", forceCancelRun},
		{"POST " + runID + "/actions/force-execute", forceExecuteRun},
		{"GET /plans/{plan_id}", getPlan},
		{"GET /plans/{plan_id}/json-output", getPlanJSON},
		{"GET /plans/{plan_id}/json-output-redacted", getRedactedPlan},
		{"GET /applies/{apply_id}", getApply},
		{"GET /comments/{comment_id}", getComment},
	} {
		all = append(all, Endpoint{e.pattern, func(c Call) (*jsonapi.Answer, error) { return e.handle(&call{c, s}) }})
	}
	return all
}
