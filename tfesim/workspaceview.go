package tfesim

import "tfhaul/tfesim/jsonapi"

// workspaceResource returns a workspace as the asker may see it.
func (c *call) workspaceResource(w *workspace) jsonapi.Resource {
	s := c.s
	attributes := map[string]any{}
	jsonapi.ShowSettings(workspaceSettings, w.Settings, attributes)
	mode, own := s.executionMode(w)
	current := s.current(w, c.now)
	resources := 0
	if current != nil && s.processed(current, c.now) {
		resources = current.Contents.ManagedCount
	}
	// Key/value tags are not among the names; they have their own relationship,
	// tag-bindings.
	tagNames := append([]string{}, w.TagNames...)
	if jsonapi.BoolSetting(w.Settings, "inherits-project-auto-destroy", true) && w.Settings["auto-destroy-activity-duration"] == nil {
		if d, set := s.projects[w.Project].Settings["auto-destroy-activity-duration"]; set {
			attributes["auto-destroy-activity-duration"] = d
		}
	}
	for k, v := range map[string]any{
		"name":                      w.Name,
		"execution-mode":            mode,
		"operations":                mode != "local",
		"setting-overwrites":        map[string]any{"execution-mode": own, "agent-pool": own},
		"created-at":                jsonapi.Timestamp(w.Created),
		"updated-at":                jsonapi.Timestamp(w.Updated),
		"latest-change-at":          jsonapi.Timestamp(w.Updated),
		"locked":                    w.Lock != nil,
		"locked-reason":             "",
		"hyok-enabled":              s.options.HYOK,
		"resource-count":            resources,
		"tag-names":                 tagNames,
		"vcs-repo":                  shownVCSRepository(w),
		"vcs-repo-identifier":       nil,
		"can-queue-destroy-plan":    mode != "local",
		"actions":                   map[string]any{"is-destroyable": resources == 0},
		"apply-duration-average":    nil,
		"plan-duration-average":     nil,
		"policy-check-failures":     nil,
		"run-failures":              nil,
		"workspace-kpis-runs-count": nil,
		"unarchived-workspace-change-requests-count": 0,
		"permissions": c.workspacePermissions(w),
	} {
		attributes[k] = v
	}
	related := "/api/v2/workspaces/" + w.ID
	if r := vcsRepositoryOf(w.Settings); r != nil {
		attributes["vcs-repo-identifier"] = r.Identifier
	}
	run := s.runs.Current(w.ID).Ref()
	relationships := map[string]any{
		"organization":                  jsonapi.ToOne(&jsonapi.Ref{ID: w.Org, Type: "organizations"}, "/api/v2/organizations/"+w.Org),
		"current-run":                   jsonapi.ToOne(run, ""),
		"latest-run":                    jsonapi.ToOne(run, ""),
		"current-configuration-version": jsonapi.ToOne(s.runs.CurrentConfiguration(w.ID), ""),
		"agent-pool":                    jsonapi.ToOne(s.assetRef(s.agentPool(w)), ""),
		"ssh-key":                       jsonapi.ToOne(s.assetRef(w.SSHKey), ""),
		"readme":                        jsonapi.ToOne(nil, ""),
		"outputs":                       jsonapi.ToMany(nil),
		"remote-state-consumers":        map[string]any{"links": map[string]any{"related": related + "/relationships/remote-state-consumers"}},
		"tag-bindings":                  jsonapi.ToMany(bindingRefs("tag-bindings", w.ID, w.Tags)),
		"effective-tag-bindings":        jsonapi.ToMany(bindingRefs("effective-tag-bindings", w.ID, s.effectiveTags(w))),
	}
	if w.Readme != "" {
		relationships["readme"] = jsonapi.ToOne(&jsonapi.Ref{ID: tagID(w.ID), Type: "workspace-readme"}, "")
	}
	if outputs := c.workspaceOutputs(w); outputs != nil {
		var refs []jsonapi.Ref
		for _, o := range outputs {
			refs = append(refs, jsonapi.Ref{ID: o.ID, Type: o.Type})
		}
		relationships["outputs"] = jsonapi.ToMany(refs)
	}
	if s.options.Personality == Lax {
		// It reports neither the holder nor the current state version, and has no projects.
		delete(attributes, "locked-reason")
	} else {
		if w.Lock != nil {
			attributes["locked-reason"] = w.Lock.Reason
		}
		relationships["project"] = jsonapi.ToOne(&jsonapi.Ref{ID: w.Project, Type: "projects"}, "/api/v2/projects/"+w.Project)
		relationships["locked-by"] = jsonapi.ToOne(lockedByRef(w.Lock), "")
		relationships["current-state-version"] = jsonapi.ToOne(nil, related+"/current-state-version")
		if current != nil {
			relationships["current-state-version"] = jsonapi.ToOne(&jsonapi.Ref{ID: current.ID, Type: "state-versions"}, related+"/current-state-version")
		}
	}
	return jsonapi.Resource{ID: w.ID, Type: "workspaces", Attributes: attributes, Relationships: relationships,
		Links: map[string]any{
			"self":      "/api/v2/organizations/" + w.Org + "/workspaces/" + w.Name,
			"self-html": "/app/" + w.Org + "/workspaces/" + w.Name,
		}}
}

func (c *call) workspacePermissions(w *workspace) map[string]any {
	a := c.s.accessToWorkspace(c.who, w)
	read, write, admin := a >= accessRead, a >= accessWrite, a >= accessAdmin
	return map[string]any{
		"can-read-settings":           read,
		"can-read-state-versions":     read && c.who.mayStoreState(),
		"can-read-state-outputs":      read && c.who.mayStoreState(),
		"can-read-run":                read,
		"can-read-variable":           read,
		"can-read-assessment-results": read,
		"can-create-state-versions":   write && c.who.mayStoreState(),
		"can-lock":                    write,
		"can-unlock":                  write,
		"can-queue-run":               write && c.who.mayStoreState(),
		"can-queue-apply":             write && c.who.mayStoreState(),
		"can-queue-destroy":           write && c.who.mayStoreState(),
		"can-update-variable":         write,
		"can-force-unlock":            admin,
		"can-update":                  admin,
		"can-destroy":                 admin,
		"can-force-delete":            admin,
		"can-manage-tags":             admin,
		"can-manage-run-tasks":        admin,
		"can-manage-assessments":      admin,
	}
}
