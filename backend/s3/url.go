package s3

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The parameters of an s3:// URL.
const (
	paramEndpoint  = "endpoint"
	paramLockTable = "lock-table"
	paramPathStyle = "path-style"
	paramProfile   = "profile"
	paramRegion    = "region"
	paramVersion   = "versionId"
	paramPrefix    = "workspace-key-prefix"
)

// parameterNames lists them in the order in which an object's name carries them.
var parameterNames = []string{paramEndpoint, paramLockTable, paramPathStyle, paramProfile, paramRegion, paramVersion, paramPrefix}

// defaultKeyPrefix is Terraform's default of workspace_key_prefix
// (https://developer.hashicorp.com/terraform/language/backend/s3).
const defaultKeyPrefix = "env:"

// location is an s3:// URL taken apart.
type location struct {
	bucket string
	key    string // of the object; or the prefix to be searched: empty, or with a slash at its end
	params url.Values

	pathStyle   bool
	keyPrefixes []string // workspace_key_prefix, without slashes at the ends, the longest first
}

// searches says whether the URL names a prefix rather than one object.
func (u *location) searches() bool { return u.key == "" || strings.HasSuffix(u.key, "/") }

// parseLocation reads s3://bucket/key?param=value. The key may be written as it is or percent-encoded, so
// "%" and "?" in a key have to be written as %25 and %3F; "+" and "#" stand for themselves. A key that
// ends in a slash, or no key, is a prefix.
//
// An error repeats no more of the URL than the part that is wrong, and nothing of one that holds
// credentials.
func parseLocation(ref string) (*location, error) {
	_, rest, _ := strings.Cut(ref, "://")
	where, query, _ := strings.Cut(rest, "?")
	bucket, key, _ := strings.Cut(where, "/")
	// A secret key may hold a slash, which ends the bucket.
	if strings.Contains(bucket, "@") || strings.Contains(bucket, ":") && !strings.HasPrefix(bucket, "arn:") {
		return nil, fmt.Errorf("an s3:// URL holds no credentials: they come from the environment, the shared AWS files or ?%s=NAME, because a URL is shown and logged", paramProfile)
	}
	if !isBucketName(bucket) {
		return nil, fmt.Errorf("%q is not the name of a bucket: write s3://BUCKET/KEY or s3://BUCKET/PREFIX/", bucket)
	}
	u := &location{bucket: bucket}
	var err error
	if u.key, err = url.PathUnescape(key); err != nil {
		return nil, fmt.Errorf("the key %q is not percent-encoded right: write %%25 for a percent sign and %%3F for a question mark", key)
	}
	if u.params, err = parameters(query); err != nil {
		return nil, err
	}
	return u, u.readParams()
}

func isBucketName(s string) bool {
	if len(s) < 3 || len(s) > 255 { // 255 and upper case: buckets from before 2018 in us-east-1
		return false
	}
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._", c)) {
			return false
		}
	}
	return true
}

// parameters reads the query of an s3:// URL. Only workspace-key-prefix may be repeated.
func parameters(query string) (url.Values, error) {
	params := url.Values{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil || !slices.Contains(parameterNames, name) {
			return nil, fmt.Errorf("an s3:// URL has no parameter %q: there are %s (a question mark in a key is written %%3F)", rawName, strings.Join(parameterNames, ", "))
		}
		value, err := url.QueryUnescape(rawValue)
		switch {
		case err != nil:
			return nil, fmt.Errorf("the value of %s in an s3:// URL is not percent-encoded right", name)
		case value == "":
			return nil, fmt.Errorf("%s in an s3:// URL has no value: write %[1]s=VALUE, or leave it out", name)
		case params.Has(name) && name != paramPrefix:
			return nil, fmt.Errorf("%s is in the s3:// URL twice: keep one of them", name)
		}
		params.Add(name, value)
	}
	return params, nil
}

// readParams checks the parameters' values.
func (u *location) readParams() error {
	switch v := u.params.Get(paramPathStyle); v {
	case "", "false":
		u.params.Del(paramPathStyle) // the default is not shown
	case "true":
		u.pathStyle = true
	default:
		return fmt.Errorf("%s is true or false, not %q", paramPathStyle, v)
	}
	if u.searches() && u.params.Has(paramVersion) {
		return fmt.Errorf("%s names one object's version, and %q is a prefix to be searched: name the object", paramVersion, u.name(u.key))
	}
	if r := u.params.Get(paramRegion); r != "" && !isRegion(r) {
		return fmt.Errorf("%q is not the name of a region, such as eu-west-1", r)
	}
	if e := u.params.Get(paramEndpoint); e != "" {
		if err := checkEndpoint(e); err != nil {
			return err
		}
	}
	for _, prefix := range u.params[paramPrefix] {
		prefix = strings.Trim(prefix, "/")
		if prefix == "" {
			return fmt.Errorf("%s is the directory that Terraform keeps other workspaces in, and cannot be empty", paramPrefix)
		}
		u.keyPrefixes = append(u.keyPrefixes, prefix)
	}
	slices.SortStableFunc(u.keyPrefixes, func(a, b string) int { return len(b) - len(a) })
	return nil
}

// isRegion says whether s can stand in a host name as a region. What regions there are is not known
// here: S3-compatible servers have their own.
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

// checkEndpoint refuses what would show a secret, or send one in clear over a network.
func checkEndpoint(endpoint string) error {
	e, err := url.Parse(endpoint)
	switch {
	case err != nil || e.Host == "" || e.Scheme != "https" && e.Scheme != "http":
		return fmt.Errorf("the %s of an s3:// URL is not an https:// URL: write ?%[1]s=https://HOST", paramEndpoint)
	case e.User != nil:
		return fmt.Errorf("the %s of an s3:// URL holds credentials: they come from the environment, the shared AWS files or ?%s=NAME", paramEndpoint, paramProfile)
	case e.RawQuery != "" || e.Fragment != "":
		return fmt.Errorf("the %s of an s3:// URL has a query or a fragment, which an endpoint has not", paramEndpoint)
	}
	return refusePlainHTTP(e)
}

// refusePlainHTTP lets plain http through to this machine only.
func refusePlainHTTP(u *url.URL) error {
	host := u.Hostname()
	if u.Scheme == "https" || host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s://%s would carry state in clear over the network: plain http is for loopback only, use https", u.Scheme, u.Host)
}

// name is the URL of the object at key, or of the prefix key, with the parameters that this URL has.
// Every printable character that means nothing in a URL stands for itself, so that a person can
// read it.
func (u *location) name(key string) string {
	var b strings.Builder
	b.WriteString("s3://" + u.bucket + "/")
	escapeURL(&b, key, "-_.~!$'()*,:@/+=&;")
	separator := byte('?')
	for _, param := range parameterNames {
		for _, value := range u.params[param] {
			b.WriteByte(separator)
			b.WriteString(param + "=")
			escapeURL(&b, value, "-_.~:/@")
			separator = '&'
		}
	}
	return b.String()
}

// escapeURL writes s with everything percent-encoded that is not a letter, a digit, one of the marks
// kept, or printable beyond ASCII. Control and formatting characters, blanks of every kind and bytes
// that are no text are encoded.
func escapeURL(b *strings.Builder, s, kept string) {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			r < utf8.RuneSelf && strings.ContainsRune(kept, r) ||
			r >= utf8.RuneSelf && !(r == utf8.RuneError && n == 1) && unicode.IsPrint(r)
		if plain {
			b.WriteString(s[:n])
		} else {
			for i := range n {
				fmt.Fprintf(b, "%%%02X", s[i])
			}
		}
		s = s[n:]
	}
}
