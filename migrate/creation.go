package migrate

import (
	"context"
	"strings"

	"tfhaul/backend"
)

// createRequest describes the workspace to create for the move.
func (x *execution) createRequest() backend.CreateRequest {
	o := x.CreateOptions
	if o.TerraformVersion == FromState {
		o.TerraformVersion = x.read.snapshot.TerraformVersion
	}
	return backend.CreateRequest{Name: x.Move.Workspace, Options: o, Option: x.setting}
}

// creator returns the target as a [backend.Creator], or a refusal.
func (x *execution) creator() (backend.Creator, error) {
	if c, ok := x.Target.(backend.Creator); ok {
		return c, nil
	}
	return nil, x.stopf(CodeNotCreatable, "tfhaul cannot create states in this backend.")
}

// canCreate checks in a dry run whether the workspace could be created.
func (x *execution) canCreate(ctx context.Context) error {
	c, err := x.creator()
	if err != nil {
		return err
	}
	note, err := c.CanCreate(ctx, x.createRequest())
	if note != "" {
		x.note("%s", note)
	}
	return err
}

// create creates the workspace. It finds an existing one if another user was faster or if a
// response was lost.
func (x *execution) create(ctx context.Context) error {
	c, err := x.creator()
	if err != nil {
		return err
	}
	if _, configurable := x.Target.(backend.Configurer); configurable && x.wantsSettings() {
		if err := x.announce(Event{Event: EventCreating}); err != nil {
			return err
		}
	}
	made, created, err := c.Create(ctx, x.createRequest())
	if err != nil {
		return err
	}
	x.workspace, x.result.Created = made, created
	if created {
		x.record(Event{Event: EventCreated, WorkspaceID: made.ID})
	}
	return nil
}

// noteUnused lists the settings for new workspaces that do not apply because the workspace
// exists and differs from them. It skips a workspace that an earlier run of the haul created
// with these settings.
func (x *execution) noteUnused() {
	if !x.Create || x.comparing || x.result.Created || x.past().created || x.wantsSettings() {
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
	if v := o.TerraformVersion; v != "" && v != FromState && v != x.workspace.Terraform {
		unused = append(unused, "Terraform version")
	}
	if len(unused) > 0 {
		x.note("The workspace already exists, so these settings for new workspaces do not apply: %s.", strings.Join(unused, ", "))
	}
}
