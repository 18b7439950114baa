package command

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
)

// connectFlags are the flags of every command that speaks with a host.
func connectFlags() []cli.Flag {
	return []cli.Flag{
		fileFlag("ca-file", "also trust the certificate authorities in `FILE` (PEM)"),
		fileFlag("token-file", "read the API token from `FILE` instead of TFE_TOKEN, TF_TOKEN_<host> or the token that terraform login stored"),
		durationFlag("timeout", time.Minute, "abort a request after `DURATION` without progress"),
		numberFlag("rate", "send at most `N` requests a second (1 or more); the server's limit still applies"),
	}
}

// A connector makes clients of hosts: address, discovery, token, TLS.
type connector struct {
	*process
	connection  backend.Connection
	parallelism int         // moves at a time
	address     tfe.Address // of the workspace, or the organization
	// kinds and filter are how sources are searched.
	kinds  backend.Kinds
	filter backend.Filter
}

func (p *process) connector(c *cli.Context) (connector, error) {
	n := connector{process: p, parallelism: c.Int("parallelism"), connection: backend.Connection{
		Environ: p.environ, Stdin: p.stdin, TokenFile: c.String("token-file"), Timeout: c.Duration("timeout"),
		Rate: c.Float64("rate"), Parallelism: c.Int("parallelism"), UserAgent: userAgent(), Logger: p.log,
		Doubts: p.doubts, Passwords: p.passwords,
	}}
	// A move holds its lock for several requests.
	if 0 < n.connection.Rate && n.connection.Rate < 1 {
		return n, usagef("%s cannot be below 1: with less than one request a second, a move would hold its lock for too long. Use 1 or more", p.originOf("rate"))
	}
	n.filter = backend.Filter{Include: c.StringSlice("include"), Exclude: c.StringSlice("exclude")}
	if caFile := c.String("ca-file"); !p.offline || caFile != "" {
		var err error
		if n.connection.TLS, err = tfe.TLSConfig(caFile, p.getenv); err != nil {
			return n, &usageError{err.Error()}
		}
	}
	n.kinds = p.backends(n.connection)
	return n, nil
}

// connectorToState is connector with the address of one state, of any kind.
func (p *process) connectorToState(c *cli.Context, given string) (connector, destination, error) {
	n, err := p.connector(c)
	if err != nil {
		return n, destination{}, err
	}
	to, err := n.stateTarget(given)
	if err == nil {
		err = p.checkFlags(to)
	}
	return n, to, err
}

// workspaceAddress reads [HOST/]ORG/WORKSPACE.
func (p *process) workspaceAddress(given string) (tfe.Address, error) {
	address, err := tfe.ParseWorkspace(given, p.getenv)
	if err != nil {
		return address, &usageError{err.Error()}
	}
	return address, nil
}

// organizationAddress reads [HOST/]ORG.
func (p *process) organizationAddress(given string) (tfe.Address, error) {
	address, err := tfe.ParseOrganization(given, p.getenv)
	if err != nil {
		return address, &usageError{err.Error()}
	}
	return address, nil
}

// An unreachableError says that a host could not be asked where its API is. It is
// no mistake of the user's, as far as anyone can tell.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return e.error }

// doubts returns why no token is sent to a host that is not stored for it: only the settings
// file names the host, and it may have come with a repository that another user wrote.
func (p *process) doubts(host string) string {
	if !p.fromFile("target") || host == tfe.DefaultHost {
		return ""
	}
	if usual, err := tfe.ParseOrganization("organization", p.getenv); err == nil && usual.Host == host {
		return ""
	}
	return fmt.Sprintf("Other tokens are not sent to %s, because only %s names it; to allow that, set TFE_HOSTNAME=%[1]s or use --target", host, p.settings.origin("target"))
}

// connect prepares a client of the host that an address names. Its errors are
// *usageError for what the user has to put right, *unreachableError, and ctx's.
func (n connector) connect(ctx context.Context, address tfe.Address) (*tfe.Client, error) {
	n.connection.Parallelism = n.parallelism
	client, err := tfe.Connect(ctx, address, n.connection)
	return client, connectionError(ctx, err)
}

// connectionError returns the error of connecting to a target in one of these types.
func connectionError(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case backend.CodeOf(err) == backend.Unreachable:
		return &unreachableError{err}
	}
	return &usageError{err.Error()}
}
