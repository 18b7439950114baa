package http

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tfhaul/backend"
)

// The first variable counts that has a token for the server. That of a job comes last, because
// it cannot list states.
func TestTheOrderOfCredentials(t *testing.T) {
	at := origin{"https", "gitlab.example.com"}
	all := []string{
		"TF_HTTP_PASSWORD=1", "TF_HTTP_USERNAME=ann", "TF_PASSWORD=2", "TF_USERNAME=bob", "GITLAB_ACCESS_TOKEN=3", "GITLAB_TOKEN=4",
		"CI_JOB_TOKEN=5", "CI_SERVER_URL=https://gitlab.example.com:443",
	}
	for _, tt := range []struct {
		name           string
		environ        []string
		gitLab         bool
		user, password string
	}{
		{"Terraform's variables", all, true, "ann", "1"},
		{"GitLab's wrapper", all[2:], true, "bob", "2"},
		{"the command that GitLab shows", all[4:], true, "token", "3"},
		{"glab", all[5:], true, "token", "4"},
		{"a job", all[6:], true, jobUser, "5"},
		{"a job of another server", []string{"CI_JOB_TOKEN=5", "CI_SERVER_URL=https://other.example.com"}, true, "", ""},
		{"a job without a server", []string{"CI_JOB_TOKEN=5"}, true, "", ""},
		{"glab's other server", []string{"GITLAB_TOKEN=4", "GITLAB_HOST=other.example.com", "CI_JOB_TOKEN=5", "CI_SERVER_URL=https://gitlab.example.com"}, true, jobUser, "5"},
		{"glab's server", []string{"GITLAB_TOKEN=4", "GITLAB_HOST=gitlab.example.com"}, true, "token", "4"},
		{"a password without a user", all[:1], true, "token", "1"},
		{"a password for another server", append([]string{"TF_HTTP_ADDRESS=https://other.example.com/a"}, all...), true, "bob", "2"},
		{"other servers get only Terraform's", all[2:], false, "", ""},
		{"other servers", all[:2], false, "ann", "1"},
		{"a user without a password", all[1:2], false, "ann", ""},
		{"nothing", nil, true, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			getenv := backend.Getenv(tt.environ)
			s := &servers{getenv: getenv, bound: &binding{getenv: getenv}}
			got, err := s.find(at, tt.gitLab)
			if err != nil || got.user != tt.user || got.password != tt.password {
				t.Errorf("%q, %q, %v; want %q, %q", got.user, got.password, err, tt.user, tt.password)
			}
		})
	}
}

// A password is sent to one server only, whichever kind it has.
func TestNoSecretIsSentToTwoServers(t *testing.T) {
	asked := ""
	first := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, asked, _ = r.BasicAuth()
		_, _ = io.WriteString(w, "{}")
	}))
	second := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the second server was asked") }))
	for name, address := range map[string]string{"the same kind": plain + "://" + second + "/a", "GitLab": "gitlab+http://" + second + "/a/b/c"} {
		t.Run(name, func(t *testing.T) {
			all := kinds()
			if _, err := all.Find(t.Context(), plain+"://"+first+"/a", backend.Filter{}); err != nil {
				t.Fatal(err)
			}
			_, err := all.Find(t.Context(), address, backend.Filter{})
			if err == nil || !strings.Contains(err.Error(), "would be sent to two servers") || !strings.Contains(err.Error(), "set TF_HTTP_ADDRESS") || strings.Contains(err.Error(), token) {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, _, err := read(t, find(t, plain+"://"+first+"/a"), nil); err != nil || asked != token {
		t.Errorf("the first server got the password %t, %v", asked == token, err)
	}
	// As the error says, TF_HTTP_ADDRESS decides.
	asked = ""
	all := kinds("TF_HTTP_ADDRESS=http://" + second + "/a")
	listing, err := all.Find(t.Context(), plain+"://"+first+"/a", backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(t, listing.States[0], nil); err != nil || asked != "" {
		t.Errorf("the first server got the password %t, %v", asked != "", err)
	}
}

func TestUnusableSettings(t *testing.T) {
	for variable, want := range map[string]string{
		"TF_HTTP_RETRY_MAX=many":                     "TF_HTTP_RETRY_MAX must be a whole number",
		"TF_HTTP_RETRY_WAIT_MIN=60":                  "greater than TF_HTTP_RETRY_WAIT_MAX",
		"TF_HTTP_CLIENT_CA_CERTIFICATE_PEM=/etc/pem": "not to its name",
		"TF_HTTP_CLIENT_CERTIFICATE_PEM=hunter2":     "belong together",
		"TF_HTTP_CLIENT_PRIVATE_KEY_PEM=hunter2":     "belong together",
	} {
		_, err := kinds(variable).Find(t.Context(), "http+https://h.example/a", backend.Filter{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", variable, err, want)
		}
	}
	_, err := kinds("TF_HTTP_CLIENT_PRIVATE_KEY_PEM=hunter2", "TF_HTTP_CLIENT_CERTIFICATE_PEM=hunter2").Find(t.Context(), "http+https://h.example/a", backend.Filter{})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("two that are not PEM: %v", err)
	}
}

// A server can require a client certificate and have an authority of its own.
func TestClientCertificates(t *testing.T) {
	certificate, key := newCertificate(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	address := "http+https://" + server.Listener.Addr().String() + "/a"
	for name, tt := range map[string]struct {
		more []string
		want string
	}{
		"nothing":              {nil, "certificate"},
		"only the authority":   {[]string{caVariable + "=" + ca}, "certificate required"},
		"both":                 {[]string{caVariable + "=" + ca, certVariable + "=" + certificate, keyVariable + "=" + key}, ""},
		"for another server":   {[]string{caVariable + "=" + ca, certVariable + "=" + certificate, keyVariable + "=" + key, addressVariable + "=https://other.example.com/a"}, "certificate required"},
		"without an authority": {[]string{certVariable + "=" + certificate, keyVariable + "=" + key}, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			text, _, err := read(t, find(t, address, append(tt.more, "TF_HTTP_RETRY_MAX=0")...), nil)
			if tt.want == "" && (err != nil || text != "{}") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

// newCertificate returns a client certificate and its key in PEM.
func newCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ann"}, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}))
}
