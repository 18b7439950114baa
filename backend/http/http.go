// Package http keeps states on servers of Terraform's http backend, and in GitLab, whose API
// for states is such a server with versions, a listing and locks that can be seen. The two
// kinds share the protocol: what requests, locks and writes look like. The package knows the
// variables of Terraform's backend and of GitLab's tools.
package http

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"tfhaul/backend"
)

// How addresses of the http backend are written.
const (
	scheme    = "http+https"
	plain     = "http+http" // only to this machine
	stateForm = "http+https://HOST/PATH/NAME?lock-address={name}"
	example   = "http+https://HOST/PATH/NAME"
)

// traits are those of a state with a lock. The protocol has no condition for a write, and it
// shows a lock only to those who try to take it.
var traits = backend.Traits{Noun: "endpoint", Pins: backend.PinsByContent, Locks: backend.LocksDurable, Writes: backend.WritesUnderLock}

// Kinds returns the kind of backend that keeps states on a server of Terraform's http backend,
// where each address is one state, and the kind that keeps them in GitLab. They read the same
// variables, and share what decides which server gets a password.
func Kinds(c backend.Connection) (other, gitLab backend.Kind) {
	c = c.WithDefaults()
	getenv := backend.Getenv(c.Environ)
	s := &servers{connection: c, getenv: getenv, bound: &binding{getenv: getenv}, servers: map[string]*server{}}
	return backend.Kind{
		Name: "Terraform's http backend", Scheme: scheme, Environment: "TF_HTTP_USERNAME, TF_HTTP_PASSWORD, TF_HTTP_LOCK_ADDRESS, …", Aliases: []string{plain}, Example: example, Traits: traits, Open: s.open, Canonical: s.canonical, CutPassword: cutPassword,
		Backends: []string{"http"}, Configured: s.configured,
		Target: &backend.TargetRole{
			State: stateForm, Container: "http+https://HOST/PATH/?lock-address={name}",
			SplitState: s.splitState, Address: s.addressBelow, CheckContainer: s.checkContainer, CheckName: checkName, Layout: flatLayout, Block: s.block,
			Open: s.openTarget,
		},
	}, s.gitLab()
}

// servers caches connections to servers. It is safe for concurrent use.
type servers struct {
	connection backend.Connection
	getenv     func(string) string
	bound      *binding

	mu      sync.Mutex
	servers map[string]*server
}

// server returns the connection to a server, creating it on the first call. Sources and
// targets have different ones, because only those of a target are watched for outages.
func (s *servers) server(at origin, gitLab, target bool) (*server, error) {
	key := fmt.Sprint(at, gitLab, target)
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.servers[key]; known != nil {
		return known, nil
	}
	made, err := s.newServer(at, gitLab)
	if err != nil {
		return nil, err
	}
	if target {
		made.wire = &backend.Wire{}
	}
	s.servers[key] = made
	return made, nil
}

// open returns the state that an address names, without checking that it exists.
func (s *servers) open(_ context.Context, address string) (backend.Backend, error) {
	l, err := s.parse(address)
	if err != nil {
		return nil, err
	}
	if l.searches() {
		return nil, fmt.Errorf("%q ends in a slash, but Terraform's http backend cannot list states: name one state, or list them in a manifest", l)
	}
	srv, err := s.server(l.origin, false, false)
	if err != nil {
		return nil, err
	}
	return &one{srv.state(l).asSource()}, nil
}

// one is a backend with one state.
type one struct{ state backend.State }

// States implements backend.Backend.
func (o *one) States(context.Context, backend.Filter) (*backend.Listing, error) {
	return &backend.Listing{States: []backend.State{o.state}}, nil
}

func (s *servers) canonical(address string) string {
	l, err := s.parse(address)
	if err != nil {
		return address
	}
	return l.String()
}

func (s *servers) openTarget(_ context.Context, container string) (backend.Target, error) {
	l, err := s.parse(container)
	if err != nil {
		return nil, err
	}
	if err := l.requireLock(); err != nil {
		return nil, err
	}
	srv, err := s.server(l.origin, false, true)
	if err != nil {
		return nil, err
	}
	return &target{server: srv, container: strings.TrimPrefix(l.path, "/"), at: func(name string) *state { return srv.state(l.below(name)) }}, nil
}

// splitState returns the directory of a state as its container. What TF_HTTP_LOCK_ADDRESS and
// other variables say about the state becomes a part of the address, which is recorded.
func (s *servers) splitState(address string) (container, name string, err error) {
	l, err := s.parse(address)
	switch {
	case err != nil:
		return "", "", err
	case l.searches():
		return "", "", fmt.Errorf("%q ends in a slash, so it names no state: write %s", l, stateForm)
	}
	if err := l.requireLock(); err != nil {
		return "", "", err
	}
	parent := *l
	cut := strings.LastIndex(l.path, "/") + 1
	parent.path = l.path[:cut]
	name, err = url.PathUnescape(l.path[cut:])
	return parent.String(), name, err
}

// checkContainer checks an address below which there are many states. Each needs a lock of its
// own.
func (s *servers) checkContainer(address string) error {
	l, err := s.parse(address)
	switch {
	case err != nil:
		return err
	case !l.searches():
		return fmt.Errorf("%q names one state: write http+https://HOST/PATH/?lock-address={name}, with a slash at the end of the path", l)
	}
	if err := l.requireLock(); err != nil {
		return err
	}
	if !strings.Contains(l.params[paramLock], namePlaceholder) {
		return fmt.Errorf("%s in %q is the same for all states: write %s where the name of a state belongs, as in %[1]s=%[3]s/lock", paramLock, l, namePlaceholder)
	}
	return nil
}

func (s *servers) addressBelow(container, name string) string {
	l, err := s.parse(container)
	if err != nil {
		return scheme + "://"
	}
	return l.below(name).String()
}

// checkName checks the name of a state in a container. Its error continues a sentence.
func checkName(name string) error {
	if name == "" || strings.ContainsAny(name, "/\r\n") || name == "." || name == ".." {
		return fmt.Errorf("names the endpoint %q: use a name without slashes and line breaks", name)
	}
	return nil
}

// flatLayout returns the name of a state: the backend has neither directories nor workspaces,
// so the names of states are made of their paths.
func flatLayout(_, path, workspace string) string {
	parts := strings.Split(strings.TrimSuffix(path, backend.StateExt), "/")
	if last := len(parts) - 1; parts[last] == configuration || parts[last] == "" {
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

// configuration is the name of a state that is not named after its configuration.
const configuration = "terraform"
