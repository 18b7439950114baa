package azurerm

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"tfhaul/backend"
)

// The parameters of an azurerm:// URL.
const (
	paramEndpoint      = "endpoint"
	paramEnvironment   = "environment"
	paramResourceGroup = "resource-group"
	paramSnapshot      = "snapshot"
	paramSubscription  = "subscription"
	paramVersion       = "versionid"
)

// parameterNames lists the parameters in the order used in a blob's address.
var parameterNames = []string{paramEndpoint, paramEnvironment, paramResourceGroup, paramSubscription, paramSnapshot, paramVersion}

// location is a parsed azurerm:// URL.
type location struct {
	account, container string
	key                string // of the blob, or the prefix to search: empty, or ending in a slash
	params             url.Values
}

// searches reports whether the URL names a prefix rather than one blob.
func (u *location) searches() bool { return u.key == "" || strings.HasSuffix(u.key, "/") }

// selection returns the version that the URL names.
func (u *location) selection() selection {
	return selection{version: u.params.Get(paramVersion), snapshot: u.params.Get(paramSnapshot)}
}

// accountParams returns the parameters that say how the account is reached.
func (u *location) accountParams() url.Values {
	out := url.Values{}
	for _, name := range parameterNames {
		if value := u.params.Get(name); value != "" && name != paramSnapshot && name != paramVersion {
			out.Set(name, value)
		}
	}
	return out
}

// The names of accounts, containers and versions. The container $root has no name in URLs of
// blobs, and is rare.
var (
	accountName   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	containerName = regexp.MustCompile(`^(?:[a-z0-9](?:-?[a-z0-9]){2,62}|\$web)$`)
	versionName   = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$`)
)

// parseLocation parses azurerm://account/container/key?param=value. The key may be written as
// it is or percent-encoded, so "%" and "?" in a key must be written %25 and %3F; "+" and "#"
// stand for themselves. A key that ends in a slash, or no key, is a prefix.
//
// An error repeats only the part of the URL that is wrong, and nothing of a URL with
// credentials.
func parseLocation(ref string) (*location, error) {
	_, rest, _ := strings.Cut(ref, "://")
	where, query, _ := strings.Cut(rest, "?")
	account, rest, _ := strings.Cut(where, "/")
	name, key, _ := strings.Cut(rest, "/")
	switch {
	case strings.ContainsAny(account, "@:"):
		return nil, fmt.Errorf("an azurerm:// URL must not contain credentials, because URLs are shown and logged: use %s, %s, or az login", keyVariable, sasVariable)
	case strings.Contains(account, ".blob."):
		return nil, fmt.Errorf("%q is the host of a storage account: write only its name, azurerm://%s/CONTAINER/KEY", account, account[:strings.Index(account, ".")])
	case !accountName.MatchString(account):
		return nil, fmt.Errorf("%q is not the name of a storage account: write azurerm://ACCOUNT/CONTAINER/KEY", account)
	case !containerName.MatchString(name):
		return nil, fmt.Errorf("%q is not the name of a container: write azurerm://%s/CONTAINER/KEY", name, account)
	}
	u := &location{account: account, container: name}
	var err error
	if u.key, err = url.PathUnescape(key); err != nil {
		return nil, fmt.Errorf("the key %q is not percent-encoded correctly: write %%25 for a percent sign and %%3F for a question mark", key)
	}
	if names := query; strings.Contains("&"+names, "&sig=") {
		return nil, fmt.Errorf("an azurerm:// URL must not contain a SAS token, because URLs are shown and logged: set %s", sasVariable)
	}
	if u.params, err = backend.Parameters("azurerm", query, parameterNames); err != nil {
		return nil, err
	}
	return u, u.readParams()
}

// readParams checks the values of the parameters.
func (u *location) readParams() error {
	for _, name := range []string{paramSnapshot, paramVersion} {
		switch value := u.params.Get(name); {
		case value == "":
		case !versionName.MatchString(value):
			return fmt.Errorf("%s must be a time as Azure writes it, such as 2026-03-04T05:06:07.1234567Z, not %q", name, value)
		case u.searches():
			return fmt.Errorf("%s names a version of one blob, but %q is a prefix to search: name the blob", name, u.name(u.key))
		}
	}
	if u.params.Has(paramSnapshot) && u.params.Has(paramVersion) {
		return fmt.Errorf("%s and %s name two versions: leave one of them out", paramSnapshot, paramVersion)
	}
	if e := u.params.Get(paramEndpoint); e != "" {
		if _, err := parseEndpoint(e); err != nil {
			return err
		}
	}
	if e := u.params.Get(paramEnvironment); e != "" {
		_, err := cloudOf(e, nil)
		return err
	}
	return nil
}

// parseEndpoint parses the URL of an account's blob service. It refuses one that would reveal
// a secret, or send one over plain http. Errors do not repeat it.
func parseEndpoint(endpoint string) (*url.URL, error) {
	const what = "the " + paramEndpoint + " of an azurerm:// URL"
	e, err := url.Parse(endpoint)
	switch {
	case err != nil || e.Host == "" || e.Scheme != "https" && e.Scheme != "http":
		return nil, fmt.Errorf("%s is not an https:// URL: write that of the account's blob service, https://HOST", what)
	case e.User != nil:
		return nil, fmt.Errorf("%s must not contain credentials: set %s or %s", what, keyVariable, sasVariable)
	case e.RawQuery != "" || e.Fragment != "":
		return nil, fmt.Errorf("%s must not have a query or a fragment", what)
	case e.Scheme == "http" && !backend.IsLoopback(e.Hostname()):
		return nil, fmt.Errorf("%s, http://%s, would send state over plain http, which is allowed only for loopback addresses: use https", what, e.Host)
	}
	e.Path, e.RawPath = strings.TrimSuffix(e.Path, "/"), ""
	return e, nil
}

// name returns the URL of the blob or prefix at key, with the parameters of this URL. It
// leaves printable characters without a meaning in URLs as they are, for readability.
func (u *location) name(key string) string {
	var b strings.Builder
	b.WriteString("azurerm://" + u.account + "/" + u.container + "/")
	escapeKey(&b, key)
	separator := byte('?')
	for _, param := range parameterNames {
		if value := u.params.Get(param); value != "" {
			b.WriteByte(separator)
			b.WriteString(param + "=")
			backend.EscapeURL(&b, value, "-_.~:/@")
			separator = '&'
		}
	}
	return b.String()
}

func escapeKey(b *strings.Builder, key string) { backend.EscapeURL(b, key, "-_.~!$'()*,:@/+=&;") }

// canonical returns the same address for every way to write it.
func canonical(address string) string {
	u, err := parseLocation(address)
	if err != nil {
		return address
	}
	return u.name(u.key)
}

// workspaceMark separates the key of a configuration from the name of a workspace
// (internal/backend/remote-state/azure, keyEnvPrefix).
const workspaceMark = "env:"

// splitWorkspace splits the key of a workspace other than the default one: the key of the
// configuration, followed by env: and the name.
func splitWorkspace(key string) (configuration, workspace string, ok bool) {
	dir, file := path.Split(key)
	before, after, found := strings.Cut(file, backend.StateExt+workspaceMark)
	if found {
		before += backend.StateExt
	} else {
		before, after, found = strings.Cut(file, workspaceMark)
	}
	if !found || before == "" || after == "" || after == backend.DefaultWorkspace {
		return key, backend.DefaultWorkspace, false
	}
	return dir + before, after, true
}

// placeInContainer returns the place of the blob at key. Dir is relative to what is searched.
func placeInContainer(u *location, key string) backend.Place {
	place := backend.Place{Key: key, Bucket: u.container, Root: u.container}
	searched := ""
	if u.searches() {
		searched = u.key
	}
	if searched != "" {
		place.Root = path.Base(searched)
	}
	place.Searched = place.Root
	var configuration string
	configuration, place.Workspace, _ = splitWorkspace(key)
	dir, name := path.Split(strings.TrimPrefix(configuration, searched))
	place.Dir = strings.Trim(dir, "/")
	place.Base = strings.TrimSuffix(name, backend.StateExt)
	return place
}

// layout returns where Terraform's azurerm backend keeps a workspace.
func layout(_, key, workspace string) string {
	if workspace == "" || workspace == backend.DefaultWorkspace {
		return key
	}
	return key + workspaceMark + workspace
}

// splitState returns the directory of a blob as its container.
func splitState(address string) (parent, name string, err error) {
	u, err := parseLocation(address)
	switch {
	case err != nil:
		return "", "", err
	case u.searches():
		return "", "", fmt.Errorf("%q names a prefix, not a blob: write azurerm://ACCOUNT/CONTAINER/KEY", u.name(u.key))
	case u.selection() != selection{}:
		return "", "", fmt.Errorf("%s and %s name a version that exists, and a target gets a new one: leave them out", paramSnapshot, paramVersion)
	}
	dir, name := path.Split(u.key)
	return u.name(dir), name, nil
}

func checkContainer(address string) error {
	u, err := parseLocation(address)
	if err == nil && !u.searches() {
		err = fmt.Errorf("%q names one blob: write azurerm://ACCOUNT/CONTAINER/PREFIX/, with a slash at the end", u.name(u.key))
	}
	return err
}

// addressBelow returns the address of the state with this name in a container, or that of
// the container itself.
func addressBelow(parent, name string) string {
	u, err := parseLocation(parent)
	if err != nil {
		return parent + name
	}
	return u.name(u.key + name)
}

// The limits of a blob's name
// (https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata).
const (
	maxKey      = 1024 // characters
	maxSegments = 254
)

// checkName checks the name of a state's blob below its container. Its error continues a
// sentence.
func checkName(name string) error {
	segments := strings.Split(name, "/")
	switch {
	case name == "", strings.HasSuffix(name, "/"):
		return fmt.Errorf("names the key %q: use one that does not end in a slash", name)
	case slices.ContainsFunc(segments, func(s string) bool { return s == "" || strings.HasSuffix(s, ".") }):
		return fmt.Errorf("names the key %q: use one without empty parts and parts that end in a dot, which Azure does not allow", name)
	case strings.ContainsFunc(name, func(r rune) bool {
		return r < ' ' || r == '\\' || r == 0x7f || r == 0xfffd || r == 0xfffe || r == 0xffff
	}):
		return fmt.Errorf("names the key %q: use one without control characters and backslashes", name)
	case len([]rune(name)) > maxKey, len(segments) > maxSegments:
		return fmt.Errorf("names a key of %d characters in %d parts: use at most %d in %d", len([]rune(name)), len(segments), maxKey, maxSegments)
	}
	return nil
}
