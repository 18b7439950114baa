// Package consul keeps states in the key/value store of Consul. It knows the layout of
// Terraform's consul backend (compressed values, chunks, workspaces), its locks, which belong
// to sessions, and its settings and credentials. It calls the HTTP API itself, because a write
// must check the session and the former version in one transaction
// (https://developer.hashicorp.com/consul/api-docs/txn).
package consul

import (
	"context"
	"fmt"
	"path"
	"strings"

	"tfhaul/backend"
)

// Scheme is the scheme of addresses of this kind.
const Scheme = "consul"

// How addresses are written, for messages.
const (
	stateForm     = "consul://HOST/PATH"
	containerForm = "consul://HOST/PREFIX/"
)

// traits are those of states in Consul. A lock belongs to a session, which ends when nobody
// renews it.
var traits = backend.Traits{
	Noun: "key", Encoded: true, Pins: backend.PinsCondition, Locks: backend.LocksSession, Writes: backend.WritesCondition,
}

// Kind returns the kind of backend that keeps states in Consul.
func Kind(c backend.Connection) backend.Kind {
	c = c.WithDefaults()
	sources := &servers{connection: c}
	targets := &servers{connection: c, target: true}
	return backend.Kind{
		Name: "Consul", Scheme: Scheme, Environment: "CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_CACERT, …", Example: containerForm,
		Traits: traits, Open: sources.open, Canonical: sources.canonical, Backends: []string{"consul"}, Configured: sources.configured, Target: targets.role(),
	}
}

// open returns the key, or the prefix of keys, that an address names.
func (s *servers) open(_ context.Context, address string) (backend.Backend, error) {
	l, err := s.parse(address)
	if err != nil {
		return nil, err
	}
	if err := checkState(l.key); err != nil && !l.searches() {
		return nil, fmt.Errorf("%q %w", l, err)
	}
	server, err := s.server(l)
	if err != nil {
		return nil, err
	}
	return &prefix{server, l}, nil
}

// canonical implements backend.Kind. It keeps the server that the environment names, because a
// manifest has no other place for it, and leaves out how to write the state.
func (s *servers) canonical(address string) string {
	l, err := s.parse(address)
	if err != nil {
		return address
	}
	l.params.Del(paramGzip)
	return l.String()
}

// role returns how Consul is used as a target. A container is a prefix.
func (s *servers) role() *backend.TargetRole {
	return &backend.TargetRole{
		State: stateForm, Container: containerForm, CheckName: checkName, Layout: layout, Block: s.block,
		SplitState: func(address string) (container, name string, err error) {
			l, err := s.parse(address)
			switch {
			case err != nil:
				return "", "", err
			case l.searches():
				return "", "", fmt.Errorf("%q names a prefix, not a state: write %s", l, stateForm)
			}
			dir, name := path.Split(l.key)
			return l.at(dir).String(), name, nil
		},
		Address: func(container, name string) string {
			l, err := s.parse(container)
			if err != nil {
				return container + name
			}
			return l.at(l.key + name).String()
		},
		CheckContainer: func(address string) error {
			l, err := s.parse(address)
			if err == nil && !l.searches() {
				err = fmt.Errorf("%q names one state: write %s, with a slash at the end", l, containerForm)
			}
			return err
		},
		Open: func(_ context.Context, container string) (backend.Target, error) {
			l, err := s.parse(container)
			if err != nil {
				return nil, err
			}
			server, err := s.server(l)
			if err != nil {
				return nil, err
			}
			return &target{server: server, at: l, sessions: map[*session]bool{}}, nil
		},
	}
}

// workspaceMark stands between the path of a configuration and the name of a workspace
// (internal/backend/remote-state/consul, keyEnvPrefix).
const workspaceMark = "-env:"

// layout returns where Terraform's consul backend keeps a workspace.
func layout(_, path, workspace string) string {
	if workspace == "" || workspace == backend.DefaultWorkspace {
		return path
	}
	return path + workspaceMark + workspace
}

// cutWorkspace splits a key into the path of a configuration and the name of a workspace.
func cutWorkspace(key string) (path, workspace string) {
	i := strings.LastIndex(key, workspaceMark)
	if i <= 0 || key[i-1] == '/' || !backend.IsWorkspaceName(key[i+len(workspaceMark):]) {
		return key, backend.DefaultWorkspace
	}
	return key[:i], key[i+len(workspaceMark):]
}

// placeOf returns the place of a key. Dir is relative to what is searched.
func placeOf(l *location, key string) backend.Place {
	searched := ""
	if l.searches() {
		searched = l.key
	}
	p := backend.Place{Key: key, Root: l.host}
	if searched != "" {
		p.Root = path.Base(searched)
	}
	p.Searched = p.Root
	at, workspace := cutWorkspace(strings.TrimPrefix(key, searched))
	dir, name := path.Split(at)
	p.Dir, p.Base, p.Workspace = strings.Trim(dir, "/"), strings.TrimSuffix(name, backend.StateExt), workspace
	return p
}
