package s3

import (
	"net/url"
	"strings"

	"tfhaul/backend"
)

// configured returns where Terraform's s3 backend keeps the states of a configuration.
func configured(s *backend.Settings) (*backend.Configured, error) {
	if err := s.Need("bucket", "key"); err != nil {
		return nil, err
	}
	u := &location{bucket: s.Text("bucket"), params: url.Values{}}
	set := func(name, value string) {
		if value != "" {
			u.params.Set(name, value)
		}
	}
	endpoint := s.Within("endpoints").Text("s3")
	if endpoint == "" {
		endpoint = s.Text("endpoint")
	}
	set(paramEndpoint, endpoint)
	set(paramRegion, s.Text("region"))
	set(paramProfile, s.Text("profile"))
	set(paramLockTable, s.Text("dynamodb_table"))
	if s.Yes("use_path_style") || s.Yes("force_path_style") {
		set(paramPathStyle, "true")
	}
	prefix, custom := s.Values["workspace_key_prefix"].(string)
	if custom = custom && strings.Trim(prefix, "/") != defaultKeyPrefix && strings.Trim(prefix, "/") != ""; custom {
		set(paramPrefix, prefix)
	} else {
		prefix = defaultKeyPrefix
	}
	if _, err := parseLocation(u.name("")); err != nil {
		return nil, err
	}
	key := strings.TrimPrefix(s.Text("key"), "/")
	at := func(workspace string) string {
		if workspace == backend.DefaultWorkspace {
			return key
		}
		return strings.Trim(prefix, "/") + "/" + workspace + "/" + key
	}
	out := &backend.Configured{
		Container: u.name(""),
		State:     func(workspace string) string { return u.name(at(workspace)) },
		Workspace: func(found backend.State) (string, bool) {
			object, ok := found.(*object)
			if !ok {
				return "", false
			}
			if object.key == key {
				return backend.DefaultWorkspace, true
			}
			rest, ok := strings.CutPrefix(object.key, strings.Trim(prefix, "/")+"/")
			workspace, rest, named := strings.Cut(rest, "/")
			return workspace, ok && named && rest == key && backend.IsWorkspaceName(workspace)
		},
	}
	if s.Text("access_key") != "" || s.Text("secret_key") != "" {
		out.Notes = append(out.Notes, "The configuration has credentials, which tfhaul does not use: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.")
	}
	return out, nil
}
