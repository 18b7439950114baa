package azurerm

import (
	"context"
	"fmt"

	"tfhaul/backend"
)

// block returns the block of Terraform's azurerm backend for a blob, with the parameters of
// the address.
func block(_ context.Context, parent, name string) (*backend.Block, error) {
	u, err := parseLocation(parent)
	if err != nil {
		return nil, err
	}
	key, workspace, _ := splitWorkspace(u.key + name)
	out := &backend.Block{Type: "azurerm", Workspace: workspace}
	if out.Named() && !backend.IsWorkspaceName(workspace) {
		return nil, fmt.Errorf("the key %q has the name of a workspace that Terraform does not accept", u.key+name)
	}
	if u.params.Has(paramEndpoint) {
		return nil, fmt.Errorf("the address has the parameter %s, for which Terraform's azurerm backend has no argument: leave it out", paramEndpoint)
	}
	for _, argument := range []struct{ name, value string }{
		{"storage_account_name", u.account}, {"container_name", u.container}, {"key", key},
		{"environment", u.params.Get(paramEnvironment)}, {"resource_group_name", u.params.Get(paramResourceGroup)},
		{"subscription_id", u.params.Get(paramSubscription)},
	} {
		if argument.value != "" {
			out.Arguments = append(out.Arguments, backend.Argument{Name: argument.name, Value: argument.value})
		}
	}
	return out, nil
}
