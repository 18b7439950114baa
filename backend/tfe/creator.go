package tfe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/go-version"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// creations caches what is needed to create missing workspaces, so that every question is
// asked only once.
type creations struct {
	mu       *sync.Mutex
	prepared map[creationKey]*preparedCreation
	// inUse are the Terraform versions of the organization's workspaces, which the server
	// therefore offers.
	inUse map[string]bool
	// offered is the server's own list of versions, after it was requested; nil if it has
	// none.
	offered   map[string]bool
	asked     bool
	tokenKind tokenKind
}

type tokenKind int

const (
	tokenUnknown tokenKind = iota
	tokenWrites
	tokenOfOrganization
)

// A creationKey is what the result of prepare depends on. whole also checks what would
// otherwise show only during creation.
type creationKey struct {
	project, mode, pool string
	whole               bool
}

type preparedCreation struct {
	creation *Creation
	err      error
}

func newCreations() creations {
	return creations{mu: new(sync.Mutex), prepared: map[creationKey]*preparedCreation{}, inUse: map[string]bool{}}
}

// uses records that a workspace uses a Terraform version.
func (c *creations) uses(version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse[version] = true
}

// refusal is a refusal in words for the user that needs no further advice.
func refusal(code Code, format string, args ...any) error {
	return &backend.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// CheckCredentials checks that the token is not an organization's, which cannot write
// states. It returns nil if the server does not report the owner.
func (t *Target) CheckCredentials(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tokenKind = tokenUnknown
	return t.checkToken(ctx)
}

// checkToken looks up the owner of the token, once. The caller holds the lock of creations.
func (t *Target) checkToken(ctx context.Context) error {
	if t.tokenKind == tokenUnknown {
		me, err := t.Identity(ctx)
		if backend.CodeOf(err) == backend.Unauthorized {
			return err
		}
		t.tokenKind = tokenWrites
		if err == nil && strings.HasPrefix(me.Name, "api-org-") {
			t.tokenKind = tokenOfOrganization
		}
	}
	if t.tokenKind == tokenOfOrganization {
		return refusal(backend.OrganizationToken, "This is an organization token, which cannot write states. Use a user or team token.")
	}
	return nil
}

// withLatest returns the options as the API expects them.
func withLatest(o backend.CreateOptions) backend.CreateOptions {
	if o.TerraformVersion == backend.LatestTerraform {
		o.TerraformVersion = "" // the server's latest
	}
	return o
}

// CanCreate implements backend.Creator.
func (t *Target) CanCreate(ctx context.Context, r backend.CreateRequest) (note string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := withLatest(r.Options)
	if _, err := t.prepare(ctx, o, true, r); err != nil {
		return "", err
	}
	return t.checkOffered(ctx, o.TerraformVersion, r)
}

// prepare resolves the names in the options, and checks whether the token may create
// workspaces there; whole makes that check even if nothing else must be requested. The
// caller holds the lock of creations.
func (t *Target) prepare(ctx context.Context, o backend.CreateOptions, whole bool, r backend.CreateRequest) (*Creation, error) {
	made, err := t.resolve(ctx, o, whole, r)
	if err == nil && !made.Allowed {
		where := "the organization " + t.organization
		if o.Project != "" {
			where = fmt.Sprintf("the project %q", o.Project)
		}
		return nil, refusal(backend.ForbiddenOrMissing, "The workspace does not exist, and this token cannot create workspaces in %s. Use a token that can, or create the workspace first.", where)
	}
	return made, err
}

// resolve is prepare without the permission.
func (t *Target) resolve(ctx context.Context, o backend.CreateOptions, whole bool, r backend.CreateRequest) (*Creation, error) {
	if err := t.checkToken(ctx); err != nil {
		return nil, err
	}
	key := creationKey{o.Project, o.ExecutionMode, o.AgentPool, whole}
	p := t.prepared[key]
	if p == nil {
		p = new(preparedCreation)
		p.creation, p.err = backend.Retry(ctx, t.Down, func() (*Creation, error) {
			return t.PrepareCreation(ctx, t.organization, o, whole)
		})
		if ctx.Err() == nil {
			t.prepared[key] = p
		}
	}
	switch {
	case errors.Is(p.err, ErrNoAgentPool):
		return nil, refusal(backend.NotCreatable, "%s Name one: %s, or choose another execution mode.", plainwords.Sentence(p.err.Error()), r.Option("agent-pool", "NAME"))
	case p.err != nil:
		return nil, p.err
	}
	return p.creation, nil
}

// checkOffered checks whether the server offers a Terraform version, as far as that can be
// seen without creating a workspace: another workspace uses it, or the server lists it. The
// caller holds the lock of creations.
func (t *Target) checkOffered(ctx context.Context, wanted string, r backend.CreateRequest) (note string, err error) {
	if _, err := version.NewSemver(wanted); err != nil || t.inUse[wanted] {
		return "", nil // the server's latest, a constraint, or a version in use
	}
	if !t.asked {
		offered, err := t.TerraformVersions(ctx)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		t.asked = true
		if err == nil {
			t.offered = offered
		}
	}
	switch {
	case t.offered == nil:
		return fmt.Sprintf("This token cannot see which Terraform versions %s offers. If it does not offer %s, the workspace cannot be created: then use %s.",
			t.Host(), wanted, r.Option("terraform-version", backend.LatestTerraform)), nil
	case !t.offered[wanted]:
		return "", t.notOffered(wanted, r)
	}
	return "", nil
}

func (t *Target) notOffered(wanted string, r backend.CreateRequest) error {
	return refusal(backend.NotCreatable, "%s does not offer Terraform %s, so the workspace cannot be created with it. Choose another version: %s, or %s.", t.Host(), wanted,
		r.Option("terraform-version", backend.LatestTerraform), r.Option("terraform-version", "X.Y.Z"))
}

// waitsForState reports whether a workspace is as a request for one with these options leaves
// it: empty, and without runs until its state has arrived.
func waitsForState(s *backend.Standing, o backend.CreateOptions) bool {
	return startsLater(o) && s.ExecutionMode == localMode && s.Automatic == backend.NoAutomation && s.Current.Known && s.Current.ID == ""
}

// Create implements backend.Creator.
func (t *Target) Create(ctx context.Context, r backend.CreateRequest) (*backend.Standing, bool, error) {
	o := withLatest(r.Options)
	t.mu.Lock()
	prepared, err := t.prepare(ctx, o, false, r)
	t.mu.Unlock()
	if err != nil {
		return nil, false, err
	}
	made, err := t.Client.Create(ctx, t.organization, r.Name, o, prepared)
	if err == nil {
		return &made.Standing, true, nil
	}
	found, again := backend.Retry(ctx, t.Down, func() (*backend.Standing, error) { return t.Look(ctx, r.Name) })
	if again == nil {
		return found, backend.CodeOf(err) == backend.Ambiguous && waitsForState(found, o), nil
	}
	answer, ok := errors.AsType[*Error](err)
	switch {
	case ctx.Err() != nil:
		return nil, false, ctx.Err()
	case ok && answer.Code == backend.Ambiguous:
		said := ": " + strings.TrimPrefix(answer.Error(), answer.Op+": ")
		return nil, false, &backend.Error{
			Code: backend.Unreachable, Answer: "the response was lost, so the workspace may have been created" + said,
			Message: fmt.Sprintf("The workspace %s/%s may have been created: the response was lost%s. No state was sent. Run the same command again: it uses the workspace if it exists, and otherwise creates it.",
				t.organization, r.Name, said),
		}
	case ok && answer.Status == 422 && strings.Contains(strings.ToLower(strings.Join(answer.Details, "\n")), "terraform version is not included"):
		return nil, false, t.notOffered(o.TerraformVersion, r)
	case ok && answer.Status == 422:
		return nil, false, refusal(backend.NotCreatable, "%s Change how the workspace is created (its project, execution mode, agent pool, tags or Terraform version).", plainwords.Sentence(answer.Error()))
	}
	return nil, false, err
}
