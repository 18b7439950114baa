package backend

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// WorkspaceSettings are settings of a workspace beyond those in CreateOptions. What is absent
// stays as it is, or as the target sets up new states.
type WorkspaceSettings struct {
	Description      *string
	WorkingDirectory *string
	AutoApply        *bool
	VCS              *Repository
	// Consumers are the names of the states in the same container whose runs may read this
	// one; nil leaves them as they are.
	Consumers []string
	// Variables are set. Others stay.
	Variables []Variable
	// SourceName and SourceURL name what created the state. They are set only on creation.
	SourceName, SourceURL string
}

// A Repository is the VCS repository that a workspace takes its configuration from. Empty
// fields are those of the target's default.
type Repository struct {
	// Identifier is the repository's name at its host, such as "acme/network".
	Identifier, Branch string
	// OAuthTokenID or AppInstallationID identify the connection to the host. They are not
	// secrets.
	OAuthTokenID, AppInstallationID string
	// TriggerPatterns are globs of the files whose changes start runs; nil for the default.
	TriggerPatterns   []string
	TagsRegex         string
	IngressSubmodules *bool
}

// Repository returns the VCS repository; nil for none, also of nil settings.
func (s *WorkspaceSettings) Repository() *Repository {
	if s == nil {
		return nil
	}
	return s.VCS
}

// Connected reports whether the connection to the repository's host is known.
func (r *Repository) Connected() bool { return r.OAuthTokenID+r.AppInstallationID != "" }

// A Secret is text that is never shown: it can only be converted to a string.
type Secret string

// String hides the secret, also from package fmt.
func (Secret) String() string { return "[hidden]" }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return "[hidden]" }

// MarshalText hides the secret from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte("[hidden]"), nil }

// Over returns the options with what is absent taken from others. A variable replaces one with
// the same key and category.
func (o CreateOptions) Over(others CreateOptions) CreateOptions {
	fill(&o.Project, others.Project)
	fill(&o.TerraformVersion, others.TerraformVersion)
	if o.ExecutionMode == "" {
		o.ExecutionMode, o.AgentPool = others.ExecutionMode, others.AgentPool
	}
	if o.Tags == nil {
		o.Tags = others.Tags
	}
	switch {
	case o.More == nil:
		o.More = others.More
	case others.More != nil:
		o.More = o.More.over(others.More)
	}
	return o
}

func (s *WorkspaceSettings) over(others *WorkspaceSettings) *WorkspaceSettings {
	m := *s
	fill(&m.Description, others.Description)
	fill(&m.WorkingDirectory, others.WorkingDirectory)
	fill(&m.AutoApply, others.AutoApply)
	fill(&m.SourceName, others.SourceName)
	fill(&m.SourceURL, others.SourceURL)
	if m.Consumers == nil {
		m.Consumers = others.Consumers
	}
	switch {
	case m.VCS == nil:
		m.VCS = others.VCS
	case others.VCS != nil:
		m.VCS = m.VCS.over(others.VCS)
	}
	m.Variables = slices.Clone(others.Variables)
	for _, v := range s.Variables {
		i := slices.IndexFunc(m.Variables, func(other Variable) bool { return other.Key == v.Key && other.Category == v.Category })
		if i < 0 {
			m.Variables = append(m.Variables, v)
		} else {
			m.Variables[i] = v
		}
	}
	return &m
}

func (r *Repository) over(others *Repository) *Repository {
	m := *r
	fill(&m.Identifier, others.Identifier)
	fill(&m.Branch, others.Branch)
	if !m.Connected() {
		m.OAuthTokenID, m.AppInstallationID = others.OAuthTokenID, others.AppInstallationID
	}
	fill(&m.TagsRegex, others.TagsRegex)
	fill(&m.IngressSubmodules, others.IngressSubmodules)
	if m.TriggerPatterns == nil {
		m.TriggerPatterns = others.TriggerPatterns
	}
	return &m
}

// fill sets a zero value.
func fill[T comparable](into *T, value T) {
	var zero T
	if *into == zero {
		*into = value
	}
}

// Label returns the variable's name for messages.
func (v Variable) Label() string { return fmt.Sprintf("variable %s (%s)", v.Key, v.Category) }

// Text returns the value to set, which must not be shown.
func (v Variable) Text() string {
	if v.From != "" {
		return string(v.Secret)
	}
	return v.Value
}

// A SettingsRequest describes how a state is to be set up.
type SettingsRequest struct {
	CreateRequest
	// Ours means that the haul created the state, so that no one else has set its sensitive
	// variables. New means that it did so just now, and nothing was changed since.
	Ours, New bool
}

// A SettingChange is a setting that is changed, or differs. From and To are empty for what must
// not be shown, such as the values of variables.
type SettingChange struct {
	Name string `json:"name"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// String returns the change for messages.
func (c SettingChange) String() string {
	switch {
	case c.To == "":
		return c.Name
	case c.From == "":
		return fmt.Sprintf("%s = %s", c.Name, c.To)
	}
	return fmt.Sprintf("%s = %s (now %s)", c.Name, c.To, c.From)
}

// A Configurer is a Target that changes how its states are set up.
//
// A state that it creates for a request with settings cannot start a run by itself: VCS
// repository, automatic applies, and the execution modes in which the target runs Terraform, are
// left to Configure.
type Configurer interface {
	Creator
	// CompareSettings returns which requested settings differ from the state's, which may be
	// nil for one that does not exist. It writes nothing.
	CompareSettings(ctx context.Context, s *Standing, r SettingsRequest) ([]SettingChange, error)
	// Configure changes the settings that differ. What can start a run is changed last, in one
	// request. After an error, some settings may have been changed; Configure can be repeated.
	Configure(ctx context.Context, s *Standing, r SettingsRequest) (SettingsApplied, error)
}

// SettingsApplied is what Configure did.
type SettingsApplied struct {
	// Changed are the settings that it changed, in order.
	Changed []SettingChange
	// Absent are the requested consumers that do not exist. The others were set.
	Absent []string
	// Notes are sentences for the user about settings that were not applied.
	Notes []string
}

// A SettingsSource is a state with settings that can be taken along to another target.
type SettingsSource interface {
	// Settings reads them for a state of target. The notes are sentences about what cannot be
	// taken along, such as the values of sensitive variables.
	Settings(ctx context.Context, target Target) (o CreateOptions, notes []string, err error)
}

// SettingNames returns the names of changes, for messages.
func SettingNames(changes []SettingChange) string {
	names := make([]string, len(changes))
	for i, c := range changes {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}
