package azurerm

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// A permission is what a request needs: a role for identities, and letters for SAS tokens.
type permission struct{ role, sas string }

var (
	mayRead  = permission{"Storage Blob Data Reader", "read (r)"}
	mayList  = permission{"Storage Blob Data Reader", "list (l)"}
	mayWrite = permission{"Storage Blob Data Contributor", "write (w) and create (c)"}
	mayErase = permission{"Storage Blob Data Contributor", "delete (d)"}
)

// An answer is a response that is not a success.
type answer struct {
	status       int
	reason, said string // the server's code and text; "" if it does not explain itself
}

func (a *answer) Error() string { return fmt.Sprintf("status %d %s", a.status, a.reason) }

// maxRefusal limits how much is read of a response that is not a success.
const maxRefusal = 64 << 10

// readAnswer reads why a server refuses a request
// (https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes). A response
// to HEAD has only a header. Anything else, such as a proxy's page, is ignored.
func readAnswer(resp *http.Response) *answer {
	a := &answer{status: resp.StatusCode, reason: resp.Header.Get("X-Ms-Error-Code")}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what arrived is enough
	var document struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
		Message string   `xml:"Message"`
	}
	if xml.Unmarshal(text, &document) == nil {
		if a.reason == "" {
			a.reason = document.Code
		}
		a.said, _, _ = strings.Cut(strings.TrimSpace(document.Message), "\n") // then come IDs
	}
	return a
}

// statusOf returns the status of the response behind err, or 0, and reasonOf its code.
func statusOf(err error) int {
	if a, ok := errors.AsType[*answer](err); ok {
		return a.status
	}
	return 0
}

func reasonOf(err error) string {
	if a, ok := errors.AsType[*answer](err); ok {
		return a.reason
	}
	return ""
}

// isThrottled reports whether the server refused a request only because of its load.
func isThrottled(err error) bool { return backend.CodeOf(err) == backend.RateLimited }

// isUnmet reports whether the condition of a request was not met.
func isUnmet(err error) bool {
	switch reasonOf(err) {
	case "BlobAlreadyExists", "UnauthorizedBlobOverwrite", "ConditionNotMet", "TargetConditionNotMet":
		return true
	case "":
		return statusOf(err) == http.StatusPreconditionFailed
	}
	return false
}

// isLeased reports whether a request failed because someone else has the lease.
func isLeased(err error) bool {
	reason := reasonOf(err)
	return reason == "LeaseAlreadyPresent" || reason == "LeaseIdMissing"
}

// isNotOurs reports whether a request failed because the blob does not have our lease: it has
// another one, or none.
func isNotOurs(err error) bool {
	switch reasonOf(err) {
	case "LeaseIdMismatchWithBlobOperation", "LeaseIdMismatchWithLeaseOperation", "LeaseNotPresentWithBlobOperation",
		"LeaseNotPresentWithLeaseOperation", "LeaseLost", "LeaseIsBrokenAndCannotBeRenewed":
		return true
	}
	return false
}

// mayHaveHappened reports whether a failed request may have taken effect: the server did not
// clearly refuse it, and it was not stopped on this side.
func mayHaveHappened(err error) bool {
	e, known := errors.AsType[*backend.Error](err)
	_, withheld := errors.AsType[*backend.UnsentError](err)
	_, unauthorized := errors.AsType[*credentialsError](err)
	if err == nil || withheld || unauthorized || known && e.Everywhere() || isThrottled(err) {
		return false
	}
	status := statusOf(err)
	return status < 300 || status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented
}

// explain turns the error of a request into a sentence.
func (c *container) explain(ctx context.Context, r request, err error) error {
	if source, ours := errors.AsType[*backend.SourceError](err); ours {
		return source
	}
	if ctx.Err() != nil {
		return fmt.Errorf("cannot %s %q: %w", r.doing, r.address, context.Cause(ctx))
	}
	code, why := c.reasonFor(r, err)
	// The URL of a request may contain a SAS token.
	return &backend.Error{Address: r.address, Code: code, Message: fmt.Sprintf("cannot %s %q: %s", r.doing, r.address, why), Err: plainwords.WithoutURL(err)}
}

// reasonFor returns the code of err, and the part of the sentence that says why and what to
// do.
func (c *container) reasonFor(r request, err error) (code backend.Code, why string) {
	if a, ok := errors.AsType[*answer](err); ok {
		return c.reasonForAnswer(r, a)
	}
	if e, ok := errors.AsType[*credentialsError](err); ok {
		return e.code, e.why
	}
	if u, ok := errors.AsType[*unreadableAnswer](err); ok {
		return backend.Failed, u.why
	}
	return backend.Unreachable, plainwords.Describe(plainwords.WithoutURL(err))
}

func (c *container) reasonForAnswer(r request, a *answer) (code backend.Code, why string) {
	switch a.reason {
	case "ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled":
		return backend.NoContainer, fmt.Sprintf("the container %s does not exist in the account %s: check both names%s", c.url.container, c.account, quotedText(a.said))
	case "ServerBusy", "OperationTimedOut":
		if a.reason == "ServerBusy" {
			return backend.RateLimited, "the server still asks to slow down after several attempts: try again with a lower --parallelism"
		}
	case "BlobArchived", "BlobBeingRehydrated":
		return backend.Archived, "it is in the archive tier: move it to another tier first, with: " + c.command("set-tier", r.key, "--tier", "Hot")
	case "BlobUsesCustomerSpecifiedEncryption":
		return backend.KeyDenied, "it is encrypted with a key that the customer sends with each request, which Terraform's azurerm backend cannot read"
	case "BlobImmutableDueToPolicy":
		return backend.AccessDenied, "an immutability policy or a legal hold prevents it from being replaced or deleted" + quotedText(a.said)
	case "AccountIsDisabled":
		return backend.AccessDenied, "the storage account is disabled" + quotedText(a.said)
	case "LeaseIdMissing", "LeaseAlreadyPresent":
		return backend.LockedByOther, "it is locked: another program has the lease of the blob"
	case "LeaseIdMismatchWithBlobOperation", "LeaseNotPresentWithBlobOperation", "LeaseIdMismatchWithLeaseOperation", "LeaseNotPresentWithLeaseOperation", "LeaseLost":
		return backend.NotLocked, "the lock is not held any more: the lease of the blob was broken"
	}
	switch {
	case a.status == http.StatusTooManyRequests:
		return backend.RateLimited, "the server still asks to slow down after several attempts: try again with a lower --parallelism"
	case a.status == http.StatusNotFound && r.key == "":
		return backend.NoContainer, fmt.Sprintf("the container %s does not exist in the account %s: check both names", c.url.container, c.account)
	case a.status == http.StatusNotFound:
		return backend.NoState, `the blob does not exist (to search a prefix, end it in "/")`
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return c.credentials.refused(r.needs, a)
	case a.status == http.StatusPreconditionFailed:
		return backend.Failed, "it changed meanwhile"
	case a.status >= 300 && a.status < 400:
		return backend.Failed, fmt.Sprintf("the server answered %d and redirects to another address, which tfhaul does not follow because it would send the credentials there: check the endpoint", a.status)
	case a.said != "":
		return backend.Failed, fmt.Sprintf("the server answered %d%s", a.status, quotedText(a.said))
	}
	return backend.Failed, fmt.Sprintf("the server answered %d%s without a readable reason: is the endpoint the blob service of a storage account?", a.status, quotedText(a.reason))
}

// command returns a command of the Azure CLI for a blob.
func (c *container) command(verb, key string, more ...string) string {
	words := "az storage blob " + verb + " --account-name " + c.account + " --container-name " + plainwords.ShellWord(c.url.container) + " --name " + plainwords.ShellWord(key)
	for _, word := range more {
		words += " " + plainwords.ShellWord(word)
	}
	return words
}

// refused explains why the server does not accept the credentials, or what they lack.
func (c *credentials) refused(needs permission, a *answer) (backend.Code, string) {
	said := quotedText(a.said)
	switch a.reason {
	case "KeyBasedAuthenticationNotPermitted":
		return backend.BadCredentials, fmt.Sprintf("the storage account accepts no keys: unset %s, log in with az login, and set %s=true%s", keyVariable, entraVariable, said)
	case "AuthorizationSourceIPMismatch", "AuthorizationProtocolMismatch":
		return backend.AccessDenied, "the SAS token is not valid for this network or protocol" + said
	case "AuthorizationFailure":
		if !strings.Contains(a.said, "permission") {
			return backend.AccessDenied, "access denied: the storage account's firewall does not allow this network, or the credentials lack a permission" + said
		}
	}
	if strings.Contains(strings.ToLower(a.said), "date header") || strings.Contains(a.said, "Request date") {
		return backend.BadCredentials, "the server rejects the time of the request: check this machine's clock" + said
	}
	how := c.how()
	switch {
	case how.sas != "" && sasExpired(how.sas):
		return backend.ExpiredCredentials, fmt.Sprintf("the SAS token in %s has expired: create another one with: %s", sasVariable, c.sasCommand())
	case how.sas != "" && a.reason == "AuthenticationFailed":
		return backend.BadCredentials, fmt.Sprintf("the server rejects the SAS token in %s: create another one with: %s%s", sasVariable, c.sasCommand(), said)
	case how.sas != "":
		return backend.AccessDenied, fmt.Sprintf("access denied: the SAS token in %s needs the permission %s%s", sasVariable, needs.sas, said)
	case how.key != nil:
		return backend.BadCredentials, fmt.Sprintf("the server rejects the key in %s, which may have been rotated: set it to the output of: az storage account keys list --account-name %s --query '[0].value' --output tsv%s", how.from, c.account, said)
	case a.status == http.StatusUnauthorized:
		return backend.BadCredentials, fmt.Sprintf("the server rejects the access token of %s: %s%s", how.from, how.renew, said)
	}
	return backend.AccessDenied, fmt.Sprintf("access denied: %s needs the role %s on the container or the account%s", how.from, needs.role, said)
}

// sasExpired reports whether a SAS token has expired.
func sasExpired(sas string) bool {
	values, _ := url.ParseQuery(sas) // was checked
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z", "2006-01-02"} {
		if end, err := time.Parse(layout, values.Get("se")); err == nil {
			return time.Now().After(end)
		}
	}
	return false
}

// sasCommand returns the command that creates a SAS token for a day.
func (c *credentials) sasCommand() string {
	return fmt.Sprintf("az storage container generate-sas --account-name %s --name %s --permissions rcwdl --expiry %s --auth-mode login --as-user --output tsv",
		c.account, plainwords.ShellWord(c.container), time.Now().Add(24*time.Hour).UTC().Format("2006-01-02T15:04Z"))
}

// credentialText matches what looks like a token, a key or a signature: known forms, or too
// long and mixed to be a word or a part of a name.
var credentialText = regexp.MustCompile(`\beyJ[^\s"]+|\bsig=[^\s&"]+|[A-Za-z0-9+/=%_~-]{40,}`)

// quotedText returns the server's text for appending to a sentence. Credentials are removed,
// because a careless server repeats those of the request.
func quotedText(said string) string { return plainwords.Quoted(said, credentialText) }
