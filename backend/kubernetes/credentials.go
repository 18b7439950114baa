package kubernetes

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// credentials are what requests are authorized with. They are safe for concurrent use.
type credentials struct {
	from               string // where they are from, for messages
	certificate        bool   // the client has a certificate
	bearer             string
	tokenFile          string // counts more than bearer, and is read again, because it is replaced
	username, password string
	exec               *plugin
	impersonate        http.Header

	timeout time.Duration
	environ []string

	mu   sync.Mutex
	read time.Time // when tokenFile was read
}

// tokenFresh is how long the content of a token's file counts, as in kubectl.
const tokenFresh = time.Minute

// A credentialsError says why there are no credentials for a request.
type credentialsError struct {
	code backend.Code
	why  string
	err  error
}

func (e *credentialsError) Error() string { return e.why }
func (e *credentialsError) Unwrap() error { return e.err }

// authorize adds the credentials to the header of a request.
func (c *credentials) authorize(ctx context.Context, header http.Header) error {
	maps.Copy(header, c.impersonate)
	token, err := c.token(ctx)
	switch {
	case err != nil:
		return err
	case token != "":
		header.Set("Authorization", "Bearer "+token)
	case c.username != "":
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.username+":"+c.password)))
	}
	return nil
}

// token returns the token for a request; "" for none.
func (c *credentials) token(ctx context.Context) (string, error) {
	if c.exec != nil {
		got, err := c.exec.credential(ctx)
		if err != nil {
			return "", err
		}
		return got.token, nil
	}
	if c.tokenFile == "" {
		return c.bearer, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read.IsZero() && time.Since(c.read) < tokenFresh {
		return c.bearer, nil
	}
	text, err := os.ReadFile(c.tokenFile)
	if token := strings.TrimSpace(string(text)); err == nil && token != "" {
		c.bearer, c.read = token, time.Now()
	}
	if c.bearer == "" {
		return "", &credentialsError{backend.NoCredentials, fmt.Sprintf("the file with the token of %s is empty or cannot be read", c.from), err}
	}
	return c.bearer, nil
}

// reject is called when the server rejected a token. It reports whether there may be a new one.
func (c *credentials) reject(token string) bool {
	if c.exec != nil {
		c.exec.reject(token)
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = time.Time{}
	return c.tokenFile != ""
}

// newImpersonation returns the headers that act as another user
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation).
func newImpersonation(u *configUser) http.Header {
	h := http.Header{}
	if u.As == "" {
		return h
	}
	h.Set("Impersonate-User", u.As)
	if u.AsUID != "" {
		h.Set("Impersonate-Uid", u.AsUID)
	}
	for _, group := range u.AsGroups {
		h.Add("Impersonate-Group", group)
	}
	for key, values := range u.AsExtra {
		for _, value := range values {
			h.Add("Impersonate-Extra-"+url.PathEscape(key), value)
		}
	}
	return h
}

// execConfig is the exec section of a user
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins).
type execConfig struct {
	APIVersion string   `yaml:"apiVersion"`
	Command    string   `yaml:"command"`
	Args       []string `yaml:"args"`
	Env        []struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"env"`
	ProvideClusterInfo bool   `yaml:"provideClusterInfo"`
	InteractiveMode    string `yaml:"interactiveMode"`
}

// execAPI is the group of the documents that plugins read and write.
const execAPI = "client.authentication.k8s.io/"

// A plugin is a command that prints credentials. It is safe for concurrent use and runs once at
// a time.
type plugin struct {
	config  *execConfig
	cluster *configCluster
	timeout time.Duration
	environ []string

	mu      sync.Mutex
	current *execCredential // nil before the first
}

// An execCredential is what a plugin printed.
type execCredential struct {
	token   string
	pair    *tls.Certificate
	expires time.Time // zero if never
}

func newPlugin(e *execConfig, c *credentials) (*plugin, error) {
	switch {
	case e.Command == "":
		return nil, errors.New("its exec plugin has no command")
	case e.APIVersion != execAPI+"v1" && e.APIVersion != execAPI+"v1beta1":
		return nil, fmt.Errorf("its exec plugin has the apiVersion %q: only %sv1 and v1beta1 exist today, so update the plugin and let it write the kubeconfig again", e.APIVersion, execAPI)
	case e.InteractiveMode == "Always":
		return nil, errors.New("its exec plugin asks on the terminal (interactiveMode Always), but tfhaul runs plugins without a terminal: use a plugin that stores its login")
	}
	return &plugin{config: e, timeout: c.timeout, environ: c.environ}, nil
}

// name returns the command's name for messages, without arguments, which may be secret.
func (p *plugin) name() string { return filepath.Base(p.config.Command) }

// credential returns the current credentials, running the plugin if there are none or if they
// have expired.
func (p *plugin) credential(ctx context.Context) (*execCredential, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && (p.current.expires.IsZero() || time.Now().Before(p.current.expires)) {
		return p.current, nil
	}
	got, err := p.run(ctx)
	if err != nil {
		return nil, err
	}
	p.current = got
	return got, nil
}

// certificate implements tls.Config.GetClientCertificate.
func (p *plugin) certificate(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	got, err := p.credential(r.Context())
	if err != nil {
		return nil, err
	}
	if got.pair == nil {
		return &tls.Certificate{}, nil
	}
	return got.pair, nil
}

// reject forgets a token that the server rejected.
func (p *plugin) reject(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && p.current.token == token {
		p.current = nil
	}
}

// maxPrinted limits how much is read of what a plugin prints.
const maxPrinted = 1 << 20

// run runs the plugin. It has no terminal.
func (p *plugin) run(ctx context.Context) (*execCredential, error) {
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, p.config.Command, p.config.Args...)
	cmd.WaitDelay = time.Second // for its children, which may keep the pipes open
	cmd.Env = append(cmd.Env, p.environ...)
	for _, v := range p.config.Env {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	cmd.Env = append(cmd.Env, "KUBERNETES_EXEC_INFO="+p.info())
	var stdout, stderr limitedBuffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case limited.Err() != nil:
		return nil, p.failed(fmt.Sprintf("it has printed no credentials for %s", p.timeout), err)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return nil, p.failed("it is not installed, or not on PATH", err)
	case err != nil:
		return nil, p.failed(fmt.Sprintf("it failed%s", plainwords.Quoted(string(stderr.kept), credentialText)), err)
	}
	got, why := p.decode(stdout.kept)
	if why != "" {
		return nil, p.failed(why, nil)
	}
	return got, nil
}

func (p *plugin) failed(why string, err error) error {
	return &credentialsError{backend.ExpiredCredentials, fmt.Sprintf("the exec plugin %s of the kubeconfig gives no credentials: %s: %s", p.name(), why, p.login()), err}
}

// logins are the commands that renew the login of well-known plugins.
var logins = map[string]string{
	"aws": "aws sso login", "aws-iam-authenticator": "aws sso login", "gke-gcloud-auth-plugin": "gcloud auth login", "gcloud": "gcloud auth login",
	"kubelogin": "az login", "az": "az login", "doctl": "doctl auth init", "tsh": "tsh login",
}

// login returns how to renew the login.
func (p *plugin) login() string {
	if command := logins[strings.TrimSuffix(p.name(), ".exe")]; command != "" {
		return "log in again with: " + command
	}
	return "log in again as for kubectl, until kubectl get secrets works"
}

// info returns the document that a plugin reads.
func (p *plugin) info() string {
	spec := map[string]any{"interactive": false}
	if c := p.cluster; c != nil && p.config.ProvideClusterInfo {
		about := map[string]any{"server": c.Server}
		for name, value := range map[string]string{"tls-server-name": c.TLSServerName, "proxy-url": c.ProxyURL} {
			if value != "" {
				about[name] = value
			}
		}
		authority := string(c.CAData)
		if authority == "" {
			authority, _ = readFile("", c.CAFile) // it has been read before
		}
		if authority != "" {
			about["certificate-authority-data"] = []byte(authority)
		}
		for _, e := range c.Extensions {
			if e.Name == execAPI+"exec" {
				about["config"] = e.Extension
			}
		}
		spec["cluster"] = about
	}
	text, err := json.Marshal(map[string]any{"apiVersion": p.config.APIVersion, "kind": "ExecCredential", "spec": spec})
	if err != nil { // an extension with keys that are not text
		return `{"apiVersion":"` + p.config.APIVersion + `","kind":"ExecCredential","spec":{"interactive":false}}`
	}
	return string(text)
}

// decode reads what a plugin printed. why says what is wrong with it, without repeating it.
func (p *plugin) decode(text []byte) (got *execCredential, why string) {
	var printed struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     *struct {
			Token   string    `json:"token"`
			Cert    string    `json:"clientCertificateData"`
			Key     string    `json:"clientKeyData"`
			Expires time.Time `json:"expirationTimestamp"`
		} `json:"status"`
	}
	if json.Unmarshal(text, &printed) != nil || printed.Kind != "ExecCredential" || printed.Status == nil {
		return nil, "it did not print an ExecCredential with a status"
	}
	s := printed.Status
	switch {
	case printed.APIVersion != p.config.APIVersion:
		return nil, fmt.Sprintf("it printed the apiVersion %q, and the kubeconfig has %q", plainwords.Brief(printed.APIVersion), p.config.APIVersion)
	case s.Token == "" && s.Cert == "":
		return nil, "it printed neither a token nor a certificate"
	}
	got = &execCredential{token: s.Token, expires: s.Expires}
	if s.Cert != "" || s.Key != "" {
		pair, err := tls.X509KeyPair([]byte(s.Cert), []byte(s.Key))
		if err != nil { // which may repeat a part of the key
			return nil, "it printed a certificate and a key that are not a pair"
		}
		got.pair = &pair
	}
	return got, ""
}

// A limitedBuffer keeps the first MiB that is written to it.
type limitedBuffer struct{ kept []byte }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), maxPrinted-len(b.kept))]...)
	return len(p), nil
}

// credentialText matches what looks like a token: a JSON web token, or too long and mixed to be a
// word or a name.
var credentialText = regexp.MustCompile(`\beyJ[^\s"]+|\bk8s-aws-v1\.[^\s"]+|[A-Za-z0-9+/=%_-]{48,}`)
