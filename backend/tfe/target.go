package tfe

import (
	"context"
	"io"
	"iter"
	"slices"

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
	if t.About().Product == "HCP Terraform" {
		traits.Current = backend.CurrentAtUnlock
	}
	return traits
}

// Down implements backend.Target.
func (t *Target) Down() bool { return t.Silent() }

// List implements backend.Target.
func (t *Target) List(ctx context.Context) iter.Seq2[*backend.Standing, error] {
	return func(yield func(*backend.Standing, error) bool) {
		for ws, err := range t.Workspaces(ctx, t.organization) {
			if err != nil {
				yield(nil, err)
				return
			}
			t.uses(ws.TerraformVersion)
			if !yield(ws.standing(), nil) {
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

// ReadJSON implements backend.Decoder.
func (t *Target) ReadJSON(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	sv := v.Detail.(*StateVersion)
	if !sv.OffersJSONState() {
		var err error
		if sv, err = t.StateVersion(ctx, v.ID); err != nil || !sv.OffersJSONState() {
			return nil, err
		}
	}
	return t.OpenJSONState(ctx, sv)
}

// workspaceOf returns the workspace of a standing.
func (t *Target) workspaceOf(s *backend.Standing) *Workspace {
	return &Workspace{
		ID: s.ID, Organization: t.organization, Name: s.Name, Locked: s.Locked,
		CanReadStates: s.CanRead, Current: CurrentRef(s.Current),
	}
}

func standingOf(ws *Workspace, err error) (*backend.Standing, error) {
	if err != nil {
		return nil, err
	}
	return ws.standing(), nil
}

func (w *Workspace) standing() *backend.Standing {
	s := &backend.Standing{
		ID: w.ID, Name: w.Name, Current: backend.Ref(w.Current), Locked: w.Locked, Holder: w.Holder,
		CanRead: w.CanReadStates, CanWrite: w.CanWriteStates, CanLock: w.CanLock && w.CanUnlock,
		Terraform: w.TerraformVersion, ExecutionMode: w.ExecutionMode, HYOK: w.HYOK,
	}
	if w.CurrentRun != "" || w.CurrentRunStatus != "" {
		s.Run = &backend.Run{ID: w.CurrentRun, Status: w.CurrentRunStatus, Over: slices.Contains(finalRuns, w.CurrentRunStatus), Waits: w.runWaits()}
	}
	return s
}

// finalRuns are the statuses of finished runs.
var finalRuns = []string{"", "applied", "planned_and_finished", "planned_and_saved", "policy_soft_failed", "discarded", "errored", "canceled", "force_canceled"}

// waitingRuns are the statuses of runs that wait for a user, unless they apply
// automatically.
var waitingRuns = []string{"planned", "cost_estimated", "policy_checked", "policy_override", "post_plan_completed", "post_plan_awaiting_decision"}

// runWaits reports whether the workspace's run waits for a user.
func (w *Workspace) runWaits() bool {
	if w.CurrentRunStatus != "policy_override" && w.RunWaits != nil {
		return *w.RunWaits
	}
	return slices.Contains(waitingRuns, w.CurrentRunStatus)
}

func versionOf(sv *StateVersion, err error) (*backend.Version, error) {
	if err != nil || sv == nil {
		return nil, err
	}
	return &backend.Version{
		ID: sv.ID, Serial: sv.Serial, Size: sv.Size, Created: sv.CreatedAt,
		Pending: sv.Pending(), Announced: sv.AwaitsUpload(), Kept: true, Detail: sv,
	}, nil
}
