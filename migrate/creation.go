package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/go-version"

	"tfhaul/backend/tfe"
	"tfhaul/plainwords"
)

// creations is what a haul knows of how its missing workspaces are created: every question
// is asked once for all of them.
type creations struct {
	mu       sync.Mutex
	prepared map[string]*preparedCreation
	// inUse are the Terraform versions of the organization's workspaces, which the server offers.
	inUse map[string]bool
	// offered is the server's own list, once it was asked for; nil where it gives none.
	offered map[string]bool
	asked   bool
	// token is what is known of the token's kind.
	token tokenKind
}

type tokenKind int

const (
	tokenUnknown tokenKind = iota
	tokenWrites
	tokenOfOrganization
)

type preparedCreation struct {
	creation *tfe.Creation
	err      error
}

func newCreations() *creations {
	return &creations{prepared: map[string]*preparedCreation{}, inUse: map[string]bool{}}
}

const organizationTokenMessage = "The token is an organization's: it cannot write states. Use a user's or a team's token."

// createOptions are the engine's, with the version that the move's workspace is to run.
func (x *execution) createOptions() tfe.CreateOptions {
	o := x.CreateOptions
	switch o.TerraformVersion {
	case FromState:
		o.TerraformVersion = x.read.snapshot.TerraformVersion
	case LatestTerraform:
		o.TerraformVersion = "" // which is the server's latest
	}
	return o
}

// prepareCreation makes all checks that can be made before a workspace is created. A dry run
// and the real one share it; a dry run also checks what the real one learns by creating.
func (x *execution) prepareCreation(ctx context.Context, o tfe.CreateOptions) (*tfe.Creation, error) {
	c := x.creations
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == tokenUnknown {
		me, err := x.Target.Identity(ctx)
		if tfe.CodeOf(err) == tfe.Unauthorized {
			return nil, err
		}
		c.token = tokenWrites // as far as the server says
		if err == nil && ofOrganization(me) {
			c.token = tokenOfOrganization
		}
	}
	if c.token == tokenOfOrganization {
		return nil, &stop{code: CodeForbiddenOrMissing, message: organizationTokenMessage}
	}
	key := fmt.Sprintf("%t\x00%s\x00%s\x00%s", x.DryRun, o.Project, o.ExecutionMode, o.AgentPool)
	p := c.prepared[key]
	if p == nil {
		p = new(preparedCreation)
		p.creation, p.err = patiently(ctx, x.Target, func() (*tfe.Creation, error) {
			return x.Target.PrepareCreation(ctx, x.Organization, o, x.DryRun)
		})
		if ctx.Err() == nil {
			c.prepared[key] = p
		}
	}
	switch {
	case errors.Is(p.err, tfe.ErrNoAgentPool):
		return nil, &stop{code: CodeNotCreatable, message: plainwords.Sentence(p.err.Error()) + fmt.Sprintf(" Name one: %s, or choose another execution mode.", x.setting("agent-pool", "NAME"))}
	case p.err != nil:
		return nil, p.err
	case !p.creation.Allowed:
		where := "the organization " + x.Organization
		if o.Project != "" {
			where = fmt.Sprintf("the project %q", o.Project)
		}
		return nil, &stop{code: CodeForbiddenOrMissing, message: fmt.Sprintf(
			"The workspace does not exist, and the token may not create workspaces in %s. Use a token that may, or have the workspace created first.", where)}
	case x.DryRun:
		return p.creation, x.checkOffered(ctx, o.TerraformVersion)
	}
	return p.creation, nil
}

// ofOrganization reports whether a token is an organization's, which cannot write states.
func ofOrganization(me tfe.Identity) bool { return strings.HasPrefix(me.Name, "api-org-") }

// checkOffered finds out whether the server offers a Terraform version, as far as it can be
// seen without creating a workspace: some workspace uses it, or the server lists it. The
// caller holds the lock of creations.
func (x *execution) checkOffered(ctx context.Context, wanted string) error {
	if _, err := version.NewSemver(wanted); err != nil {
		return nil // the server's latest, or a constraint
	}
	c := x.creations
	if c.inUse[wanted] {
		return nil
	}
	if !c.asked {
		offered, err := x.Target.TerraformVersions(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.asked = true
		if err == nil {
			c.offered = offered
		}
	}
	switch {
	case c.offered == nil:
		x.note("This token cannot see which Terraform versions %s offers. If it does not offer %s, the workspace cannot be created: use %s then.", x.Target.Host(), wanted, x.setting("terraform-version", LatestTerraform))
	case !c.offered[wanted]:
		return x.notOffered(wanted)
	}
	return nil
}

func (x *execution) notOffered(wanted string) *stop {
	return &stop{code: CodeNotCreatable, message: fmt.Sprintf(
		"%s does not offer Terraform %s, so the workspace cannot be created with it. Choose another version: %s, or %s.", x.Target.Host(), wanted,
		x.setting("terraform-version", LatestTerraform), x.setting("terraform-version", "X.Y.Z"))}
}

// create creates the workspace, or finds it when another user did so meanwhile or the reply
// was lost.
func (x *execution) create(ctx context.Context) error {
	o := x.createOptions()
	prepared, err := x.prepareCreation(ctx, o)
	if err != nil {
		return err
	}
	made, err := x.Target.Create(ctx, x.Organization, x.Move.Workspace, o, prepared)
	if err == nil {
		x.workspace, x.result.Created = made, true
		x.record(Event{Event: EventCreated, WorkspaceID: made.ID})
		return nil
	}
	found, again := patiently(ctx, x.Target, func() (*tfe.Workspace, error) {
		return x.Target.Workspace(ctx, x.Organization, x.Move.Workspace)
	})
	if again == nil {
		x.workspace = found
		return nil
	}
	answer, ok := errors.AsType[*tfe.Error](err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case ok && answer.Code == tfe.Ambiguous:
		x.result.cause = "whether a workspace was created is unknown, because the reply was lost" + answerIn(err)
		return &stop{code: CodeUnreachable, message: fmt.Sprintf(
			"Whether the workspace %s/%s was created is unknown: the reply was lost%s. No state was sent. Run the same command again: it uses the workspace if it exists, and creates it if not.",
			x.Organization, x.Move.Workspace, answerIn(err))}
	case ok && answer.Status == 422 && mentions(answer, "terraform version is not included"):
		return x.notOffered(o.TerraformVersion)
	case ok && answer.Status == 422:
		return &stop{code: CodeNotCreatable, message: plainwords.Sentence(answer.Error()) + " Change how the workspace is to be created (its project, execution mode, agent pool, tags or Terraform version)."}
	}
	return err
}

// mentions reports whether an answer's texts contain a phrase, which is in lower case.
func mentions(e *tfe.Error, phrase string) bool {
	return strings.Contains(strings.ToLower(strings.Join(e.Details, "\n")), phrase)
}

// noteUnused names the settings of a new workspace that do not apply, because the
// workspace exists and is another than they say. A workspace that an earlier run of the
// haul created was created with them.
func (x *execution) noteUnused() {
	if !x.Create || x.comparing || x.result.Created || x.past().created {
		return
	}
	o := x.CreateOptions
	var unused []string
	if o.Project != "" {
		unused = append(unused, "project")
	}
	if len(o.Tags) > 0 {
		unused = append(unused, "tags")
	}
	if o.ExecutionMode != "" && o.ExecutionMode != x.workspace.ExecutionMode {
		unused = append(unused, "execution mode")
	}
	if o.AgentPool != "" {
		unused = append(unused, "agent pool")
	}
	if v := o.TerraformVersion; v != "" && v != FromState && v != x.workspace.TerraformVersion {
		unused = append(unused, "Terraform version")
	}
	if len(unused) > 0 {
		x.note("The workspace exists already, so these settings of new workspaces are not applied to it: %s.", strings.Join(unused, ", "))
	}
}
