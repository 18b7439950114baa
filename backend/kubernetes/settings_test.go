package kubernetes

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tfhaul/backend"
	fake "tfhaul/fixtures/kubernetes"
)

// An authTest is a TLS server that records how requests are authorized, and lets all through that
// have the token.
type authTest struct {
	*httptest.Server
	authorization atomic.Value // of the last request
	user          atomic.Value // that it impersonates
	client        atomic.Value // the name in its certificate
}

func startAuth(t *testing.T) *authTest {
	t.Helper()
	a := &authTest{}
	s := &fake.Server{}
	s.AddNamespace("infra")
	s.Put("infra", fake.Secrets, fake.Object{Name: "tfstate-default-net", Labels: (&location{suffix: "net", workspace: "default"}).allLabels(), Data: map[string][]byte{"tfstate": zip(t, []byte("{}"))}})
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.authorization.Store(r.Header.Get("Authorization"))
		a.user.Store(r.Header.Get("Impersonate-User") + " " + strings.Join(r.Header.Values("Impersonate-Group"), "+"))
		name := ""
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		a.client.Store(name)
		s.ServeHTTP(w, r)
	}))
	a.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

// config returns a kubeconfig for the server with this user, in YAML.
func (a *authTest) config(user string) string {
	return strings.Replace(fake.Kubeconfig(a.URL, authorityOf(a.Server), ""), `user: {token: ""}`, "user: "+user, 1)
}

// reach lists the states with this environment, and returns how the server saw that.
func (a *authTest) reach(t *testing.T, address string, environ ...string) (string, error) {
	t.Helper()
	a.authorization.Store("")
	a.client.Store("")
	a.user.Store("")
	_, err := (backend.Kinds{Kind(backend.Connection{Environ: environ, Timeout: 20 * time.Second})}).Find(t.Context(), address, backend.Filter{})
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", a.authorization.Load(), a.client.Load(), a.user.Load())), err
}

// newPair returns a client's certificate and key.
func newPair(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text}))
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

const address = "kubernetes://infra"

// Every kind of credential that a kubeconfig can have reaches the server.
func TestFormsOfKubeconfigs(t *testing.T) {
	a := startAuth(t)
	cert, key := newPair(t, "ann")
	dir := t.TempDir()
	for name, text := range map[string]string{"token": "from-the-file\n", "crt": cert, "key": key, "ca": authorityOf(a.Server)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair := fmt.Sprintf("{client-certificate-data: %s, client-key-data: %s}", base64Of(cert), base64Of(key))
	asJSON, err := json.Marshal(map[string]any{
		"current-context": "c", "contexts": []any{map[string]any{"name": "c", "context": map[string]any{"cluster": "k", "user": "u"}}},
		"clusters": []any{map[string]any{"name": "k", "cluster": map[string]any{"server": a.URL + "/", "certificate-authority": "ca", "insecure-skip-tls-verify": true}}},
		"users":    []any{map[string]any{"name": "u", "user": map[string]any{"token": "in-json"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ config, want string }{
		"token":                 {a.config("{token: hunter2}"), "Bearer hunter2"},
		"token file":            {a.config("{token: older, tokenFile: token}"), "Bearer from-the-file"},
		"basic":                 {a.config("{username: ann, password: pw}"), "Basic " + base64Of("ann:pw")},
		"certificate":           {a.config(pair), "ann"},
		"certificate in files":  {a.config("{client-certificate: crt, client-key: key}"), "ann"},
		"impersonation":         {a.config("{token: t, as: bob, as-groups: [dev, ops]}"), "Bearer t  bob dev+ops"},
		"JSON, authority file":  {string(asJSON), "Bearer in-json"},
		"anchors and more keys": {strings.Replace(a.config("&u {token: anchored}"), "kind: Config", "kind: Config\npreferences: {colors: true}\nextensions: []", 1), "Bearer anchored"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "config")
			if err := os.WriteFile(path, []byte(tt.config), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := a.reach(t, address, pathVariable+"="+path); err != nil || got != tt.want {
				t.Errorf("the server saw %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// Terraform's order: KUBE_CONFIG_PATH before KUBE_CONFIG_PATHS, the first file that names something,
// the context of the address before KUBE_CTX before the current one, and the variables that replace
// single settings last.
func TestTheOrderOfSettings(t *testing.T) {
	a := startAuth(t)
	home := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(home, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := write("one", a.config("{token: one}"))
	two := write("two", strings.Replace(a.config("{token: two}"), "name: test\n  context: {cluster: test, user: ann}", "name: other\n  context: {cluster: test, user: bob}", 1)+"- name: bob\n  user: {token: bob}\n")
	list := pathsVariable + "=" + filepath.Join(home, "missing") + string(filepath.ListSeparator) + one + string(filepath.ListSeparator) + two
	cert, key := newPair(t, "env")
	authority := caVariable + "=" + authorityOf(a.Server)
	for name, tt := range map[string]struct {
		address string
		environ []string
		want    string
	}{
		"path before paths":         {address, []string{pathVariable + "=" + one, pathsVariable + "=" + two}, "Bearer one"},
		"home":                      {address, []string{pathVariable + "=~/one", "HOME=" + home}, "Bearer one"},
		"paths, first counts":       {address, []string{list}, "Bearer one"},
		"paths, context of a later": {address + "?context=other", []string{list}, "Bearer bob"},
		"KUBE_CTX":                  {address, []string{list, contextVariable + "=other"}, "Bearer bob"},
		"address before KUBE_CTX":   {address + "?context=test", []string{list, contextVariable + "=other"}, "Bearer one"},
		"KUBE_CTX_AUTH_INFO":        {address, []string{list, userVariable + "=bob"}, "Bearer bob"},
		"KUBE_TOKEN":                {address, []string{list, tokenVariable + "=env"}, "Bearer env"},
		"KUBE_CLIENT_CERT_DATA":     {address, []string{list, certVariable + "=" + cert, keyVariable + "=" + key}, "Bearer one env"},
		"without a kubeconfig":      {address, []string{hostVariable + "=" + a.URL, authority, tokenVariable + "=env"}, "Bearer env"},
		"a missing kubeconfig":      {address, []string{pathVariable + "=" + home + "/none", hostVariable + "=" + a.URL, authority, nameVariable + "=ann", passwordVariable + "=pw"}, "Basic " + base64Of("ann:pw")},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := a.reach(t, tt.address, tt.environ...); err != nil || got != tt.want {
				t.Errorf("the server saw %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestThePodsServiceAccount(t *testing.T) {
	a := startAuth(t)
	host, port, _ := strings.Cut(strings.TrimPrefix(a.URL, "https://"), ":")
	was := serviceAccount
	t.Cleanup(func() { serviceAccount = was })
	serviceAccount = t.TempDir()
	in := []string{"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port}
	if _, err := a.reach(t, address, append(in, inClusterVariable+"=true")...); err == nil || !strings.Contains(err.Error(), "not a pod with a service account") {
		t.Error(err)
	}
	for name, text := range map[string]string{"token": "of-the-pod", "ca.crt": authorityOf(a.Server)} {
		if err := os.WriteFile(filepath.Join(serviceAccount, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := writeFile(t, "config", a.config("{token: one}"))
	for name, tt := range map[string]struct {
		environ []string
		want    string
	}{
		"asked for":            {append(in, inClusterVariable+"=true", pathVariable+"="+path), "Bearer of-the-pod"},
		"without a kubeconfig": {in, "Bearer of-the-pod"},
		"kubeconfig":           {append(in, pathVariable+"="+path), "Bearer one"},
	} {
		if got, err := a.reach(t, address, tt.environ...); err != nil || got != tt.want {
			t.Errorf("%s: the server saw %q, %v; want %q", name, got, err, tt.want)
		}
	}
}

// Settings that cannot be used are explained, without anything secret.
func TestUnusableSettings(t *testing.T) {
	a := startAuth(t)
	secret := "hunter2-" + strings.Repeat("x", 60)
	for name, tt := range map[string]struct {
		address, config string
		environ         []string
		want            string
	}{
		"nothing":             {address, "", nil, "there is no kubeconfig: set KUBE_CONFIG_PATH to its path"},
		"no file":             {address, "", []string{pathVariable + "=/none"}, "no file that KUBE_CONFIG_PATH or KUBE_CONFIG_PATHS names exists"},
		"context, no file":    {address + "?context=a", "", nil, `there is no kubeconfig with the context "a"`},
		"insecure":            {address, a.config("{token: t}"), []string{insecureVariable + "=true"}, "tfhaul always verifies the server's certificate"},
		"not a bool":          {address, a.config("{token: t}"), []string{insecureVariable + "=perhaps"}, "KUBE_INSECURE must be true or false"},
		"not YAML":            {address, "users: [" + secret, nil, "is not a kubeconfig in YAML or JSON"},
		"a field's type":      {address, "users: " + secret, nil, "is not a kubeconfig in YAML or JSON"},
		"not base64":          {address, a.config("{client-certificate-data: '" + secret + "!'}"), nil, "is not a kubeconfig"},
		"unknown context":     {address + "?context=no", a.config("{token: t}"), nil, `no context "no": list them with: kubectl --kubeconfig "$KUBE_CONFIG_PATH" config get-contexts`},
		"unknown user":        {address, a.config("{token: t}"), []string{userVariable + "=no"}, `no user "no"`},
		"unknown cluster":     {address, a.config("{token: t}"), []string{clusterVariable + "=no"}, `no cluster "no"`},
		"plain http":          {address, fake.Kubeconfig("http://k8s.acme.example", "", secret), nil, "which is allowed only for loopback"},
		"credentials in URL":  {address, fake.Kubeconfig("https://ann:"+secret+"@k8s.acme.example", "", ""), nil, "must not contain credentials"},
		"not a URL":           {address, fake.Kubeconfig("ftp://"+secret, "", ""), nil, "is not an https:// URL"},
		"token and password":  {address, a.config("{token: " + secret + ", username: a, password: b}"), nil, "both a token and a user name"},
		"certificate, no key": {address, a.config("{client-certificate-data: " + base64Of(secret) + "}"), nil, "are not a pair in PEM"},
		"file is missing":     {address, a.config("{client-certificate: /none/crt, client-key: /none/key}"), nil, "the file in client-certificate cannot be read"},
		"authority":           {address, fake.Kubeconfig(a.URL, secret, ""), nil, "is not a certificate in PEM"},
		"proxy":               {address, strings.Replace(a.config("{token: t}"), "server:", "proxy-url: 'ftp://"+secret+"'\n    server:", 1), nil, "the proxy of the cluster"},
		"auth-provider":       {address, a.config("{auth-provider: {name: gcp, config: {access-token: " + secret + "}}}"), nil, `the auth-provider "gcp", which Kubernetes has removed`},
		"old plugin":          {address, a.config("{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: aws}}"), nil, "only client.authentication.k8s.io/v1 and v1beta1"},
		"interactive plugin":  {address, a.config("{exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, interactiveMode: Always}}"), nil, "asks on the terminal"},
		"plugin is missing":   {address, a.config("{exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin, args: [" + secret + "]}}"), nil, "the exec plugin no-such-plugin of the kubeconfig gives no credentials: it is not installed, or not on PATH"},
	} {
		t.Run(name, func(t *testing.T) {
			environ := tt.environ
			if tt.config != "" {
				environ = append(environ, pathVariable+"="+writeFile(t, "config", tt.config))
			}
			_, err := a.reach(t, tt.address, environ...)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v\nwant  %s", err, tt.want)
			}
		})
	}
}

// tfhaul verifies the certificate even if the kubeconfig disables that, as Terraform does.
func TestTheCertificateIsAlwaysVerified(t *testing.T) {
	a := startAuth(t)
	config := strings.Replace(fake.Kubeconfig(a.URL, "", "t"), "server:", "insecure-skip-tls-verify: true\n    server:", 1)
	got, err := a.reach(t, address, pathVariable+"="+writeFile(t, "config", config))
	if err == nil || !strings.Contains(err.Error(), "--ca-file") || got != "" {
		t.Errorf("the server saw %q, %v", got, err)
	}
	named := strings.Replace(a.config("{token: t}"), "server:", "tls-server-name: example.com\n    server:", 1)
	if got, err := a.reach(t, address, pathVariable+"="+writeFile(t, "config", named)); err != nil || got != "Bearer t" {
		t.Errorf("the server saw %q, %v", got, err)
	}
	named = strings.Replace(named, "example.com", "elsewhere.test", 1)
	if _, err := a.reach(t, address, pathVariable+"="+writeFile(t, "config", named)); err == nil || !strings.Contains(err.Error(), "elsewhere.test") {
		t.Error(err)
	}
}

// pluginScript writes a plugin as a shell script, and returns the user that runs it.
func pluginScript(t *testing.T, version, script, more string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the plugins of the tests are shell scripts")
	}
	path := filepath.Join(t.TempDir(), "aws")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("{exec: {apiVersion: client.authentication.k8s.io/%s, command: %s, args: [get, token], env: [{name: PROFILE, value: prod}]%s}}", version, path, more)
}

func TestExecPlugins(t *testing.T) {
	a := startAuth(t)
	cert, key := newPair(t, "plugin")
	pair, err := json.Marshal(map[string]any{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": map[string]any{"clientCertificateData": cert, "clientKeyData": key}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ version, script, more, want string }{
		"v1":            {"v1", `echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"'$1-$2-$PROFILE'"}}'`, ", interactiveMode: Never", "Bearer get-token-prod"},
		"v1beta1":       {"v1beta1", `echo '{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"b"}}'`, "", "Bearer b"},
		"a certificate": {"v1", "cat <<'X'\n" + string(pair) + "\nX\n", "", "plugin"},
		"told everything": {"v1", `case "$KUBERNETES_EXEC_INFO" in *'"interactive":false'*) ;; *) exit 1;; esac
case "$KUBERNETES_EXEC_INFO" in *'"server":"` + a.URL + `"'*) ;; *) exit 1;; esac
case "$KUBERNETES_EXEC_INFO" in *certificate-authority-data*) ;; *) exit 1;; esac
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"told"}}'`, ", provideClusterInfo: true", "Bearer told"},
	} {
		t.Run(name, func(t *testing.T) {
			config := a.config(pluginScript(t, tt.version, tt.script, tt.more))
			if got, err := a.reach(t, address, pathVariable+"="+writeFile(t, "config", config), "PATH="+os.Getenv("PATH")); err != nil || got != tt.want {
				t.Errorf("the server saw %q, %v; want %q", got, err, tt.want)
			}
			// A token in the kubeconfig or the environment makes the plugin unnecessary.
			if got, err := a.reach(t, address, pathVariable+"="+writeFile(t, "config", config), tokenVariable+"=env"); err != nil || got != "Bearer env" {
				t.Errorf("the server saw %q, %v", got, err)
			}
		})
	}
}

// A plugin runs once, again when what it printed has expired, and once more when the server rejects
// that.
func TestExecPluginsRunAgain(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	script := `echo x >>` + count + `
n=$(wc -l <` + count + `)
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t'$((n))'","expirationTimestamp":"'$EXPIRES'"}}'`
	c := start(t)
	c.put(t, "net", "default", []byte("{}"))
	c.Token = ""
	rejected := ""
	c.Intercept = func(w http.ResponseWriter, r *http.Request, _ string, answer func() *httptest.ResponseRecorder) {
		if r.Header.Get("Authorization") == rejected {
			fake.Refuse(w, 401, "Unauthorized", "Unauthorized", "")
			return
		}
		fake.Give(w, answer())
	}
	text, err := os.ReadFile(c.path)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), `{token: "`+token+`"}`, pluginScript(t, "v1", script, ""), 1)
	path := writeFile(t, "config", config)
	for _, tt := range []struct {
		does, expires, rejected string
		requests, runs          int
	}{
		{"once", "2999-01-01T00:00:00Z", "", 3, 1},
		{"for every request", "2001-01-01T00:00:00Z", "", 3, 3},
		{"after a rejection", "2999-01-01T00:00:00Z", "Bearer t1", 3, 2},
	} {
		if err := os.RemoveAll(count); err != nil {
			t.Fatal(err)
		}
		rejected = tt.rejected
		kind := Kind(backend.Connection{Environ: []string{pathVariable + "=" + path, "EXPIRES=" + tt.expires, "PATH=" + os.Getenv("PATH")}})
		for range tt.requests {
			if _, err := (backend.Kinds{kind}).Find(t.Context(), address, backend.Filter{}); err != nil {
				t.Errorf("%s: %v", tt.does, err)
			}
		}
		if lines, _ := os.ReadFile(count); len(lines)/2 != tt.runs {
			t.Errorf("%s: the plugin ran %d times, want %d", tt.does, len(lines)/2, tt.runs)
		}
	}
}

func TestExecPluginsThatFail(t *testing.T) {
	a := startAuth(t)
	for name, tt := range map[string]struct{ script, want string }{
		"expired login":   {"echo 'The SSO session has expired eyJhbGciOiJSUzI1NiJ9.hunter2' >&2; exit 255", `the exec plugin aws of the kubeconfig gives no credentials: it failed ("The SSO session has expired [hidden]"): log in again with: aws sso login`},
		"prints nothing":  {"", "it did not print an ExecCredential with a status"},
		"prints no token": {`echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{}}'`, "neither a token nor a certificate"},
		"another version": {`echo '{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"hunter2"}}'`, `it printed the apiVersion "client.authentication.k8s.io/v1beta1"`},
		"no pair":         {`echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"clientCertificateData":"hunter2","clientKeyData":"hunter2"}}'`, "that are not a pair"},
		"never ends":      {"yes hunter2 | head -c 3000000; exec sleep 100", "it has printed no credentials for 20s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := Kind(backend.Connection{Environ: []string{pathVariable + "=" + writeFile(t, "config", a.config(pluginScript(t, "v1", tt.script, ""))), "PATH=" + os.Getenv("PATH")}, Timeout: map[bool]time.Duration{true: time.Second, false: time.Minute}[name == "never ends"]})
			_, err := (backend.Kinds{kind}).Find(t.Context(), address, backend.Filter{})
			want := strings.Replace(tt.want, "20s", "1s", 1)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") || backend.CodeOf(err) != backend.ExpiredCredentials {
				t.Errorf("error %v\nwant  %s", err, want)
			}
		})
	}
}
