package gcs

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	compute "cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"tfhaul/backend"
	"tfhaul/crash"
	"tfhaul/plainwords"
)

// The variables of Terraform's gcs backend
// (https://developer.hashicorp.com/terraform/language/backend/gcs).
const (
	tokenVariable       = "GOOGLE_OAUTH_ACCESS_TOKEN"
	backendVariable     = "GOOGLE_BACKEND_CREDENTIALS"
	credentialsVariable = "GOOGLE_CREDENTIALS"
	keyVariable         = "GOOGLE_ENCRYPTION_KEY"
	kmsVariable         = "GOOGLE_KMS_ENCRYPTION_KEY"
	defaultVariable     = "GOOGLE_APPLICATION_CREDENTIALS"
	emulatorVariable    = "STORAGE_EMULATOR_HOST"
)

// endpointVariables and principalVariables are read in this order.
var (
	endpointVariables  = []string{"GOOGLE_BACKEND_STORAGE_CUSTOM_ENDPOINT", "GOOGLE_STORAGE_CUSTOM_ENDPOINT"}
	principalVariables = []string{"GOOGLE_BACKEND_IMPERSONATE_SERVICE_ACCOUNT", "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT"}
)

// The scopes of tokens: for objects, and for the tokens of another account.
const (
	storageScope  = "https://www.googleapis.com/auth/devstorage.read_write"
	platformScope = "https://www.googleapis.com/auth/cloud-platform"
)

// firstOf returns the first variable that is set, and its value.
func firstOf(getenv func(string) string, names ...string) (name, value string) {
	for _, name := range names {
		if value := getenv(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

// credentials are what requests are authorized with. They are found on the first request,
// in the order of Terraform's gcs backend. They are safe for concurrent use.
type credentials struct {
	getenv func(string) string
	client *http.Client // for requesting tokens
	none   bool         // an emulator needs none

	mu     sync.Mutex
	source oauth2.TokenSource // nil until found
	from   string             // where it is from, for messages
}

// A credentialsError says why tfhaul could not get a token.
type credentialsError struct {
	code backend.Code
	why  string
	err  error
}

func (e *credentialsError) Error() string { return e.why }
func (e *credentialsError) Unwrap() error { return e.err }

// token returns a valid access token; "" if none is needed. Its errors are a
// *credentialsError, or that of ctx.
func (c *credentials) token(ctx context.Context) (string, error) {
	if c.none {
		return "", nil
	}
	type result struct {
		token *oauth2.Token
		err   error
	}
	got := make(chan result, 1)
	crash.Go(ctx, func() { // the library's requests do not end with ctx
		source, err := c.find()
		if err != nil {
			got <- result{err: err}
			return
		}
		token, err := source.Token()
		if err != nil {
			err = c.explain(err)
		}
		got <- result{token, err}
	})
	select {
	case r := <-got:
		if r.err != nil {
			return "", r.err
		}
		return r.token.AccessToken, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// find returns the source of tokens.
func (c *credentials) find() (oauth2.TokenSource, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.source != nil {
		return c.source, nil
	}
	_, principal := firstOf(c.getenv, principalVariables...)
	scope := storageScope
	if principal != "" {
		scope = platformScope
	}
	source, err := c.own(scope)
	if err != nil {
		return nil, err
	}
	if principal != "" {
		source = oauth2.ReuseTokenSource(nil, &impersonation{principal: principal, own: source, client: c.client})
	}
	c.source = source
	return source, nil
}

// own returns the tokens of the credentials themselves.
func (c *credentials) own(scope string) (oauth2.TokenSource, error) {
	if token := c.getenv(tokenVariable); token != "" {
		c.from = tokenVariable
		return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token}), nil
	}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, c.client)
	name, value := firstOf(c.getenv, backendVariable, credentialsVariable)
	if c.from = name; name != "" {
		text, err := pathOrContents(value, c.getenv)
		if err != nil || !json.Valid(text) {
			return nil, &credentialsError{backend.NoCredentials, fmt.Sprintf("%s is neither the path of a readable file nor JSON: set it to the path or the text of a service account's key", name), err}
		}
		return fromJSON(ctx, name, text, scope)
	}
	if path := c.getenv(defaultVariable); path != "" {
		c.from = defaultVariable
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, &credentialsError{backend.NoCredentials, fmt.Sprintf("the file in %s cannot be read: %s", defaultVariable, plainwords.WithoutPath(err)), err}
		}
		return fromJSON(ctx, defaultVariable, text, scope)
	}
	if path := c.wellKnownFile(); path != "" {
		if text, err := os.ReadFile(path); err == nil {
			c.from = "gcloud's application default credentials"
			return fromJSON(ctx, c.from, text, scope)
		}
	}
	c.from = "the metadata server"
	if !compute.OnGCE() {
		return nil, &credentialsError{code: backend.NoCredentials, why: fmt.Sprintf("there are no Google credentials: log in with: gcloud auth application-default login; or set %s to the path of a service account's key", credentialsVariable)}
	}
	return google.ComputeTokenSource("", scope), nil
}

// wellKnownFile returns where gcloud keeps application default credentials.
func (c *credentials) wellKnownFile() string {
	if dir := c.getenv("APPDATA"); dir != "" && os.PathSeparator == '\\' {
		return filepath.Join(dir, "gcloud", "application_default_credentials.json")
	}
	if home := c.getenv("HOME"); home != "" {
		return filepath.Join(home, ".config", "gcloud", "application_default_credentials.json")
	}
	return ""
}

// pathOrContents returns the content of the file at a path, or the value itself if there is
// no such file, as Terraform does.
func pathOrContents(value string, getenv func(string) string) ([]byte, error) {
	path := value
	if rest, ok := strings.CutPrefix(value, "~/"); ok {
		path = filepath.Join(getenv("HOME"), rest)
	}
	if _, err := os.Stat(path); err != nil {
		return []byte(value), nil
	}
	return os.ReadFile(path)
}

// fromJSON returns the tokens of a credentials file of any of Google's types. name says where
// it is from.
func fromJSON(ctx context.Context, name string, text []byte, scope string) (oauth2.TokenSource, error) {
	var file struct {
		Type google.CredentialsType `json:"type"`
	}
	err := json.Unmarshal(text, &file)
	if err == nil {
		var found *google.Credentials
		if found, err = google.CredentialsFromJSONWithType(ctx, text, file.Type, scope); err == nil {
			return found.TokenSource, nil
		}
	}
	// The library's error may repeat a part of the file.
	return nil, &credentialsError{backend.NoCredentials, fmt.Sprintf("the content of %s cannot be used as Google credentials: it must be a service account's key, a gcloud login, or a workload identity configuration", name), err}
}

// explain says why tfhaul could not get a token.
func (c *credentials) explain(err error) error {
	if known, ok := errors.AsType[*credentialsError](err); ok {
		return known
	}
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case !ok && strings.Contains(err.Error(), "private key"): // the library says how it parses keys
		return &credentialsError{backend.NoCredentials, fmt.Sprintf("the private key in %s cannot be read: create a new key for the service account, or copy the file again", c.from), err}
	case !ok:
		return &credentialsError{backend.NoCredentials, fmt.Sprintf("no access token for the credentials in %s: %s", c.from, plainwords.Describe(plainwords.WithoutURL(err))), err}
	}
	said := struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}{refused.ErrorCode, refused.ErrorDescription}
	_ = json.Unmarshal(refused.Body, &said) // a proxy's page has neither
	if said.Code == "invalid_grant" {
		return &credentialsError{backend.ExpiredCredentials, fmt.Sprintf("the credentials in %s have expired or were revoked%s: log in again with: gcloud auth application-default login; or use a key that is still valid", c.from, quotedText(said.Description)), err}
	}
	status := 0
	if refused.Response != nil {
		status = refused.Response.StatusCode
	}
	return &credentialsError{backend.BadCredentials, fmt.Sprintf("the server refuses an access token for the credentials in %s: it answered %d%s", c.from, status, quotedText(strings.TrimSpace(said.Code+" "+said.Description))), err}
}

// An impersonation gets tokens of another service account
// (https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken).
type impersonation struct {
	principal string
	own       oauth2.TokenSource
	client    *http.Client
}

// iamCredentials is the server of impersonation.
var iamCredentials = "https://iamcredentials.googleapis.com"

// Token implements oauth2.TokenSource.
func (i *impersonation) Token() (*oauth2.Token, error) {
	own, err := i.own.Token()
	if err != nil {
		return nil, err
	}
	ask := fmt.Sprintf(`{"scope":[%q],"lifetime":"3600s"}`, storageScope)
	at := iamCredentials + "/v1/projects/-/serviceAccounts/" + url.PathEscape(i.principal) + ":generateAccessToken"
	r, err := http.NewRequest(http.MethodPost, at, strings.NewReader(ask))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	own.SetAuthHeader(r)
	resp, err := i.client.Do(r)
	if err != nil {
		return nil, i.failed(backend.NoCredentials, "the server cannot be reached: "+plainwords.Describe(plainwords.WithoutURL(err)), err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	if resp.StatusCode != http.StatusOK {
		_, said := refusal(resp)
		if resp.StatusCode == http.StatusForbidden {
			return nil, i.failed(backend.BadCredentials, "the credentials need iam.serviceAccounts.getAccessToken for it, as in the role Service Account Token Creator"+quotedText(said), nil)
		}
		return nil, i.failed(backend.BadCredentials, fmt.Sprintf("the server answered %d%s", resp.StatusCode, quotedText(said)), nil)
	}
	var answer struct {
		AccessToken string    `json:"accessToken"`
		ExpireTime  time.Time `json:"expireTime"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxRefusal)).Decode(&answer); err != nil || answer.AccessToken == "" {
		return nil, i.failed(backend.BadCredentials, "the response has no access token", err)
	}
	return &oauth2.Token{AccessToken: answer.AccessToken, Expiry: answer.ExpireTime}, nil
}

func (i *impersonation) failed(code backend.Code, why string, err error) error {
	return &credentialsError{code, fmt.Sprintf("cannot impersonate the service account %q: %s", i.principal, why), err}
}

// customerKey is a customer-supplied encryption key, as the header values of a request.
type customerKey struct{ key, sha256 string }

// readCustomerKey returns nil if no key is set. Its error does not repeat the key.
func readCustomerKey(getenv func(string) string) (*customerKey, error) {
	value := getenv(keyVariable)
	if value == "" {
		return nil, nil
	}
	text, err := pathOrContents(value, getenv)
	if err != nil {
		return nil, fmt.Errorf("the file in %s cannot be read: %w", keyVariable, plainwords.WithoutPath(err))
	}
	key, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s is neither 256 bits in base64 nor the path of a file that holds them: set it to the key that Terraform's gcs backend uses", keyVariable)
	}
	if getenv(kmsVariable) != "" {
		return nil, fmt.Errorf("%s and %s request two different encryptions: unset one of them", keyVariable, kmsVariable)
	}
	return newCustomerKey(key), nil
}
