package tfe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	gotfe "github.com/hashicorp/go-tfe"
	"github.com/hashicorp/jsonapi"

	"tfhaul/backend"
)

// ErrNoAgentPool is returned when a workspace should use agents, but neither the options,
// its project nor the organization names an agent pool.
var ErrNoAgentPool = errors.New("execution mode agent needs an agent pool, but neither the project nor the organization has a default one")

// A Creation holds the options for new workspaces, with every name resolved to an ID.
type Creation struct {
	projectID, agentPoolID string
	// Allowed reports whether the token may create workspaces there, if PrepareCreation
	// asked and the server reported it.
	Allowed bool
}

// creationPlace holds the settings of an organization or project for new workspaces.
type creationPlace struct {
	ID         string `json:"id"`
	Attributes struct {
		Name        string `json:"name"`
		Permissions struct {
			CanCreateWorkspace *bool `json:"can-create-workspace"`
		} `json:"permissions"`
	} `json:"attributes"`
	Relationships struct {
		DefaultProject   relation `json:"default-project"`
		DefaultAgentPool relation `json:"default-agent-pool"`
	} `json:"relationships"`
}

func (p *creationPlace) allows() bool {
	allowed := p.Attributes.Permissions.CanCreateWorkspace
	return allowed == nil || *allowed
}

// PrepareCreation looks up the project and the agent pool named in the options and, if
// permission is true, whether the token may create workspaces there. It writes nothing.
func (c *Client) PrepareCreation(ctx context.Context, organization string, o backend.CreateOptions, permission bool) (*Creation, error) {
	made := &Creation{Allowed: true}
	var project *creationPlace
	var err error
	if o.Project != "" {
		if project, err = c.projectNamed(ctx, organization, o.Project); err != nil {
			return nil, err
		}
		made.projectID = project.ID
	}
	if o.AgentPool != "" {
		pool, err := c.agentPool(ctx, organization, o.AgentPool)
		if err != nil {
			return nil, err
		}
		made.agentPoolID = pool.ID
	} else if o.ExecutionMode == backend.AgentMode && project != nil {
		made.agentPoolID = project.Relationships.DefaultAgentPool.Data.ID
	}
	needsPool := o.ExecutionMode == backend.AgentMode && made.agentPoolID == ""
	if project != nil {
		made.Allowed = project.allows()
	}
	if !needsPool && (!permission || project != nil) {
		return made, nil
	}
	org, err := c.creationPlace(ctx, "read organization "+organization, "organizations/"+url.PathEscape(organization))
	if err != nil {
		return nil, err
	}
	if needsPool {
		if made.agentPoolID = org.Relationships.DefaultAgentPool.Data.ID; made.agentPoolID == "" {
			return nil, ErrNoAgentPool
		}
	}
	if permission && project == nil && !org.allows() {
		// A team may be allowed to create workspaces only in the default project.
		made.Allowed = false
		if id := org.Relationships.DefaultProject.Data.ID; id != "" {
			if place, err := c.creationPlace(ctx, "read the default project", "projects/"+url.PathEscape(id)); err == nil {
				said := place.Attributes.Permissions.CanCreateWorkspace
				made.Allowed = said != nil && *said
			}
		}
	}
	return made, nil
}

func (c *Client) creationPlace(ctx context.Context, op, path string) (*creationPlace, error) {
	return send(ctx, c, op, http.MethodGet, path, nil, func(raw []byte) (*creationPlace, error) {
		var doc document[creationPlace]
		err := understand(raw, &doc)
		return &doc.Data, err
	})
}

// creationPlaceNamed finds the organization's project or agent pool with a name. kind is
// what to call it, and path where they are listed.
func (c *Client) creationPlaceNamed(ctx context.Context, organization, kind, path, name string, query url.Values, fits func(*creationPlace) bool) (*creationPlace, error) {
	op := fmt.Sprintf("find %s %q of %s", kind, name, organization)
	listed := list(ctx, c, op, "organizations/"+url.PathEscape(organization)+path, query,
		func(d *creationPlace, _ []namedResource) (*creationPlace, error) { return d, nil })
	for place, err := range listed { // servers that ignore the filter list all of them
		if err != nil || fits(place) {
			return place, err
		}
	}
	return nil, &Error{Op: op, Code: backend.ForbiddenOrMissing, Err: fmt.Errorf("no %s has this name, or this token cannot see it", kind)}
}

func (c *Client) projectNamed(ctx context.Context, organization, name string) (*creationPlace, error) {
	return c.creationPlaceNamed(ctx, organization, "project", "/projects", name, url.Values{"filter[names]": {name}},
		func(p *creationPlace) bool { return p.Attributes.Name == name })
}

// agentPool finds an agent pool by its name or ID.
func (c *Client) agentPool(ctx context.Context, organization, wanted string) (*creationPlace, error) {
	return c.creationPlaceNamed(ctx, organization, "agent pool", "/agent-pools", wanted, url.Values{},
		func(p *creationPlace) bool { return p.Attributes.Name == wanted || p.ID == wanted })
}

// TerraformVersions lists the Terraform versions that the server offers. Only site
// administrators of Terraform Enterprise may ask; others get a ForbiddenOrMissing error.
func (c *Client) TerraformVersions(ctx context.Context) (map[string]bool, error) {
	offered := map[string]bool{}
	listed := listViaGoTFE(ctx, c, "list the Terraform versions", func(v *gotfe.AdminTerraformVersion) *gotfe.AdminTerraformVersion { return v },
		func(ctx context.Context, api *gotfe.Client, page gotfe.ListOptions) ([]*gotfe.AdminTerraformVersion, *gotfe.Pagination, error) {
			found, err := api.Admin.TerraformVersions.List(ctx, &gotfe.AdminTerraformVersionsListOptions{ListOptions: page})
			if err != nil {
				return nil, nil, err
			}
			return found.Items, found.Pagination, nil
		})
	for v, err := range listed {
		if err != nil {
			return nil, err
		}
		if v.Enabled {
			offered[v.Version] = true
		}
	}
	return offered, nil
}

// Create creates a workspace with these options, except for those that wait for its state: see
// startsLater.
func (c *Client) Create(ctx context.Context, organization, name string, o backend.CreateOptions, prepared *Creation) (*Workspace, error) {
	options := gotfe.WorkspaceCreateOptions{Name: &name}
	if o.TerraformVersion != "" {
		options.TerraformVersion = &o.TerraformVersion
	}
	if mode, no := localMode, false; startsLater(o) {
		options.ExecutionMode, options.AutoApply = &mode, &no
	} else if o.ExecutionMode != "" {
		options.ExecutionMode = &o.ExecutionMode
	}
	if m := o.More; m != nil {
		options.Description, options.WorkingDirectory = m.Description, m.WorkingDirectory
		if m.SourceName != "" {
			options.SourceName = &m.SourceName
		}
		if m.SourceURL != "" {
			options.SourceURL = &m.SourceURL
		}
		if no := false; m.Consumers != nil {
			options.GlobalRemoteState = &no
		}
	}
	if prepared.projectID != "" {
		options.Project = &gotfe.Project{ID: prepared.projectID}
	}
	for _, tag := range o.Tags {
		if key, value, bound := strings.Cut(tag, "="); bound {
			options.TagBindings = append(options.TagBindings, &gotfe.TagBinding{Key: key, Value: value})
		} else {
			options.Tags = append(options.Tags, &gotfe.Tag{Name: tag})
		}
	}
	op := fmt.Sprintf("create workspace %s/%s", organization, name)
	var document bytes.Buffer
	if err := jsonapi.MarshalPayloadWithoutIncluded(&document, &options); err != nil {
		return nil, &Error{Op: op, Code: Rejected, Err: err}
	}
	return send(ctx, c, op, http.MethodPost, workspacesOf(organization), written(document.Bytes()), workspaceIs(organization, name, "", nil))
}
