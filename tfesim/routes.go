package tfesim

import (
	"encoding/json"
	"net/http"
	"strings"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// endpoints are the rows of the API, except those of runs. Any other path is answered 404;
// see docs/sim.md.
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
		{pattern: "GET " + org, handle: about((*call).organization, getOrganization)},
		{pattern: "PATCH " + org, handle: about((*call).organization, updateOrganization)},
		{pattern: "DELETE " + org, handle: about((*call).organization, deleteOrganization)},
		{pattern: "GET " + org + "/entitlement-set", handle: about((*call).organization, getEntitlements)},

		{pattern: "GET " + org + "/projects", handle: about((*call).organization, listProjects)},
		{pattern: "POST " + org + "/projects", handle: about((*call).organization, createProject)},
		{pattern: "GET " + projectID, handle: forProject(accessRead, getProject)},
		{pattern: "PATCH " + projectID, handle: forProject(accessAdmin, updateProject)},
		{pattern: "DELETE " + projectID, handle: forProject(accessAdmin, deleteProject)},
		{pattern: "GET " + projectID + "/tag-bindings", handle: listProjectBindings("tag-bindings")},
		{pattern: "PATCH " + projectID + "/tag-bindings", handle: forProject(accessAdmin, addProjectBindings)},
		{pattern: "GET " + projectID + "/effective-tag-bindings", handle: listProjectBindings("effective-tag-bindings")},

		{pattern: "GET " + org + "/workspaces", handle: about((*call).organization, listWorkspaces)},
		{pattern: "POST " + org + "/workspaces", handle: about((*call).organization, createWorkspace)},
		{pattern: "GET " + orgWS, handle: forWorkspace(accessRead, getWorkspace)},
		{pattern: "PATCH " + orgWS, handle: forWorkspace(accessAdmin, updateWorkspace)},
		{pattern: "DELETE " + orgWS, handle: forWorkspace(accessAdmin, deleteWorkspaceCall)},
		{pattern: "POST " + orgWS + "/actions/safe-delete", handle: forWorkspace(accessAdmin, safeDeleteWorkspace)},
		{pattern: "GET " + ws, handle: forWorkspace(accessRead, getWorkspace)},
		{pattern: "PATCH " + ws, handle: forWorkspace(accessAdmin, updateWorkspace)},
		{pattern: "DELETE " + ws, handle: forWorkspace(accessAdmin, deleteWorkspaceCall)},
		{pattern: "POST " + ws + "/actions/safe-delete", handle: forWorkspace(accessAdmin, safeDeleteWorkspace)},
		{pattern: "POST " + ws + "/actions/lock", handle: forWorkspace(accessWrite, lockWorkspace)},
		{pattern: "POST " + ws + "/actions/unlock", handle: forWorkspace(accessWrite, unlockWorkspace)},
		{pattern: "POST " + ws + "/actions/force-unlock", handle: forWorkspace(accessAdmin, forceUnlockWorkspace)},
		{pattern: "GET " + ws + "/relationships/tags", handle: forWorkspace(accessRead, listTags)},
		{pattern: "POST " + ws + "/relationships/tags", handle: forWorkspace(accessAdmin, addTags)},
		{pattern: "DELETE " + ws + "/relationships/tags", handle: forWorkspace(accessAdmin, removeTags)},
		{pattern: "GET " + ws + "/tag-bindings", handle: forWorkspace(accessRead, listBindings)},
		{pattern: "PATCH " + ws + "/tag-bindings", handle: forWorkspace(accessAdmin, addBindings)},
		{pattern: "GET " + ws + "/effective-tag-bindings", handle: forWorkspace(accessRead, listEffectiveBindings)},

		{pattern: "GET " + ws + "/relationships/remote-state-consumers", handle: forWorkspace(accessRead, listConsumers)},
		{pattern: "POST " + ws + "/relationships/remote-state-consumers", handle: changeConsumers(addedTo)},
		{pattern: "PATCH " + ws + "/relationships/remote-state-consumers", handle: changeConsumers(replacedBy)},
		{pattern: "DELETE " + ws + "/relationships/remote-state-consumers", handle: changeConsumers(removedFrom)},
		{pattern: "PATCH " + ws + "/relationships/ssh-key", handle: forWorkspace(accessAdmin, assignSSHKey)},
		{pattern: "GET " + ws + "/run-triggers", handle: forWorkspace(accessRead, listRunTriggers)},
		{pattern: "GET " + ws + "/resources", handle: forWorkspace(accessRead, listResources)},

		{pattern: "GET " + org + "/teams", handle: about((*call).organization, listTeams)},
		{pattern: "POST " + org + "/teams", handle: about((*call).ownedOrganization, createTeam)},
		{pattern: "GET /teams/{team_id}", handle: about((*call).team, getTeam)},
		{pattern: "DELETE /teams/{team_id}", handle: about((*call).team, deleteTeam)},
		{pattern: "POST /teams/{team_id}/authentication-token", handle: about((*call).team, createTeamToken)},
		{pattern: "GET /teams/{team_id}/authentication-token", handle: ofTeam((*call).plainTokenOf)},
		{pattern: "DELETE /teams/{team_id}/authentication-token", handle: ofTeam((*call).dropPlainToken)},
		{pattern: "POST /teams/{team_id}/authentication-tokens", handle: about((*call).team, createNamedTeamToken)},
		{pattern: "GET /teams/{team_id}/authentication-tokens", handle: ofTeam((*call).listTokens)},
		{pattern: "GET " + org + "/team-tokens", handle: about((*call).ownedOrganization, listTeamTokens)},
		{pattern: "POST " + org + "/authentication-token", handle: about((*call).ownedOrganization, createOrganizationToken)},
		{pattern: "GET " + org + "/authentication-token", handle: ofOrganization((*call).plainTokenOf)},
		{pattern: "DELETE " + org + "/authentication-token", handle: ofOrganization((*call).dropPlainToken)},
		{pattern: "GET /authentication-tokens/{token_id}", handle: about((*call).tokenByID, getToken)},
		{pattern: "DELETE /authentication-tokens/{token_id}", handle: about((*call).tokenByID, deleteTokenCall)},
		{pattern: "GET /team-workspaces", handle: listGrants},
		{pattern: "POST /team-workspaces", handle: grantAccess},
		{pattern: "GET /team-workspaces/{grant_id}", handle: getGrant},
		{pattern: "DELETE /team-workspaces/{grant_id}", handle: revokeAccess},
		{pattern: "GET /admin/terraform-versions", handle: listTerraformVersions},
		{pattern: "GET " + org + "/agent-pools", handle: listAssets(agentPools)},
		{pattern: "POST " + org + "/agent-pools", handle: createAsset(agentPools, "apool")},
		{pattern: "GET /agent-pools/{asset_id}", handle: forAsset(accessRead, getAsset)},
		{pattern: "DELETE /agent-pools/{asset_id}", handle: forAsset(accessAdmin, deleteAsset)},
		{pattern: "GET " + org + "/ssh-keys", handle: listAssets(sshKeys)},
		{pattern: "POST " + org + "/ssh-keys", handle: createAsset(sshKeys, "sshkey")},
		{pattern: "GET /ssh-keys/{asset_id}", handle: forAsset(accessRead, getAsset)},
		{pattern: "DELETE /ssh-keys/{asset_id}", handle: forAsset(accessAdmin, deleteAsset)},

		{pattern: "POST " + ws + "/state-versions", receive: receiveVersion, handle: createVersion},
		{pattern: "PATCH " + ws + "/state-versions", receive: receiveRollback, handle: rollBack},
		{pattern: "GET " + ws + "/current-state-version", handle: forWorkspace(accessRead, currentVersion)},
		{pattern: "GET " + ws + "/current-state-version-outputs", handle: forWorkspace(accessRead, currentOutputs)},
		{pattern: "GET /state-versions", handle: listVersions},
		{pattern: "GET " + sv, handle: forVersion(accessRead, getVersion)},
		{pattern: "GET " + sv + "/outputs", handle: forVersion(accessRead, listOutputs)},
		{pattern: "POST " + sv + "/actions/soft_delete_backing_data", handle: moveBackingData(blobs.DataKept, blobs.DataSoftDeleted)},
		{pattern: "POST " + sv + "/actions/restore_backing_data", handle: moveBackingData(blobs.DataSoftDeleted, blobs.DataKept)},
		{pattern: "POST " + sv + "/actions/permanently_delete_backing_data", handle: moveBackingData(blobs.DataSoftDeleted, blobs.DataDeleted)},
		{pattern: "GET /state-version-outputs/{output_id}", handle: getOutput},
	}
}

// A handler answers a request, with the server locked.
type handler = func(*call) (*jsonapi.Answer, error)

// about returns a handler for something that the path names. If find refuses, so does the
// handler.
func about[T any](find func(*call) (T, error), handle func(*call, T) (*jsonapi.Answer, error)) handler {
	return func(c *call) (*jsonapi.Answer, error) {
		found, err := find(c)
		if err != nil {
			return nil, err
		}
		return handle(c, found)
	}
}

// forWorkspace, and those like it below, are about for objects that need an access level.
func forWorkspace(need access, handle func(*call, *workspace) (*jsonapi.Answer, error)) handler {
	return about(func(c *call) (*workspace, error) { return c.workspace(need) }, handle)
}

func forProject(need access, handle func(*call, *project) (*jsonapi.Answer, error)) handler {
	return about(func(c *call) (*project, error) { return c.project(need) }, handle)
}

func forVersion(need access, handle func(*call, *stateVersion) (*jsonapi.Answer, error)) handler {
	return about(func(c *call) (*stateVersion, error) { return c.version(need) }, handle)
}

func forAsset(need access, handle func(*call, *asset) (*jsonapi.Answer, error)) handler {
	return about(func(c *call) (*asset, error) { return c.asset(need) }, handle)
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

// unknownPath answers any other path: 401 for senders unknown to the API, 404 for others.
func unknownPath(c *call) (*jsonapi.Answer, error) {
	if c.who == nil && strings.HasPrefix(c.r.URL.Path, apiPrefix+"/") {
		return nil, jsonapi.Unauthorized()
	}
	return nil, jsonapi.NotFound()
}

// ping answers GET /ping, which clients call for its headers.
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

// endpointName returns the name of a mux pattern in records and counters: "POST
// /workspaces/:workspace_id/state-versions".
func endpointName(pattern string) string {
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		return "unknown"
	}
	path = strings.TrimPrefix(path, apiPrefix)
	return method + " " + strings.NewReplacer("{", ":", "}", "").Replace(path)
}
