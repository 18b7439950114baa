package azurerm

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/fixtures/blobstorage"
)

// fakeAzure is Microsoft Entra ID, a resource manager, a server of managed identities, and one
// of blobs.
type fakeAzure struct {
	*httptest.Server
	blobs  blobstorage.Server
	sent   string // what authorized the last request for a blob
	refuse string // Entra's description of a refusal
}

func newAzure(t *testing.T) *fakeAzure {
	t.Helper()
	a := &fakeAzure{}
	a.blobs.AddContainer("acme", false)
	put(&a.blobs, "a.tfstate", "{}")
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
			fmt.Fprintf(w, `{"issuer":"%[1]s/tenant/v2.0","authorization_endpoint":"%[1]s/tenant/oauth2/v2.0/authorize","token_endpoint":"%[1]s/tenant/oauth2/v2.0/token"}`, a.URL)
		case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") && a.refuse != "":
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":%q}`, a.refuse)
		case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
			how := "secret"
			if assertion := r.FormValue("client_assertion"); assertion != "" {
				how = "assertion-" + assertion
			}
			fmt.Fprintf(w, `{"access_token":"%s","expires_in":3600,"token_type":"Bearer"}`, how)
		case r.URL.Path == "/identity":
			fmt.Fprint(w, `{"access_token":"managed","expires_in":"3600"}`)
		case strings.HasSuffix(r.URL.Path, "/listKeys"):
			fmt.Fprintf(w, `{"keys":[{"permissions":"Full","value":%q}]}`, secretKey)
		default:
			a.sent = strings.Split(r.Header.Get("Authorization")+r.URL.Query().Get("sig"), ":")[0]
			a.blobs.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(a.Close)
	was := clouds["public"]
	clouds["public"], disableDiscovery = cloud{a.URL + "/", a.URL, "core.windows.net"}, true
	t.Cleanup(func() { clouds["public"], disableDiscovery = was, false })
	return a
}

// open reads the blob with an environment.
func (a *fakeAzure) open(t *testing.T, parameters string, variables ...string) error {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate())
	k := Kind(backend.Connection{Environ: append([]string{"HOME=/nonexistent", cliVariable + "=false"}, variables...), TLS: &tls.Config{RootCAs: pool}})
	listing, err := backend.Kinds{k}.Find(t.Context(), acme+"a.tfstate?endpoint="+a.URL+parameters, backend.Filter{})
	if err != nil {
		return err
	}
	in, _, err := listing.States[0].Open(t.Context(), nil)
	if err == nil {
		_ = in.Close() // not needed
	}
	return err
}

func TestTheOrderOfCredentials(t *testing.T) {
	a := newAzure(t)
	all := []string{ // each one hides those after it
		keyVariable + "=" + secretKey, sasVariable + "=?sig=of-the-sas", entraVariable + "=true", secretVariable + "=s", oidcToken + "=oidc", msiVariable + "=true",
	}
	fixed := []string{tenantVariable + "=tenant", clientVariable + "=client", oidcVariable + "=true", msiEndpoint + "=" + a.URL + "/identity"}
	for i, want := range []string{"SharedKey account", "of-the-sas", "Bearer secret", "Bearer secret", "Bearer assertion-oidc", "Bearer managed"} {
		variables := append(append([]string{entraVariable + "=true"}, fixed...), all[i:]...)
		if err := a.open(t, "", variables...); err != nil || a.sent != want {
			t.Errorf("with %s, sent %q, want %q (%v)", strings.Split(all[i], "=")[0], a.sent, want, err)
		}
	}
	if err := a.open(t, "&resource-group=rg&subscription=s-1", append(fixed, secretVariable+"=s")...); err != nil || a.sent != "SharedKey account" {
		t.Errorf("a key that is looked up: sent %q (%v)", a.sent, err)
	}
}

func TestUnusableCredentialsAreExplained(t *testing.T) {
	a := newAzure(t)
	application := []string{entraVariable + "=true", tenantVariable + "=tenant", clientVariable + "=client", secretVariable + "=hunter2"}
	for want, tt := range map[string]struct {
		refuse    string
		variables []string
		code      backend.Code
	}{
		"there are no credentials: set ARM_ACCESS_KEY":              {"", nil, backend.NoCredentials},
		"is not the key of a storage account":                       {"", []string{keyVariable + "=hunter2!"}, backend.NoCredentials},
		"is not a SAS token, because it has no signature":           {"", []string{sasVariable + "=hunter2"}, backend.NoCredentials},
		"ARM_USE_AZUREAD must be true or false":                     {"", []string{entraVariable + "=hunter2"}, backend.NoCredentials},
		"no identity is complete: log in with az login":             {"", []string{entraVariable + "=true"}, backend.NoCredentials},
		"set ARM_CLIENT_SECRET to a secret of the application that": {"AADSTS7000222: The provided client secret keys are expired.", application, backend.ExpiredCredentials},
		"Microsoft Entra ID refuses an access token":                {"AADSTS7000215: Invalid client secret provided.", application, backend.BadCredentials},
	} {
		a.refuse = tt.refuse
		if err := a.open(t, "", tt.variables...); err == nil || !strings.Contains(err.Error(), want) || backend.CodeOf(err) != tt.code || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %v (%s)\nwant  %s", err, backend.CodeOf(err), want)
		}
	}
}
