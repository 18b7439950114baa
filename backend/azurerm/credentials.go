package azurerm

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// The variables of Terraform's azurerm backend that choose the credentials for blobs
// (https://developer.hashicorp.com/terraform/language/backend/azurerm).
const (
	keyVariable          = "ARM_ACCESS_KEY"
	sasVariable          = "ARM_SAS_TOKEN"
	entraVariable        = "ARM_USE_AZUREAD"
	subscriptionVariable = "ARM_SUBSCRIPTION_ID"
	environmentVariable  = "ARM_ENVIRONMENT"
	snapshotVariable     = "ARM_SNAPSHOT"
)

// A cloud is one of Azure's environments.
type cloud struct{ authority, manager, storage string }

// clouds are the environments by the name that Terraform gives them.
var clouds = map[string]cloud{
	"public":       {"https://login.microsoftonline.com/", "https://management.azure.com", "core.windows.net"},
	"usgovernment": {"https://login.microsoftonline.us/", "https://management.usgovcloudapi.net", "core.usgovcloudapi.net"},
	"china":        {"https://login.chinacloudapi.cn/", "https://management.chinacloudapi.cn", "core.chinacloudapi.cn"},
}

// cloudOf returns an environment by its name, or that of the variable.
func cloudOf(name string, getenv func(string) string) (cloud, error) {
	what := "the " + paramEnvironment + " of an azurerm:// URL"
	if name == "" {
		what, name = environmentVariable, getenv(environmentVariable)
	}
	if name == "" {
		name = "public"
	}
	c, ok := clouds[strings.ToLower(name)]
	if !ok {
		return cloud{}, fmt.Errorf("%s must be %s, not %q", what, strings.Join(sortedKeys(clouds), ", "), name)
	}
	return c, nil
}

// storageScope is that of tokens for blobs, in every environment.
const storageScope = "https://storage.azure.com/.default"

// credentials are what requests are authorized with. They are found on the first request, in
// the order of Terraform's azurerm backend. They are safe for concurrent use.
type credentials struct {
	getenv                                          func(string) string
	client                                          *http.Client // for tokens and keys
	cloud                                           cloud
	account, container, resourceGroup, subscription string

	turn  chan struct{} // held while credentials or tokens are requested
	found authorization
}

// An authorization is one way to authorize requests: a key, a SAS token, or the tokens of an
// identity.
type authorization struct {
	from, renew string // where it is from, and how to renew it, for messages
	key         []byte
	sas         string // as a query
	source      azcore.TokenCredential
	token       azcore.AccessToken // the last one
}

// A credentialsError says why tfhaul could not get credentials.
type credentialsError struct {
	code backend.Code
	why  string
	err  error
}

func (e *credentialsError) Error() string { return e.why }
func (e *credentialsError) Unwrap() error { return e.err }

func newCredentials(getenv func(string) string, client *http.Client, in cloud, u *location) *credentials {
	c := &credentials{getenv: getenv, client: client, cloud: in, account: u.account, container: u.container, resourceGroup: u.params.Get(paramResourceGroup), turn: make(chan struct{}, 1)}
	if c.subscription = u.params.Get(paramSubscription); c.subscription == "" {
		c.subscription = getenv(subscriptionVariable)
	}
	return c
}

// how returns the authorization that was found.
func (c *credentials) how() authorization {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	return c.found
}

// authorize adds credentials to a request. Its errors are a *credentialsError, or that of ctx.
func (c *credentials) authorize(ctx context.Context, r *http.Request) error {
	how, err := c.authorization(ctx)
	switch {
	case err != nil:
		return err
	case how.key != nil:
		r.Header.Set("Authorization", "SharedKey "+c.account+":"+signature(how.key, c.account, r))
	case how.sas != "":
		if r.URL.RawQuery != "" {
			r.URL.RawQuery += "&"
		}
		r.URL.RawQuery += how.sas
	default:
		r.Header.Set("Authorization", "Bearer "+how.token.Token)
	}
	return nil
}

// tokenMargin is how long before its end a token is replaced.
const tokenMargin = 5 * time.Minute

// authorization returns what authorizes requests now.
func (c *credentials) authorization(ctx context.Context) (authorization, error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return authorization{}, context.Cause(ctx)
	}
	defer func() { <-c.turn }()
	var err error
	if c.found.from == "" {
		var found authorization
		if found, err = c.find(ctx); err != nil {
			return authorization{}, err
		}
		c.found = found
	}
	if c.found.source != nil && time.Until(c.found.token.ExpiresOn) < tokenMargin {
		token, err := c.found.source.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{storageScope}})
		if err != nil {
			return authorization{}, c.explain(ctx, c.found, err)
		}
		c.found.token = token
	}
	return c.found, nil
}

// find returns the first credentials that are set: a key, a SAS token, an identity, or a key
// that Azure's resource manager returns to an identity.
func (c *credentials) find(ctx context.Context) (authorization, error) {
	if text := c.getenv(keyVariable); text != "" {
		return keyOf(keyVariable, text)
	}
	if text := strings.TrimPrefix(strings.TrimSpace(c.getenv(sasVariable)), "?"); text != "" {
		values, err := url.ParseQuery(text)
		if err != nil || values.Get("sig") == "" {
			return authorization{}, &credentialsError{code: backend.NoCredentials, why: sasVariable + " is not a SAS token, because it has no signature: set it to the output of: " + c.sasCommand()}
		}
		return authorization{from: sasVariable, sas: text}, nil
	}
	entra, err := c.isSet(entraVariable, false)
	switch {
	case err != nil:
		return authorization{}, err
	case entra:
		return c.identity()
	case c.resourceGroup == "" || c.subscription == "":
		return authorization{}, &credentialsError{code: backend.NoCredentials, why: fmt.Sprintf(
			"there are no credentials: set %s or %s; or set %s=true to use an identity, such as that of az login; or name the account's %s in the address and set %s, so that the identity can look up the key",
			keyVariable, sasVariable, entraVariable, paramResourceGroup, subscriptionVariable)}
	}
	identity, err := c.identity()
	if err != nil {
		return authorization{}, err
	}
	return c.lookUpKey(ctx, identity)
}

// isSet returns the value of a variable that is true or false.
func (c *credentials) isSet(name string, otherwise bool) (bool, error) {
	text := c.getenv(name)
	if text == "" {
		return otherwise, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, &credentialsError{code: backend.NoCredentials, why: name + " must be true or false"}
	}
	return value, nil
}

// keyOf returns the authorization by a storage account's key.
func keyOf(from, text string) (authorization, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) == 0 {
		return authorization{}, &credentialsError{code: backend.NoCredentials, why: from + " is not the key of a storage account, which is in base64"}
	}
	return authorization{from: from, key: key}, nil
}

// maxDocument limits how much is read of a response with a token or keys.
const maxDocument = 1 << 20

// lookUpKey requests the account's key from Azure's resource manager
// (https://learn.microsoft.com/rest/api/storagerp/storage-accounts/list-keys).
func (c *credentials) lookUpKey(ctx context.Context, identity authorization) (authorization, error) {
	token, err := identity.source.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{c.cloud.manager + "/.default"}})
	if err != nil {
		return authorization{}, c.explain(ctx, identity, err)
	}
	at := fmt.Sprintf("%s/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Storage/storageAccounts/%s/listKeys?api-version=2023-01-01",
		c.cloud.manager, url.PathEscape(c.subscription), url.PathEscape(c.resourceGroup), c.account)
	var answer struct {
		Keys []struct {
			Value       string `json:"value"`
			Permissions string `json:"permissions"`
		} `json:"keys"`
	}
	status, err := c.request(ctx, http.MethodPost, at, map[string]string{"Authorization": "Bearer " + token.Token}, &answer)
	failed := func(code backend.Code, why string) (authorization, error) {
		return authorization{}, &credentialsError{code, fmt.Sprintf("cannot look up the key of the storage account %s: %s", c.account, why), err}
	}
	switch {
	case ctx.Err() != nil:
		return authorization{}, context.Cause(ctx)
	case status == http.StatusUnauthorized:
		return failed(backend.BadCredentials, fmt.Sprintf("the resource manager rejects the access token of %s: %s", identity.from, identity.renew))
	case status == http.StatusForbidden:
		return failed(backend.AccessDenied, fmt.Sprintf("%s needs the permission Microsoft.Storage/storageAccounts/listKeys/action, which the role Storage Account Key Operator Service Role has; or set %s=true", identity.from, entraVariable))
	case status == http.StatusNotFound:
		return failed(backend.NoContainer, fmt.Sprintf("it is not in the resource group %q of the subscription %q", c.resourceGroup, c.subscription))
	case err != nil:
		return failed(backend.NoCredentials, plainwords.Describe(plainwords.WithoutURL(err)))
	}
	for _, key := range answer.Keys {
		if strings.EqualFold(key.Permissions, "Full") {
			return keyOf("the response of the resource manager", key.Value)
		}
	}
	return failed(backend.NoCredentials, "the response of the resource manager has no key with full permissions")
}

// request sends a request and decodes the response, which is JSON. status is 0 if the server
// did not respond.
func (c *credentials) request(ctx context.Context, method, at string, header map[string]string, out any) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return 0, plainwords.WithoutURL(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	switch {
	case resp.StatusCode != http.StatusOK:
		return resp.StatusCode, fmt.Errorf("the server answered %d", resp.StatusCode)
	case err != nil:
		return resp.StatusCode, err
	case json.Unmarshal(text, out) != nil:
		return resp.StatusCode, fmt.Errorf("the response is not in the expected form")
	}
	return resp.StatusCode, nil
}

// signature signs a request with a key
// (https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key).
func signature(key []byte, account string, r *http.Request) string {
	var b bytes.Buffer
	length := ""
	if r.ContentLength > 0 {
		length = strconv.FormatInt(r.ContentLength, 10)
	}
	b.WriteString(r.Method + "\n" + r.Header.Get("Content-Encoding") + "\n" + r.Header.Get("Content-Language") + "\n" + length + "\n")
	for _, name := range []string{"Content-MD5", "Content-Type", "Date", "If-Modified-Since", headerMatch, headerNone, "If-Unmodified-Since", "Range"} {
		b.WriteString(r.Header.Get(name) + "\n")
	}
	var own []string
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-") {
			own = append(own, lower+":"+r.Header.Get(name)+"\n")
		}
	}
	slices.Sort(own)
	b.WriteString(strings.Join(own, ""))
	b.WriteString("/" + account + r.URL.EscapedPath())
	query := r.URL.Query()
	for _, name := range sortedKeys(query) {
		values := slices.Sorted(slices.Values(query[name]))
		b.WriteString("\n" + strings.ToLower(name) + ":" + strings.Join(values, ","))
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(b.Bytes())
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
