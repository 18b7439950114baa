package pg

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lib/pq"

	"tfhaul/backend"
)

// The parameters of a postgres:// URL that PostgreSQL's own URLs do not have. schema is
// Terraform's schema_name.
const (
	paramSchema    = "schema"
	paramWorkspace = "workspace"
)

// defaultSchema is the default of Terraform's schema_name.
const defaultSchema = "terraform_remote_state"

// settingNames are the connection settings that an address can have. The last ones replace
// parts of the URL.
var settingNames = []string{
	"application_name", "connect_timeout", "hostaddr", "krbspn", "krbsrvname", "options", "passfile", "service",
	"sslcert", "sslkey", "sslmode", "sslnegotiation", "sslrootcert", "sslsni", "target_session_attrs",
	"dbname", "host", "port", "user",
}

// A location is a parsed postgres:// URL with the server and the database that it means, after
// reading the environment.
type location struct {
	user, host string // host may be the directory of a Unix socket
	port       uint16
	database   string
	schema     string
	workspace  string            // "" for all
	settings   map[string]string // as in the address, without what the fields above have

	config    pq.Config // with the password
	inherited bool      // PG_CONN_STR names everything that the address does
}

// parse parses postgres://[USER@][HOST[:PORT]][/DATABASE][?schema=NAME][&workspace=NAME]. What
// the address leaves out comes from PG_CONN_STR and from libpq's variables. A password is
// used and remembered, but the location does not show it. Errors show only the names of
// parameters and parts that cannot be secret.
func (s *servers) parse(address string) (*location, error) {
	l := &location{}
	typed, err := l.read(address)
	if err != nil {
		return nil, err
	}
	if password := s.connection.Passwords[address]; password != "" {
		typed["password"] = password
	}
	env := backend.Getenv(s.connection.Environ)
	l.schema = cmp.Or(l.schema, env("PG_SCHEMA_NAME"), defaultSchema)
	if err := l.resolve(typed, env("PG_CONN_STR")); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if typed["password"] != "" {
		s.passwords[l.server()] = l.config.Password
	} else if known := s.passwords[l.server()]; known != "" {
		l.config.Password = known
	}
	return l, nil
}

// cutPassword implements backend.Kind. From an address that cannot be read, it keeps nothing
// that may be part of a password: the value of an unknown parameter may be one.
func cutPassword(address string) (without, password string) {
	where, query, _ := strings.Cut(address, "?")
	typed, err := (&location{}).read(address)
	if err == nil {
		password = typed["password"]
	} else if _, bad := readAuthority(where); bad != nil || errors.Is(err, errUnreadable) || strings.Contains(query, "@") {
		return unreadable, ""
	}
	scheme, rest, _ := strings.Cut(where, "://")
	if user, host, ok := cutLast(rest, "@"); ok {
		name, _, _ := strings.Cut(user, ":")
		rest = name + "@" + host
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		switch name, _, _ := strings.Cut(pair, "="); {
		case name == "password" || pair == "":
		case isParameter(name):
			kept = append(kept, pair)
		default:
			kept = append(kept, name+"=")
		}
	}
	without = scheme + "://" + rest
	if len(kept) > 0 {
		without += "?" + strings.Join(kept, "&")
	}
	return without, password
}

// unreadable stands for an address that cannot be read.
const unreadable = Scheme + "://unreadable/address/"

// cutLast is strings.Cut at the last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// read reads what the address says, without the environment. It returns the settings of the
// connection.
func (l *location) read(address string) (map[string]string, error) {
	rest, query, _ := strings.Cut(address, "?")
	settings, err := readAuthority(rest)
	if err != nil {
		return nil, err
	}
	l.settings = map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		switch {
		case strings.Trim(rawName, "abcdefghijklmnopqrstuvwxyz_-") != "": // perhaps of a password
			return nil, errUnreadable
		case err != nil || !isParameter(name) && name != "password":
			return nil, fmt.Errorf("a postgres:// URL has no parameter %q here: it has %s, %s, %s", rawName, paramSchema, paramWorkspace, strings.Join(settingNames, ", "))
		}
		value, err := url.QueryUnescape(rawValue)
		switch {
		case err != nil:
			return nil, fmt.Errorf("the value of %s in a postgres:// URL is not percent-encoded correctly", name)
		case value == "" || strings.ContainsRune(value, 0):
			return nil, fmt.Errorf("%s in a postgres:// URL has no value: write %[1]s=VALUE, or leave it out", name)
		case settings[name] != "" || l.settings[name] != "" || name == paramSchema && l.schema != "" || name == paramWorkspace && l.workspace != "":
			return nil, fmt.Errorf("%s appears twice in the postgres:// URL: keep one of them", name)
		}
		switch name {
		case paramSchema:
			l.schema = value
		case paramWorkspace:
			l.workspace = value
		case "password", "dbname", "host", "port", "user":
			settings[name] = value
		default:
			settings[name], l.settings[name] = value, value
		}
	}
	return settings, nil
}

// isParameter reports whether an address can have this parameter, apart from the password.
func isParameter(name string) bool {
	return slices.Contains(settingNames, name) || name == paramSchema || name == paramWorkspace
}

// errUnreadable does not repeat the URL, which may have a password.
var errUnreadable = errors.New("the postgres:// URL cannot be read: write " + containerForm + ", and percent-encode special characters in the user and the password")

// readAuthority reads what is in front of the question mark.
func readAuthority(address string) (map[string]string, error) {
	settings := map[string]string{}
	u, err := url.Parse(address)
	if err != nil || u.Fragment != "" || strings.Contains(strings.TrimPrefix(u.Path, "/"), "/") {
		return nil, errUnreadable
	}
	if u.User != nil {
		settings["user"] = u.User.Username()
		settings["password"], _ = u.User.Password()
	}
	settings["host"], settings["port"] = u.Hostname(), u.Port()
	settings["dbname"] = strings.TrimPrefix(u.Path, "/")
	maps.DeleteFunc(settings, func(_, value string) bool { return value == "" })
	return settings, nil
}

// resolve fills in the server from the address, PG_CONN_STR and libpq's variables.
// PG_CONN_STR applies unless the address names another user, server or database.
func (l *location) resolve(typed map[string]string, connection string) error {
	base, err := connectionString(connection)
	if err != nil {
		return err
	}
	if base != "" {
		inherited, err := pq.NewConfig(base)
		if err != nil {
			return badSettings("PG_CONN_STR", err)
		}
		if !agrees(inherited, typed) {
			base = ""
		}
	}
	if l.config, err = pq.NewConfig(base + " fallback_application_name=tfhaul " + conninfo(typed)); err != nil {
		return badSettings("the address", err)
	}
	l.inherited = base != "" && len(l.settings) == 0
	if len(l.config.Multi) > 0 {
		return errors.New("the PostgreSQL connection names several hosts, so it is not clear which one holds the state: name one in the address or in PG_CONN_STR")
	}
	if l.config.SSLMode == "" {
		l.config.SSLMode = pq.SSLModeRequire // as in Terraform's driver
	}
	l.user, l.host, l.port = l.config.User, l.config.Host, l.config.Port
	l.database = cmp.Or(l.config.Database, l.user)
	return nil
}

// agrees reports whether typed settings name no other server, database or user than c.
func agrees(c pq.Config, typed map[string]string) bool {
	port := typed["port"]
	if port == "" && typed["host"] != "" {
		port = "5432"
	}
	for want, has := range map[string]string{
		typed["host"]: c.Host, port: strconv.Itoa(int(c.Port)), typed["dbname"]: cmp.Or(c.Database, c.User), typed["user"]: c.User,
	} {
		if want != "" && want != has {
			return false
		}
	}
	return true
}

// connectionString returns PG_CONN_STR, which may be a URL, as a list of settings.
func connectionString(text string) (string, error) {
	if scheme := backend.Scheme(text); scheme != "postgres" && scheme != "postgresql" {
		return text, nil
	}
	rest, query, _ := strings.Cut(text, "?")
	settings, err := readAuthority(rest)
	values, bad := url.ParseQuery(query)
	if err != nil || bad != nil {
		return "", errors.New("PG_CONN_STR is not a valid postgres:// URL: percent-encode special characters in it")
	}
	for name := range values {
		settings[name] = values.Get(name)
	}
	return conninfo(settings), nil
}

// conninfo writes settings as libpq reads them.
func conninfo(settings map[string]string) string {
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, " %s='%s'", name, quote.Replace(settings[name]))
	}
	return b.String()
}

// badSettings explains connection settings that lib/pq does not accept. Errors about single
// settings are shown, because those with a wrong value are not secret. An error about the text
// as a whole may repeat a part of a password.
func badSettings(origin string, err error) error {
	why := strings.TrimPrefix(err.Error(), "pq: ")
	if !strings.HasPrefix(why, "wrong value for ") && !strings.HasPrefix(why, "environment variable ") && !strings.HasPrefix(why, "weak sslmode ") {
		why = "it is not a postgres:// URL or a list of NAME=VALUE, or the service that it names cannot be read"
	}
	return fmt.Errorf("the PostgreSQL connection settings from %s and the PG* variables cannot be used: %s", origin, why)
}

// server identifies the server, the database and the user.
func (l *location) server() string {
	u := url.URL{Scheme: Scheme, User: url.User(l.user), Path: "/" + l.database}
	switch {
	case l.socket():
	case l.port != 5432:
		u.Host = net.JoinHostPort(l.host, strconv.Itoa(int(l.port)))
	case strings.Contains(l.host, ":"):
		u.Host = "[" + l.host + "]"
	default:
		u.Host = l.host
	}
	if l.user == "" {
		u.User = nil
	}
	return u.String()
}

// socket reports whether the host is a Unix socket.
func (l *location) socket() bool { return filepath.IsAbs(l.host) || strings.HasPrefix(l.host, "@") }

// connectionKey is the same for all schemas and workspaces that share connections.
func (l *location) connectionKey() string {
	at := l.in("")
	at.schema = ""
	return at.String()
}

// in returns the location of a workspace in the schema, or of the schema itself.
func (l *location) in(workspace string) *location {
	at := *l
	at.workspace = workspace
	return &at
}

// String returns the address, without a password.
func (l *location) String() string {
	params := []string{paramSchema + "=" + escape(l.schema)}
	if l.workspace != "" {
		params = append(params, paramWorkspace+"="+escape(l.workspace))
	}
	if l.socket() {
		params = append(params, "host="+escape(l.host))
		if l.port != 5432 {
			params = append(params, "port="+strconv.Itoa(int(l.port)))
		}
	}
	for _, name := range settingNames {
		if value := l.settings[name]; value != "" {
			params = append(params, name+"="+escape(value))
		}
	}
	return l.server() + "?" + strings.Join(params, "&")
}

// escape encodes the value of a parameter, and leaves slashes and colons readable.
func escape(s string) string {
	return strings.NewReplacer("+", "%20", "%2F", "/", "%3A", ":", "%40", "@").Replace(url.QueryEscape(s))
}

func errNoWorkspace(l *location) error {
	return fmt.Errorf("%q names a schema, not a workspace: add &%s=%s, or the name of another one", l, paramWorkspace, backend.DefaultWorkspace)
}

func errOneWorkspace(l *location) error {
	return fmt.Errorf("%q names one workspace: leave out %s", l, paramWorkspace)
}

// checkName checks the name of a workspace as Terraform does. Its error continues a sentence.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("names no workspace: give it a name")
	case !backend.IsWorkspaceName(name):
		return fmt.Errorf("names the workspace %q: use only characters that need no escaping in a URL, as Terraform requires", name)
	}
	return nil
}
