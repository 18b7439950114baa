package tfesim

import (
	"encoding/json"
	"strings"

	"tfhaul/tfesim/jsonapi"
)

var workspaceSettings = []jsonapi.Setting{
	{Name: "agent-pool-id", Kind: jsonapi.String},
	{Name: "allow-destroy-plan", Kind: jsonapi.Bool, Default: true},
	{Name: "assessments-enabled", Kind: jsonapi.Bool, Default: false},
	{Name: "auto-apply", Kind: jsonapi.Bool, Default: false},
	{Name: "auto-apply-run-trigger", Kind: jsonapi.Bool, Default: false},
	{Name: "auto-destroy-at", Kind: jsonapi.String},
	{Name: "auto-destroy-activity-duration", Kind: jsonapi.String},
	{Name: "inherits-project-auto-destroy", Kind: jsonapi.Bool, Default: true},
	{Name: "description", Kind: jsonapi.String},
	{Name: "environment", Kind: jsonapi.String, Default: "default"},
	{Name: "execution-mode", Kind: jsonapi.String},
	{Name: "file-triggers-enabled", Kind: jsonapi.Bool, Default: true},
	{Name: "global-remote-state", Kind: jsonapi.Bool, Default: false},
	{Name: "project-remote-state", Kind: jsonapi.Bool, Default: false},
	{Name: "migration-environment", Kind: jsonapi.String},
	{Name: "queue-all-runs", Kind: jsonapi.Bool, Default: false},
	{Name: "source", Kind: jsonapi.String, Default: "tfe-api"},
	{Name: "source-name", Kind: jsonapi.String},
	{Name: "source-url", Kind: jsonapi.String},
	{Name: "speculative-enabled", Kind: jsonapi.Bool, Default: true},
	{Name: "structured-run-output-enabled", Kind: jsonapi.Bool, Default: true},
	{Name: "terraform-version", Kind: jsonapi.String},
	{Name: "trigger-patterns", Kind: jsonapi.Strings, Default: []string{}},
	{Name: "trigger-prefixes", Kind: jsonapi.Strings, Default: []string{}},
	{Name: "working-directory", Kind: jsonapi.String},
}

// workspace returns the workspace in the path, by ID or by organization and name, if the
// asker has the access. The real server answers 404 both for a missing workspace and for
// missing access.
func (c *call) workspace(need access) (*workspace, error) {
	w := c.s.workspaces[c.r.PathValue("workspace_id")]
	if name := c.r.PathValue("workspace"); name != "" {
		w = c.s.workspaceNamed(c.r.PathValue("organization"), name)
	}
	if w == nil || c.s.accessToWorkspace(c.who, w) < need {
		return nil, jsonapi.NotFound()
	}
	return w, nil
}

// executionMode returns the workspace's own mode, or the one it inherits from the project
// or the organization.
func (s *Server) executionMode(w *workspace) (mode string, own bool) {
	if mode := jsonapi.TextSetting(w.Settings, "execution-mode", ""); mode != "" {
		return mode, true
	}
	if p := s.projects[w.Project]; p != nil {
		if mode := jsonapi.TextSetting(p.Settings, "default-execution-mode", ""); mode != "" {
			return mode, false
		}
	}
	return jsonapi.TextSetting(s.organizations[w.Org].Settings, "default-execution-mode", "remote"), false
}

// agentPool returns the ID of the workspace's own agent pool, or of the one it inherits.
func (s *Server) agentPool(w *workspace) string {
	mode, own := s.executionMode(w)
	switch {
	case mode != "agent":
		return ""
	case own && jsonapi.TextSetting(w.Settings, "agent-pool-id", "") != "":
		return jsonapi.TextSetting(w.Settings, "agent-pool-id", "")
	}
	return s.defaultAgentPool(w)
}

// defaultAgentPool returns the ID of the default agent pool for a workspace in agent mode,
// from the project or the organization.
func (s *Server) defaultAgentPool(w *workspace) string {
	if p := s.projects[w.Project]; p != nil && jsonapi.TextSetting(p.Settings, "default-execution-mode", "") != "" {
		return jsonapi.TextSetting(p.Settings, "default-agent-pool-id", "")
	}
	return jsonapi.TextSetting(s.organizations[w.Org].Settings, defaultPool, "")
}

// checkAgentPool refuses a document that requests agent mode without any agent pool, or
// names a pool that the organization does not have.
func (c *call) checkAgentPool(w *workspace, it jsonapi.Item) error {
	if it.Sent("agent-pool-id") {
		id := jsonapi.TextSetting(w.Settings, "agent-pool-id", "")
		if a := c.s.assets[id]; id != "" && (a == nil || a.Kind != agentPools || a.Org != w.Org) {
			return jsonapi.NotFound()
		}
	}
	mode, err := it.Text("execution-mode")
	if err != nil {
		return err
	}
	if mode == "agent" && c.s.agentPool(w) == "" {
		return jsonapi.Invalid("agent-pool", "Agent pool must be specified for workspaces in agent execution mode")
	}
	return nil
}

// getWorkspace answers GET /workspaces/:id and GET /organizations/:organization/workspaces/:name.
func getWorkspace(c *call, w *workspace) (*jsonapi.Answer, error) {
	return c.showWorkspace(w)
}

func (c *call) showWorkspace(w *workspace) (*jsonapi.Answer, error) {
	included, err := c.workspaceIncludes(w)
	if err != nil {
		return nil, err
	}
	return jsonapi.OK(jsonapi.Document{Data: c.workspaceResource(w), Included: included}), nil
}

// workspaceIncludes returns the resources that the include parameter asks for.
func (c *call) workspaceIncludes(w *workspace) ([]jsonapi.Resource, error) {
	s := c.s
	var out []jsonapi.Resource
	for _, name := range jsonapi.Includes(c.r) {
		switch name {
		case "":
		case "organization":
			out = append(out, c.organizationResource(s.organizations[w.Org]))
		case "project":
			if p := s.projects[w.Project]; p != nil && s.options.Personality != Lax {
				out = append(out, c.projectResource(p))
			}
		case "locked_by", "locked-by":
			if s.options.Personality != Lax {
				out = append(out, c.lockedByResource(w.Lock)...)
			}
		case "current_state_version", "current-state-version":
			if v := s.current(w, c.now); v != nil && c.who.mayStoreState() {
				out = append(out, c.versionResource(v))
			}
		case "outputs", "current_outputs":
			out = append(out, c.workspaceOutputs(w)...)
		case "effective_tag_bindings":
			out = append(out, s.effectiveTagResources(w)...)
		case "readme":
			if w.Readme != "" {
				out = append(out, jsonapi.Resource{ID: tagID(w.ID), Type: "workspace-readme", Attributes: map[string]any{"raw-markdown": w.Readme}})
			}
		case "current_run", "current-run", "current_run.plan", "current_run.configuration_version",
			"current_run.configuration_version.ingress_attributes", "current_configuration_version",
			"current_configuration_version.ingress_attributes":
			out = append(out, s.runs.Included(c, w.ID, name)...)
		case "current_assessment_result", "vars", "agent_pool", "ssh_key":
			// Known to the API, but never present here.
		default:
			return nil, jsonapi.BadInclude(name)
		}
	}
	return out, nil
}

// workspaceOutputs returns the current version's outputs for including them in a workspace.
func (c *call) workspaceOutputs(w *workspace) []jsonapi.Resource {
	v := c.s.current(w, c.now)
	if v == nil || !c.who.mayStoreState() {
		return nil
	}
	out := c.outputResources(v, false)
	for i := range out {
		out[i].Type = "workspace-outputs"
		out[i].Attributes["output-type"] = out[i].Attributes["type"]
	}
	return out
}

// createWorkspace answers POST /organizations/:organization/workspaces.
func createWorkspace(c *call, o *organization) (*jsonapi.Answer, error) {
	if c.s.accessTo(c.who, o.Name) < accessAdmin {
		return nil, jsonapi.NotFound()
	}
	w := &workspace{ID: jsonapi.NewID("ws"), Org: o.Name, Project: o.DefaultProject, Created: c.now, Updated: c.now,
		Settings: map[string]json.RawMessage{}}
	jsonapi.SetText(w.Settings, "terraform-version", c.s.options.TerraformVersion)
	c.s.shareNewState(w)
	if err := c.change(w); err != nil {
		return nil, err
	}
	c.s.addWorkspace(w)
	return jsonapi.Created(jsonapi.Document{Data: c.workspaceResource(w)}), nil
}

func (s *Server) addWorkspace(w *workspace) {
	s.workspaces[w.ID] = w
	s.byName[w.Org][strings.ToLower(w.Name)] = w
	s.put(w)
}

// updateWorkspace answers PATCH /workspaces/:id, and the same by name.
func updateWorkspace(c *call, w *workspace) (*jsonapi.Answer, error) {
	changed := *w
	if err := c.change(&changed); err != nil {
		return nil, err
	}
	changed.Updated = c.now
	names := c.s.byName[w.Org]
	delete(names, strings.ToLower(w.Name))
	*w = changed
	names[strings.ToLower(w.Name)] = w
	c.s.put(w)
	return c.showWorkspace(w)
}

// change applies a document to a workspace, or returns what is wrong with it. The workspace
// must be a copy, because after an error it is partly changed.
func (c *call) change(w *workspace) error {
	it := c.body.One
	if it.Type != "" && it.Type != "workspaces" {
		return jsonapi.Unprocessable("data.type must be workspaces")
	}
	exists := w.Name != ""
	if err := c.changeName(w, it); err != nil {
		return err
	}
	settings, err := jsonapi.ApplySettings(workspaceSettings, w.Settings, it)
	if err != nil {
		return err
	}
	if err := c.changeExecutionMode(settings, it); err != nil {
		return err
	}
	if err := exclusiveTriggers(settings, it); err != nil {
		return err
	}
	if err := changeVCSRepository(settings, it); err != nil {
		return err
	}
	if exists {
		keepSource(settings, w.Settings)
	}
	if jsonapi.BoolSetting(settings, "global-remote-state", false) && jsonapi.BoolSetting(settings, "project-remote-state", false) {
		return jsonapi.Invalid("project-remote-state", "Project remote state cannot be enabled when global remote state sharing is enabled")
	}
	if d := jsonapi.TextSetting(settings, "auto-destroy-activity-duration", ""); d != "" && !validDuration(d) {
		return errDuration()
	}
	w.Settings = settings

	p, err := it.Related("project")
	if err != nil {
		return err
	}
	if p != nil {
		if known := c.s.projects[p.ID]; known == nil || known.Org != w.Org {
			return jsonapi.NotFound()
		}
		w.Project = p.ID
	}
	if err := c.checkAgentPool(w, it); err != nil {
		return err
	}
	tags, sent, err := readBindings(it)
	if err != nil {
		return err
	}
	if sent {
		w.Tags = tags
	}
	names, sent, err := it.RelatedItems("tags")
	if err != nil {
		return err
	}
	if sent {
		if w.TagNames, err = c.s.readTagNames(w.Org, names); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) changeName(w *workspace, it jsonapi.Item) error {
	name, err := it.Text("name")
	if err != nil {
		return err
	}
	switch taken := c.s.workspaceNamed(w.Org, name); {
	case name == "" && w.Name != "" && !it.Sent("name"):
		return nil
	case name == "":
		return jsonapi.Invalid("name", "Name can't be blank")
	case !validName(name, maxWorkspaceName):
		return jsonapi.Invalid("name", "Name can only include letters, numbers, -, and _.")
	case taken != nil && taken.ID != w.ID:
		return jsonapi.Invalid("name", "Name has already been taken")
	}
	w.Name = name
	return nil
}

// changeExecutionMode keeps the execution mode, the old "operations" switch and the
// overwrites block consistent.
func (c *call) changeExecutionMode(settings map[string]json.RawMessage, it jsonapi.Item) error {
	mode, err := it.Text("execution-mode")
	if err != nil {
		return err
	}
	if it.Has("operations") {
		remote, err := it.Bool("operations", true)
		if err != nil {
			return err
		}
		if mode == "" {
			jsonapi.SetText(settings, "execution-mode", map[bool]string{true: "remote", false: "local"}[remote])
		}
	}
	version, err := it.Text("terraform-version")
	if err != nil {
		return err
	}
	if version != "" && !c.s.offersTerraform(version) {
		return jsonapi.Invalid("terraform-version", "Terraform version is not included in the list")
	}
	switch mode {
	case "", "remote", "local", "agent":
	default:
		return jsonapi.Invalid("execution-mode", "Execution mode is not included in the list")
	}
	if !it.Has("setting-overwrites") {
		return nil
	}
	var overwrites struct {
		ExecutionMode *bool `json:"execution-mode"`
		AgentPool     *bool `json:"agent-pool"`
	}
	if json.Unmarshal(it.Attributes["setting-overwrites"], &overwrites) != nil {
		return jsonapi.Invalid("setting-overwrites", "setting-overwrites must be an object")
	}
	if overwrites.ExecutionMode != nil && !*overwrites.ExecutionMode {
		delete(settings, "execution-mode")
	}
	if overwrites.AgentPool != nil && !*overwrites.AgentPool {
		delete(settings, "agent-pool-id")
	}
	return nil
}

// deleteWorkspaceCall answers DELETE /workspaces/:id, and the same by name.
func deleteWorkspaceCall(c *call, w *workspace) (*jsonapi.Answer, error) {
	c.s.deleteWorkspace(w)
	return jsonapi.NoContent(), nil
}

// safeDeleteWorkspace answers POST …/actions/safe-delete: it deletes only a workspace
// without a lock, a pending state or managed resources.
func safeDeleteWorkspace(c *call, w *workspace) (*jsonapi.Answer, error) {
	v := c.s.current(w, c.now)
	switch {
	case w.Lock != nil:
		return nil, jsonapi.Conflict("Workspace is currently locked.")
	case c.s.stillPending(w, c.now), v != nil && !c.s.processed(v, c.now):
		return nil, jsonapi.Conflict("Workspace is still being processed.")
	case v != nil && v.Contents.ManagedCount > 0:
		return nil, jsonapi.Conflict("Workspace is not safe to delete: it still manages resources.")
	}
	c.s.deleteWorkspace(w)
	return jsonapi.NoContent(), nil
}

func (s *Server) deleteWorkspace(w *workspace) {
	for _, v := range w.versions {
		s.dropVersion(v)
	}
	s.runs.Forget(w.ID)
	delete(s.workspaces, w.ID)
	delete(s.byName[w.Org], strings.ToLower(w.Name))
	s.drop(w)
}
