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

// creations is what is known of how missing workspaces are created: every question is
// asked once for all of them.
type creations struct {
	mu       *sync.Mutex
	prepared map[creationKey]*preparedCreation
	// inUse are the Terraform versions of the organization's workspaces, which the server offers.
	inUse map[string]bool
	// offered is the server's own list, once it was asked for; nil where it gives none.
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

// A creationKey is what a creation depends on. whole also finds out what creating would
// show.
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

// refusal is a refusal in words for the user, which need no advice.
func refusal(code Code, format string, args ...any) error {
	return &backend.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// CheckCredentials finds out whether the token is an organization's, which cannot write
// states. Servers that do not tell whose it is are not the worse for it.
func (t *Target) CheckCredentials(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tokenKind = tokenUnknown
	return t.checkToken(ctx)
}

// checkToken asks whose the token is, once. The caller holds the lock of creations.
func (t *Target) checkToken(ctx context.Context) error {
	if t.tokenKind == tokenUnknown {
		me, err := t.Identity(ctx)
		if CodeOf(err) == Unauthorized {
			return err
		}
		t.tokenKind = tokenWrites
		if err == nil && strings.HasPrefix(me.Name, "api-org-") {
			t.tokenKind = tokenOfOrganization
		}
	}
	if t.tokenKind == tokenOfOrganization {
		return refusal(backend.OrganizationToken, "The token is an organization's: it cannot write states. Use a user's or a team's token.")
	}
	return nil
}

// withLatest returns the options as the API takes them.
func withLatest(o CreateOptions) CreateOptions {
	if o.TerraformVersion == backend.LatestTerraform {
		o.TerraformVersion = "" // which is the server's latest
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

// prepare looks up the names that the options hold, and whether the token may create
// workspaces there. whole finds out the second also where nothing else needs asking. The
// caller holds the lock of creations.
func (t *Target) prepare(ctx context.Context, o CreateOptions, whole bool, r backend.CreateRequest) (*Creation, error) {
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
	case !p.creation.Allowed:
		where := "the organization " + t.organization
		if o.Project != "" {
			where = fmt.Sprintf("the project %q", o.Project)
		}
		return nil, refusal(ForbiddenOrMissing, "The workspace does not exist, and the token may not create workspaces in %s. Use a token that may, or have the workspace created first.", where)
	}
	return p.creation, nil
}

// checkOffered finds out whether the server offers a Terraform version, as far as it can be
// seen without creating a workspace: some workspace uses it, or the server lists it. The
// caller holds the lock of creations.
func (t *Target) checkOffered(ctx context.Context, wanted string, r backend.CreateRequest) (note string, err error) {
	if _, err := version.NewSemver(wanted); err != nil || t.inUse[wanted] {
		return "", nil // the server's latest, or a constraint; or one that is used
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
		return fmt.Sprintf("This token cannot see which Terraform versions %s offers. If it does not offer %s, the workspace cannot be created: use %s then.",
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
		return made.standing(), true, nil
	}
	found, again := backend.Retry(ctx, t.Down, func() (*backend.Standing, error) { return t.Look(ctx, r.Name) })
	if again == nil {
		return found, false, nil
	}
	answer, ok := errors.AsType[*Error](err)
	switch {
	case ctx.Err() != nil:
		return nil, false, ctx.Err()
	case ok && answer.Code == Ambiguous:
		said := ": " + strings.TrimPrefix(answer.Error(), answer.Op+": ")
		return nil, false, &backend.Error{
			Code: Unreachable, Answer: "whether a workspace was created is unknown, because the reply was lost" + said,
			Message: fmt.Sprintf("Whether the workspace %s/%s was created is unknown: the reply was lost%s. No state was sent. Run the same command again: it uses the workspace if it exists, and creates it if not.",
				t.organization, r.Name, said),
		}
	case ok && answer.Status == 422 && strings.Contains(strings.ToLower(strings.Join(answer.Details, "\n")), "terraform version is not included"):
		return nil, false, t.notOffered(o.TerraformVersion, r)
	case ok && answer.Status == 422:
		return nil, false, refusal(backend.NotCreatable, "%s Change how the workspace is to be created (its project, execution mode, agent pool, tags or Terraform version).", plainwords.Sentence(answer.Error()))
	}
	return nil, false, err
}
