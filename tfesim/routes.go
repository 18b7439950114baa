package tfesim

import (
	"encoding/json"
	"net/http"
	"strings"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// endpoints are the rows of the API apart from those of runs. What is in neither is answered 404,
// as docs/sim.md lists.
func endpoints() []endpoint {
	const (
		org       = "/organizations/{organization}"
		orgWS     = org + "/workspaces/{workspace}"
		ws        = "/workspaces/{workspace_id}"
		sv        = "/state-versions/{state_version_id}"
		projectID = "/projects/{project_id}"
	)
	return []endpoint{
		{pattern: "GET /ping", handle: ping, anonymous: true},
		{pattern: "GET /account/details", handle: getAccount},
		{pattern: "GET /users/{user_id}", handle: getUser},

		{pattern: "GET /organizations", handle: listOrganizations},
		{pattern: "POST /organizations", handle: createOrganization},
		{pattern: "GET " + org, handle: getOrganization},
		{pattern: "PATCH " + org, handle: updateOrganization},
		{pattern: "DELETE " + org, handle: deleteOrganization},
		{pattern: "GET " + org + "/entitlement-set", handle: getEntitlements},

		{pattern: "GET " + org + "/projects", handle: listProjects},
		{pattern: "POST " + org + "/projects", handle: createProject},
		{pattern: "GET " + projectID, handle: getProject},
		{pattern: "PATCH " + projectID, handle: updateProject},
		{pattern: "DELETE " + projectID, handle: deleteProject},
		{pattern: "GET " + projectID + "/tag-bindings", handle: listProjectBindings("tag-bindings")},
		{pattern: "PATCH " + projectID + "/tag-bindings", handle: addProjectBindings},
		{pattern: "GET " + projectID + "/effective-tag-bindings", handle: listProjectBindings("effective-tag-bindings")},

		{pattern: "GET " + org + "/workspaces", handle: listWorkspaces},
		{pattern: "POST " + org + "/workspaces", handle: createWorkspace},
		{pattern: "GET " + orgWS, handle: getWorkspace},
		{pattern: "PATCH " + orgWS, handle: updateWorkspace},
		{pattern: "DELETE " + orgWS, handle: deleteWorkspaceCall},
		{pattern: "POST " + orgWS + "/actions/safe-delete", handle: safeDeleteWorkspace},
		{pattern: "GET " + ws, handle: getWorkspace},
		{pattern: "PATCH " + ws, handle: updateWorkspace},
		{pattern: "DELETE " + ws, handle: deleteWorkspaceCall},
		{pattern: "POST " + ws + "/actions/safe-delete", handle: safeDeleteWorkspace},
		{pattern: "POST " + ws + "/actions/lock", handle: lockWorkspace},
		{pattern: "POST " + ws + "/actions/unlock", handle: unlockWorkspace},
		{pattern: "POST " + ws + "/actions/force-unlock", handle: forceUnlockWorkspace},
		{pattern: "GET " + ws + "/relationships/tags", handle: listTags},
		{pattern: "POST " + ws + "/relationships/tags", handle: addTags},
		{pattern: "DELETE " + ws + "/relationships/tags", handle: removeTags},
		{pattern: "GET " + ws + "/tag-bindings", handle: listBindings},
		{pattern: "PATCH " + ws + "/tag-bindings", handle: addBindings},
		{pattern: "GET " + ws + "/effective-tag-bindings", handle: listEffectiveBindings},

		{pattern: "GET " + ws + "/relationships/remote-state-consumers", handle: listConsumers},
		{pattern: "POST " + ws + "/relationships/remote-state-consumers", handle: changeConsumers(addedTo)},
		{pattern: "PATCH " + ws + "/relationships/remote-state-consumers", handle: changeConsumers(replacedBy)},
		{pattern: "DELETE " + ws + "/relationships/remote-state-consumers", handle: changeConsumers(removedFrom)},
		{pattern: "PATCH " + ws + "/relationships/ssh-key", handle: assignSSHKey},
		{pattern: "GET " + ws + "/resources", handle: listResources},

		{pattern: "GET " + org + "/teams", handle: listTeams},
		{pattern: "POST " + org + "/teams", handle: createTeam},
		{pattern: "GET /teams/{team_id}", handle: getTeam},
		{pattern: "DELETE /teams/{team_id}", handle: deleteTeam},
		{pattern: "POST /teams/{team_id}/authentication-token", handle: createTeamToken},
		{pattern: "GET /teams/{team_id}/authentication-token", handle: ofTeam((*call).plainTokenOf)},
		{pattern: "DELETE /teams/{team_id}/authentication-token", handle: ofTeam((*call).dropPlainToken)},
		{pattern: "POST /teams/{team_id}/authentication-tokens", handle: createNamedTeamToken},
		{pattern: "GET /teams/{team_id}/authentication-tokens", handle: ofTeam((*call).listTokens)},
		{pattern: "GET " + org + "/team-tokens", handle: listTeamTokens},
		{pattern: "POST " + org + "/authentication-token", handle: createOrganizationToken},
		{pattern: "GET " + org + "/authentication-token", handle: ofOrganization((*call).plainTokenOf)},
		{pattern: "DELETE " + org + "/authentication-token", handle: ofOrganization((*call).dropPlainToken)},
		{pattern: "GET /authentication-tokens/{token_id}", handle: getToken},
		{pattern: "DELETE /authentication-tokens/{token_id}", handle: deleteTokenCall},
		{pattern: "GET /team-workspaces", handle: listGrants},
		{pattern: "POST /team-workspaces", handle: grantAccess},
		{pattern: "GET /team-workspaces/{grant_id}", handle: getGrant},
		{pattern: "DELETE /team-workspaces/{grant_id}", handle: revokeAccess},
		{pattern: "GET /admin/terraform-versions", handle: listTerraformVersions},
		{pattern: "GET " + org + "/agent-pools", handle: listAssets(agentPools)},
		{pattern: "POST " + org + "/agent-pools", handle: createAsset(agentPools, "apool")},
		{pattern: "GET /agent-pools/{asset_id}", handle: getAsset},
		{pattern: "DELETE /agent-pools/{asset_id}", handle: deleteAsset},
		{pattern: "GET " + org + "/ssh-keys", handle: listAssets(sshKeys)},
		{pattern: "POST " + org + "/ssh-keys", handle: createAsset(sshKeys, "sshkey")},
		{pattern: "GET /ssh-keys/{asset_id}", handle: getAsset},
		{pattern: "DELETE /ssh-keys/{asset_id}", handle: deleteAsset},

		{pattern: "POST " + ws + "/state-versions", receive: receiveVersion, handle: createVersion},
		{pattern: "PATCH " + ws + "/state-versions", receive: receiveRollback, handle: rollBack},
		{pattern: "GET " + ws + "/current-state-version", handle: currentVersion},
		{pattern: "GET " + ws + "/current-state-version-outputs", handle: currentOutputs},
		{pattern: "GET /state-versions", handle: listVersions},
		{pattern: "GET " + sv, handle: getVersion},
		{pattern: "GET " + sv + "/outputs", handle: listOutputs},
		{pattern: "POST " + sv + "/actions/soft_delete_backing_data", handle: moveBackingData(blobs.DataKept, blobs.DataSoftDeleted)},
		{pattern: "POST " + sv + "/actions/restore_backing_data", handle: moveBackingData(blobs.DataSoftDeleted, blobs.DataKept)},
		{pattern: "POST " + sv + "/actions/permanently_delete_backing_data", handle: moveBackingData(blobs.DataSoftDeleted, blobs.DataDeleted)},
		{pattern: "GET /state-version-outputs/{output_id}", handle: getOutput},
	}
}

const apiPrefix = "/api/v2"

// routes registers the API, the blob addresses, discovery, and the 404 for everything else.
func (s *Server) routes() {
	all := endpoints()
	for _, e := range s.runs.Endpoints() {
		all = append(all, endpoint{pattern: e.Pattern, handle: func(c *call) (*jsonapi.Answer, error) { return e.Handle(c) }})
	}
	for _, e := range all {
		method, path, _ := strings.Cut(e.pattern, " ")
		s.mux.HandleFunc(method+" "+apiPrefix+path, s.serve(e))
	}
	s.mux.HandleFunc("GET /.well-known/terraform.json", discover)
	s.mux.HandleFunc("PUT "+blobs.Path+"{token}", s.putBlob)
	s.mux.HandleFunc("POST "+blobs.Path+"{token}", s.putBlob)
	s.mux.HandleFunc("GET "+blobs.Path+"{token}", s.getBlob)
	if s.options.HostedState {
		s.mux.HandleFunc("GET "+hostedPath+"{state_version_id}/hosted_state", s.serve(endpoint{handle: getHosted(blobState)}))
		s.mux.HandleFunc("GET "+hostedPath+"{state_version_id}/hosted_json_state", s.serve(endpoint{handle: getHosted(blobJSON)}))
	}
	s.atlasRoutes()
	if s.options.Personality == Lax {
		s.mux.HandleFunc("GET "+apiPrefix+"/state-versions/{state_version_id}/download", s.downloadVersion)
	}
	s.mux.HandleFunc("/", s.serve(endpoint{anonymous: true, receive: func(*call) error { return nil }, handle: unknownPath}))
}

// unknownPath answers what is not there: 401 for those the API does not know, 404 for others.
func unknownPath(c *call) (*jsonapi.Answer, error) {
	if c.who == nil && strings.HasPrefix(c.r.URL.Path, apiPrefix+"/") {
		return nil, jsonapi.Unauthorized()
	}
	return nil, jsonapi.NotFound()
}

// ping answers GET /ping: its headers are what clients want of it.
func ping(*call) (*jsonapi.Answer, error) { return jsonapi.NoContent(), nil }

// discover answers Terraform's service discovery.
func discover(w http.ResponseWriter, _ *http.Request) {
	b, err := json.Marshal(map[string]any{
		"modules.v1": "/api/registry/v1/modules/",
		"state.v2":   apiPrefix + "/",
		"tfe.v2":     apiPrefix + "/",
		"tfe.v2.1":   apiPrefix + "/",
		"tfe.v2.2":   apiPrefix + "/",
	})
	if err != nil {
		jsonapi.WriteError(w, err)
		return
	}
	jsonapi.WriteBody(w, http.StatusOK, "application/json", b)
}

// endpointName is how a mux pattern is called in records and counters:
// "POST /workspaces/:workspace_id/state-versions".
func endpointName(pattern string) string {
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		return "unknown"
	}
	path = strings.TrimPrefix(path, apiPrefix)
	return method + " " + strings.NewReplacer("{", ":", "}", "").Replace(path)
}
