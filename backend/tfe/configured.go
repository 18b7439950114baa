package tfe

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"tfhaul/backend"
)

// configured returns the workspaces of a configuration with a cloud block or the backend
// "remote". Variables complete a cloud block
// (https://developer.hashicorp.com/terraform/cli/cloud/settings#environment-variables).
func (s *servers) configured(c *backend.Settings) (*backend.Configured, error) {
	env := noEnv
	if c.Type == backend.CloudBlock {
		env = backend.Getenv(s.connection.Environ)
	}
	host := cmp.Or(c.Text("hostname"), env("TF_CLOUD_HOSTNAME"), DefaultHost)
	organization := cmp.Or(c.Text("organization"), env("TF_CLOUD_ORGANIZATION"))
	if organization == "" {
		return nil, &backend.IncompleteError{Missing: []string{"organization"}}
	}
	workspaces := c.Within("workspaces")
	at := func(name string) string { return Scheme + "://" + host + "/" + organization + "/" + name }
	if _, err := ParseOrganization(host+"/"+organization, noEnv); err != nil {
		return nil, err
	}
	out := &backend.Configured{Container: strings.TrimSuffix(at(""), "/")}
	if c.Text("token") != "" {
		out.Notes = append(out.Notes, "The configuration has a token, which tfhaul does not use: run terraform login, or set TFE_TOKEN.")
	}
	name, prefix, tags := workspaces.Text("name"), workspaces.Text("prefix"), workspaces.Values["tags"]
	if name == "" && prefix == "" && tags == nil {
		name = env("TF_WORKSPACE")
	}
	switch {
	case name != "":
		out.Container = ""
		out.State = func(string) string { return at(name) }
		out.Workspace = func(backend.State) (string, bool) { return "", false }
	case prefix != "":
		out.State = func(workspace string) string { return at(prefix + workspace) }
		out.Workspace = func(found backend.State) (string, bool) {
			rest, ok := strings.CutPrefix(found.Place().Workspace, prefix)
			return rest, ok && rest != ""
		}
	case tags != nil:
		wanted, err := tagsOf(tags)
		if err != nil {
			return nil, err
		}
		out.Workspace = func(found backend.State) (string, bool) {
			described, ok := found.(backend.Described)
			if !ok {
				return "", false
			}
			has := described.Workspace().Tags
			missing := func(tag string) bool { return !slices.Contains(has, tag) }
			return found.Place().Workspace, !slices.ContainsFunc(wanted, missing)
		}
	default:
		return nil, &backend.IncompleteError{Missing: []string{"the workspace's name"}}
	}
	return out, nil
}

// noEnv is an environment without variables.
func noEnv(string) string { return "" }

// tagsOf returns the tags of a cloud block, as a listing reports them: NAME or KEY=VALUE.
func tagsOf(value any) ([]string, error) {
	var tags []string
	switch value := value.(type) {
	case []any:
		for _, tag := range value {
			if text, ok := tag.(string); ok {
				tags = append(tags, text)
			}
		}
	case map[string]any:
		for key, tag := range value {
			if text, ok := tag.(string); ok {
				tags = append(tags, strings.TrimSuffix(key+"="+text, "="))
			}
		}
	}
	if len(tags) == 0 {
		return nil, errors.New("the tags of the workspaces are neither a list nor a map of strings")
	}
	return tags, nil
}
