package gcs

import (
	"net/url"
	"path"
	"strings"

	"tfhaul/backend"
)

// configured returns where Terraform's gcs backend keeps the states of a configuration.
func configured(s *backend.Settings) (*backend.Configured, error) {
	if err := s.Need("bucket"); err != nil {
		return nil, err
	}
	u := &location{bucket: s.Text("bucket"), params: url.Values{}}
	if endpoint := s.Text("storage_custom_endpoint"); endpoint != "" {
		u.params.Set(paramEndpoint, endpoint)
	}
	if _, err := parseLocation(u.name("")); err != nil {
		return nil, err
	}
	dir := strings.TrimPrefix(s.Text("prefix"), "/")
	if dir != "" && !strings.HasSuffix(dir, "/") {
		dir += "/"
	}
	out := &backend.Configured{
		Container: u.name(""),
		State:     func(workspace string) string { return u.name(dir + workspace + backend.StateExt) },
		Workspace: func(found backend.State) (string, bool) {
			in, file := path.Split(found.Place().Key)
			workspace, ok := strings.CutSuffix(file, backend.StateExt)
			return workspace, ok && in == dir && backend.IsWorkspaceName(workspace)
		},
	}
	if s.Text("credentials") != "" || s.Text("access_token") != "" {
		out.Notes = append(out.Notes, "The configuration has credentials, which tfhaul does not use: set GOOGLE_CREDENTIALS, or use gcloud's application default credentials.")
	}
	return out, nil
}
