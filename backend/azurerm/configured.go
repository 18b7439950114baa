package azurerm

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"tfhaul/backend"
)

// configured returns where Terraform's azurerm backend keeps the states of a configuration.
func configured(s *backend.Settings) (*backend.Configured, error) {
	if err := s.Need("storage_account_name", "container_name", "key"); err != nil {
		return nil, err
	}
	u := &location{account: s.Text("storage_account_name"), container: s.Text("container_name"), params: url.Values{}}
	for _, argument := range []struct{ name, param string }{
		{"environment", paramEnvironment}, {"resource_group_name", paramResourceGroup}, {"subscription_id", paramSubscription},
	} {
		if value := s.Text(argument.name); value != "" {
			u.params.Set(argument.param, value)
		}
	}
	if _, err := parseLocation(u.name("")); err != nil {
		return nil, err
	}
	key := s.Text("key")
	if strings.HasSuffix(key, "/") {
		return nil, errors.New("key ends in a slash, which tfhaul cannot read: it is not the name of a state")
	}
	out := &backend.Configured{
		Container: u.name(""),
		State:     func(workspace string) string { return u.name(layout("", key, workspace)) },
		Workspace: func(found backend.State) (string, bool) {
			if found.Place().Key == key {
				return backend.DefaultWorkspace, true
			}
			workspace, ok := strings.CutPrefix(found.Place().Key, key+workspaceMark)
			return workspace, ok && workspace != backend.DefaultWorkspace && backend.IsWorkspaceName(workspace)
		},
	}
	if slices.ContainsFunc([]string{"access_key", "sas_token", "client_secret", "client_certificate", "client_certificate_password", "oidc_token"}, func(name string) bool { return s.Text(name) != "" }) {
		out.Notes = append(out.Notes, "The configuration has credentials, which tfhaul does not use: set ARM_ACCESS_KEY, ARM_SAS_TOKEN or ARM_CLIENT_SECRET, or run az login.")
	}
	return out, nil
}
