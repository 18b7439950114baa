package gcs

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/fixtures/cloudstorage"
)

// fakeGoogle is a server of tokens and of objects.
type fakeGoogle struct {
	*httptest.Server
	objects cloudstorage.Server
	tokens  []string // that requests for objects carried
	refuse  string   // the body of a refused token
}

func newGoogle(t *testing.T) *fakeGoogle {
	g := &fakeGoogle{}
	g.objects.AddBucket("acme", false)
	put(&g.objects, "a.tfstate", "{}")
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token" && g.refuse != "":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, g.refuse)
		case r.URL.Path == "/token":
			w.Header().Set("Content-Type", "application/json")
			kind := "of-" + strings.ReplaceAll(r.FormValue("grant_type"), "urn:ietf:params:oauth:grant-type:", "")
			fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600,"token_type":"Bearer"}`, kind)
		case strings.HasSuffix(r.URL.Path, ":generateAccessToken"):
			if name := strings.Split(r.URL.Path, "/"); name[len(name)-1] == "denied@acme.test:generateAccessToken" {
				cloudstorage.Refuse(w, 403, "forbidden", "no")
				return
			}
			fmt.Fprintf(w, `{"accessToken":"impersonated-by-%s","expireTime":"2099-01-01T00:00:00Z"}`, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		default:
			g.tokens = append(g.tokens, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			g.objects.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(g.Close)
	was := iamCredentials
	iamCredentials = g.URL
	t.Cleanup(func() { iamCredentials = was })
	return g
}

// serviceAccount returns a service account's key, and user the login of a user.
func (g *fakeGoogle) serviceAccount(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, map[string]string{"type": "service_account", "client_email": "ann@acme.test", "token_uri": g.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))})
}

func encode(t *testing.T, values map[string]string) string {
	t.Helper()
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open reads the object with an environment.
func (g *fakeGoogle) open(t *testing.T, variables ...string) error {
	t.Helper()
	k := Kind(backend.Connection{Environ: append([]string{"HOME=/nonexistent", endpointVariables[1] + "=" + g.URL + "/storage/v1/"}, variables...)})
	listing, err := backend.Kinds{k}.Find(t.Context(), "gs://acme/a.tfstate", backend.Filter{})
	if err != nil {
		return err
	}
	in, _, err := listing.States[0].Open(t.Context(), nil)
	if err == nil {
		_ = in.Close() // not needed
	}
	return err
}

// Credentials are found where Terraform's gcs backend finds them, in the same order.
func TestTheOrderOfCredentials(t *testing.T) {
	g := newGoogle(t)
	key := g.serviceAccount(t)
	path := file(t, key)
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".config", "gcloud"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"key.json": "key.json", "login": ".config/gcloud/application_default_credentials.json"} {
		text := key
		if name == "login" {
			// A user's login always gets its tokens from Google itself.
			text = strings.Replace(key, "ann@", "login@", 1)
		}
		if err := os.WriteFile(filepath.Join(home, to), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const jwt = "of-jwt-bearer"
	for _, tt := range []struct {
		name      string
		variables []string
		want      string
	}{
		{"an access token wins", []string{tokenVariable + "=ya29.token", credentialsVariable + "=" + path}, "ya29.token"},
		{"the backend's own variable", []string{backendVariable + "=" + path, credentialsVariable + "=broken"}, jwt},
		{"a path", []string{credentialsVariable + "=" + path, defaultVariable + "=/nonexistent"}, jwt},
		{"a path in the home directory", []string{"HOME=" + home, credentialsVariable + "=~/key.json"}, jwt},
		{"JSON", []string{credentialsVariable + "=" + key}, jwt},
		{"application default credentials", []string{defaultVariable + "=" + path}, jwt},
		{"gcloud's file", []string{"HOME=" + home}, jwt},
		{"impersonation with a token", []string{tokenVariable + "=ya29.token", principalVariables[1] + "=bob@acme.test"}, "impersonated-by-ya29.token"},
		{"impersonation with a key", []string{credentialsVariable + "=" + path, principalVariables[0] + "=bob@acme.test", principalVariables[1] + "=denied@acme.test"}, "impersonated-by-" + jwt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := g.open(t, tt.variables...); err != nil {
				t.Fatal(err)
			}
			if got := g.tokens[len(g.tokens)-1]; got != tt.want {
				t.Errorf("the token is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestUnusableCredentialsAreExplained(t *testing.T) {
	g := newGoogle(t)
	path := file(t, g.serviceAccount(t))
	t.Setenv("GCE_METADATA_HOST", "") // not this machine's
	for _, tt := range []struct {
		name, refuse, variable, want string
		code                         backend.Code
	}{
		{"neither a path nor JSON", "", credentialsVariable + "=hunter2", "is neither the path of a readable file nor JSON", backend.NoCredentials},
		{"an unknown type", "", credentialsVariable + `={"type":"hunter2"}`, "cannot be used as Google credentials", backend.NoCredentials},
		{"a broken key", "", credentialsVariable + `={"type":"service_account","private_key":"hunter2","token_uri":"` + g.URL + `/token"}`, "the private key in GOOGLE_CREDENTIALS cannot be read", backend.NoCredentials},
		{"a missing file", "", defaultVariable + "=/nonexistent", "the file in GOOGLE_APPLICATION_CREDENTIALS cannot be read", backend.NoCredentials},
		{"an expired login", `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`, credentialsVariable + "=" + path, "log in again with: gcloud auth application-default login", backend.ExpiredCredentials},
		{"a deleted account", `{"error":"invalid_client","error_description":"The OAuth client was not found. ya29.hunter2"}`, credentialsVariable + "=" + path, "invalid_client The OAuth client was not found.", backend.BadCredentials},
		{"impersonation without permission", "", principalVariables[0] + "=denied@acme.test", "iam.serviceAccounts.getAccessToken", backend.BadCredentials},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.refuse = tt.refuse
			variables := []string{tt.variable}
			if strings.HasPrefix(tt.variable, principalVariables[0]) {
				variables = append(variables, tokenVariable+"=x")
			}
			err := g.open(t, variables...)
			if err == nil || !strings.Contains(err.Error(), tt.want) || backend.CodeOf(err) != tt.code || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v (%s)\nwant  %s", err, backend.CodeOf(err), tt.want)
			}
		})
	}
}

// An endpoint of the environment gets the token only over https, or on this machine, and is
// not shown.
func TestEndpointsOfTheEnvironment(t *testing.T) {
	for value, want := range map[string]string{
		"http://storage.example.com/storage/v1/": "over plain http",
		"https://ann:hunter2@storage.example/":   "must not contain credentials",
		"https://storage.example/?sig=hunter2":   "must not have a query",
		"storage.example":                        "is not an https:// URL",
	} {
		for _, variable := range append([]string{}, endpointVariables...) {
			_, err := kind(variable+"="+value).Target.Open(t.Context(), "gs://acme/")
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), variable) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s=%s: %v", variable, value, err)
			}
		}
	}
	// The emulator of Google's client needs no credentials, and gets none.
	g := newGoogle(t)
	k := Kind(backend.Connection{Environ: environ(emulatorVariable + "=" + strings.TrimPrefix(g.URL, "http://"))})
	listing, err := backend.Kinds{k}.Find(t.Context(), "gs://acme/", backend.Filter{})
	if err != nil || len(listing.States) != 1 || len(g.tokens) != 1 || g.tokens[0] != "" {
		t.Errorf("%+v, %v, with the tokens %q", listing, err, g.tokens)
	}
	if _, err := kind(emulatorVariable+"=storage.example.com").Target.Open(t.Context(), "gs://acme/"); err == nil || !strings.Contains(err.Error(), "over plain http") {
		t.Errorf("an emulator elsewhere: %v", err)
	}
}
