package tfe

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tfhaul/backend"
)

// settingsData is the part of a document about a workspace that has its settings.
type settingsData struct {
	resourceID
	Attributes struct {
		Name               string   `json:"name"`
		Description        string   `json:"description"`
		WorkingDirectory   string   `json:"working-directory"`
		TerraformVersion   string   `json:"terraform-version"`
		ExecutionMode      string   `json:"execution-mode"`
		AutoApply          bool     `json:"auto-apply"`
		GlobalRemoteState  bool     `json:"global-remote-state"`
		ProjectRemoteState bool     `json:"project-remote-state"`
		TagNames           []string `json:"tag-names"`
		TriggerPatterns    []string `json:"trigger-patterns"`
		SourceName         string   `json:"source-name"`
		SourceURL          string   `json:"source-url"`
		Overwrites         struct {
			ExecutionMode *bool `json:"execution-mode"`
		} `json:"setting-overwrites"`
		VCSRepo *vcsData `json:"vcs-repo"`
	} `json:"attributes"`
	Relationships struct {
		Project   relation `json:"project"`
		AgentPool relation `json:"agent-pool"`
	} `json:"relationships"`
}

type vcsData struct {
	Identifier        string `json:"identifier"`
	Branch            string `json:"branch"`
	OAuthTokenID      string `json:"oauth-token-id"`
	AppInstallationID string `json:"github-app-installation-id"`
	TagsRegex         string `json:"tags-regex"`
	IngressSubmodules bool   `json:"ingress-submodules"`
}

// workspaceSettings are a workspace's settings, as the server has them.
type workspaceSettings struct {
	settingsData
	project   string            // the name of its project; "" if unknown
	bindings  map[string]string // key/value tags
	variables []variableData
	consumers []string
}

// ownMode returns the workspace's own execution mode; "" if it uses the one of its project.
func (s *workspaceSettings) ownMode() string {
	if own := s.Attributes.Overwrites.ExecutionMode; own != nil && !*own {
		return ""
	}
	return s.Attributes.ExecutionMode
}

// variableData is the part of a document about a variable.
type variableData struct {
	resourceID
	Attributes struct {
		Key         string  `json:"key"`
		Value       *string `json:"value"`
		Description string  `json:"description"`
		Category    string  `json:"category"`
		HCL         bool    `json:"hcl"`
		Sensitive   bool    `json:"sensitive"`
	} `json:"attributes"`
}

// bindingData is the part of a document about a key/value tag.
type bindingData struct {
	Attributes struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"attributes"`
}

// settingsIs decodes the settings of the workspace with an ID.
func settingsIs(id string) func([]byte) (*workspaceSettings, error) {
	return func(raw []byte) (*workspaceSettings, error) {
		var doc document[settingsData]
		if err := understand(raw, &doc); err != nil {
			return nil, err
		}
		if err := doc.Data.check("workspaces"); err != nil {
			return nil, err
		}
		if doc.Data.ID != id {
			return nil, mismatch("the workspace", id, clean(doc.Data.ID))
		}
		return &workspaceSettings{settingsData: doc.Data, project: clean(find(doc.Included, doc.Data.Relationships.Project.Data.resourceID).Attributes.Name)}, nil
	}
}

// Parts of a workspace's settings that take a request of their own.
type settingParts struct{ bindings, variables, consumers bool }

// partsOf returns the parts that a request is about.
func partsOf(o backend.CreateOptions) settingParts {
	p := settingParts{bindings: slices.ContainsFunc(o.Tags, func(tag string) bool { return strings.Contains(tag, "=") })}
	if o.More != nil {
		p.variables, p.consumers = len(o.More.Variables) > 0, len(o.More.Consumers) > 0
	}
	return p
}

// settings reads a workspace's settings.
func (c *Client) settings(ctx context.Context, ws *Workspace, parts settingParts) (*workspaceSettings, error) {
	op := "read the settings of " + ws.String()
	s, err := send(ctx, c, op, http.MethodGet, ws.path("?include=project"), nil, settingsIs(ws.ID))
	if err != nil {
		return nil, err
	}
	if parts.bindings {
		if s.bindings, err = send(ctx, c, "read the tags of "+ws.String(), http.MethodGet, ws.path("/tag-bindings"), nil, bindingsIn); err != nil {
			return nil, err
		}
	}
	if parts.variables {
		listed := list(ctx, c, "list the variables of "+ws.String(), ws.path("/vars"), url.Values{},
			func(v *variableData, _ []namedResource) (variableData, error) { return *v, v.check("vars") })
		for v, err := range listed {
			if err != nil {
				return nil, err
			}
			s.variables = append(s.variables, v)
		}
	}
	if parts.consumers {
		if s.consumers, err = c.consumers(ctx, ws); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func bindingsIn(raw []byte) (map[string]string, error) {
	var doc document[[]bindingData]
	if err := understand(raw, &doc); err != nil {
		return nil, err
	}
	bindings := map[string]string{}
	for _, b := range doc.Data {
		bindings[b.Attributes.Key] = b.Attributes.Value
	}
	return bindings, nil
}

// consumers returns the names of the workspaces that may read a workspace's state.
func (c *Client) consumers(ctx context.Context, ws *Workspace) ([]string, error) {
	var names []string
	listed := list(ctx, c, "list the remote-state consumers of "+ws.String(), ws.path("/relationships/remote-state-consumers"), url.Values{},
		func(d *workspaceData, _ []namedResource) (string, error) {
			return clean(d.Attributes.Name), d.check("workspaces")
		})
	for name, err := range listed {
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// Settings implements backend.SettingsSource.
func (s *workspaceState) Settings(ctx context.Context, target backend.Target) (backend.CreateOptions, []string, error) {
	ws, _ := s.last()
	have, err := backend.Retry(ctx, s.client.Down, func() (*workspaceSettings, error) {
		return s.client.settings(ctx, ws, settingParts{true, true, true})
	})
	if err != nil {
		return backend.CreateOptions{}, nil, err
	}
	o := backend.CreateOptions{TerraformVersion: clean(have.Attributes.TerraformVersion), ExecutionMode: clean(have.ownMode())}
	if have.project != defaultProject {
		o.Project = have.project
	}
	if o.ExecutionMode == backend.AgentMode {
		pool := have.Relationships.AgentPool.Data.ID
		place, err := s.client.creationPlace(ctx, "read the agent pool of "+ws.String(), "agent-pools/"+url.PathEscape(pool))
		if err != nil {
			return o, nil, err
		}
		o.AgentPool = clean(place.Attributes.Name)
	}
	o.Tags = have.tags()
	more := &backend.WorkspaceSettings{SourceName: clean(have.Attributes.SourceName), SourceURL: clean(have.Attributes.SourceURL)}
	if text := plain(have.Attributes.Description); text != "" {
		more.Description = &text
	}
	if dir := clean(have.Attributes.WorkingDirectory); dir != "" {
		more.WorkingDirectory = &dir
	}
	if have.Attributes.AutoApply {
		more.AutoApply = &have.Attributes.AutoApply
	}
	same := strings.EqualFold(target.Host()+"/"+target.Container(), s.client.Host()+"/"+s.organization)
	more.VCS = have.repository(same)
	var notes []string
	more.Variables, notes = have.takeVariables()
	switch {
	case have.Attributes.GlobalRemoteState:
		notes = append(notes, "All workspaces of the source's organization may read this state. The new workspace is not shared: name the ones that read it (remote_state_consumers).")
	case have.Attributes.ProjectRemoteState:
		notes = append(notes, "All workspaces of the source's project may read this state. The new workspace is not shared: name the ones that read it (remote_state_consumers).")
	default:
		more.Consumers = have.consumers
	}
	o.More = more
	return o, notes, nil
}

// defaultProject is the name of the project that every organization has.
const defaultProject = "Default Project"

// plain keeps the lines of a text from a server, without its other control characters.
func plain(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = clean(line)
	}
	return strings.Join(lines, "\n")
}

// tags returns all tags in the form of backend.CreateOptions.
func (s *workspaceSettings) tags() []string {
	var tags []string
	for _, name := range s.Attributes.TagNames {
		tags = append(tags, clean(name))
	}
	for key, value := range s.bindings {
		tags = append(tags, clean(key)+"="+clean(value))
	}
	slices.Sort(tags)
	return tags
}

// repository returns the VCS repository, or nil. The connection to its host belongs to the
// organization, so it is left out for another one.
func (s *workspaceSettings) repository(connected bool) *backend.Repository {
	vcs := s.Attributes.VCSRepo
	if vcs == nil || vcs.Identifier == "" {
		return nil
	}
	r := &backend.Repository{Identifier: clean(vcs.Identifier), Branch: clean(vcs.Branch), TagsRegex: clean(vcs.TagsRegex)}
	if vcs.IngressSubmodules {
		r.IngressSubmodules = &vcs.IngressSubmodules
	}
	for _, pattern := range s.Attributes.TriggerPatterns {
		r.TriggerPatterns = append(r.TriggerPatterns, clean(pattern))
	}
	if connected {
		r.OAuthTokenID, r.AppInstallationID = clean(vcs.OAuthTokenID), clean(vcs.AppInstallationID)
	}
	return r
}

// takeVariables returns the variables, and a note with those whose values cannot be read.
func (s *workspaceSettings) takeVariables() (all []backend.Variable, notes []string) {
	var unread []string
	for _, v := range s.variables {
		a := v.Attributes
		if a.Sensitive {
			unread = append(unread, fmt.Sprintf("%s (%s)", clean(a.Key), clean(a.Category)))
			continue
		}
		made := backend.Variable{Key: a.Key, Category: a.Category, HCL: a.HCL, Description: a.Description}
		if a.Value != nil {
			made.Value = *a.Value
		}
		all = append(all, made)
	}
	if len(unread) > 0 {
		notes = append(notes, "The values of sensitive variables cannot be read, so they are not taken along: "+strings.Join(unread, ", ")+". Set them in the new workspace, or in a manifest with value_from.")
	}
	return all, notes
}
