// Package kubernetes keeps states in the Secrets of a Kubernetes namespace. It knows the layout
// and the locks of Terraform's kubernetes backend, and where that backend finds a cluster and its
// credentials. It calls the API itself, because safety depends on the versions of objects.
package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"tfhaul/backend"
)

// Scheme is the scheme of addresses of this kind.
const Scheme = "kubernetes"

// traits are those of states in Secrets. Terraform compresses every state, so the decoded bytes
// count.
var traits = backend.Traits{
	Noun: "workspace", Encoded: true, Pins: backend.PinsCondition, Locks: backend.LocksDurable, Writes: backend.WritesCondition,
}

// How addresses are written, for messages.
const (
	stateForm     = "kubernetes://NAMESPACE/SUFFIX/WORKSPACE"
	containerForm = "kubernetes://NAMESPACE"
)

// Kind returns the kind of backend that keeps states in Kubernetes. Credentials are found once
// for each context of the kubeconfig.
func Kind(c backend.Connection) backend.Kind {
	c = c.WithDefaults()
	sources := &clusters{connection: c}
	targets := &clusters{connection: c, target: true}
	return backend.Kind{
		Name: "Kubernetes", Environment: "KUBE_CONFIG_PATH, KUBE_CTX, …",
		Scheme: Scheme, Example: "kubernetes://NAMESPACE[/SUFFIX]", Traits: traits, Open: sources.open, Canonical: canonical,
		Backends: []string{"kubernetes"}, Configured: sources.configured,
		Target: &backend.TargetRole{
			State: stateForm, Container: containerForm,
			SplitState: splitState, Address: addressIn, CheckContainer: checkContainer, CheckName: checkName, Layout: layout, Block: targets.block,
			Open: targets.openTarget,
		},
	}
}

// clusters caches what is needed to reach clusters. It is safe for concurrent use.
type clusters struct {
	connection backend.Connection
	target     bool // for the role of a target

	mu    sync.Mutex
	known map[string]*cluster // by the context in the address
}

// open returns the namespace, suffix or workspace that an address names.
func (c *clusters) open(_ context.Context, address string) (backend.Backend, error) {
	l, err := parseLocation(address)
	if err != nil {
		return nil, err
	}
	cl, err := c.cluster(l)
	if err != nil {
		return nil, err
	}
	return &namespace{cluster: cl, at: l}, nil
}

func (c *clusters) openTarget(_ context.Context, container string) (backend.Target, error) {
	l, err := parseLocation(container)
	if err != nil {
		return nil, err
	}
	cl, err := c.cluster(l)
	if err != nil {
		return nil, err
	}
	return &target{cluster: cl, at: l}, nil
}

// A cluster is a connection to an API server, with credentials.
type cluster struct {
	base        *url.URL // of the API, without a slash at the end
	client      http.Client
	credentials *credentials
	kubectl     string // how to call kubectl for this cluster, for messages
	timeout     time.Duration
	userAgent   string
	wire        *backend.Wire // nil for a source
}

// cluster returns the connection to the cluster of an address, creating it on the first call. It
// reads the kubeconfig and sends no requests.
func (c *clusters) cluster(l *location) (*cluster, error) {
	name := l.params.Get(paramContext)
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl, ok := c.known[name]; ok {
		return cl, nil
	}
	cl, err := c.connect(name)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the cluster of %q: %w", l, err)
	}
	if c.known == nil {
		c.known = map[string]*cluster{}
	}
	c.known[name] = cl
	return cl, nil
}

func (c *clusters) connect(contextName string) (*cluster, error) {
	s, err := findSettings(contextName, c.connection)
	if err != nil {
		return nil, err
	}
	transport := c.connection.Transport()
	if err := s.configure(transport); err != nil {
		return nil, err
	}
	cl := &cluster{
		base: s.server, client: http.Client{Transport: transport, CheckRedirect: backend.NoRedirects}, credentials: s.credentials,
		kubectl: s.kubectl, timeout: c.connection.Timeout, userAgent: c.connection.UserAgent,
	}
	if c.target {
		cl.wire = &backend.Wire{}
	}
	return cl, nil
}

// host returns the server as messages name it.
func (c *cluster) host() string { return c.base.Host }
