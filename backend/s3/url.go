package s3

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"tfhaul/backend"
)

// The parameters of an s3:// URL.
const (
	paramEndpoint  = "endpoint"
	paramKMSKey    = "kms-key-id"
	paramLockFile  = "lock-file"
	paramLockTable = "lock-table"
	paramPathStyle = "path-style"
	paramProfile   = "profile"
	paramRegion    = "region"
	paramSSE       = "sse"
	paramVersion   = "versionId"
	paramPrefix    = "workspace-key-prefix"
)

// parameterNames lists the parameters in the order used in an object's address.
var parameterNames = []string{
	paramEndpoint, paramKMSKey, paramLockFile, paramLockTable, paramPathStyle, paramProfile, paramRegion, paramSSE, paramVersion, paramPrefix,
}

// defaultKeyPrefix is Terraform's default of workspace_key_prefix
// (https://developer.hashicorp.com/terraform/language/backend/s3).
const defaultKeyPrefix = "env:"

// location is a parsed s3:// URL.
type location struct {
	bucket string
	key    string // of the object, or the prefix to search: empty, or ending in a slash
	params url.Values

	pathStyle   bool
	noLockFile  bool     // Terraform's use_lockfile = false: the lock is only in the table
	sse         string   // the server-side encryption of what is written; "" for the bucket's
	keyPrefixes []string // workspace_key_prefix without leading and trailing slashes, longest first
}

// searches reports whether the URL names a prefix rather than one object.
func (u *location) searches() bool { return u.key == "" || strings.HasSuffix(u.key, "/") }

// parseLocation parses s3://bucket/key?param=value. The key may be written as it is or
// percent-encoded, so "%" and "?" in a key must be written %25 and %3F; "+" and "#" stand
// for themselves. A key that ends in a slash, or no key, is a prefix.
//
// An error repeats only the part of the URL that is wrong, and nothing of a URL with
// credentials.
func parseLocation(ref string) (*location, error) {
	_, rest, _ := strings.Cut(ref, "://")
	where, query, _ := strings.Cut(rest, "?")
	bucket, key, _ := strings.Cut(where, "/")
	// A secret key may contain a slash, which ends the bucket.
	if strings.Contains(bucket, "@") || strings.Contains(bucket, ":") && !strings.HasPrefix(bucket, "arn:") {
		return nil, fmt.Errorf("an s3:// URL must not contain credentials, because URLs are shown and logged: use the environment, the shared AWS files or ?%s=NAME", paramProfile)
	}
	if !isBucketName(bucket) {
		return nil, fmt.Errorf("%q is not a bucket name: write s3://BUCKET/KEY or s3://BUCKET/PREFIX/", bucket)
	}
	u := &location{bucket: bucket}
	var err error
	if u.key, err = url.PathUnescape(key); err != nil {
		return nil, fmt.Errorf("the key %q is not percent-encoded correctly: write %%25 for a percent sign and %%3F for a question mark", key)
	}
	if u.params, err = backend.Parameters("s3", query, parameterNames, paramPrefix); err != nil {
		return nil, err
	}
	return u, u.readParams()
}

func isBucketName(s string) bool {
	if len(s) < 3 || len(s) > 255 { // up to 255 characters and upper case: buckets from before 2018 in us-east-1
		return false
	}
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._", c)) {
			return false
		}
	}
	return true
}

// readParams checks the values of the parameters.
func (u *location) readParams() error {
	var err error
	if u.pathStyle, err = u.flag(paramPathStyle, false); err != nil {
		return err
	}
	lockFile, err := u.flag(paramLockFile, true)
	if err != nil {
		return err
	}
	if u.noLockFile = !lockFile; u.noLockFile && !u.params.Has(paramLockTable) {
		return fmt.Errorf("%s=false leaves no lock: name the DynamoDB table that Terraform locks in with %s=NAME", paramLockFile, paramLockTable)
	}
	if err := u.readEncryption(); err != nil {
		return err
	}
	if u.searches() && u.params.Has(paramVersion) {
		return fmt.Errorf("%s names a version of one object, but %q is a prefix to search: name the object", paramVersion, u.name(u.key))
	}
	if r := u.params.Get(paramRegion); r != "" && !isRegion(r) {
		return fmt.Errorf("%q is not a region name, such as eu-west-1", r)
	}
	if e := u.params.Get(paramEndpoint); e != "" {
		if err := checkEndpoint(e); err != nil {
			return err
		}
	}
	for _, prefix := range u.params[paramPrefix] {
		prefix = strings.Trim(prefix, "/")
		if prefix == "" {
			return fmt.Errorf("%s is the directory where Terraform keeps other workspaces, and cannot be empty", paramPrefix)
		}
		u.keyPrefixes = append(u.keyPrefixes, prefix)
	}
	slices.SortStableFunc(u.keyPrefixes, func(a, b string) int { return len(b) - len(a) })
	return nil
}

// flag reads a parameter that is true or false. The default is not shown in addresses.
func (u *location) flag(name string, value bool) (bool, error) {
	switch v := u.params.Get(name); v {
	case "":
	case "true", "false":
		if (v == "true") == value {
			u.params.Del(name)
		}
		return v == "true", nil
	default:
		return value, fmt.Errorf("%s must be true or false, not %q", name, v)
	}
	return value, nil
}

// The values of the parameter sse.
const (
	sseS3  = "AES256"
	sseKMS = "aws:kms"
)

// readEncryption checks how to encrypt what is written. A KMS key alone implies aws:kms, as
// in Terraform's backend.
func (u *location) readEncryption() error {
	u.sse = u.params.Get(paramSSE)
	key := u.params.Has(paramKMSKey)
	switch {
	case u.sse != "" && u.sse != sseS3 && u.sse != sseKMS:
		return fmt.Errorf("%s must be %s or %s, not %q; the key for SSE-C comes from the variable %s", paramSSE, sseS3, sseKMS, u.sse, customerKeyVariable)
	case key && u.sse == sseS3:
		return fmt.Errorf("%s=%s uses no key of yours: leave out %s, or write %[1]s=%[4]s", paramSSE, sseS3, paramKMSKey, sseKMS)
	case key:
		u.sse = sseKMS
	}
	return nil
}

// isRegion reports whether s can be used as a region in a host name. S3-compatible servers
// have regions of their own, so there is no list to check.
func isRegion(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// checkEndpoint refuses an endpoint that would reveal a secret, or send one over plain
// http.
func checkEndpoint(endpoint string) error {
	e, err := url.Parse(endpoint)
	switch {
	case err != nil || e.Host == "" || e.Scheme != "https" && e.Scheme != "http":
		return fmt.Errorf("the %s of an s3:// URL is not an https:// URL: write ?%[1]s=https://HOST", paramEndpoint)
	case e.User != nil:
		return fmt.Errorf("the %s of an s3:// URL must not contain credentials: use the environment, the shared AWS files or ?%s=NAME", paramEndpoint, paramProfile)
	case e.RawQuery != "" || e.Fragment != "":
		return fmt.Errorf("the %s of an s3:// URL must not have a query or a fragment", paramEndpoint)
	}
	return refusePlainHTTP(e)
}

// refusePlainHTTP allows plain http only to this machine.
func refusePlainHTTP(u *url.URL) error {
	if u.Scheme == "https" || backend.IsLoopback(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("%s://%s would send state over plain http, which is allowed only for loopback addresses: use https", u.Scheme, u.Host)
}

// name returns the URL of the object or prefix at key, with the parameters of this URL. It
// leaves printable characters without a meaning in URLs as they are, for readability.
func (u *location) name(key string) string {
	var b strings.Builder
	b.WriteString("s3://" + u.bucket + "/")
	backend.EscapeURL(&b, key, "-_.~!$'()*,:@/+=&;")
	separator := byte('?')
	for _, param := range parameterNames {
		for _, value := range u.params[param] {
			b.WriteByte(separator)
			b.WriteString(param + "=")
			backend.EscapeURL(&b, value, "-_.~:/@")
			separator = '&'
		}
	}
	return b.String()
}
