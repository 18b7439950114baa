package pg

import (
	"errors"
	"net/url"
	"strings"

	"tfhaul/backend"
)

// configured returns where Terraform's pg backend keeps the states of a configuration. A
// password in its connection is remembered, and not shown.
func (s *servers) configured(c *backend.Settings) (*backend.Configured, error) {
	address, note, err := addressOf(c.Text("conn_str"))
	if err != nil {
		return nil, err
	}
	if schema := c.Text("schema_name"); schema != "" {
		address += paramSchema + "=" + escape(schema)
	}
	l, err := s.parse(strings.TrimRight(address, "?&"))
	if err != nil {
		return nil, err
	}
	out := &backend.Configured{
		Container: l.String(),
		State:     func(workspace string) string { return l.in(workspace).String() },
		Workspace: func(found backend.State) (string, bool) { return found.Place().Workspace, true },
	}
	if note {
		out.Notes = append(out.Notes, "The configuration has a password: set PGPASSWORD to use the state without the configuration.")
	}
	return out, nil
}

// addressOf returns a connection of the configuration as an address that parameters can be
// added to, and whether it has a password.
func addressOf(connection string) (address string, password bool, err error) {
	if connection == "" {
		return Scheme + "://?", false, nil // everything comes from the environment
	}
	if scheme := backend.Scheme(connection); scheme != "postgres" && scheme != "postgresql" {
		return "", false, errors.New("conn_str is not a postgres:// URL: set PG_CONN_STR to it, and name the schema with postgres:///?schema=NAME")
	}
	u, err := url.Parse(connection)
	if err != nil {
		return "", false, errUnreadable
	}
	_, password = u.User.Password()
	password = password || u.Query().Get("password") != ""
	address, query, _ := strings.Cut(connection, "?")
	if address += "?"; query != "" {
		address += query + "&"
	}
	return address, password, nil
}
