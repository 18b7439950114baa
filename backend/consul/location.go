package consul

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"

	"tfhaul/backend"
)

// The parameters of a consul:// URL.
const (
	paramDatacenter = "datacenter"
	paramGzip       = "gzip"
	paramNamespace  = "namespace"
	paramPartition  = "partition"
	paramScheme     = "scheme"
)

// parameterNames lists the parameters in the order used in addresses.
var parameterNames = []string{paramDatacenter, paramGzip, paramNamespace, paramPartition, paramScheme}

// Where Consul listens by default.
const defaultAddress = "127.0.0.1:8500"

// A location is a parsed consul:// URL with the server that it means, after reading the
// environment.
type location struct {
	host      string // HOST[:PORT]
	tls       bool
	key       string // of the state, or the prefix to search: empty, or ending in a slash
	params    url.Values
	inherited bool // the server comes from CONSUL_HTTP_ADDR
}

// searches reports whether the URL names a prefix rather than one state.
func (l *location) searches() bool { return l.key == "" || strings.HasSuffix(l.key, "/") }

// at returns the location of another key on the server.
func (l *location) at(key string) *location {
	other := *l
	other.key = key
	return &other
}

// parse parses consul://[HOST[:PORT]]/KEY?param=value. The key may be written as it is or
// percent-encoded, so "%" and "?" in a key must be written %25 and %3F. A key that ends in a
// slash, or no key, is a prefix. Errors show nothing of a URL with credentials.
func (s *servers) parse(address string) (*location, error) {
	_, rest, _ := strings.Cut(address, "://")
	where, query, _ := strings.Cut(rest, "?")
	host, key, _ := strings.Cut(where, "/")
	if strings.Contains(host, "@") {
		return nil, fmt.Errorf("a consul:// URL must not contain credentials, because URLs are shown and logged: use %s or %s", tokenVariable, authVariable)
	}
	l := &location{host: strings.ToLower(host)}
	var err error
	if l.key, err = url.PathUnescape(key); err != nil {
		return nil, fmt.Errorf("the key %q is not percent-encoded correctly: write %%25 for a percent sign and %%3F for a question mark", key)
	}
	if strings.HasPrefix(l.key, "/") {
		return nil, fmt.Errorf("the key %q begins with a slash, which Consul does not allow: write %s", l.key, stateForm)
	}
	if l.params, err = backend.Parameters(Scheme, query, parameterNames); err != nil {
		return nil, err
	}
	if gzip := l.params.Get(paramGzip); gzip != "" && gzip != "true" && gzip != "false" {
		return nil, fmt.Errorf("%s is true or false, not %q", paramGzip, gzip)
	}
	return l, s.findServer(l)
}

// findServer fills in the server. What the address leaves out comes from the environment.
func (s *servers) findServer(l *location) error {
	env := backend.Getenv(s.connection.Environ)
	scheme, named, err := readAddress(addressVariable, env(addressVariable))
	if err != nil {
		return err
	}
	if l.host == "" {
		l.host, l.inherited = cmp.Or(named, defaultAddress), true
	}
	if l.host != strings.ToLower(named) {
		scheme = ""
	}
	l.host = strings.ToLower(l.host)
	name, ok := hostName(l.host)
	if !ok {
		return fmt.Errorf("%q is not the address of a Consul server: write HOST or HOST:PORT", l.host)
	}
	if on, _ := strconv.ParseBool(env(sslVariable)); on && scheme == "" {
		scheme = "https"
	}
	implied, typed := scheme == "https", l.params.Get(paramScheme)
	switch scheme = cmp.Or(typed, scheme); scheme {
	case "":
		l.tls = !backend.IsLoopback(name)
	case "https":
		l.tls = true
	case "http":
		if !backend.IsLoopback(name) {
			return fmt.Errorf("http://%s would send states and the token over plain http, which is allowed only for loopback addresses: use https, or a tunnel (ssh -L 8500:127.0.0.1:8500 HOST) and consul://127.0.0.1:8500/PATH", l.host)
		}
	default:
		return fmt.Errorf("the %s of a Consul server is http or https", paramScheme)
	}
	l.params.Del(paramScheme)
	switch { // what does not follow from the host and the environment
	case l.tls && backend.IsLoopback(name):
		l.params.Set(paramScheme, "https")
	case !l.tls && implied:
		l.params.Set(paramScheme, typed)
	}
	return nil
}

// readAddress reads what names a server, CONSUL_HTTP_ADDR or an argument of a configuration: it is
// HOST:PORT or a URL.
func readAddress(what, text string) (scheme, host string, err error) {
	scheme, host, isURL := strings.Cut(text, "://")
	if !isURL {
		scheme, host = "", text
	}
	host = strings.TrimSuffix(host, "/")
	switch {
	case scheme == "unix":
		return "", "", fmt.Errorf("%s names a Unix socket, which tfhaul does not support: let Consul listen on a loopback address, and set %[1]s to it", what)
	case strings.ContainsAny(host, "/?#@") || scheme != "" && scheme != "http" && scheme != "https":
		return "", "", fmt.Errorf("%s is not HOST:PORT or https://HOST:PORT, without a path or credentials", what)
	}
	return scheme, host, nil
}

// hostName returns the name in HOST[:PORT], and whether that is one.
func hostName(host string) (string, bool) {
	u, err := url.Parse("https://" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || u.Path != "" || strings.ContainsAny(host, " \\") {
		return "", false
	}
	if strings.HasSuffix(host, ":") {
		return "", false
	}
	if port := u.Port(); port != "" {
		if _, err := net.LookupPort("tcp", port); err != nil {
			return "", false
		}
	}
	return u.Hostname(), true
}

// base returns the URL of the server.
func (l *location) base() string {
	if l.tls {
		return "https://" + l.host
	}
	return "http://" + l.host
}

// String returns the address, without credentials.
func (l *location) String() string {
	var b strings.Builder
	b.WriteString(Scheme + "://" + l.host + "/")
	backend.EscapeURL(&b, l.key, "-_.~!$'()*,:@/+=&;")
	separator := byte('?')
	for _, name := range parameterNames {
		if value := l.params.Get(name); value != "" {
			b.WriteByte(separator)
			b.WriteString(name + "=")
			backend.EscapeURL(&b, value, "-_.~:/@")
			separator = '&'
		}
	}
	return b.String()
}

// The names below a state's key that Terraform uses for its lock
// (internal/backend/remote-state/consul/client.go).
const (
	lockSuffix = "/.lock"
	infoSuffix = "/.lockinfo"
)

// chunkKey matches the keys of the chunks of a large state.
var chunkKey = regexp.MustCompile(`(^|/)tfstate\.[0-9a-f]{32}/[0-9]+$`)

// below returns the key without trailing slashes, as Terraform does before it appends
// the names of locks and chunks.
func below(key string) string { return strings.TrimRight(key, "/") }

// checkState returns why a key holds no state. The error continues a sentence.
func checkState(key string) error {
	switch {
	case strings.HasSuffix(key, lockSuffix), strings.HasSuffix(key, infoSuffix):
		return errors.New("describes a lock, and is not a state: leave out the last part")
	case chunkKey.MatchString(key):
		return errors.New("is a part of a large state: name the state, without the last two parts")
	}
	return nil
}

// maxKey is how long the key of a state may be, in bytes: its locks and chunks have longer
// ones, and they are a part of the URL of a request.
const maxKey = 1024

// checkName checks the name of a state's key below its container. Its error continues a
// sentence.
func checkName(name string) error {
	switch {
	case name == "" || path.Clean("/"+name) != "/"+name:
		return fmt.Errorf("names the key %q: use one without empty, . and .. parts", name)
	case checkState(name) != nil || strings.Trim(name, "/") == ".lock" || strings.Trim(name, "/") == ".lockinfo":
		return fmt.Errorf("names the key %q, where Terraform keeps a lock or a part of a state: use another one", name)
	case strings.ContainsAny(name, "\r\n\x00"):
		return fmt.Errorf("names the key %q: use one without line breaks", name)
	case len(name) > maxKey:
		return fmt.Errorf("names a key with %d bytes: use at most %d", len(name), maxKey)
	}
	return nil
}
