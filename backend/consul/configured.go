package consul

import (
	"errors"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"tfhaul/backend"
)

// configured returns where Terraform's consul backend keeps the states of a configuration. The
// container is the prefix of its path, because the root may have the keys of many other
// programs.
func (s *servers) configured(c *backend.Settings) (*backend.Configured, error) {
	if err := c.Need("path"); err != nil {
		return nil, err
	}
	scheme, host, err := readAddress("address", c.Text("address"))
	if err != nil {
		return nil, err
	}
	if typed := c.Text("scheme"); typed != "" && scheme != "https" { // as in Consul's client
		scheme = typed
	}
	ssl, _ := strconv.ParseBool(backend.Getenv(s.connection.Environ)(sslVariable))
	if host != "" && scheme == "" && !ssl {
		scheme = "http" // Terraform's default
	}
	l := &location{host: host, key: c.Text("path"), params: url.Values{}}
	for _, param := range []struct{ name, value string }{{paramScheme, scheme}, {paramDatacenter, c.Text("datacenter")}} {
		if param.value != "" {
			l.params.Set(param.name, param.value)
		}
	}
	if c.Yes("gzip") {
		l.params.Set(paramGzip, "true")
	}
	if l, err = s.parse(l.String()); err != nil {
		return nil, err
	}
	if l.searches() {
		return nil, errors.New("path ends in a slash, which tfhaul cannot read: it is not the name of a state")
	}
	dir, _ := path.Split(l.key)
	out := &backend.Configured{
		Container: l.at(dir).String(),
		State:     func(workspace string) string { return l.at(layout("", l.key, workspace)).String() },
		Workspace: func(found backend.State) (string, bool) {
			if found.Place().Key == l.key {
				return backend.DefaultWorkspace, true
			}
			workspace, ok := strings.CutPrefix(found.Place().Key, l.key+workspaceMark)
			return workspace, ok && backend.IsWorkspaceName(workspace)
		},
	}
	has := func(name string) bool { return c.Text(name) != "" }
	if slices.ContainsFunc([]string{"access_token", "http_auth"}, has) {
		out.Notes = append(out.Notes, "The configuration has credentials, which tfhaul does not use: set "+tokenVariable+" or "+authVariable+".")
	}
	if slices.ContainsFunc([]string{"ca_file", "cert_file", "key_file"}, has) {
		out.Notes = append(out.Notes, "The configuration names certificates, which tfhaul does not use: set "+caFileVariable+", "+certVariable+" and "+keyVariable+".")
	}
	return out, nil
}
