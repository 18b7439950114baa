package backend

import (
	"errors"
	"strings"
)

// LatestTerraform stands for the target's latest version, in CreateOptions.
const LatestTerraform = "latest"

// CreateOptions say how a missing state is created.
type CreateOptions struct {
	// Project is the name of the project to create it in; "" is the default one.
	Project string
	// TerraformVersion is a version for runs, a constraint, or LatestTerraform, which ""
	// is, too.
	TerraformVersion string
	// ExecutionMode is "remote", "local" or "agent"; "" is the default.
	ExecutionMode string
	// AgentPool is the name or the ID of the agent pool; "" is the default one.
	AgentPool string
	// Tags are tag names, or KEY=VALUE.
	Tags []string
}

// AgentMode is the execution mode in which the organization's own agents run Terraform.
const AgentMode = "agent"

// CheckTag refuses tags that no server takes: NAME, or KEY=VALUE.
func CheckTag(tag string) error {
	key, _, bound := strings.Cut(tag, "=")
	switch {
	case bound && strings.TrimSpace(key) == "":
		return errors.New("the key is missing (KEY=VALUE)")
	case !bound && (tag == "" || strings.Trim(tag, tagCharacters) != ""):
		return errors.New("a tag consists of letters, digits, :, - and _, or is KEY=VALUE")
	}
	return nil
}

const tagCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_"
