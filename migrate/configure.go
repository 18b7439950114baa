package migrate

import (
	"context"
	"errors"
	"slices"
	"strings"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// A SettingsResult is what became of a workspace's settings. It holds no values of variables.
type SettingsResult struct {
	// Changes are what the move changed, or, in a plan, what it would make or change.
	Changes []backend.SettingChange `json:"changes,omitempty"`
	// Other are settings that an existing workspace has otherwise, and that stay.
	Other []backend.SettingChange `json:"other,omitempty"`
	// VCSRepository is the repository that the workspace is to be connected to.
	VCSRepository string `json:"vcs_repository,omitempty"`
}

// String returns them as sentences; "" for nothing.
func (s *SettingsResult) String() string {
	if s == nil {
		return ""
	}
	var texts []string
	for _, part := range []struct {
		head    string
		changes []backend.SettingChange
	}{{"Settings", s.Changes}, {"Not changed, because the workspace existed", s.Other}} {
		if len(part.changes) == 0 {
			continue
		}
		all := make([]string, len(part.changes))
		for i, c := range part.changes {
			all[i] = c.String()
		}
		texts = append(texts, part.head+": "+strings.Join(all, "; ")+".")
	}
	return strings.Join(texts, " ")
}

// add adds changes with new names.
func (s *SettingsResult) add(changes []backend.SettingChange) {
	for _, c := range changes {
		if !slices.ContainsFunc(s.Changes, func(other backend.SettingChange) bool { return other.Name == c.Name }) {
			s.Changes = append(s.Changes, c)
		}
	}
}

// configure applies the settings that wait for the state: whatever can start a run comes after
// the state was verified. After an interrupt it is finished, because it takes only a few
// requests. A dry run compares.
func (x *execution) configure(ctx context.Context) error {
	target, ok := x.Target.(backend.Configurer)
	if !ok || !x.wantsSettings() {
		return nil
	}
	if x.result.Settings == nil {
		x.result.Settings = &SettingsResult{}
	}
	if more := x.CreateOptions.More; more != nil && more.VCS != nil {
		x.result.Settings.VCSRepository = more.VCS.Identifier
	}
	switch {
	case x.mayConfigure() && x.past().configured && !x.UpdateSettings:
		return nil // by an earlier run
	case x.DryRun:
		return x.planSettings(ctx, target)
	case x.mayConfigure():
		return x.applySettings(ctx, target)
	}
	return x.noteSettings(ctx, target)
}

// wantsSettings reports whether the move is about settings of the workspace, too.
func (x *execution) wantsSettings() bool {
	o := x.CreateOptions
	older := x.follows != nil && x.follows.version != nil
	switch {
	case x.Undo != nil, x.comparing, older:
		return false
	case x.workspace == nil || x.mayConfigure():
		return x.UpdateSettings || o.More != nil || o.ExecutionMode != "" && o.ExecutionMode != localMode
	}
	return o.More != nil
}

// localMode is the execution mode without runs at the target.
const localMode = "local"

// mayConfigure reports whether the move may change the workspace's settings: the haul created
// it, or the user allows it.
func (x *execution) mayConfigure() bool {
	return x.UpdateSettings || x.workspace == nil || x.createdHere()
}

// createdHere reports whether the haul created the workspace.
func (x *execution) createdHere() bool {
	past := x.past()
	return x.result.Created || past.created && (past.workspaceID == "" || past.workspaceID == x.workspace.ID)
}

// adoptCreated takes a workspace for the haul's own if an earlier run was interrupted while it
// created it, so that its journal does not have the ID. Such a workspace cannot start runs.
func (x *execution) adoptCreated() {
	if x.DryRun || !x.past().creating || x.past().created || x.workspace.ExecutionMode != localMode || x.workspace.Automatic != backend.NoAutomation {
		return
	}
	x.result.Created = true
	x.record(Event{Event: EventCreated, WorkspaceID: x.workspace.ID})
}

// settingsRequest describes the settings of the move's workspace.
func (x *execution) settingsRequest() backend.SettingsRequest {
	r := backend.SettingsRequest{CreateRequest: x.createRequest(), New: x.result.Created && !x.past().creating && !x.asked}
	r.Ours = x.workspace == nil || x.createdHere()
	if x.CreateOptions.TerraformVersion == FromState && !r.Ours {
		r.Options.TerraformVersion = "" // the version of the workspace stays
	}
	return r
}

// planSettings compares in a dry run. A workspace that holds the state already is to be worked on
// if its settings differ.
func (x *execution) planSettings(ctx context.Context, target backend.Configurer) error {
	changes, err := target.CompareSettings(ctx, x.workspace, x.settingsRequest())
	switch {
	case err != nil:
		return err
	case !x.mayConfigure():
		x.result.Settings.Other = changes
		return nil
	}
	x.result.Settings.Changes = changes
	if there := x.result.Outcome == AlreadyThere || x.result.Outcome == Moved; there && len(changes) > 0 {
		x.result.Outcome = WouldMove
		x.result.Message = x.sayf("The workspace already holds the state. Its settings would be changed.")
	}
	return nil
}

// noteSettings compares after a move into a workspace whose settings stay. What a plan has just
// found is not read again.
func (x *execution) noteSettings(ctx context.Context, target backend.Configurer) error {
	if x.seen != nil && x.seen.settings != nil {
		x.result.Settings = x.seen.settings
		return nil
	}
	changes, err := target.CompareSettings(ctx, x.workspace, x.settingsRequest())
	if err != nil {
		x.note("Cannot compare the workspace's settings: %s", plainwords.Ended(err.Error()))
	}
	x.result.Settings.Other = changes
	return nil
}

// applySettings changes what differs.
func (x *execution) applySettings(ctx context.Context, target backend.Configurer) error {
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	if err := x.announce(Event{Event: EventConfiguring, WorkspaceID: x.workspace.ID}); err != nil {
		return err
	}
	done, err := target.Configure(ctx, x.workspace, x.settingsRequest())
	x.asked = true
	x.result.Settings.add(done.Changed)
	for _, note := range done.Notes {
		x.note("%s", note)
	}
	if err != nil {
		return x.incompleteSettings(ctx, err)
	}
	if x.absent = done.Absent; len(x.absent) > 0 {
		if x.later {
			return nil // they may be created by other moves
		}
		return x.absentConsumers()
	}
	x.record(Event{Event: EventConfigured, WorkspaceID: x.workspace.ID})
	return nil
}

// incompleteSettings returns the stop for settings that could not be applied. The state arrived.
func (x *execution) incompleteSettings(ctx context.Context, err error) error {
	var why *stop
	if !errors.As(err, &why) {
		why = x.explain(ctx, err)
	}
	code := CodeSettings
	if why.code == CodeUnauthorized || why.code == CodeJournal {
		code = why.code
	}
	reason := strings.TrimSpace(strings.ReplaceAll(why.message, "Nothing was stored.", ""))
	return x.stopf(code, "The workspace holds the state, which was verified, but its settings are incomplete. %s Then run the same command with the same journal: it finishes the settings.", reason)
}

// absentConsumers returns the stop for consumers that do not exist.
func (x *execution) absentConsumers() error {
	return x.stopf(CodeSettings, "The workspace holds the state, which was verified, but its settings are incomplete: %s named in remote_state_consumers not found in %s: %s. Create them, or correct the names. Then run the same command with the same journal: it finishes the settings.",
		plainwords.Are(len(x.absent), "workspace"), x.Target.Container(), strings.Join(x.absent, ", "))
}

// takeSettings takes the settings of a source that has some along to a new workspace. What the
// user sets comes first. A manifest has all settings itself.
func (x *execution) takeSettings(ctx context.Context) error {
	source, ok := x.Object.(backend.SettingsSource)
	_, able := x.Target.(backend.Configurer)
	if !ok || !able || x.FromManifest || !x.Create || x.Undo != nil || x.comparing || x.taken != nil {
		return nil
	}
	theirs, notes, err := source.Settings(ctx, x.Target)
	if err != nil {
		return unreadable(err)
	}
	own := x.Settings
	if own.CreateOptions.TerraformVersion == FromState && theirs.TerraformVersion != "" {
		own.CreateOptions.TerraformVersion = ""
	}
	own.CreateOptions = own.CreateOptions.Over(theirs)
	engine := *x.Engine
	engine.Settings = own
	x.Engine, x.Own, x.taken = &engine, &own, &notes
	for _, note := range notes {
		x.note("%s", note)
	}
	return nil
}
