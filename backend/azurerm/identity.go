package azurerm

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	sdkcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// The variables of Terraform's azurerm backend for identities in Microsoft Entra ID.
const (
	tenantVariable      = "ARM_TENANT_ID"
	clientVariable      = "ARM_CLIENT_ID"
	certificateVariable = "ARM_CLIENT_CERTIFICATE"
	certificatePath     = "ARM_CLIENT_CERTIFICATE_PATH"
	certificatePassword = "ARM_CLIENT_CERTIFICATE_PASSWORD"
	secretVariable      = "ARM_CLIENT_SECRET"
	oidcVariable        = "ARM_USE_OIDC"
	oidcToken           = "ARM_OIDC_TOKEN"
	oidcTokenPath       = "ARM_OIDC_TOKEN_FILE_PATH"
	aksVariable         = "ARM_USE_AKS_WORKLOAD_IDENTITY"
	msiVariable         = "ARM_USE_MSI"
	msiEndpoint         = "ARM_MSI_ENDPOINT"
	cliVariable         = "ARM_USE_CLI"
)

// Variables of which the first that is set counts.
var (
	requestURLVariables   = []string{"ARM_OIDC_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_URL", "SYSTEM_OIDCREQUESTURI"}
	requestTokenVariables = []string{"ARM_OIDC_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SYSTEM_ACCESSTOKEN"}
	connectionVariables   = []string{"ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID", "ARM_OIDC_AZURE_SERVICE_CONNECTION_ID"}
)

// disableDiscovery is set where a test replaces Microsoft's servers, which the library would
// ask about the others.
var disableDiscovery = false

// A principal is what identifies an application.
type principal struct{ tenant, client, secret, assertion string }

// principal reads the variables of an application. The IDs and secrets may be in files.
func (c *credentials) principal() (p principal, err error) {
	for _, v := range []struct {
		into       *string
		name, path string
	}{
		{&p.tenant, tenantVariable, ""}, {&p.client, clientVariable, clientVariable + "_FILE_PATH"},
		{&p.secret, secretVariable, secretVariable + "_FILE_PATH"}, {&p.assertion, oidcToken, oidcTokenPath},
	} {
		*v.into = strings.TrimSpace(c.getenv(v.name))
		path := c.getenv(v.path)
		if *v.into != "" || path == "" {
			continue
		}
		if *v.into, err = readSecret(v.path, path); err != nil {
			return p, err
		}
	}
	aks, err := c.isSet(aksVariable, false)
	if err != nil || !aks {
		return p, err
	}
	p.tenant, p.client = cmp.Or(p.tenant, c.getenv("AZURE_TENANT_ID")), cmp.Or(p.client, c.getenv("AZURE_CLIENT_ID"))
	if path := c.getenv("AZURE_FEDERATED_TOKEN_FILE"); p.assertion == "" && path != "" {
		p.assertion, err = readSecret("AZURE_FEDERATED_TOKEN_FILE", path)
	}
	return p, err
}

func readSecret(variable, path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", &credentialsError{backend.NoCredentials, fmt.Sprintf("the file in %s cannot be read: %s", variable, plainwords.WithoutPath(err)), err}
	}
	return strings.TrimSpace(string(text)), nil
}

// identity returns the first identity that is enabled and complete, in the order of
// Terraform's azurerm backend. If that one fails, no other is tried.
func (c *credentials) identity() (authorization, error) {
	p, err := c.principal()
	if err != nil {
		return authorization{}, err
	}
	flags := map[string]bool{oidcVariable: false, aksVariable: false, msiVariable: false, cliVariable: true}
	for name, otherwise := range flags {
		if flags[name], err = c.isSet(name, otherwise); err != nil {
			return authorization{}, err
		}
	}
	application := p.tenant != "" && p.client != ""
	oidc := application && (flags[oidcVariable] || flags[aksVariable])
	requestURL, requestToken := c.firstOf(requestURLVariables), c.firstOf(requestTokenVariables)
	switch {
	case application && (c.getenv(certificateVariable) != "" || c.getenv(certificatePath) != ""):
		return c.certificate(p)
	case application && p.secret != "":
		source, err := azidentity.NewClientSecretCredential(p.tenant, p.client, p.secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: c.options(), DisableInstanceDiscovery: disableDiscovery})
		return c.made(secretVariable, "set "+secretVariable+" to a secret of the application that is still valid", source, err)
	case oidc && p.assertion != "":
		return c.assertion(p, oidcToken, "request another OIDC token from the CI system", func(context.Context) (string, error) { return p.assertion, nil })
	case oidc && requestURL != "" && requestToken != "":
		return c.assertion(p, "the OIDC token of the CI system", "check the federated credential of the application", func(ctx context.Context) (string, error) {
			return c.requestAssertion(ctx, requestURL, requestToken, c.firstOf(connectionVariables))
		})
	case flags[msiVariable]:
		return authorization{from: "the managed identity", renew: "check that the identity is assigned to this machine", source: &managedIdentity{c, c.getenv(clientVariable)}}, nil
	case flags[cliVariable]:
		login := "az login"
		if p.tenant != "" {
			login += " --tenant " + plainwords.ShellWord(p.tenant)
		}
		source, err := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: p.tenant, Subscription: c.subscription})
		return c.made("the Azure CLI's login", "log in again with: "+login, source, err)
	}
	return authorization{}, &credentialsError{code: backend.NoCredentials, why: fmt.Sprintf("no identity is complete: log in with az login, or set %s, %s, and %s or %s=true, as for Terraform", tenantVariable, clientVariable, secretVariable, oidcVariable)}
}

func (c *credentials) firstOf(names []string) string {
	for _, name := range names {
		if value := c.getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// options makes the library use our connections and the environment's servers.
func (c *credentials) options() policy.ClientOptions {
	return policy.ClientOptions{
		Cloud:     sdkcloud.Configuration{ActiveDirectoryAuthorityHost: c.cloud.authority, Services: map[sdkcloud.ServiceName]sdkcloud.ServiceConfiguration{}},
		Transport: c.client, Retry: policy.RetryOptions{MaxRetries: 2},
	}
}

// made returns the authorization by an identity. The library's error is about the form of an
// ID, and may repeat it.
func (c *credentials) made(from, renew string, source azcore.TokenCredential, err error) (authorization, error) {
	if err != nil {
		return authorization{}, &credentialsError{backend.NoCredentials, fmt.Sprintf("the identity in %s cannot be used: check the form of %s and %s", from, tenantVariable, clientVariable), err}
	}
	return authorization{from: from, renew: renew, source: source}, nil
}

// certificate returns the identity of an application with a certificate, in PKCS#12.
func (c *credentials) certificate(p principal) (authorization, error) {
	from, text := certificateVariable, []byte(nil)
	var err error
	if encoded := c.getenv(certificateVariable); encoded != "" {
		text, err = base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	} else {
		from = certificatePath
		text, err = os.ReadFile(c.getenv(certificatePath))
		err = plainwords.WithoutPath(err)
	}
	if err != nil {
		return authorization{}, &credentialsError{backend.NoCredentials, fmt.Sprintf("the certificate in %s cannot be read: it must be %s", from, map[string]string{certificateVariable: "in base64", certificatePath: "the path of a readable file"}[from]), err}
	}
	certs, key, err := azidentity.ParseCertificates(text, []byte(c.getenv(certificatePassword)))
	if err != nil {
		return authorization{}, &credentialsError{backend.NoCredentials, fmt.Sprintf("the certificate in %s cannot be used: it must be in PKCS#12, with its private key, and %s must be its password", from, certificatePassword), err}
	}
	source, err := azidentity.NewClientCertificateCredential(p.tenant, p.client, certs, key, &azidentity.ClientCertificateCredentialOptions{ClientOptions: c.options(), DisableInstanceDiscovery: disableDiscovery})
	return c.made(from, "set it to a certificate of the application that is still valid", source, err)
}

// assertion returns the identity of an application that another issuer vouches for.
func (c *credentials) assertion(p principal, from, renew string, get func(context.Context) (string, error)) (authorization, error) {
	source, err := azidentity.NewClientAssertionCredential(p.tenant, p.client, get, &azidentity.ClientAssertionCredentialOptions{ClientOptions: c.options(), DisableInstanceDiscovery: disableDiscovery})
	return c.made(from, renew, source, err)
}

// requestAssertion requests an OIDC token from GitHub Actions, or from Azure DevOps for a
// service connection.
func (c *credentials) requestAssertion(ctx context.Context, at, token, connection string) (string, error) {
	failed := func(why string, err error) (string, error) {
		return "", &credentialsError{backend.NoCredentials, "cannot get an OIDC token from the CI system: " + why, err}
	}
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "https" && !backend.IsLoopback(u.Hostname()) {
		return failed("its address, "+strings.Join(requestURLVariables, " or ")+", is not an https:// URL", nil)
	}
	method, query := http.MethodGet, u.Query()
	if connection == "" {
		query.Set("audience", "api://AzureADTokenExchange")
	} else {
		method = http.MethodPost
		query.Set("api-version", "7.1")
		query.Set("serviceConnectionId", connection)
	}
	u.RawQuery = query.Encode()
	var answer struct {
		GitHub string `json:"value"`
		DevOps string `json:"oidcToken"`
	}
	_, err = c.request(ctx, method, u.String(), map[string]string{"Authorization": "Bearer " + token, "Accept": "application/json", "Content-Type": "application/json"}, &answer)
	switch got := cmp.Or(answer.GitHub, answer.DevOps); {
	case err != nil:
		return failed(plainwords.Describe(plainwords.WithoutURL(err)), err)
	case got == "":
		return failed("its response has none", nil)
	default:
		return got, nil
	}
}

// A managedIdentity gets tokens from the server of a virtual machine's identities, as
// Terraform does
// (https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token).
type managedIdentity struct {
	credentials *credentials
	client      string // "" for the machine's own identity
}

// GetToken implements azcore.TokenCredential.
func (m *managedIdentity) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	endpoint := cmp.Or(m.credentials.getenv(msiEndpoint), "http://169.254.169.254/metadata/identity/oauth2/token")
	query := url.Values{"api-version": {"2018-02-01"}, "resource": {strings.TrimSuffix(o.Scopes[0], "/.default")}}
	if m.client != "" {
		query.Set("client_id", m.client)
	}
	var answer struct {
		Token   string      `json:"access_token"`
		Seconds json.Number `json:"expires_in"`
	}
	status, err := m.credentials.request(ctx, http.MethodGet, endpoint+"?"+query.Encode(), map[string]string{"Metadata": "true"}, &answer)
	switch {
	case status == http.StatusBadRequest:
		return azcore.AccessToken{}, &credentialsError{backend.BadCredentials, "the server of managed identities has no such identity: check that it is assigned to this machine, and " + clientVariable, err}
	case err != nil:
		return azcore.AccessToken{}, &credentialsError{backend.NoCredentials, fmt.Sprintf("no access token of the managed identity: %s: does tfhaul run on a machine of Azure? If not, unset %s", plainwords.Describe(plainwords.WithoutURL(err)), msiVariable), err}
	}
	seconds, _ := strconv.Atoi(answer.Seconds.String()) // 0 requests another one the next time
	return azcore.AccessToken{Token: answer.Token, ExpiresOn: time.Now().Add(time.Duration(seconds) * time.Second)}, nil
}

// expiredReasons are Entra's codes for credentials that were valid before.
var expiredReasons = []string{"AADSTS7000222", "AADSTS700082", "AADSTS700024", "AADSTS70043", "AADSTS50173", "AADSTS70008", "az login"}

// explain says why tfhaul could not get a token. The library's text is left out, because it
// repeats the response.
func (c *credentials) explain(ctx context.Context, how authorization, err error) error {
	if known, ok := errors.AsType[*credentialsError](err); ok {
		return known
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	switch {
	case ok && refused.RawResponse != nil:
		said := saidBy(refused.RawResponse)
		code := backend.BadCredentials
		if hasAny(said, expiredReasons) {
			code = backend.ExpiredCredentials
		}
		return &credentialsError{code, fmt.Sprintf("Microsoft Entra ID refuses an access token for the identity in %s: %s%s", how.from, how.renew, quotedText(said)), err}
	case strings.Contains(err.Error(), "executable not found"):
		return &credentialsError{backend.NoCredentials, fmt.Sprintf("there are no credentials: the Azure CLI is not installed, so az login is not possible. Set %s, %s, or the variables of an application, as for Terraform", keyVariable, sasVariable), err}
	case hasAny(err.Error(), expiredReasons):
		return &credentialsError{backend.ExpiredCredentials, "the Azure CLI has no valid login: " + how.renew, err}
	case ok:
		return &credentialsError{backend.BadCredentials, fmt.Sprintf("no access token for the identity in %s: %s", how.from, how.renew), err}
	}
	return &credentialsError{backend.NoCredentials, fmt.Sprintf("no access token for the identity in %s: %s", how.from, plainwords.Describe(plainwords.WithoutURL(err))), err}
}

func hasAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// saidBy returns the first line of a description by Entra.
func saidBy(resp *http.Response) string {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxDocument)) // the library keeps it
	_ = resp.Body.Close()                                         // only read
	var document struct {
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(text, &document) // fails on a proxy's page
	said, _, _ := strings.Cut(document.Description, "\n")
	said, _, _ = strings.Cut(said, " Trace ID")
	return strings.TrimSpace(said)
}
