package tfe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"tfhaul/backend"
)

// Scheme is the scheme of the addresses of sources. Targets may leave it out.
const Scheme = "tfe"

var traits = backend.Traits{
	Workspaces: true, Versions: true, Noun: "workspace", Pins: backend.PinsAnyVersion, Locks: backend.LocksDurable, Writes: backend.WritesUnderLock,
}

// Kind returns the kind of backend that keeps states in the workspaces of HCP Terraform and
// Terraform Enterprise. The address of a target is [HOST/]ORG/WORKSPACE, with or without
// tfe://, or begins with the scheme of the host.
func Kind(c backend.Connection) backend.Kind {
	c = c.WithDefaults()
	env := backend.Getenv(c.Environ)
	servers := newServers(c)
	return backend.Kind{Name: "HCP Terraform, Terraform Enterprise", Scheme: Scheme, Example: sourceForm, Traits: traits, Open: servers.open, Canonical: servers.canonical, Expect: servers.expect, Backends: []string{backend.CloudBlock, "remote"}, Configured: servers.configured, Target: &backend.TargetRole{
		State: workspaceForm, Container: organizationForm, History: true,
		Claims: func(address string) bool {
			switch backend.Scheme(address) {
			case "", "https", "http", Scheme:
				return true
			}
			return false
		},
		SplitState: func(address string) (string, string, error) {
			a, err := parsed(ParseWorkspace, address, env)
			if err != nil {
				return "", "", err
			}
			servers.isTarget(a)
			name := a.Workspace
			a.Workspace = ""
			return a.typed(), name, nil
		},
		Address: func(container, name string) string {
			a, err := parsed(ParseOrganization, container, env)
			if err != nil {
				return container
			}
			a.Workspace = name
			return a.String()
		},
		CheckContainer: func(address string) error {
			a, err := parsed(ParseOrganization, address, env)
			if err == nil {
				servers.isTarget(a)
			}
			return err
		},
		CheckName: CheckWorkspaceName,
		Open: func(ctx context.Context, container string) (backend.Target, error) {
			a, err := parsed(ParseOrganization, container, env)
			if err != nil {
				return nil, err
			}
			client, err := servers.connect(ctx, a)
			if err != nil {
				return nil, err
			}
			return client.Target(a.Organization), nil
		},
	}}
}

// parsed parses an address with or without tfe://. If a variable names the same host, with a
// scheme, that scheme applies: a journal does not record it.
func parsed(parse func(string, func(string) string) (Address, error), address string, env func(string) string) (Address, error) {
	a, err := parse(WithoutScheme(address), env)
	if usual, bad := defaultHost(env); err == nil && bad == nil && a.Scheme == "" && usual.Host == a.Host {
		a.Scheme = usual.Scheme
	}
	return a, err
}

// WithoutScheme returns the address without tfe://.
func WithoutScheme(address string) string {
	if backend.Scheme(address) == Scheme {
		return address[len(Scheme+"://"):]
	}
	return address
}

// typed returns the address with its scheme. Without one, the host is asked for its API.
func (a Address) typed() string {
	if a.Scheme == "https" {
		return "https://" + a.String()
	}
	return a.String()
}

// CheckWorkspaceName checks the name of a workspace. Its error continues a sentence.
func CheckWorkspaceName(name string) error {
	if strings.ContainsAny(name, "/@?#") { // which mean something in an address
		return fmt.Errorf("names the workspace %q: use only letters, digits, - and _", name)
	}
	_, err := ParseWorkspace(DefaultHost+"/organization/"+name, func(string) string { return "" })
	if bad, ok := errors.AsType[*AddressError](err); ok {
		return errors.New(bad.Reason)
	}
	return err
}

// Connect finds the token of an address's host, asks the host where its API is, and returns
// a client. The error has the code Unreachable if the host did not answer; otherwise the user
// must correct something.
func Connect(ctx context.Context, address Address, c backend.Connection) (*Client, error) {
	c = c.WithDefaults()
	doubts := ""
	if c.Doubts != nil {
		doubts = c.Doubts(address.Host)
	}
	token, err := FindToken(ctx, address.Host, CredentialOptions{
		TokenFile: c.TokenFile, OnlyForHost: doubts != "", Environ: c.Environ, Timeout: c.Timeout,
		Advise: func(advice string) { c.Logger.Warn(advice) },
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && doubts != "":
		return nil, fmt.Errorf("%w. %s", err, doubts)
	case err != nil:
		return nil, err
	}
	c.Logger.Debug("token found", "host", address.Host, "token", token)

	asking := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.TLS.Clone(), ForceAttemptHTTP2: true}
	defer asking.CloseIdleConnections()
	api, err := DiscoverAPI(ctx, &http.Client{Transport: asking}, address)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &backend.Error{Address: address.String(), Code: backend.Unreachable, Message: err.Error(), Err: err}
	}
	c.Logger.Debug("API found", "address", api.Redacted())

	client, err := New(Options{
		Host: address.Server(), API: api, Token: token.Secret(), TokenFrom: token.Origin(), TLS: c.TLS.Clone(), Rate: c.Rate, Timeout: c.Timeout,
		Connections: 2 * c.Parallelism, UserAgent: c.UserAgent, Logger: c.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w", address, err)
	}
	return client, nil
}
