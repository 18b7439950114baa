package pg

import (
	"context"
	"strings"

	"tfhaul/backend"
)

// block returns the backend block for a workspace. The connection is left to PG_CONN_STR if that
// is where it comes from, because it may have a password.
func (s *servers) block(_ context.Context, container, name string) (*backend.Block, error) {
	l, err := s.parse(container)
	if err != nil {
		return nil, err
	}
	b := &backend.Block{Type: "pg", Workspace: name}
	if l.inherited {
		b.Notes = append(b.Notes, "The connection (conn_str) comes from PG_CONN_STR.")
	} else {
		b.Arguments = append(b.Arguments, backend.Argument{Name: "conn_str", Value: l.connection()})
		if l.config.Password != "" {
			b.Notes = append(b.Notes, "The password comes from PGPASSWORD or ~/.pgpass.")
		}
	}
	if l.schema != defaultSchema {
		b.Arguments = append(b.Arguments, backend.Argument{Name: "schema_name", Value: l.schema})
	}
	return b, nil
}

// connection returns Terraform's conn_str, without a password.
func (l *location) connection() string {
	at := l.in("")
	at.schema = ""
	address := strings.Replace(at.String(), paramSchema+"=", "", 1)
	return strings.TrimSuffix(strings.Replace(address, "?&", "?", 1), "?")
}
