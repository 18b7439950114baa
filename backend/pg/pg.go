// Package pg keeps states in PostgreSQL, in the table of Terraform's pg backend. It knows that
// table, the advisory locks of Terraform and OpenTofu, and where connection settings and
// passwords come from.
package pg

import (
	"context"
	"strings"
	"sync"

	"tfhaul/backend"
)

// Scheme is the scheme of addresses of this kind.
const Scheme = "postgres"

// traits are those of states in a table. Locks are the server's advisory locks, which end with
// their session.
var traits = backend.Traits{
	Noun: "workspace", Pins: backend.PinsCondition, Locks: backend.LocksSession, Writes: backend.WritesCondition,
}

// How addresses are written, for messages.
const (
	stateForm     = "postgres://USER@HOST/DATABASE?schema=NAME&workspace=NAME"
	containerForm = "postgres://USER@HOST/DATABASE?schema=NAME"
)

// Kind returns the kind of backend that keeps states in PostgreSQL.
func Kind(c backend.Connection) backend.Kind {
	s := &servers{connection: c.WithDefaults(), databases: map[string]*database{}, passwords: map[string]string{}}
	return backend.Kind{
		Name: "PostgreSQL", Scheme: Scheme, Environment: "PG_CONN_STR, PGPASSWORD, PGHOST, …", Aliases: []string{"postgresql"}, Example: containerForm, Traits: traits, Open: s.open, Canonical: s.canonical, CutPassword: cutPassword, Target: s.role(),
		Backends: []string{"pg"}, Configured: s.configured,
	}
}

// servers caches connections to databases, and the passwords that addresses contained, which
// are never shown. It is safe for concurrent use.
type servers struct {
	connection backend.Connection

	mu        sync.Mutex
	databases map[string]*database
	passwords map[string]string // by location.server
}

// open returns the schema, or the workspace in it, that an address names.
func (s *servers) open(_ context.Context, address string) (backend.Backend, error) {
	l, err := s.parse(address)
	if err != nil {
		return nil, err
	}
	db, err := s.database(l)
	if err != nil {
		return nil, err
	}
	return &schema{database: db, at: l}, nil
}

// canonical implements backend.Kind, for sources and targets. It keeps the connection's
// settings, because a manifest has no other place for them.
func (s *servers) canonical(address string) string {
	l, err := s.parse(address)
	if err != nil {
		return address
	}
	return l.String()
}

// database returns the database of a location. All locations of one share its connections.
func (s *servers) database(l *location) (*database, error) {
	key := l.connectionKey()
	s.mu.Lock()
	defer s.mu.Unlock()
	if db := s.databases[key]; db != nil {
		return db, nil
	}
	db, err := openDatabase(l, s.connection)
	if err != nil {
		return nil, err
	}
	s.databases[key] = db
	return db, nil
}

// role returns how PostgreSQL is used as a target. A container is a schema.
func (s *servers) role() *backend.TargetRole {
	return &backend.TargetRole{
		State: stateForm, Container: containerForm, Creates: "the schema and the table", CheckName: checkName, Layout: layout, Block: s.block,
		SplitState: func(address string) (container, name string, err error) {
			l, err := s.parse(address)
			if err != nil {
				return "", "", err
			}
			if l.workspace == "" {
				return "", "", errNoWorkspace(l)
			}
			return l.in("").String(), l.workspace, nil
		},
		Address: func(container, name string) string {
			l, err := s.parse(container)
			if err != nil {
				return Scheme + "://"
			}
			return l.in(name).String()
		},
		CheckContainer: func(address string) error {
			l, err := s.parse(address)
			if err == nil && l.workspace != "" {
				err = errOneWorkspace(l)
			}
			return err
		},
		Open: func(_ context.Context, container string) (backend.Target, error) {
			l, err := s.parse(container)
			if err != nil {
				return nil, err
			}
			db, err := s.database(l)
			if err != nil {
				return nil, err
			}
			return &target{database: db, at: l}, nil
		},
	}
}

// layout returns the workspace for a state. A schema is the backend of one configuration, so
// the states of several get names made of their paths.
func layout(_, path, workspace string) string {
	parts := strings.Split(strings.TrimSuffix(path, backend.StateExt), "/")
	if last := len(parts) - 1; parts[last] == "terraform" || parts[last] == "" {
		parts = parts[:last]
	}
	if workspace != "" && workspace != backend.DefaultWorkspace {
		parts = append(parts, workspace)
	}
	if len(parts) == 0 {
		return backend.DefaultWorkspace
	}
	return strings.Join(parts, "-")
}
