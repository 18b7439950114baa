package pairing

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"tfhaul/backend"
)

// ManifestMatch are settings of the moves whose workspace matches a glob. They overwrite the
// defaults, and a later block overwrites an earlier one.
type ManifestMatch struct {
	// Glob matches the whole name of the workspace, or the key.
	Glob     string `hcl:"glob,label"`
	Settings ManifestSettings
	// Rest has the attributes while the manifest is decoded.
	Rest hcl.Body `hcl:",remain"`
}

// ManifestRepository is the VCS repository of a workspace.
type ManifestRepository struct {
	Identifier        *string  `hcl:"identifier"`
	Branch            *string  `hcl:"branch"`
	OAuthTokenID      *string  `hcl:"oauth_token_id"`
	AppInstallationID *string  `hcl:"github_app_installation_id"`
	TriggerPatterns   []string `hcl:"trigger_patterns,optional"`
	TagsRegex         *string  `hcl:"tags_regex"`
	IngressSubmodules *bool    `hcl:"ingress_submodules"`
}

// ManifestVariable is a variable to set in a workspace.
type ManifestVariable struct {
	Key   string  `hcl:"key,label"`
	Value *string `hcl:"value"`
	// ValueFrom is where the value is read: env:NAME or file:PATH. A sensitive value is never in
	// the manifest.
	ValueFrom   *string `hcl:"value_from"`
	Category    *string `hcl:"category"`
	HCL         *bool   `hcl:"hcl"`
	Sensitive   *bool   `hcl:"sensitive"`
	Description *string `hcl:"description"`
}

// The categories of variables.
const (
	categoryTerraform = "terraform"
	categoryEnv       = "env"
)

// checkGlobs refuses globs that are invalid or match no move.
func (m *Manifest) checkGlobs() error {
	for _, match := range m.Matches {
		if !doublestar.ValidatePattern(match.Glob) {
			return fmt.Errorf("match %q is not a valid glob: use * for any part of a name, and close every [ab] and {a,b}", match.Glob)
		}
		if !slices.ContainsFunc(m.Moves, match.matches) {
			return fmt.Errorf("match %q matches no workspace of this manifest: correct the glob, or delete the block", match.Glob)
		}
	}
	return nil
}

// allSettings returns all blocks with settings, and where each is.
func (m *Manifest) allSettings() iter.Seq2[string, *ManifestSettings] {
	return func(yield func(string, *ManifestSettings) bool) {
		if m.Defaults != nil && !yield("defaults", m.Defaults) {
			return
		}
		for _, match := range m.Matches {
			if !yield(fmt.Sprintf("match %q", match.Glob), &match.Settings) {
				return
			}
		}
		for _, move := range m.Moves {
			if !yield(fmt.Sprintf("the move of %q", move.Source), &move.Own) {
				return
			}
		}
	}
}

// matches reports whether the block applies to a move.
func (m *ManifestMatch) matches(move *ManifestMove) bool {
	return doublestar.MatchUnvalidated(m.Glob, move.Workspace+move.Key)
}

// more returns the settings beyond those of backend.CreateOptions; nil for none.
func (m *ManifestSettings) more() *backend.WorkspaceSettings {
	s := &backend.WorkspaceSettings{Description: m.Description, WorkingDirectory: m.WorkingDirectory, AutoApply: m.AutoApply, Consumers: m.Consumers}
	set(&s.SourceName, m.SourceName)
	set(&s.SourceURL, m.SourceURL)
	if r := m.VCS; r != nil {
		s.VCS = &backend.Repository{TriggerPatterns: r.TriggerPatterns, IngressSubmodules: r.IngressSubmodules}
		set(&s.VCS.Identifier, r.Identifier)
		set(&s.VCS.Branch, r.Branch)
		set(&s.VCS.OAuthTokenID, r.OAuthTokenID)
		set(&s.VCS.AppInstallationID, r.AppInstallationID)
		set(&s.VCS.TagsRegex, r.TagsRegex)
	}
	for _, v := range m.Variables {
		made := backend.Variable{Key: v.Key, Category: categoryTerraform}
		set(&made.Value, v.Value)
		set(&made.From, v.ValueFrom)
		set(&made.Category, v.Category)
		set(&made.HCL, v.HCL)
		set(&made.Sensitive, v.Sensitive)
		set(&made.Description, v.Description)
		s.Variables = append(s.Variables, made)
	}
	if m.describesMore() == "" {
		return nil
	}
	return s
}

// describesMore returns the first attribute or block beyond those of backend.CreateOptions, or "".
func (m *ManifestSettings) describesMore() string {
	switch {
	case m.Description != nil:
		return "description"
	case m.WorkingDirectory != nil:
		return "working_directory"
	case m.AutoApply != nil:
		return "auto_apply"
	case m.Consumers != nil:
		return "remote_state_consumers"
	case m.VCS != nil:
		return "vcs_repository"
	case len(m.Variables) > 0:
		return "variable"
	case m.SourceName != nil:
		return "source_name"
	case m.SourceURL != nil:
		return "source_url"
	}
	return ""
}

// checkMore finds what no server accepts in the blocks.
func (m *ManifestSettings) checkMore() error {
	for _, v := range m.Variables {
		if err := v.check(); err != nil {
			return fmt.Errorf("variable %q %w", v.Key, err)
		}
	}
	if r := m.VCS; r != nil && r.OAuthTokenID != nil && r.AppInstallationID != nil {
		return errors.New("vcs_repository has both oauth_token_id and github_app_installation_id: use only one")
	}
	return nil
}

func (v *ManifestVariable) check() error {
	category := categoryTerraform
	set(&category, v.Category)
	isHCL, sensitive := v.HCL != nil && *v.HCL, v.Sensitive != nil && *v.Sensitive
	switch {
	case v.Key == "":
		return errors.New("has no name")
	case category != categoryTerraform && category != categoryEnv:
		return fmt.Errorf("cannot have the category %q: use %s or %s", category, categoryTerraform, categoryEnv)
	case isHCL && category == categoryEnv:
		return errors.New("cannot be HCL: environment variables are text")
	case sensitive && v.Value != nil:
		return errors.New("is sensitive, so its value must not be in the manifest: use value_from = \"env:NAME\" or \"file:PATH\"")
	case (v.Value == nil) == (v.ValueFrom == nil):
		return errors.New("needs either value or value_from")
	case v.ValueFrom != nil:
		return checkValueFrom(*v.ValueFrom)
	}
	return nil
}

// checkVCS refuses a repository that the server could not connect.
func checkVCS(r *backend.Repository) error {
	switch {
	case r == nil:
	case !strings.Contains(r.Identifier, "/"):
		return errors.New("vcs_repository needs an identifier, such as \"acme/network\"")
	case !r.Connected():
		return fmt.Errorf("vcs_repository %q needs oauth_token_id or github_app_installation_id, the connection to its host in the target's organization. For all moves, write it into the vcs_repository block of defaults", r.Identifier)
	}
	return nil
}

// takeMore fills in the settings beyond those of backend.CreateOptions.
func (m *ManifestSettings) takeMore(s *backend.WorkspaceSettings) {
	if s == nil {
		return
	}
	m.Description, m.WorkingDirectory, m.AutoApply, m.Consumers = s.Description, s.WorkingDirectory, s.AutoApply, s.Consumers
	m.SourceName, m.SourceURL = ifSet(s.SourceName), ifSet(s.SourceURL)
	if r := s.VCS; r != nil {
		m.VCS = &ManifestRepository{
			Identifier: ifSet(r.Identifier), Branch: ifSet(r.Branch), OAuthTokenID: ifSet(r.OAuthTokenID), AppInstallationID: ifSet(r.AppInstallationID),
			TriggerPatterns: r.TriggerPatterns, TagsRegex: ifSet(r.TagsRegex), IngressSubmodules: r.IngressSubmodules,
		}
	}
	for _, v := range s.Variables {
		made := &ManifestVariable{Key: v.Key, ValueFrom: ifSet(v.From), HCL: ifSet(v.HCL), Sensitive: ifSet(v.Sensitive), Description: ifSet(v.Description)}
		if v.From == "" {
			made.Value = &v.Value
		}
		if v.Category != categoryTerraform {
			made.Category = &v.Category
		}
		m.Variables = append(m.Variables, made)
	}
}

// writeMore writes the blocks after the attributes.
func (m *ManifestSettings) writeMore(b *hclwrite.Body) {
	writeBool(b, "update_settings", m.UpdateSettings)
	writeText(b, "description", m.Description)
	writeText(b, "working_directory", m.WorkingDirectory)
	writeBool(b, "auto_apply", m.AutoApply)
	writeList(b, "remote_state_consumers", m.Consumers)
	writeText(b, "source_name", m.SourceName)
	writeText(b, "source_url", m.SourceURL)
	if r := m.VCS; r != nil {
		b.AppendNewline()
		in := b.AppendNewBlock("vcs_repository", nil).Body()
		writeText(in, "identifier", r.Identifier)
		writeText(in, "branch", r.Branch)
		writeText(in, "oauth_token_id", r.OAuthTokenID)
		writeText(in, "github_app_installation_id", r.AppInstallationID)
		writeList(in, "trigger_patterns", r.TriggerPatterns)
		writeText(in, "tags_regex", r.TagsRegex)
		writeBool(in, "ingress_submodules", r.IngressSubmodules)
	}
	for _, v := range m.Variables {
		b.AppendNewline()
		in := b.AppendNewBlock("variable", []string{v.Key}).Body()
		writeText(in, "value", v.Value)
		writeText(in, "value_from", v.ValueFrom)
		writeText(in, "category", v.Category)
		writeBool(in, "hcl", v.HCL)
		writeBool(in, "sensitive", v.Sensitive)
		writeText(in, "description", v.Description)
	}
}
