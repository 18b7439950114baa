// Package azurerm keeps states in Azure Blob Storage. It knows the layout of Terraform's
// azurerm backend, its locks, which are leases of the blobs themselves, and its credentials.
// It calls the REST API itself, because safety depends on leases, ETags and the order of
// requests (https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api).
package azurerm

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"tfhaul/backend"
)

// Kind returns the kind of backend that keeps states in Azure Blob Storage. Credentials are
// found once for each storage account.
func Kind(c backend.Connection) backend.Kind {
	c = c.WithDefaults()
	sources := &connections{connection: c}
	targets := &connections{connection: c, target: true}
	return backend.Kind{
		Name: "Azure Blob Storage", Scheme: "azurerm", Environment: "ARM_ACCESS_KEY, ARM_SAS_TOKEN, ARM_USE_AZUREAD, …", Example: "azurerm://ACCOUNT/CONTAINER/PREFIX/", Traits: traits, Open: sources.open, Canonical: canonical,
		Backends: []string{"azurerm"}, Configured: configured,
		Target: &backend.TargetRole{
			State: "azurerm://ACCOUNT/CONTAINER/KEY", Container: "azurerm://ACCOUNT/CONTAINER/PREFIX/",
			SplitState: splitState, Address: addressBelow, CheckContainer: checkContainer, CheckName: checkName, Layout: layout, Block: block,
			Open: targets.openTarget,
		},
	}
}

var traits = backend.Traits{Noun: "blob", Versions: true, Pins: backend.PinsAnyVersion, Locks: backend.LocksDurable, Writes: backend.WritesCondition}

// connections caches what is needed to reach storage accounts. It is safe for concurrent use.
type connections struct {
	connection backend.Connection
	target     bool // for the role of a target

	mu      sync.Mutex
	servers map[string]*server // by what an address says about its account
}

// open returns the container, prefix or blob that an azurerm:// URL names, without checking
// that a blob exists.
func (c *connections) open(_ context.Context, address string) (backend.Backend, error) {
	b, err := c.container(address)
	if err != nil {
		return nil, err
	}
	return &prefix{b}, nil
}

func (c *connections) openTarget(_ context.Context, address string) (backend.Target, error) {
	b, err := c.container(address)
	if err != nil {
		return nil, err
	}
	return &target{container: b}, nil
}

// A container is a container of blobs, or what is below a prefix in it, on a server.
type container struct {
	*server
	url *location
}

func (c *connections) container(address string) (*container, error) {
	u, err := parseLocation(address)
	if err != nil {
		return nil, err
	}
	s, err := c.server(u)
	if err != nil {
		return nil, err
	}
	return &container{server: s, url: u}, nil
}

// A server is the blob service of a storage account, with credentials.
type server struct {
	base        *url.URL // without a slash at the end
	account     string
	client      http.Client
	credentials *credentials
	timeout     time.Duration
	userAgent   string
	wire        *backend.Wire // nil for a source
	snapshots   bool          // ARM_SNAPSHOT: take a snapshot of each state before it is replaced
	aliases     sync.Map      // see aliased
}

// server returns the connection to the account of an address, creating it on the first call.
// It sends no requests.
func (c *connections) server(u *location) (*server, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := u.account + "?" + u.accountParams().Encode()
	if s, ok := c.servers[id]; ok {
		return s, nil
	}
	s, err := c.newServer(u)
	if err != nil {
		return nil, err
	}
	if c.servers == nil {
		c.servers = map[string]*server{}
	}
	c.servers[id] = s
	return s, nil
}

func (c *connections) newServer(u *location) (*server, error) {
	getenv := backend.Getenv(c.connection.Environ)
	cloud, err := cloudOf(u.params.Get(paramEnvironment), getenv)
	if err != nil {
		return nil, err
	}
	s := &server{account: u.account, timeout: c.connection.Timeout, userAgent: c.connection.UserAgent}
	s.snapshots, _ = strconv.ParseBool(getenv(snapshotVariable))
	endpoint := u.params.Get(paramEndpoint)
	if endpoint == "" {
		endpoint = "https://" + u.account + ".blob." + cloud.storage
	}
	if s.base, err = parseEndpoint(endpoint); err != nil {
		return nil, err
	}
	transport := c.connection.Transport()
	s.client = http.Client{Transport: transport, CheckRedirect: backend.NoRedirects}
	// A token is not state: the server of managed identities uses plain http.
	tokens := &http.Client{Transport: transport, CheckRedirect: backend.NoRedirects, Timeout: c.connection.Timeout}
	s.credentials = newCredentials(getenv, tokens, cloud, u)
	if c.target {
		s.wire = &backend.Wire{}
	}
	return s, nil
}
