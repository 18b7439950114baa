package kubernetes

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// The variables of Terraform's kubernetes backend
// (https://developer.hashicorp.com/terraform/language/backend/kubernetes).
const (
	pathVariable      = "KUBE_CONFIG_PATH"
	pathsVariable     = "KUBE_CONFIG_PATHS"
	contextVariable   = "KUBE_CTX"
	userVariable      = "KUBE_CTX_AUTH_INFO"
	clusterVariable   = "KUBE_CTX_CLUSTER"
	inClusterVariable = "KUBE_IN_CLUSTER_CONFIG"
	hostVariable      = "KUBE_HOST"
	tokenVariable     = "KUBE_TOKEN"
	nameVariable      = "KUBE_USER"
	passwordVariable  = "KUBE_PASSWORD"
	insecureVariable  = "KUBE_INSECURE"
	certVariable      = "KUBE_CLIENT_CERT_DATA"
	keyVariable       = "KUBE_CLIENT_KEY_DATA"
	caVariable        = "KUBE_CLUSTER_CA_CERT_DATA"
	proxyVariable     = "KUBE_PROXY_URL"
	namespaceVariable = "KUBE_NAMESPACE"
)

// defaultNamespace is the namespace of a configuration that names none.
const defaultNamespace = "default"

// serviceAccount is where Kubernetes mounts a pod's token and its cluster's authority.
var serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// settings are how a cluster is reached.
type settings struct {
	server      *url.URL
	serverName  string // in the server's certificate; "" for the host's
	authority   string // in PEM; "" for the system's
	cert, key   string // of the client, in PEM
	proxy       string
	credentials *credentials
	kubectl     string
}

// findSettings finds the settings in Terraform's order: the pod's service account if
// KUBE_IN_CLUSTER_CONFIG is true, or else the kubeconfig, or else the service account if there is
// one; then the other variables, which replace single settings. contextName is a context of the
// kubeconfig; "" for the one in KUBE_CTX, or else the current one. Errors show no values.
func findSettings(contextName string, c backend.Connection) (*settings, error) {
	getenv := backend.Getenv(c.Environ)
	for _, name := range []string{inClusterVariable, insecureVariable} {
		if value := getenv(name); value != "" {
			if _, err := strconv.ParseBool(value); err != nil {
				return nil, fmt.Errorf("%s must be true or false", name)
			}
		}
	}
	if insecure, _ := strconv.ParseBool(getenv(insecureVariable)); insecure {
		return nil, fmt.Errorf("%s is true, but tfhaul always verifies the server's certificate, because states are secret: unset it, and name the cluster's authority in the kubeconfig, in %s or with --ca-file", insecureVariable, caVariable)
	}
	s := &settings{credentials: &credentials{timeout: c.Timeout, environ: c.Environ}}
	if err := s.base(contextName, getenv); err != nil {
		return nil, err
	}
	if err := s.override(getenv); err != nil {
		return nil, err
	}
	return s, nil
}

// base reads the service account or the kubeconfig.
func (s *settings) base(contextName string, getenv func(string) string) error {
	if inCluster, _ := strconv.ParseBool(getenv(inClusterVariable)); inCluster {
		if contextName != "" {
			return fmt.Errorf("%s is true, so there is no context %q: leave out ?%s, or unset the variable", inClusterVariable, contextName, paramContext)
		}
		return s.inCluster(getenv)
	}
	k, err := loadKubeconfig(getenv)
	switch {
	case err != nil:
		return err
	case k != nil:
		return s.fromKubeconfig(k, contextName, getenv)
	case contextName != "":
		return fmt.Errorf("there is no kubeconfig with the context %q: set %s to its path (Terraform does not read ~/.kube/config by itself)", contextName, pathVariable)
	case getenv("KUBERNETES_SERVICE_HOST") != "" && exists(filepath.Join(serviceAccount, "token")):
		return s.inCluster(getenv)
	case getenv(hostVariable) == "" && getenv(pathVariable)+getenv(pathsVariable) != "":
		return fmt.Errorf("no file that %s or %s names exists: correct the path", pathVariable, pathsVariable)
	case getenv(hostVariable) == "":
		return fmt.Errorf("there is no kubeconfig: set %s to its path, such as ~/.kube/config, which neither Terraform's backend nor tfhaul reads by itself", pathVariable)
	}
	s.kubectl = "kubectl"
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// inCluster reads the service account of the pod that tfhaul runs in.
func (s *settings) inCluster(getenv func(string) string) error {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	token := filepath.Join(serviceAccount, "token")
	if host == "" || port == "" || !exists(token) {
		return fmt.Errorf("this is not a pod with a service account: unset %s, and set %s", inClusterVariable, pathVariable)
	}
	authority, err := os.ReadFile(filepath.Join(serviceAccount, "ca.crt"))
	if err != nil {
		return fmt.Errorf("the authority of the pod's service account cannot be read: %w", plainwords.WithoutPath(err))
	}
	s.server = &url.URL{Scheme: "https", Host: net.JoinHostPort(host, port)}
	s.authority, s.kubectl = string(authority), "kubectl"
	s.credentials.tokenFile, s.credentials.from = token, "the pod's service account"
	return nil
}

// fromKubeconfig reads a context of the kubeconfig.
func (s *settings) fromKubeconfig(k *kubeconfig, contextName string, getenv func(string) string) error {
	s.kubectl = `kubectl --kubeconfig "$` + pathVariable + `"`
	if getenv(pathVariable) == "" {
		s.kubectl = `KUBECONFIG="$` + pathsVariable + `" kubectl`
	}
	named := cmp.Or(contextName, getenv(contextVariable))
	if named != "" {
		s.kubectl += " --context " + plainwords.ShellWord(named)
	}
	at := &configContext{}
	if name := cmp.Or(named, k.CurrentContext); name != "" {
		if at = k.context(name); at == nil {
			return fmt.Errorf("the kubeconfig has no context %q: list them with: %s config get-contexts", name, strings.Split(s.kubectl, " --context")[0])
		}
	}
	clusterName, userName := cmp.Or(getenv(clusterVariable), at.Cluster), cmp.Or(getenv(userVariable), at.User)
	cluster, user := k.cluster(clusterName), k.user(userName)
	switch {
	case clusterName == "" && getenv(hostVariable) == "":
		return fmt.Errorf("the kubeconfig has no current context: name one with ?%s=NAME or %s", paramContext, contextVariable)
	case cluster == nil && clusterName != "":
		return fmt.Errorf("the kubeconfig has no cluster %q, which its context or %s names", clusterName, clusterVariable)
	case user == nil && userName != "":
		return fmt.Errorf("the kubeconfig has no user %q, which its context or %s names", userName, userVariable)
	}
	if cluster != nil {
		if err := s.readCluster(cluster); err != nil {
			return fmt.Errorf("the cluster %q in the kubeconfig cannot be used: %w", clusterName, err)
		}
	}
	if user == nil || s.server != nil && s.server.Scheme == "http" { // as in kubectl
		return nil
	}
	s.credentials.from = fmt.Sprintf("the user %q of the kubeconfig", userName)
	if err := s.readUser(user); err != nil {
		return fmt.Errorf("the user %q in the kubeconfig cannot be used: %w", userName, err)
	}
	if s.credentials.exec != nil {
		s.credentials.exec.cluster = cluster
	}
	return nil
}

func (s *settings) readCluster(c *configCluster) (err error) {
	if s.server, err = parseServer(c.Server); err != nil {
		return err
	}
	s.serverName, s.proxy, s.authority = c.TLSServerName, c.ProxyURL, string(c.CAData)
	if s.authority == "" {
		s.authority, err = readFile("certificate-authority", c.CAFile)
	}
	return err
}

// readFile returns the content of a file that a kubeconfig names; "" without a path.
func readFile(field, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the file in %s cannot be read: %w", field, plainwords.WithoutPath(err))
	}
	return string(text), nil
}

func (s *settings) readUser(u *configUser) (err error) {
	if s.cert = string(u.CertData); s.cert == "" {
		if s.cert, err = readFile("client-certificate", u.CertFile); err != nil {
			return err
		}
	}
	if s.key = string(u.KeyData); s.key == "" {
		if s.key, err = readFile("client-key", u.KeyFile); err != nil {
			return err
		}
	}
	c := s.credentials
	c.bearer, c.tokenFile, c.username, c.password = u.Token, u.TokenFile, u.Username, u.Password
	c.impersonate = newImpersonation(u)
	if c.tokenFile != "" {
		if _, err := readFile("tokenFile", c.tokenFile); err != nil {
			return err
		}
	}
	switch {
	case u.Exec != nil:
		if c.exec, err = newPlugin(u.Exec, c); err != nil {
			return err
		}
	case u.AuthProvider != nil && c.bearer == "" && c.tokenFile == "":
		return fmt.Errorf("it has the auth-provider %q, which Kubernetes has removed: let the tool that wrote it write an exec plugin instead", u.AuthProvider.Name)
	}
	return nil
}

// override applies the variables that replace single settings.
func (s *settings) override(getenv func(string) string) error {
	if host := getenv(hostVariable); host != "" {
		var err error
		if s.server, err = parseServer(host); err != nil {
			return fmt.Errorf("%s cannot be used: %w", hostVariable, err)
		}
	}
	if s.server == nil {
		return fmt.Errorf("no cluster is named: set %s or %s", pathVariable, hostVariable)
	}
	c := s.credentials
	s.proxy = cmp.Or(s.proxy, getenv(proxyVariable)) // as in Terraform, the kubeconfig counts first
	s.authority = cmp.Or(getenv(caVariable), s.authority)
	s.cert, s.key = cmp.Or(getenv(certVariable), s.cert), cmp.Or(getenv(keyVariable), s.key)
	c.username, c.password = cmp.Or(getenv(nameVariable), c.username), cmp.Or(getenv(passwordVariable), c.password)
	if token := getenv(tokenVariable); token != "" {
		c.bearer, c.from = token, tokenVariable
		c.tokenFile = ""
	}
	if (c.bearer != "" || c.tokenFile != "") && c.username+c.password != "" {
		return errors.New("there are both a token and a user name with a password: keep one of them")
	}
	if c.bearer != "" || c.tokenFile != "" || c.username != "" || s.cert != "" {
		c.exec = nil
	}
	return nil
}

// parseServer parses the address of an API server. Its error does not repeat it.
func parseServer(server string) (*url.URL, error) {
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("the server is not an https:// URL")
	case u.User != nil:
		return nil, errors.New("the URL of the server must not contain credentials")
	case u.Scheme == "http" && !backend.IsLoopback(u.Hostname()):
		return nil, fmt.Errorf("http://%s would send states over plain http, which is allowed only for loopback addresses: use https", u.Host)
	}
	u.Path, u.RawPath, u.RawQuery, u.Fragment = strings.TrimSuffix(u.Path, "/"), "", "", ""
	return u, nil
}

// configure sets up a transport for the cluster. The cluster's authority counts in addition to
// those of the system and of --ca-file.
func (s *settings) configure(t *http.Transport) error {
	if s.proxy != "" {
		proxy, err := url.Parse(s.proxy)
		if err != nil || proxy.Host == "" || proxy.Scheme != "http" && proxy.Scheme != "https" && proxy.Scheme != "socks5" {
			return fmt.Errorf("the proxy of the cluster (proxy-url or %s) is not an http://, https:// or socks5:// URL", proxyVariable)
		}
		t.Proxy = http.ProxyURL(proxy)
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig.ServerName = s.serverName
	if s.authority != "" {
		pool := x509.NewCertPool()
		if known := t.TLSClientConfig.RootCAs; known != nil {
			pool = known.Clone()
		}
		if !pool.AppendCertsFromPEM([]byte(s.authority)) {
			return fmt.Errorf("the authority of the cluster (certificate-authority or %s) is not a certificate in PEM", caVariable)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	switch {
	case s.cert != "" || s.key != "":
		pair, err := tls.X509KeyPair([]byte(s.cert), []byte(s.key))
		if err != nil { // which may repeat a part of the key
			return fmt.Errorf("the client's certificate and key (client-certificate and client-key, or %s and %s) are not a pair in PEM", certVariable, keyVariable)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
		s.credentials.certificate = true
	case s.credentials.exec != nil:
		t.TLSClientConfig.GetClientCertificate = s.credentials.exec.certificate
	}
	return nil
}
