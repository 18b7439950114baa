package gcs

import (
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"

	"tfhaul/backend"
)

// The parameters of a gs:// URL.
const (
	paramEndpoint   = "endpoint"
	paramGeneration = "generation"
	paramKMSKey     = "kms-key-id"
)

// parameterNames lists the parameters in the order used in an object's address.
var parameterNames = []string{paramEndpoint, paramGeneration, paramKMSKey}

// location is a parsed gs:// URL.
type location struct {
	bucket     string
	key        string // of the object, or the prefix to search: empty, or ending in a slash
	params     url.Values
	generation int64 // of ?generation=; 0 for the current one
}

// searches reports whether the URL names a prefix rather than one object.
func (u *location) searches() bool { return u.key == "" || strings.HasSuffix(u.key, "/") }

// parseLocation parses gs://bucket/key?param=value. The key may be written as it is or
// percent-encoded, so "%" and "?" in a key must be written %25 and %3F; "+" and "#" stand for
// themselves. A key that ends in a slash, or no key, is a prefix.
//
// An error repeats only the part of the URL that is wrong, and nothing of a URL with
// credentials.
func parseLocation(ref string) (*location, error) {
	_, rest, _ := strings.Cut(ref, "://")
	where, query, _ := strings.Cut(rest, "?")
	bucket, key, _ := strings.Cut(where, "/")
	if strings.ContainsAny(bucket, "@:") {
		return nil, fmt.Errorf("a gs:// URL must not contain credentials, because URLs are shown and logged: use %s or gcloud's application default credentials", credentialsVariable)
	}
	if !isBucketName(bucket) {
		return nil, fmt.Errorf("%q is not a bucket name: write gs://BUCKET/PREFIX/ or gs://BUCKET/PREFIX/NAME.tfstate", bucket)
	}
	u := &location{bucket: bucket}
	var err error
	if u.key, err = url.PathUnescape(key); err != nil {
		return nil, fmt.Errorf("the name %q is not percent-encoded correctly: write %%25 for a percent sign and %%3F for a question mark", key)
	}
	if u.params, err = backend.Parameters("gs", query, parameterNames); err != nil {
		return nil, err
	}
	return u, u.readParams()
}

// isBucketName follows https://cloud.google.com/storage/docs/buckets#naming
func isBucketName(s string) bool {
	if len(s) < 3 || len(s) > 222 {
		return false
	}
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("-._", c)) {
			return false
		}
	}
	return true
}

// readParams checks the values of the parameters.
func (u *location) readParams() error {
	if text := u.params.Get(paramGeneration); text != "" {
		var err error
		if u.generation, err = strconv.ParseInt(text, 10, 64); err != nil || u.generation <= 0 {
			return fmt.Errorf("%s must be the number of a version, such as 1711111111111111, not %q", paramGeneration, text)
		}
		if u.searches() {
			return fmt.Errorf("%s names a version of one object, but %q is a prefix to search: name the object", paramGeneration, u.name(u.key))
		}
	}
	if e := u.params.Get(paramEndpoint); e != "" {
		_, err := parseEndpoint("the "+paramEndpoint+" of a gs:// URL", e)
		return err
	}
	return nil
}

// parseEndpoint parses the base URL of a server's JSON API. It refuses one that would reveal
// a secret, or send one over plain http. what names it in errors, which do not repeat it.
func parseEndpoint(what, endpoint string) (*url.URL, error) {
	e, err := url.Parse(endpoint)
	switch {
	case err != nil || e.Host == "" || e.Scheme != "https" && e.Scheme != "http":
		return nil, fmt.Errorf("%s is not an https:// URL: write https://HOST/storage/v1/", what)
	case e.User != nil:
		return nil, fmt.Errorf("%s must not contain credentials: they come from %s or gcloud's application default credentials", what, credentialsVariable)
	case e.RawQuery != "" || e.Fragment != "":
		return nil, fmt.Errorf("%s must not have a query or a fragment", what)
	case e.Scheme == "http" && !backend.IsLoopback(e.Hostname()):
		return nil, fmt.Errorf("%s, http://%s, would send state over plain http, which is allowed only for loopback addresses: use https", what, e.Host)
	}
	if e.Path = strings.TrimSuffix(e.Path, "/"); e.Path == "" {
		e.Path = "/storage/v1"
	}
	return e, nil
}

// name returns the URL of the object or prefix at key, with the parameters of this URL. It
// leaves printable characters without a meaning in URLs as they are, for readability.
func (u *location) name(key string) string {
	var b strings.Builder
	b.WriteString("gs://" + u.bucket + "/")
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

// canonical returns the address without what only says how to write the object.
func canonical(address string) string {
	u, err := parseLocation(address)
	if err != nil {
		return address
	}
	u.params.Del(paramKMSKey)
	return u.name(u.key)
}

// placeInBucket returns the place of the object at key. Terraform keeps the state of each
// workspace of a configuration at <prefix>/<workspace>.tfstate, also that of the default one
// (internal/backend/remote-state/gcs, Backend.stateFile). So the file is named after the
// workspace, and the configuration has only its directory.
//
// Dir is relative to what is searched.
func placeInBucket(u *location, key string) backend.Place {
	place := backend.Place{Key: key, Bucket: u.bucket, Workspace: backend.DefaultWorkspace, Root: u.bucket, Base: configuration}
	searched := ""
	if u.searches() {
		searched = u.key
	}
	if searched != "" {
		place.Root = path.Base(searched)
	}
	place.Searched = place.Root
	dir, name := path.Split(strings.TrimPrefix(key, searched))
	place.Dir = strings.Trim(dir, "/")
	if workspace, ok := strings.CutSuffix(name, backend.StateExt); !ok {
		place.Base = name // not one of Terraform's
	} else if workspace != "" {
		place.Workspace = workspace
	}
	return place
}

// configuration is the name of the file that a state has where it is not named after its
// workspace.
const configuration = "terraform"

// layout returns where Terraform's gcs backend keeps a workspace. Its prefix is the path of
// the configuration: network for network/terraform.tfstate, and network/vpc for
// network/vpc.tfstate.
func layout(_, key, workspace string) string {
	if workspace == "" {
		workspace = backend.DefaultWorkspace
	}
	prefix, name := path.Split(strings.TrimSuffix(key, backend.StateExt))
	if name != configuration && name != backend.DefaultWorkspace {
		prefix += name
	}
	return path.Join(prefix, workspace) + backend.StateExt
}

// splitState returns the directory of an object as its container.
func splitState(address string) (container, name string, err error) {
	u, err := parseLocation(address)
	switch {
	case err != nil:
		return "", "", err
	case u.searches():
		return "", "", fmt.Errorf("%q names a prefix, not an object: write gs://BUCKET/PREFIX/NAME%s", u.name(u.key), backend.StateExt)
	case u.generation != 0:
		return "", "", fmt.Errorf("%s names a version that exists, and a target gets a new one: leave it out", paramGeneration)
	}
	dir, name := path.Split(u.key)
	return u.name(dir), name, nil
}

func checkContainer(address string) error {
	u, err := parseLocation(address)
	if err == nil && !u.searches() {
		err = fmt.Errorf("%q names one object: write gs://BUCKET/PREFIX/, with a slash at the end", u.name(u.key))
	}
	return err
}

// addressBelow returns the address of the state with this name in a container, or that of
// the container itself.
func addressBelow(container, name string) string {
	u, err := parseLocation(container)
	if err != nil {
		return container + name
	}
	return u.name(u.key + name)
}

// maxKey is how long the name of an object may be, in bytes.
const maxKey = 1024

// checkName checks the name of a state's object below its container. Its error continues a
// sentence.
func checkName(name string) error {
	switch workspace, ok := strings.CutSuffix(path.Base(name), backend.StateExt); {
	case !ok || workspace == "":
		return fmt.Errorf("names the object %q: use NAME%s, where Terraform's gcs backend keeps the workspace NAME", name, backend.StateExt)
	case path.Clean("/"+name) != "/"+name:
		return fmt.Errorf("names the object %q: use one without empty, . and .. parts", name)
	case strings.ContainsAny(name, "\r\n"):
		return fmt.Errorf("names the object %q: use one without line breaks, which Cloud Storage does not allow", name)
	case len(name) > maxKey:
		return fmt.Errorf("names an object with %d bytes: use at most %d", len(name), maxKey)
	}
	return nil
}
