// Package gcs keeps states in Google Cloud Storage. It knows the layout of Terraform's gcs
// backend, its locks, and its credentials and encryption keys. It calls the JSON API itself,
// because safety depends on generations, which are the numbers of an object's versions
// (https://cloud.google.com/storage/docs/json_api/v1).
package gcs

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"tfhaul/backend"
)

// Kind returns the kind of backend that keeps states in Google Cloud Storage. Credentials
// are found once for each endpoint.
func Kind(c backend.Connection) backend.Kind {
	c = c.WithDefaults()
	sources := &connections{connection: c}
	targets := &connections{connection: c, target: true}
	return backend.Kind{
		Name: "Google Cloud Storage", Scheme: "gs", Environment: "GOOGLE_CREDENTIALS, GOOGLE_APPLICATION_CREDENTIALS, …", Example: "gs://BUCKET/PREFIX/", Traits: traits, Open: sources.open, Canonical: canonical,
		Backends: []string{"gcs"}, Configured: configured,
		Target: &backend.TargetRole{
			State: "gs://BUCKET/PREFIX/NAME.tfstate", Container: "gs://BUCKET/PREFIX/",
			SplitState: splitState, Address: addressBelow, CheckContainer: checkContainer, CheckName: checkName, Layout: layout, Block: targets.block,
			Open: targets.openTarget,
		},
	}
}

var traits = backend.Traits{Noun: "object", Versions: true, Pins: backend.PinsAnyVersion, Locks: backend.LocksDurable, Writes: backend.WritesCondition}

// connections caches what is needed to reach servers. It is safe for concurrent use.
type connections struct {
	connection backend.Connection
	target     bool // for the role of a target

	mu      sync.Mutex
	servers map[string]*server // by the endpoint in the address
}

// open returns the bucket, prefix or object that a gs:// URL names, without checking that an
// object exists.
func (c *connections) open(_ context.Context, address string) (backend.Backend, error) {
	b, err := c.bucket(address)
	if err != nil {
		return nil, err
	}
	return &prefix{b}, nil
}

func (c *connections) openTarget(_ context.Context, container string) (backend.Target, error) {
	b, err := c.bucket(container)
	if err != nil {
		return nil, err
	}
	return &target{bucket: b}, nil
}

// A bucket is a bucket, or what is below a prefix of it, on a server.
type bucket struct {
	*server
	url    *location
	kmsKey string // for writing; "" for the bucket's
}

func (c *connections) bucket(address string) (*bucket, error) {
	u, err := parseLocation(address)
	if err != nil {
		return nil, err
	}
	s, err := c.server(u.params.Get(paramEndpoint))
	if err != nil {
		return nil, err
	}
	b := &bucket{server: s, url: u, kmsKey: u.params.Get(paramKMSKey)}
	if s.key != nil && b.kmsKey != "" {
		return nil, fmt.Errorf("%s and %s request two different encryptions: unset the variable, or leave out the parameter", keyVariable, paramKMSKey)
	}
	b.kmsKey = cmp.Or(b.kmsKey, s.kmsKey)
	return b, nil
}

// A server is a connection to a server of the JSON API, with credentials.
type server struct {
	base        *url.URL // of the JSON API, without a slash at the end
	endpoint    string   // as typed, for messages and commands; "" for Google's
	client      http.Client
	credentials *credentials
	key         *customerKey
	kmsKey      string // of the environment
	timeout     time.Duration
	userAgent   string
	wire        *backend.Wire // nil for a source
}

// server returns the connection to an endpoint, creating it on the first call. It sends no
// requests.
func (c *connections) server(endpoint string) (*server, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.servers[endpoint]; ok {
		return s, nil
	}
	s, err := c.newServer(endpoint)
	if err != nil {
		return nil, err
	}
	if c.servers == nil {
		c.servers = map[string]*server{}
	}
	c.servers[endpoint] = s
	return s, nil
}

func (c *connections) newServer(endpoint string) (*server, error) {
	getenv := backend.Getenv(c.connection.Environ)
	s := &server{endpoint: endpoint, kmsKey: getenv(kmsVariable), timeout: c.connection.Timeout, userAgent: c.connection.UserAgent}
	var err error
	if s.key, err = readCustomerKey(getenv); err != nil {
		return nil, err
	}
	transport := c.connection.Transport()
	s.client = http.Client{Transport: transport, CheckRedirect: backend.NoRedirects}
	// A token is not state: the metadata server and some identity providers use plain http.
	s.credentials = &credentials{getenv: getenv, client: &http.Client{Transport: transport, CheckRedirect: backend.NoRedirects, Timeout: c.connection.Timeout}}
	what := "the " + paramEndpoint
	if s.endpoint == "" {
		what, s.endpoint = firstOf(getenv, endpointVariables...)
	}
	if emulator := getenv(emulatorVariable); s.endpoint == "" && emulator != "" {
		if !strings.Contains(emulator, "://") {
			emulator = "http://" + emulator
		}
		what, s.endpoint, s.credentials.none = emulatorVariable, emulator, true
	}
	s.base, err = parseEndpoint(what, cmp.Or(s.endpoint, "https://storage.googleapis.com/storage/v1/"))
	if c.target {
		s.wire = &backend.Wire{}
	}
	return s, err
}
