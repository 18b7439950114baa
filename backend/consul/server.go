package consul

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// The variables of Consul's client, which Terraform's consul backend uses
// (https://developer.hashicorp.com/consul/commands#environment-variables).
const (
	addressVariable    = "CONSUL_HTTP_ADDR"
	tokenVariable      = "CONSUL_HTTP_TOKEN"
	tokenFileVariable  = "CONSUL_HTTP_TOKEN_FILE"
	authVariable       = "CONSUL_HTTP_AUTH"
	sslVariable        = "CONSUL_HTTP_SSL"
	verifyVariable     = "CONSUL_HTTP_SSL_VERIFY"
	caFileVariable     = "CONSUL_CACERT"
	caDirVariable      = "CONSUL_CAPATH"
	certVariable       = "CONSUL_CLIENT_CERT"
	keyVariable        = "CONSUL_CLIENT_KEY"
	serverNameVariable = "CONSUL_TLS_SERVER_NAME"
	namespaceVariable  = "CONSUL_NAMESPACE"
	partitionVariable  = "CONSUL_PARTITION"
)

// servers caches connections to servers. It is safe for concurrent use.
type servers struct {
	connection backend.Connection
	target     bool // for the role of a target

	mu      sync.Mutex
	servers map[string]*server
}

// A server is a connection to a Consul server or agent, with credentials.
type server struct {
	base      string // without a slash at the end
	host      string
	client    http.Client
	token     string
	tokenFrom string // a variable; "" without a token
	withheld  string // why no token is sent although one is set, "" otherwise
	auth      *url.Userinfo
	query     url.Values // for all requests: the datacenter, namespace and partition
	timeout   time.Duration
	userAgent string
	maxState  int64         // of a state, in bytes
	wire      *backend.Wire // nil for a source
}

// maxState limits the size of a state after it is decompressed, so that a small value cannot
// occupy the program for hours. Terraform holds a state in memory several times.
const maxState = 4 << 30

// server returns the connection to the server of a location, creating it on the first call. It
// sends no requests.
func (s *servers) server(l *location) (*server, error) {
	env := backend.Getenv(s.connection.Environ)
	query := url.Values{}
	for _, p := range []struct{ name, value string }{
		{"dc", l.params.Get(paramDatacenter)}, {"ns", cmp.Or(l.params.Get(paramNamespace), env(namespaceVariable))},
		{"partition", cmp.Or(l.params.Get(paramPartition), env(partitionVariable))},
	} {
		if p.value != "" {
			query.Set(p.name, p.value)
		}
	}
	id := l.base() + "?" + query.Encode()
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.servers[id]; known != nil {
		return known, nil
	}
	made, err := s.newServer(l, query)
	if err != nil {
		return nil, err
	}
	if s.servers == nil {
		s.servers = map[string]*server{}
	}
	s.servers[id] = made
	return made, nil
}

func (s *servers) newServer(l *location, query url.Values) (*server, error) {
	env := backend.Getenv(s.connection.Environ)
	made := &server{base: l.base(), host: l.host, query: query, timeout: s.connection.Timeout, userAgent: s.connection.UserAgent, maxState: maxState}
	if err := made.readCredentials(env); err != nil {
		return nil, err
	}
	name, _ := hostName(l.host)
	if s.connection.Doubts != nil && !l.inherited && (made.token != "" || made.auth != nil) {
		if _, own, _ := readAddress(addressVariable, env(addressVariable)); !strings.EqualFold(own, l.host) && !backend.IsLoopback(name) {
			if s.connection.Doubts(name) != "" {
				made.withheld = fmt.Sprintf("the credentials in the environment are not sent to %s, because only a settings file names it: use --target, or set %s", l.host, addressVariable)
				made.token, made.auth = "", nil
			}
		}
	}
	transport, err := s.transport(l, env)
	if err != nil {
		return nil, err
	}
	made.client = http.Client{Transport: transport, CheckRedirect: backend.NoRedirects}
	if s.target {
		made.wire = &backend.Wire{}
	}
	return made, nil
}

// readCredentials finds the token in the order of Consul's client: the file first.
func (s *server) readCredentials(env func(string) string) error {
	if s.token = env(tokenVariable); s.token != "" {
		s.tokenFrom = tokenVariable
	}
	if file := env(tokenFileVariable); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("the file in %s cannot be read: %w", tokenFileVariable, plainwords.WithoutPath(err))
		}
		if token := strings.TrimSpace(string(text)); token != "" {
			s.token, s.tokenFrom = token, tokenFileVariable
		}
	}
	if strings.ContainsAny(s.token, "\r\n") {
		return fmt.Errorf("the token in %s has several lines: store only the token there", s.tokenFrom)
	}
	if auth := env(authVariable); auth != "" {
		user, password, _ := strings.Cut(auth, ":")
		s.auth = url.UserPassword(user, password)
	}
	return nil
}

// transport returns a transport with the user's certificates, timeouts and proxies.
func (s *servers) transport(l *location, env func(string) string) (*http.Transport, error) {
	t := s.connection.Transport()
	if !l.tls {
		return t, nil
	}
	if verify, err := strconv.ParseBool(env(verifyVariable)); err == nil && !verify {
		return nil, fmt.Errorf("%s=%s would accept any certificate, and tfhaul always verifies it: unset the variable, and name the certificate authority in %s or --ca-file", verifyVariable, env(verifyVariable), caFileVariable)
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig.ServerName = cmp.Or(env(serverNameVariable), t.TLSClientConfig.ServerName)
	if cert, key := env(certVariable), env(keyVariable); cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("the client certificate in %s and %s cannot be used: %w", certVariable, keyVariable, plainwords.WithoutPath(err))
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, addAuthorities(t.TLSClientConfig, env)
}

// addAuthorities adds the certificate authorities that the environment names.
func addAuthorities(config *tls.Config, env func(string) string) error {
	files := map[string]string{} // the variables, by file
	if file := env(caFileVariable); file != "" {
		files[file] = caFileVariable
	}
	if dir := env(caDirVariable); dir != "" && len(files) == 0 {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("the directory in %s cannot be read: %w", caDirVariable, plainwords.WithoutPath(err))
		}
		for _, e := range entries {
			if !e.IsDir() {
				files[filepath.Join(dir, e.Name())] = caDirVariable
			}
		}
	}
	if len(files) == 0 {
		return nil
	}
	pool := config.RootCAs
	if pool == nil {
		var err error
		if pool, err = x509.SystemCertPool(); err != nil {
			pool = x509.NewCertPool()
		}
	}
	pool = pool.Clone()
	for file, variable := range files {
		text, err := os.ReadFile(file)
		if err == nil && !pool.AppendCertsFromPEM(text) {
			err = errors.New("a file has no certificate in the PEM format")
		}
		if err != nil {
			return fmt.Errorf("the certificate authorities in %s cannot be used: %w", variable, plainwords.WithoutPath(err))
		}
	}
	config.RootCAs = pool
	return nil
}
