package http

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"tfhaul/backend"
)

// The parameters of an address that are not the server's. They are the settings of Terraform's
// http backend. An address to lock at may be relative to that of the state.
const (
	paramLock         = "lock-address"
	paramLockMethod   = "lock-method"
	paramUnlock       = "unlock-address"
	paramUnlockMethod = "unlock-method"
	paramUpdate       = "update-method"
)

// parameterNames lists the parameters in the order used in addresses.
var parameterNames = []string{paramLock, paramLockMethod, paramUnlock, paramUnlockMethod, paramUpdate}

// defaults are Terraform's.
var defaults = map[string]string{paramLockMethod: "LOCK", paramUnlockMethod: "UNLOCK", paramUpdate: http.MethodPost}

// variables are those of Terraform's http backend for the parameters.
var variables = map[string]string{
	paramLock: "TF_HTTP_LOCK_ADDRESS", paramLockMethod: "TF_HTTP_LOCK_METHOD",
	paramUnlock: "TF_HTTP_UNLOCK_ADDRESS", paramUnlockMethod: "TF_HTTP_UNLOCK_METHOD", paramUpdate: "TF_HTTP_UPDATE_METHOD",
}

// namePlaceholder stands for a state's name in the address of a lock.
const namePlaceholder = "{name}"

// An origin is a server: a scheme, https or http, and a host with an optional port.
type origin struct{ scheme, host string }

func (o origin) String() string { return o.scheme + "://" + o.host }

// parseOrigin checks the host of an address. plain reports whether the address requests http,
// which is for this machine only.
func parseOrigin(address, host string, plain bool) (origin, error) {
	o := origin{"https", strings.ToLower(host)}
	if plain {
		o.scheme = "http"
	}
	u, err := url.Parse(o.String())
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Path != "":
		return origin{}, fmt.Errorf("%s:// must be followed by a host, such as gitlab.example.com or 127.0.0.1:8080", backend.Scheme(address))
	case plain && !backend.IsLoopback(u.Hostname()):
		return origin{}, fmt.Errorf("%s:// would send state over plain http, which is allowed only for loopback addresses: write %s://", backend.Scheme(address), encrypted(backend.Scheme(address)))
	}
	if port := u.Port(); port == "443" && !plain || port == "80" && plain {
		o.host = strings.TrimSuffix(o.host, ":"+port)
	}
	return o, nil
}

// encrypted returns the scheme for https.
func encrypted(s string) string {
	if s == plain {
		return scheme
	}
	return gitLabScheme
}

// errSecret is returned for an address with credentials, which it does not repeat.
func errSecret(what, instead string) error {
	return fmt.Errorf("%s must not contain credentials, because addresses are shown and recorded: %s", what, instead)
}

// instead says where the credentials of a server belong.
const instead = "set TF_HTTP_USERNAME and TF_HTTP_PASSWORD"

// A location is a parsed address of the http backend.
type location struct {
	origin
	path   string // escaped, with a slash at the beginning; a container's also ends in one
	query  string // the server's own parameters, as typed
	params map[string]string
}

// searches reports whether the address names a container rather than a state.
func (l *location) searches() bool { return strings.HasSuffix(l.path, "/") }

// parse parses http+https://HOST/PATH?PARAMETERS. Errors do not repeat what may be secret.
func (s *servers) parse(address string) (*location, error) {
	name, rest, _ := strings.Cut(address, "://")
	where, query, _ := strings.Cut(rest, "?")
	host, escaped, _ := strings.Cut(where, "/")
	switch {
	case strings.Contains(host, "@") || s.connection.Passwords[address] != "":
		return nil, errSecret("an address of the http backend", instead)
	case strings.Contains(rest, "#"):
		return nil, errors.New("an address of the http backend has no fragment: write a # in a name as %23")
	}
	at, err := parseOrigin(address, host, strings.EqualFold(name, plain))
	if err != nil {
		return nil, err
	}
	l := &location{origin: at, path: "/" + escaped, params: map[string]string{}}
	u, err := url.Parse(at.String() + l.path)
	if err != nil {
		return nil, fmt.Errorf("the path of the %s:// address is not percent-encoded correctly: write a percent sign as %%25", backend.Scheme(address))
	}
	l.path = u.EscapedPath()
	if err := l.readQuery(query); err != nil {
		return nil, err
	}
	return l, l.complete(s.getenv)
}

// secretName matches names of parameters whose values are credentials.
var secretName = regexp.MustCompile(`(?i)(token|secret|passw|api-?_?key|signature|credential|^sig$|^key$|^auth$|^pwd$)`)

// readQuery separates the parameters of tfhaul from the server's.
func (l *location) readQuery(query string) error {
	var others []string
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return errors.New("a parameter of the address is not percent-encoded correctly")
		}
		if secretName.MatchString(name) {
			return errSecret(fmt.Sprintf("the parameter %q", name), instead+", if the server accepts them")
		}
		if !slices.Contains(parameterNames, name) {
			others = append(others, pair)
			continue
		}
		value, err := url.QueryUnescape(rawValue)
		switch {
		case err != nil:
			return fmt.Errorf("the value of %s is not percent-encoded correctly", name)
		case value == "":
			return fmt.Errorf("%s has no value: write %[1]s=VALUE, or leave it out", name)
		case l.params[name] != "":
			return fmt.Errorf("%s appears twice in the address: keep one of them", name)
		}
		l.params[name] = value
	}
	l.query = strings.Join(others, "&")
	return nil
}

// complete adds what the variables of Terraform's backend say. TF_HTTP_LOCK_ADDRESS belongs to
// the state at TF_HTTP_ADDRESS, and not to any other.
func (l *location) complete(getenv func(string) string) error {
	mine := getenv(addressVariable) != "" && sameURL(getenv(addressVariable), l.url().String())
	for _, name := range []string{paramLock, paramUnlock} {
		if value := getenv(variables[name]); mine && l.params[name] == "" && value != "" {
			l.params[name] = value
		}
	}
	for _, name := range []string{paramLockMethod, paramUnlockMethod, paramUpdate} {
		value := getenv(variables[name])
		if l.params[name] == "" && value != "" && (name == paramUpdate || l.params[paramLock] != "") {
			l.params[name] = value
		}
		if l.params[name] == defaults[name] {
			delete(l.params, name)
		}
		if method := l.params[name]; method != "" && strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
			return fmt.Errorf("%s is the name of an HTTP method, such as POST or PUT, in capital letters", name)
		}
	}
	if l.params[paramUnlock] == l.params[paramLock] {
		delete(l.params, paramUnlock)
	}
	for _, name := range []string{paramLock, paramUnlock} {
		if l.params[name] == "" {
			continue
		}
		if _, err := l.resolve(name); err != nil {
			return err
		}
	}
	return nil
}

// sameURL reports whether two URLs are the same, without credentials.
func sameURL(a, b string) bool {
	first, err := url.Parse(a)
	second, worse := url.Parse(b)
	if err != nil || worse != nil {
		return false
	}
	first.User, second.User = nil, nil
	return first.String() == second.String()
}

// url returns the URL of the state.
func (l *location) url() *url.URL {
	u := &url.URL{Scheme: l.scheme, Host: l.host, RawQuery: l.query}
	u.Path, _ = url.PathUnescape(l.path) // checked when it was parsed
	u.RawPath = l.path
	return u
}

// resolve returns the URL that a parameter names. It must be on the server of the state,
// because it receives the same credentials.
func (l *location) resolve(name string) (*url.URL, error) {
	escaped := path.Base(l.path)
	if l.searches() {
		escaped = "x"
	}
	ref, err := url.Parse(strings.ReplaceAll(l.params[name], namePlaceholder, escaped))
	if err != nil {
		return nil, fmt.Errorf("%s is not a URL, or one relative to the address of the state", name)
	}
	u := l.url().ResolveReference(ref)
	switch at, err := parseOrigin(u.Scheme, u.Host, u.Scheme == "http"); {
	case u.User != nil || secretName.MatchString(u.RawQuery):
		return nil, errSecret(name+" or "+variables[name], instead)
	case u.Scheme != "https" && u.Scheme != "http" || err != nil || at != l.origin:
		return nil, fmt.Errorf("%s must be on the same server as the state, %s: tfhaul sends credentials to no other", name, l.origin)
	case u.Fragment != "":
		return nil, fmt.Errorf("%s must not have a fragment", name)
	}
	return u, nil
}

// requireLock refuses a target without a lock.
func (l *location) requireLock() error {
	if l.params[paramLock] != "" {
		return nil
	}
	return fmt.Errorf("%q has no %s, so tfhaul does not write there: the http backend stores every state that it is sent, and only a lock keeps others from writing meanwhile. "+
		"If the server locks a state at its own address, add ?%[2]s=%[3]s; for Gitea and servers like it, ?%[2]s=%[3]s/lock&%s=POST&%s=DELETE", l, paramLock, namePlaceholder, paramLockMethod, paramUnlockMethod)
}

// below returns the location of a state in this container.
func (l *location) below(name string) *location {
	state := *l
	state.path += url.PathEscape(name)
	return &state
}

// String returns the address.
func (l *location) String() string {
	var b strings.Builder
	b.WriteString("http+" + l.origin.String())
	backend.EscapeURL(&b, l.path, "-_.~!$'()*,:@/+=&;%")
	separator := byte('?')
	add := func(text string) {
		b.WriteByte(separator)
		separator = '&'
		b.WriteString(text)
	}
	if l.query != "" {
		add(l.query)
	}
	for _, name := range parameterNames {
		if value := l.params[name]; value != "" {
			var escaped strings.Builder
			backend.EscapeURL(&escaped, value, "-_.~:/@{}")
			add(name + "=" + escaped.String())
		}
	}
	return b.String()
}

// state returns the state at a location.
func (s *server) state(l *location) *state {
	name, _ := url.PathUnescape(path.Base(l.path)) // checked when it was parsed
	parent := path.Base(path.Dir(l.path))
	if parent == "/" || parent == "." {
		parent, _, _ = net.SplitHostPort(l.host + ":")
	}
	st := &state{
		server: s, address: l.String(), name: name, url: l.url(), update: l.method(paramUpdate),
		place: backend.Place{Base: strings.TrimSuffix(name, backend.StateExt), Key: name, Workspace: backend.DefaultWorkspace, Root: parent, Searched: parent},
	}
	if l.params[paramLock] != "" {
		st.lock, _ = l.resolve(paramLock) // checked when it was parsed
		st.unlock, st.lockMethod, st.unlockMethod = st.lock, l.method(paramLockMethod), l.method(paramUnlockMethod)
		if l.params[paramUnlock] != "" {
			st.unlock, _ = l.resolve(paramUnlock)
		}
	}
	return st
}

// method returns the method for a kind of request.
func (l *location) method(name string) string {
	if m := l.params[name]; m != "" {
		return m
	}
	return defaults[name]
}

// cutPassword implements backend.Kind. A user name alone may be a token.
func cutPassword(address string) (without, password string) {
	name, rest, _ := strings.Cut(address, "://")
	where, query, hasQuery := strings.Cut(rest, "?")
	host, tail, hasPath := strings.Cut(where, "/")
	user := ""
	if i := strings.LastIndex(host, "@"); i >= 0 {
		user, host = host[:i], host[i+1:]
	} else if strings.Contains(tail, "@") && strings.Contains(host, ":") && !isPort(host) {
		return name + "://unreadable/address", address // a password with a slash
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		if key, value, _ := strings.Cut(pair, "="); secretName.MatchString(key) && value != "" && !slices.Contains(parameterNames, key) {
			user += value
			pair = key + "=" // refused later, with its name
		}
		kept = append(kept, pair)
	}
	if user == "" {
		return address, ""
	}
	without = name + "://" + host
	if hasPath {
		without += "/" + tail
	}
	if hasQuery {
		without += "?" + strings.Join(kept, "&")
	}
	return without, user
}

// isPort reports whether what is after the last colon of a host is a port.
func isPort(host string) bool {
	port := host[strings.LastIndex(host, ":")+1:]
	return strings.Trim(port, "0123456789") == "" || strings.HasSuffix(host, "]")
}
