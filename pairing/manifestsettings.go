package pairing

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"tfhaul/backend"
	"tfhaul/migrate"
)

// ManifestSettings are the settings of moves, in the defaults block and in each move.
// Anything absent from a move comes from the defaults.
type ManifestSettings struct {
	Create *bool `hcl:"create"`
	// Project, Tags, ExecutionMode, AgentPool and TerraformVersion describe a new
	// workspace, like the flags of these names.
	Project          *string  `hcl:"project"`
	Tags             []string `hcl:"tags,optional"`
	ExecutionMode    *string  `hcl:"execution_mode"`
	AgentPool        *string  `hcl:"agent_pool"`
	TerraformVersion *string  `hcl:"terraform_version"`
	// LockTimeout is a duration such as "5m".
	LockTimeout *string `hcl:"lock_timeout"`
	// History is a number of versions, or "all".
	History      *string `hcl:"history"`
	IncludeEmpty *bool   `hcl:"include_empty"`
	LockSource   *bool   `hcl:"lock_source"`
	FreezeSource *bool   `hcl:"freeze_source"`

	// UpdateSettings changes the settings of workspaces that exist, too.
	UpdateSettings *bool `hcl:"update_settings"`
	// The others are further settings of a workspace: see backend.WorkspaceSettings.
	Description      *string             `hcl:"description"`
	WorkingDirectory *string             `hcl:"working_directory"`
	AutoApply        *bool               `hcl:"auto_apply"`
	Consumers        []string            `hcl:"remote_state_consumers,optional"`
	SourceName       *string             `hcl:"source_name"`
	SourceURL        *string             `hcl:"source_url"`
	VCS              *ManifestRepository `hcl:"vcs_repository,block"`
	Variables        []*ManifestVariable `hcl:"variable,block"`
}

// manifestSettings returns the settings for a manifest, without those that have their
// default value.
func manifestSettings(s migrate.Settings) *ManifestSettings {
	m := &ManifestSettings{
		Create: ifSet(s.Create), IncludeEmpty: ifSet(s.IncludeEmpty), LockSource: ifSet(s.LockSource), FreezeSource: ifSet(s.FreezeSource),
		UpdateSettings: ifSet(s.UpdateSettings),
	}
	if o := s.CreateOptions; s.Create || s.UpdateSettings {
		m.takeMore(o.More)
		m.Project, m.Tags, m.ExecutionMode, m.AgentPool = ifSet(o.Project), o.Tags, ifSet(o.ExecutionMode), ifSet(o.AgentPool)
		if o.TerraformVersion != migrate.FromState {
			m.TerraformVersion = ifSet(o.TerraformVersion)
		}
	}
	m.History = ifSet(FormatHistory(s.History))
	if s.LockTimeout > 0 {
		m.LockTimeout = ifSet(s.LockTimeout.String())
	}
	return m
}

// beyond returns what a line of a map sets, without what the defaults set to the same.
func (m *ManifestSettings) beyond(defaults *ManifestSettings) ManifestSettings {
	own := ManifestSettings{
		Project: ifOther(m.Project, defaults.Project), ExecutionMode: ifOther(m.ExecutionMode, defaults.ExecutionMode),
		AgentPool: ifOther(m.AgentPool, defaults.AgentPool), TerraformVersion: ifOther(m.TerraformVersion, defaults.TerraformVersion),
	}
	if !slices.Equal(m.Tags, defaults.Tags) {
		own.Tags = m.Tags
	}
	own.Description, own.WorkingDirectory, own.AutoApply, own.Consumers = m.Description, m.WorkingDirectory, m.AutoApply, m.Consumers
	own.SourceName, own.SourceURL, own.VCS, own.Variables = m.SourceName, m.SourceURL, m.VCS, m.Variables
	return own
}

// ifOther returns a value unless the other one is the same.
func ifOther(value, other *string) *string {
	if value != nil && other != nil && *value == *other {
		return nil
	}
	return value
}

// empty reports whether nothing is set.
func (m *ManifestSettings) empty() bool {
	return m.Create == nil && m.describesCreation() == "" && m.LockTimeout == nil && m.History == nil && m.IncludeEmpty == nil && m.LockSource == nil && m.FreezeSource == nil && m.UpdateSettings == nil
}

// ifSet returns nil for the zero value.
func ifSet[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// describesCreation returns the first attribute that describes a new workspace, or "".
func (m *ManifestSettings) describesCreation() string {
	switch {
	case m.Project != nil:
		return "project"
	case len(m.Tags) > 0:
		return "tags"
	case m.ExecutionMode != nil:
		return "execution_mode"
	case m.AgentPool != nil:
		return "agent_pool"
	case m.TerraformVersion != nil:
		return "terraform_version"
	}
	return m.describesMore()
}

// over overwrites s with the settings that are present.
func (m *ManifestSettings) over(s *migrate.Settings) error {
	set(&s.Create, m.Create)
	set(&s.IncludeEmpty, m.IncludeEmpty)
	set(&s.LockSource, m.LockSource)
	set(&s.FreezeSource, m.FreezeSource)
	set(&s.UpdateSettings, m.UpdateSettings)
	o := &s.CreateOptions
	set(&o.Project, m.Project)
	set(&o.ExecutionMode, m.ExecutionMode)
	set(&o.AgentPool, m.AgentPool)
	set(&o.TerraformVersion, m.TerraformVersion)
	if m.Tags != nil {
		o.Tags = m.Tags
	}
	if err := m.checkMore(); err != nil {
		return err
	}
	o.More = backend.CreateOptions{More: m.more()}.Over(backend.CreateOptions{More: o.More}).More
	if m.LockTimeout != nil {
		d, err := time.ParseDuration(*m.LockTimeout)
		if err != nil || d < 0 {
			return fmt.Errorf("lock_timeout cannot be %q: use a duration such as 30s, 5m or 1h", *m.LockTimeout)
		}
		s.LockTimeout = d
	}
	if m.History != nil {
		n, err := ParseHistory(*m.History)
		if err != nil {
			return fmt.Errorf("history cannot be %q: %w", *m.History, err)
		}
		s.History = n
	}
	switch o.ExecutionMode {
	case "", "remote", "local", backend.AgentMode:
	default:
		return fmt.Errorf("execution_mode cannot be %q: use remote, local or agent", o.ExecutionMode)
	}
	if m.AgentPool != nil && o.ExecutionMode != backend.AgentMode {
		return fmt.Errorf("agent_pool requires execution_mode = %q", backend.AgentMode)
	}
	for _, tag := range m.Tags {
		if err := backend.CheckTag(tag); err != nil {
			return fmt.Errorf("tags cannot contain %q: %w", tag, err)
		}
	}
	return nil
}

func set[T any](into *T, value *T) {
	if value != nil {
		*into = *value
	}
}

// Settings returns the settings of a move: the defaults, overwritten by those of the match blocks
// and by its own.
func (m *Manifest) Settings(move *ManifestMove) (migrate.Settings, error) {
	var s migrate.Settings
	s.CreateOptions.TerraformVersion = migrate.FromState
	if m.Defaults != nil {
		if err := m.Defaults.over(&s); err != nil {
			return s, fmt.Errorf("defaults: %w", err)
		}
	}
	for _, match := range m.Matches {
		if !match.matches(move) {
			continue
		}
		if err := match.Settings.over(&s); err != nil {
			return s, fmt.Errorf("match %q: %w", match.Glob, err)
		}
	}
	if err := move.Own.over(&s); err != nil {
		return s, fmt.Errorf("the move of %q: %w", move.Source, err)
	}
	if what := move.Own.describesCreation(); what != "" && !s.Create && !s.UpdateSettings {
		return s, fmt.Errorf("the move of %q: %s describes a new workspace and requires create = true, or update_settings = true to change one that exists", move.Source, what)
	}
	if more := s.CreateOptions.More; more != nil {
		if move.Own.VCS == nil && more.VCS != nil && more.VCS.Identifier == "" {
			more.VCS = nil // the defaults name the connection for moves with a repository
		}
		if err := checkVCS(more.VCS); err != nil {
			return s, fmt.Errorf("the move of %q: %w", move.Source, err)
		}
	}
	return s, nil
}

// checkSettings finds settings that are invalid or have no effect.
func (m *Manifest) checkSettings() error {
	if err := m.checkGlobs(); err != nil {
		return err
	}
	creates := false
	for _, move := range m.Moves {
		s, err := m.Settings(move)
		if err != nil {
			return err
		}
		creates = creates || s.Create || s.UpdateSettings
	}
	if m.Defaults == nil || creates {
		return nil
	}
	if what := m.Defaults.describesCreation(); what != "" {
		return fmt.Errorf("defaults: %s describes new workspaces and requires create = true, or update_settings = true to change those that exist", what)
	}
	return nil
}

func (m *ManifestSettings) write(b *hclwrite.Body) {
	writeBool(b, "create", m.Create)
	writeText(b, "project", m.Project)
	writeList(b, "tags", m.Tags)
	writeText(b, "execution_mode", m.ExecutionMode)
	writeText(b, "agent_pool", m.AgentPool)
	writeText(b, "terraform_version", m.TerraformVersion)
	writeText(b, "lock_timeout", m.LockTimeout)
	writeText(b, "history", m.History)
	writeBool(b, "include_empty", m.IncludeEmpty)
	writeBool(b, "lock_source", m.LockSource)
	writeBool(b, "freeze_source", m.FreezeSource)
	m.writeMore(b)
}

func writeBool(b *hclwrite.Body, name string, value *bool) {
	if value != nil {
		b.SetAttributeValue(name, cty.BoolVal(*value))
	}
}

func writeText(b *hclwrite.Body, name string, value *string) {
	if value != nil {
		b.SetAttributeValue(name, cty.StringVal(*value))
	}
}

func writeList(b *hclwrite.Body, name string, values []string) {
	if values == nil {
		return
	}
	list := make([]cty.Value, len(values))
	for i, v := range values {
		list[i] = cty.StringVal(v)
	}
	b.SetAttributeValue(name, cty.TupleVal(list))
}

// comment returns a block as a comment that starts with the reason.
func comment(block *hclwrite.File, reason string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n# Not moved: %s\n", strings.Map(printable, reason))
	for line := range strings.Lines(strings.TrimSpace(string(block.Bytes()))) {
		b.WriteString("# " + line)
	}
	return b.String() + "\n"
}

// printable keeps text quoted in a reason from ending its comment.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029' {
		return ' '
	}
	return r
}
