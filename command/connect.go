package command

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
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
	tokenFile   string
	timeout     time.Duration
	rate        float64
	parallelism int         // moves at a time
	address     tfe.Address // of the workspace, or the organization
	// find says how sources are searched and reached.
	kinds  backend.Kinds
	filter backend.Filter
	tls    *tls.Config
}

func (p *process) connector(c *cli.Context) (connector, error) {
	n := connector{
		process:   p,
		tokenFile: c.String("token-file"),
		timeout:   c.Duration("timeout"), rate: c.Float64("rate"), parallelism: c.Int("parallelism"),
	}
	// A move holds its lock for several requests.
	if 0 < n.rate && n.rate < 1 {
		return n, usagef("%s cannot be below 1: with less than one request a second, a move would hold its lock for too long. Use 1 or more", p.originOf("rate"))
	}
	n.filter = backend.Filter{Include: c.StringSlice("include"), Exclude: c.StringSlice("exclude")}
	if caFile := c.String("ca-file"); !p.offline || caFile != "" {
		var err error
		if n.tls, err = tfe.TLSConfig(caFile, p.getenv); err != nil {
			return n, &usageError{err.Error()}
		}
	}
	n.kinds = kinds(backend.Connection{TLS: n.tls, Timeout: n.timeout, Stdin: p.stdin})
	return n, nil
}

// connectorTo is connector with the address of a workspace.
func (p *process) connectorTo(c *cli.Context, given string) (connector, error) {
	address, err := p.workspaceAddress(given)
	if err != nil {
		return connector{}, err
	}
	n, err := p.connector(c)
	n.address = address
	return n, err
}

// workspaceAddress reads [HOST/]ORG/WORKSPACE.
func (p *process) workspaceAddress(given string) (tfe.Address, error) {
	address, err := tfe.ParseWorkspace(given, p.getenv)
	if err != nil {
		return address, &usageError{err.Error()}
	}
	return address, nil
}

// An unreachableError says that a host could not be asked where its API is. It is
// no mistake of the user's, as far as anyone can tell.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return e.error }

// hostFromFile reports whether only the settings file names a host, which may have come
// with a repository that another user wrote.
func (n connector) hostFromFile(address tfe.Address) bool {
	if !n.fromFile("target") || address.Host == tfe.DefaultHost {
		return false
	}
	usual, err := tfe.ParseOrganization("organization", n.getenv)
	return err != nil || usual.Host != address.Host
}

// connect prepares a client of the host that an address names. Its errors are
// *usageError for what the user has to put right, *unreachableError, and ctx's.
func (n connector) connect(ctx context.Context, address tfe.Address) (*tfe.Client, error) {
	tls := n.tls.Clone()
	token, err := tfe.FindToken(ctx, address.Host, tfe.CredentialOptions{
		TokenFile: n.tokenFile, OnlyForHost: n.hostFromFile(address), Environ: n.environ, Timeout: n.timeout,
		Advise: func(advice string) { n.log.Warn(advice) },
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && n.hostFromFile(address):
		return nil, usagef("%v. Other tokens are not sent to %s, because only %s names it; to allow that, set TFE_HOSTNAME=%s or use --target",
			err, address.Host, n.settings.origin("target"), address.Host)
	case err != nil:
		return nil, &usageError{err.Error()}
	}
	n.log.Debug("token found", "host", address.Host, "token", token)

	asking := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: tls.Clone(), ForceAttemptHTTP2: true}
	defer asking.CloseIdleConnections()
	api, err := tfe.DiscoverAPI(ctx, &http.Client{Transport: asking}, address)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &unreachableError{err}
	}
	n.log.Debug("API found", "address", api.Redacted())

	client, err := tfe.New(tfe.Options{
		Host: address.Server(), API: api, Token: token.Secret(), TokenFrom: token.Origin(), TLS: tls, Rate: n.rate, Timeout: n.timeout,
		Connections: 2 * max(n.parallelism, 1), UserAgent: userAgent(), Logger: n.log,
	})
	if err != nil {
		return nil, &usageError{fmt.Sprintf("%s cannot be used: %v", address, err)}
	}
	return client, nil
}
