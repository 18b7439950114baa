package http

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tfhaul/backend"
)

// configured returns where Terraform's http backend keeps the state of a configuration: in a
// project of GitLab if the addresses are those of GitLab's API, or else on any server.
func (s *servers) configured(c *backend.Settings) (*backend.Configured, error) {
	address := cmp.Or(c.Text("address"), s.getenv(addressVariable))
	if address == "" {
		return nil, &backend.IncompleteError{Missing: []string{"address"}}
	}
	l, credentials, err := s.locate(c, address)
	if err != nil {
		return nil, err
	}
	out := &backend.Configured{Single: true, Unseen: true, State: func(string) string { return l.String() }}
	if container, state := s.inGitLab(l); state != "" {
		out.Container, out.State = container, func(string) string { return state }
		out.Workspace = func(found backend.State) (string, bool) { return backend.DefaultWorkspace, found.Address() == state }
	}
	if credentials || c.Text("username")+c.Text("password")+c.Text("client_private_key_pem") != "" {
		out.Notes = append(out.Notes, "The configuration has credentials, which tfhaul does not use: set "+userVariable+" and "+passwordVariable+".")
	}
	return out, nil
}

// locate returns the location of a state, without the credentials in its addresses. Errors do not
// repeat the addresses.
func (s *servers) locate(c *backend.Settings, address string) (l *location, credentials bool, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, false, errors.New("address is not an https:// URL")
	}
	credentials, u.User = u.User != nil, nil
	at := "http+" + u.String()
	separator := "?"
	if u.RawQuery != "" {
		separator = "&"
	}
	for _, name := range parameterNames {
		value := c.Text(strings.ReplaceAll(name, "-", "_"))
		if value == "" {
			continue
		}
		if v, err := url.Parse(value); err == nil && v.User != nil {
			credentials, v.User = true, nil
			value = v.String()
		}
		at += separator + name + "=" + url.QueryEscape(value)
		separator = "&"
	}
	l, err = s.parse(at)
	if err == nil && l.searches() {
		err = errors.New("address ends in a slash, which tfhaul cannot read: it is not the name of a state")
	}
	return l, credentials, err
}

// The addresses of a state in GitLab, below the server's.
const (
	gitLabProjects = "/api/v4/projects/"
	gitLabStates   = "/terraform/state/"
)

// inGitLab returns the addresses of the project and of the state if a location is one of
// GitLab's API, and "" otherwise. A server that keeps GitLab below a path is not recognized.
func (s *servers) inGitLab(l *location) (container, state string) {
	rest, ok := strings.CutPrefix(l.path, gitLabProjects)
	project, name, found := strings.Cut(rest, gitLabStates)
	path, err := url.PathUnescape(project)
	name, worse := url.PathUnescape(name)
	if !ok || !found || strings.Contains(project, "/") || errors.Join(err, worse) != nil || l.query != "" {
		return "", ""
	}
	own := []string{"", l.url().String() + "/lock"}
	if !slices.Contains(own, l.params[paramLock]) || !slices.Contains(own, l.params[paramUnlock]) || l.method(paramUpdate) != http.MethodPost {
		return "", ""
	}
	state = projectAddress(l.origin, path, name)
	if at, parsed, named, err := s.parseProject(state); err != nil || parsed != path || named != name || at != l.origin {
		return "", ""
	}
	return projectAddress(l.origin, path, ""), state
}
