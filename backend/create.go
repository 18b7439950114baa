package backend

import (
	"errors"
	"strings"
)

// LatestTerraform is the TerraformVersion in CreateOptions that means the target's latest.
const LatestTerraform = "latest"

// CreateOptions describe a new state.
type CreateOptions struct {
	// Project is the name of its project; "" means the default project.
	Project string
	// TerraformVersion is a version for runs, a constraint, or LatestTerraform, the
	// default.
	TerraformVersion string
	// ExecutionMode is "remote", "local" or "agent"; "" means the default.
	ExecutionMode string
	// AgentPool is the name or ID of the agent pool; "" means the default.
	AgentPool string
	// Tags are tag names, or KEY=VALUE.
	Tags []string
	// More are further settings; nil for none. Only a Configurer applies all of them.
	More *WorkspaceSettings
}

// AgentMode is the execution mode in which the organization's own agents run Terraform.
const AgentMode = "agent"

// CheckTag refuses tags that no server accepts. Valid tags are NAME and KEY=VALUE.
func CheckTag(tag string) error {
	key, _, bound := strings.Cut(tag, "=")
	switch {
	case bound && strings.TrimSpace(key) == "":
		return errors.New("the key is missing (KEY=VALUE)")
	case !bound && (tag == "" || strings.Trim(tag, tagCharacters) != ""):
		return errors.New("a tag is KEY=VALUE, or has only letters, digits, :, - and _")
	}
	return nil
}

const tagCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_"
