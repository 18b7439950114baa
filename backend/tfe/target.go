package tfe

import (
	"context"
	"io"
	"iter"

	"tfhaul/backend"
)

// A Target is an organization whose workspaces are the states of a backend.Target.
type Target struct {
	*Client
	organization string
	creations
}

// Target returns an organization on the client's host.
func (c *Client) Target(organization string) *Target {
	return &Target{Client: c, organization: organization, creations: newCreations()}
}

// Container returns the organization.
func (t *Target) Container() string { return t.organization }

// Address implements backend.Target.
func (t *Target) Address(name string) string {
	return t.Host() + "/" + t.organization + "/" + name
}

// Traits implements backend.Target. HCP Terraform makes a version current when the
// workspace is unlocked.
func (t *Target) Traits() backend.Traits {
	traits := traits
	if t.Product() == "HCP Terraform" {
		traits.Current = backend.CurrentAtUnlock
	}
	return traits
}

// List implements backend.Target.
func (t *Target) List(ctx context.Context) iter.Seq2[*backend.Standing, error] {
	return func(yield func(*backend.Standing, error) bool) {
		for ws, err := range t.Workspaces(ctx, t.organization) {
			if err != nil {
				yield(nil, err)
				return
			}
			t.uses(ws.Terraform)
			if !yield(&ws.Standing, nil) {
				return
			}
		}
	}
}

// Look implements backend.Target.
func (t *Target) Look(ctx context.Context, name string) (*backend.Standing, error) {
	return standingOf(t.Workspace(ctx, t.organization, name))
}

// LookByID implements backend.Target.
func (t *Target) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	return standingOf(t.WorkspaceByID(ctx, t.organization, id))
}

// Current implements backend.Target.
func (t *Target) Current(ctx context.Context, s *backend.Standing) (*backend.Version, error) {
	return versionOf(t.Client.Current(ctx, t.workspaceOf(s)))
}

// Version implements backend.Target.
func (t *Target) Version(ctx context.Context, id string) (*backend.Version, error) {
	return versionOf(t.StateVersion(ctx, id))
}

// Versions implements backend.Target.
func (t *Target) Versions(ctx context.Context, s *backend.Standing) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		for sv, err := range t.History(ctx, t.organization, s.Name) {
			if v, err := versionOf(sv, err); !yield(v, err) {
				return
			}
		}
	}
}

// Read implements backend.Target.
func (t *Target) Read(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	return t.Open(ctx, v.Detail.(*StateVersion))
}

// ReadJSON implements backend.Decoder. HCP Terraform has the JSON of what a run of Terraform
// 1.3 or later wrote, so uploaded states have none.
func (t *Target) ReadJSON(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	sv := v.Detail.(*StateVersion)
	if sv.jsonDownload == "" {
		var err error
		if sv, err = t.StateVersion(ctx, v.ID); err != nil || sv.jsonDownload == "" {
			return nil, err
		}
	}
	return t.download(ctx, "download state version "+sv.ID, sv.jsonDownload, 0)
}

// workspaceOf returns the workspace of a standing.
func (t *Target) workspaceOf(s *backend.Standing) *Workspace {
	return &Workspace{Standing: *s, Organization: t.organization}
}

func standingOf(ws *Workspace, err error) (*backend.Standing, error) {
	if err != nil {
		return nil, err
	}
	return &ws.Standing, nil
}

func versionOf(sv *StateVersion, err error) (*backend.Version, error) {
	if err != nil || sv == nil {
		return nil, err
	}
	return &sv.Version, nil
}
