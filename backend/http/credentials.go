package http

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"tfhaul/backend"
)

// The variables of Terraform's http backend for every server
// (https://developer.hashicorp.com/terraform/language/backend/http).
const (
	addressVariable  = "TF_HTTP_ADDRESS"
	userVariable     = "TF_HTTP_USERNAME"
	passwordVariable = "TF_HTTP_PASSWORD"
	caVariable       = "TF_HTTP_CLIENT_CA_CERTIFICATE_PEM"
	certVariable     = "TF_HTTP_CLIENT_CERTIFICATE_PEM"
	keyVariable      = "TF_HTTP_CLIENT_PRIVATE_KEY_PEM"
)

// jobUser is the user name of the token of a CI job in GitLab.
const jobUser = "gitlab-ci-token"

// credentials are what a server receives. The zero value sends nothing.
type credentials struct {
	user, password string
	variable       string // where the password comes from
}

// job reports whether the password is the token of a CI job.
func (c *credentials) job() bool { return c.user == jobUser }

// A candidate is a pair of variables for GitLab, and a variable that names the only server
// that they are for.
type candidate struct{ user, password, of string }

// candidates lists the variables in which GitLab's tools look for a token. Terraform's own come
// first, so that tfhaul uses what Terraform uses. The next are those of GitLab's wrapper for
// Terraform, then that of the command which GitLab shows for a state
// (https://docs.gitlab.com/user/infrastructure/iac/terraform_state/), then that of its command
// line glab and of its Terraform provider. Every CI job has the last one, which cannot list
// states.
var candidates = []candidate{
	{userVariable, passwordVariable, addressVariable},
	{"TF_USERNAME", "TF_PASSWORD", "TF_ADDRESS"},
	{"", "GITLAB_ACCESS_TOKEN", ""},
	{"", "GITLAB_TOKEN", "GITLAB_HOST"},
	{"", "CI_JOB_TOKEN", "CI_SERVER_URL"},
}

// find returns the credentials for a server, and an error if they may be meant for another.
func (s *servers) find(at origin, gitLab bool) (credentials, error) {
	from := candidates
	if !gitLab {
		from = candidates[:1]
	}
	for _, c := range from {
		found := credentials{user: s.getenv(c.user), password: s.getenv(c.password), variable: c.password}
		if c.user == "" {
			found.user = "token" // GitLab ignores it
		}
		if c.password == "CI_JOB_TOKEN" {
			found.user = jobUser
		}
		if found.password == "" && (gitLab || found.user == "") {
			continue
		}
		ok, err := s.bound.permits(c, at)
		if err != nil {
			return credentials{}, err
		}
		if ok {
			found.user = cmp.Or(found.user, "token")
			return found, nil
		}
	}
	return credentials{}, nil
}

// A binding remembers which server gets the secret of a variable: only one ever does. It is
// safe for concurrent use.
type binding struct {
	getenv func(string) string

	mu      sync.Mutex
	servers map[string]origin // by the variable
}

// permits reports whether a server may get the secret of a candidate's variable.
func (b *binding) permits(c candidate, at origin) (bool, error) {
	if of := b.getenv(c.of); c.of != "" && of != "" {
		return namesServer(of, at), nil
	}
	if c.password == "CI_JOB_TOKEN" { // meant for the server that runs the job
		return false, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if first, ok := b.servers[c.password]; ok && first != at {
		only := c.of
		if only == "" {
			only = passwordVariable + " and " + addressVariable + ", instead of " + c.password + ","
		}
		return false, fmt.Errorf("%s would be sent to two servers, %s and %s: set %s for the one that it is meant for", c.password, first, at, only)
	}
	if b.servers == nil {
		b.servers = map[string]origin{}
	}
	b.servers[c.password] = at
	return true, nil
}

// namesServer reports whether a URL, or a host alone, is on a server.
func namesServer(text string, at origin) bool {
	if !strings.Contains(text, "://") {
		text = at.scheme + "://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	named, err := parseOrigin("", u.Host, u.Scheme == "http")
	return err == nil && named == at
}

// newServer returns a connection to a server. It sends no requests.
func (s *servers) newServer(at origin, gitLab bool) (*server, error) {
	var err error
	srv := &server{origin: at, gitLab: gitLab, timeout: s.connection.Timeout, userAgent: s.connection.UserAgent, logger: s.connection.Logger}
	if srv.retries, err = readRetries(s.getenv); err != nil {
		return nil, err
	}
	if srv.credentials, err = s.find(at, gitLab); err != nil {
		return nil, err
	}
	transport := s.connection.Transport()
	srv.client = http.Client{Transport: transport, CheckRedirect: backend.NoRedirects}
	if transport.TLSClientConfig, err = s.tls(at, transport.TLSClientConfig); err != nil {
		return nil, err
	}
	return srv, nil
}

// tls adds the certificates in the variables to a configuration. A client certificate goes to
// the same one server as the password.
func (s *servers) tls(at origin, config *tls.Config) (*tls.Config, error) {
	ca, cert, key := s.getenv(caVariable), s.getenv(certVariable), s.getenv(keyVariable)
	if ca == "" && cert == "" && key == "" {
		return config, nil
	}
	if config == nil {
		config = &tls.Config{}
	}
	if ca != "" {
		if config.RootCAs == nil {
			pool, err := x509.SystemCertPool()
			if err != nil {
				pool = x509.NewCertPool()
			}
			config.RootCAs = pool
		} else {
			config.RootCAs = config.RootCAs.Clone()
		}
		if !config.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, fmt.Errorf("%s has no certificate in PEM: set it to the text of the file, not to its name", caVariable)
		}
	}
	switch {
	case cert == "" && key == "":
		return config, nil
	case cert == "" || key == "":
		return nil, fmt.Errorf("%s and %s belong together: set both", certVariable, keyVariable)
	}
	if ok, err := s.bound.permits(candidate{"", certVariable, addressVariable}, at); !ok {
		return config, err
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil { // whose text may repeat a part of them
		return nil, fmt.Errorf("%s and %s cannot be used: set them to a certificate and its key in PEM", certVariable, keyVariable)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// retries is how often a read is sent, and how long the first and the longest pause are.
type retries struct {
	attempts       int
	first, longest time.Duration
}

// readRetries reads Terraform's retry_max, retry_wait_min and retry_wait_max. Terraform repeats
// writes, too; tfhaul finds out first what became of a write.
func readRetries(getenv func(string) string) (retries, error) {
	r := retries{attempts: 5, first: 250 * time.Millisecond, longest: 30 * time.Second}
	for _, v := range []struct {
		name string
		set  func(n int)
	}{
		{"TF_HTTP_RETRY_MAX", func(n int) { r.attempts = n + 1 }},
		{"TF_HTTP_RETRY_WAIT_MIN", func(n int) { r.first = time.Duration(n) * time.Second }},
		{"TF_HTTP_RETRY_WAIT_MAX", func(n int) { r.longest = time.Duration(n) * time.Second }},
	} {
		text := getenv(v.name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 1000 {
			return r, fmt.Errorf("%s must be a whole number from 0 to 1000, not %q", v.name, text)
		}
		v.set(n)
	}
	if r.first > r.longest {
		return r, errors.New("TF_HTTP_RETRY_WAIT_MIN is greater than TF_HTTP_RETRY_WAIT_MAX")
	}
	return r, nil
}
