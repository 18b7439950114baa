package kubernetes

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"tfhaul/backend"
)

// configured returns where Terraform's kubernetes backend keeps the states of a configuration.
func (c *clusters) configured(s *backend.Settings) (*backend.Configured, error) {
	if err := s.Need("secret_suffix"); err != nil {
		return nil, err
	}
	l := &location{
		namespace: cmp.Or(s.Text("namespace"), backend.Getenv(c.connection.Environ)(namespaceVariable), defaultNamespace),
		suffix:    s.Text("secret_suffix"), params: url.Values{},
	}
	if named := s.Text("config_context"); named != "" {
		l.params.Set(paramContext, named)
	}
	labels, _ := s.Values["labels"].(map[string]any)
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		value, ok := labels[key].(string)
		if !ok {
			return nil, fmt.Errorf("the label %q is not a string", key)
		}
		pairs = append(pairs, key+"="+value)
	}
	if len(pairs) > 0 {
		l.params.Set(paramLabels, strings.Join(pairs, ","))
	}
	l, err := parseLocation(l.String())
	if err != nil {
		return nil, err
	}
	out := &backend.Configured{
		Container: l.in("", "").String(),
		State: func(workspace string) string {
			return l.in(l.suffix, cmp.Or(workspace, backend.DefaultWorkspace)).String()
		},
		Workspace: func(found backend.State) (string, bool) {
			suffix, workspace, _ := strings.Cut(found.Place().Key, "/")
			return workspace, suffix == l.suffix
		},
	}
	if own := ownSettings(s); len(own) > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("The configuration has %s, which tfhaul does not use: set %s or the other KUBE_ variables.", strings.Join(own, " and "), pathVariable))
	}
	return out, nil
}

// ownSettings returns the names of the arguments that reach a cluster and are not in addresses.
func ownSettings(s *backend.Settings) []string {
	var own []string
	for _, name := range []string{
		"config_path", "config_paths", "config_context_auth_info", "config_context_cluster", "host", "token", "username", "password",
		"client_certificate", "client_key", "cluster_ca_certificate", "proxy_url", "exec",
	} {
		if value := s.Values[name]; value != nil && value != "" {
			own = append(own, name)
		}
	}
	for _, name := range []string{"in_cluster_config", "insecure"} {
		if s.Yes(name) {
			own = append(own, name)
		}
	}
	return own
}
