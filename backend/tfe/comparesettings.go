package tfe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	gotfe "github.com/hashicorp/go-tfe"

	"tfhaul/backend"
)

// Settings of a new workspace that can start a run are left to Configure, and so is the
// execution mode: a workspace in local mode has no runs.

// startsLater reports whether the options have settings that wait for the state.
func startsLater(o backend.CreateOptions) bool {
	return o.More != nil || o.ExecutionMode != "" && o.ExecutionMode != localMode
}

const localMode = "local"

// A settingsPlan is what is to be changed in a workspace. Its parts take effect in this order.
type settingsPlan struct {
	changes   []backend.SettingChange
	notes     []string
	tags      []*gotfe.Tag
	bindings  []*gotfe.TagBinding
	variables []variableChange
	consumers []string
	// update holds the attributes. It comes last: with it, the workspace can start runs.
	update  gotfe.WorkspaceUpdateOptions
	updates bool
}

// A variableChange sets a variable. The ID of a new one is "".
type variableChange struct {
	id string
	backend.Variable
}

// CompareSettings implements backend.Configurer.
func (t *Target) CompareSettings(ctx context.Context, s *backend.Standing, r backend.SettingsRequest) ([]backend.SettingChange, error) {
	if s == nil {
		plan := planSettings(&workspaceSettings{}, r, nil)
		return plan.changes, nil
	}
	plan, err := t.settingsPlan(ctx, t.workspaceOf(s), r)
	if err != nil {
		return nil, err
	}
	return plan.changes, nil
}

// settingsPlan reads the settings and compares them.
func (t *Target) settingsPlan(ctx context.Context, ws *Workspace, r backend.SettingsRequest) (*settingsPlan, error) {
	t.mu.Lock()
	prepared, err := t.resolve(ctx, withLatest(r.Options), false, r.CreateRequest)
	t.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if r.New {
		return planSettings(asCreated(r.Options, prepared), r, prepared), nil
	}
	have, err := backend.Retry(ctx, t.Down, func() (*workspaceSettings, error) {
		return t.Client.settings(ctx, ws, partsOf(r.Options))
	})
	if err != nil {
		return nil, err
	}
	return planSettings(have, r, prepared), nil
}

// asCreated returns the settings of a workspace that Create has just made.
func asCreated(o backend.CreateOptions, prepared *Creation) *workspaceSettings {
	have := &workspaceSettings{bindings: map[string]string{}}
	a := &have.Attributes
	a.ExecutionMode, a.TerraformVersion = localMode, o.TerraformVersion
	have.Relationships.Project.Data.ID = prepared.projectID
	for _, tag := range o.Tags {
		if key, value, bound := strings.Cut(tag, "="); bound {
			have.bindings[key] = value
		} else {
			a.TagNames = append(a.TagNames, tag)
		}
	}
	if o.More != nil {
		setIf(&a.Description, o.More.Description)
		setIf(&a.WorkingDirectory, o.More.WorkingDirectory)
	}
	return have
}

func setIf[T any](into *T, value *T) {
	if value != nil {
		*into = *value
	}
}

// planSettings compares what a workspace has with what is requested. prepared is nil for a
// workspace that does not exist.
func planSettings(have *workspaceSettings, r backend.SettingsRequest, prepared *Creation) *settingsPlan {
	p := new(settingsPlan)
	o := r.Options
	p.compareProject(have, o, prepared)
	p.compareTags(have, o)
	if v := o.TerraformVersion; v != "" && v != have.Attributes.TerraformVersion && !(r.Ours && v == backend.LatestTerraform) {
		p.differs("terraform_version", have.Attributes.TerraformVersion, v)
		p.update.TerraformVersion = &v
	}
	if o.More != nil {
		p.compareMore(have, o.More, r)
	}
	p.compareMode(have, r, prepared)
	p.updates = len(p.changes) > 0 && p.changesAttributes()
	return p
}

// differs adds an attribute that is changed.
func (p *settingsPlan) differs(name, from, to string) {
	p.changes = append(p.changes, backend.SettingChange{Name: name, From: clean(from), To: to})
}

// changesAttributes reports whether the update has anything.
func (p *settingsPlan) changesAttributes() bool {
	u := &p.update
	return u.Project != nil || u.TerraformVersion != nil || u.Description != nil || u.WorkingDirectory != nil || u.AutoApply != nil ||
		u.VCSRepo != nil || u.TriggerPatterns != nil || u.ExecutionMode != nil || u.SettingOverwrites != nil || u.GlobalRemoteState != nil || u.ProjectRemoteState != nil
}

func (p *settingsPlan) compareProject(have *workspaceSettings, o backend.CreateOptions, prepared *Creation) {
	switch {
	case o.Project == "":
	case prepared == nil:
		p.differs("project", "", o.Project)
	case prepared.projectID != have.Relationships.Project.Data.ID:
		p.differs("project", have.project, o.Project)
		p.update.Project = &gotfe.Project{ID: prepared.projectID}
	}
}

// compareTags adds the missing tags. Others stay.
func (p *settingsPlan) compareTags(have *workspaceSettings, o backend.CreateOptions) {
	var missing []string
	for _, tag := range o.Tags {
		key, value, bound := strings.Cut(tag, "=")
		if now, set := have.bindings[key]; bound && (!set || now != value) {
			missing = append(missing, tag)
			p.bindings = append(p.bindings, &gotfe.TagBinding{Key: key, Value: value})
		} else if !bound && !slices.ContainsFunc(have.Attributes.TagNames, func(name string) bool { return strings.EqualFold(name, tag) }) {
			missing = append(missing, tag)
			p.tags = append(p.tags, &gotfe.Tag{Name: tag})
		}
	}
	if len(missing) > 0 {
		p.differs("tags", "", strings.Join(missing, ", "))
	}
}

func (p *settingsPlan) compareMore(have *workspaceSettings, want *backend.WorkspaceSettings, r backend.SettingsRequest) {
	a := &have.Attributes
	if d := want.Description; d != nil && *d != a.Description {
		p.differs("description", a.Description, *d)
		p.update.Description = d
	}
	if d := want.WorkingDirectory; d != nil && *d != a.WorkingDirectory {
		p.differs("working_directory", a.WorkingDirectory, *d)
		p.update.WorkingDirectory = d
	}
	p.compareVariables(have, want.Variables, r.Ours)
	p.compareConsumers(have, want.Consumers)
	p.compareRepository(have, want.VCS)
	if auto := want.AutoApply; auto != nil && *auto != a.AutoApply {
		p.differs("auto_apply", fmt.Sprint(a.AutoApply), fmt.Sprint(*auto))
		p.update.AutoApply = auto
	}
}

// compareVariables adds the variables that are missing or have another value. A sensitive one
// cannot be read: if the haul created the workspace, it has set it, and otherwise it is set
// again.
func (p *settingsPlan) compareVariables(have *workspaceSettings, want []backend.Variable, ours bool) {
	for _, v := range want {
		change := variableChange{Variable: v}
		i := slices.IndexFunc(have.variables, func(d variableData) bool { return d.Attributes.Key == v.Key && d.Attributes.Category == v.Category })
		if i >= 0 {
			a := &have.variables[i].Attributes
			change.id = have.variables[i].ID
			same := a.Value != nil && *a.Value == v.Text() || a.Sensitive && v.Sensitive && ours
			if same && a.HCL == v.HCL && a.Sensitive == v.Sensitive && (v.Description == "" || a.Description == v.Description) {
				continue
			}
		}
		p.variables = append(p.variables, change)
		p.changes = append(p.changes, backend.SettingChange{Name: v.Label()})
	}
}

// compareConsumers adds the workspaces that may not read the state yet. A state that all
// workspaces may read is no longer shared with all.
func (p *settingsPlan) compareConsumers(have *workspaceSettings, want []string) {
	if want == nil {
		return
	}
	if no := false; have.Attributes.GlobalRemoteState {
		p.differs("global_remote_state", "true", "false")
		p.update.GlobalRemoteState = &no
	}
	if no := false; have.Attributes.ProjectRemoteState {
		p.differs("project_remote_state", "true", "false")
		p.update.ProjectRemoteState, have.consumers = &no, nil
	}
	for _, name := range want {
		if !slices.ContainsFunc(have.consumers, func(other string) bool { return strings.EqualFold(other, name) }) {
			p.consumers = append(p.consumers, name)
		}
	}
	if len(p.consumers) > 0 {
		p.differs("remote_state_consumers", "", strings.Join(p.consumers, ", "))
	}
}

func (p *settingsPlan) compareRepository(have *workspaceSettings, want *backend.Repository) {
	if want == nil {
		return
	}
	now := have.Attributes.VCSRepo
	if now == nil {
		now = &vcsData{}
	}
	if !want.Connected() && now.Identifier == "" {
		p.notes = append(p.notes, fmt.Sprintf("The VCS repository %s was not connected, because its connection belongs to the source's organization. "+
			"Connect it in the workspace's settings, or in a manifest with oauth_token_id or github_app_installation_id.", want.Identifier))
		return
	}
	same := (want.Identifier == "" || strings.EqualFold(now.Identifier, want.Identifier)) && (want.Branch == "" || now.Branch == want.Branch) &&
		(want.OAuthTokenID == "" || now.OAuthTokenID == want.OAuthTokenID) && (want.AppInstallationID == "" || now.AppInstallationID == want.AppInstallationID) &&
		(want.TagsRegex == "" || now.TagsRegex == want.TagsRegex) && (want.IngressSubmodules == nil || now.IngressSubmodules == *want.IngressSubmodules)
	if !same {
		p.differs("vcs_repository", now.Identifier, describeRepository(want))
		text := func(s string) *string {
			if s == "" {
				return nil
			}
			return &s
		}
		p.update.VCSRepo = &gotfe.VCSRepoOptions{
			Identifier: text(want.Identifier), Branch: text(want.Branch), OAuthTokenID: text(want.OAuthTokenID),
			GHAInstallationID: text(want.AppInstallationID), TagsRegex: text(want.TagsRegex), IngressSubmodules: want.IngressSubmodules,
		}
	}
	if want.TriggerPatterns != nil && !slices.Equal(want.TriggerPatterns, have.Attributes.TriggerPatterns) {
		p.differs("trigger_patterns", strings.Join(have.Attributes.TriggerPatterns, ", "), strings.Join(want.TriggerPatterns, ", "))
		p.update.TriggerPatterns = want.TriggerPatterns
	}
}

func describeRepository(r *backend.Repository) string {
	if r.Branch == "" {
		return r.Identifier
	}
	return r.Identifier + ", branch " + r.Branch
}

// compareMode compares the execution mode. A workspace that the haul created in local mode, to
// wait for its state, gets the mode of its project if no other is requested.
func (p *settingsPlan) compareMode(have *workspaceSettings, r backend.SettingsRequest, prepared *Creation) {
	mode, now := r.Options.ExecutionMode, have.ownMode()
	pool := ""
	if prepared != nil {
		pool = prepared.agentPoolID
	}
	switch {
	case mode == "" && r.Ours && now != "" && startsLater(r.Options):
		no := false
		p.differs("execution_mode", now, "that of the project")
		p.update.SettingOverwrites = &gotfe.WorkspaceSettingOverwritesOptions{ExecutionMode: &no, AgentPool: &no}
	case mode == "", mode == now && (pool == "" || pool == have.Relationships.AgentPool.Data.ID):
	default:
		p.differs("execution_mode", now, mode)
		p.update.ExecutionMode = &mode
		if pool != "" {
			p.update.AgentPoolID = &pool
		}
	}
}
