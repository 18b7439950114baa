package tfe

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	svchost "github.com/hashicorp/terraform-svchost"

	"tfhaul/backend"
)

// DefaultHost is HCP Terraform.
const DefaultHost = "app.terraform.io"

// Address names a workspace on a host, or an organization if Workspace is empty.
type Address struct {
	// Scheme is "https" or "http" if the user wrote one, and otherwise empty. With a
	// scheme, the API is at that host; without one, DiscoverAPI asks the host where it is.
	Scheme string
	// Host is the host name in lower case, in punycode if it is not ASCII, with a port
	// unless that is 443. IPv6 addresses are in brackets.
	Host         string
	Organization string
	Workspace    string
}

// String returns the address as a user would type it: host/organization/workspace.
func (a Address) String() string {
	parts := []string{a.Server(), a.Organization}
	if a.Workspace != "" {
		parts = append(parts, a.Workspace)
	}
	return strings.Join(parts, "/")
}

// Server returns the host as a user would type it, including the scheme if it is http,
// because without it the host would mean another server.
func (a Address) Server() string {
	if a.Scheme == "http" {
		return "http://" + displayHost(a.Host)
	}
	return displayHost(a.Host)
}

// AddressError explains what is wrong with a target.
type AddressError struct {
	Given  string // as written; empty if it may contain a secret
	Origin string // the variable it came from; empty means the command line
	Reason string // what is wrong and what to write
}

func (e *AddressError) Error() string {
	what := "the target"
	if e.Origin != "" {
		what = e.Origin
	}
	if e.Given != "" {
		what += fmt.Sprintf(" %q", e.Given)
	}
	// The reason may contain the correction, which repeats the address.
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, what+" "+e.Reason)
}

// permittedName matches the names of organizations and workspaces
// (https://developer.hashicorp.com/terraform/cloud-docs/workspaces/create).
var permittedName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// maxWorkspaceName is the longest workspace name, in characters, that current servers
// accept. The documentation recommends at most 90.
const maxWorkspaceName = 260

// Forms of an address, for messages.
const (
	organizationForm = "[HOST/]ORG"
	workspaceForm    = "[HOST/]ORG/WORKSPACE"
)

// ParseOrganization parses [HOST/]ORG, as ParseWorkspace does.
func ParseOrganization(s string, env func(string) string) (Address, error) {
	a, names, err := splitAddress(s, organizationForm, env)
	if err != nil {
		return Address{}, err
	}
	a.Organization = names[0]
	if !permittedName.MatchString(a.Organization) {
		return Address{}, refused(s, "names the organization %q: use only letters, digits, - and _", a.Organization)
	}
	return a, nil
}

// ParseWorkspace parses [HOST/]ORG/WORKSPACE. HOST may have a scheme and a port; http is
// allowed only for this machine. Without HOST, the first of TFE_ADDRESS, TFE_HOSTNAME and
// DefaultHost is used; env looks up a variable (os.Getenv). Every error is an
// *AddressError.
func ParseWorkspace(s string, env func(string) string) (Address, error) {
	a, names, err := splitAddress(s, workspaceForm, env)
	if err != nil {
		return Address{}, err
	}
	a.Organization, a.Workspace = names[0], names[1]
	switch {
	case !permittedName.MatchString(a.Organization):
		hint := ""
		if strings.Contains(a.Organization, ".") {
			hint = "; if that is the host, the organization is missing: write " + workspaceForm
		}
		return Address{}, refused(s, "names the organization %q: use only letters, digits, - and _%s", a.Organization, hint)
	case !permittedName.MatchString(a.Workspace):
		return Address{}, refused(s, "names the workspace %q: use only letters, digits, - and _", a.Workspace)
	case len(a.Workspace) > maxWorkspaceName:
		return Address{}, refused(s, "names a workspace of %d characters: the maximum is %d", len(a.Workspace), maxWorkspaceName)
	}
	return a, nil
}

func refused(given, reason string, args ...any) error {
	return &AddressError{Given: given, Reason: fmt.Sprintf(reason, args...)}
}

// splitAddress parses the host of an address and returns the names that follow, as many as
// form has.
func splitAddress(s, form string, env func(string) string) (Address, []string, error) {
	if s == "" {
		return Address{}, nil, refused(s, "is empty: write %s", form)
	}
	if strings.Contains(s, "password=") {
		return Address{}, nil, refused("", "is a list of connection settings with a password: write postgres://USER@HOST/DATABASE?schema=NAME, and set PGPASSWORD")
	}
	if strings.ContainsAny(s, "@?#") {
		return Address{}, nil, refused("", "contains a user name, a query or a fragment: write %s, and pass the token in TFE_TOKEN", form)
	}
	scheme, rest, hasScheme := strings.Cut(s, "://")
	if !hasScheme {
		scheme, rest = "", s
	}
	names := strings.Count(form, "/") // one for the host
	parts := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	switch {
	case hasScheme && len(parts) > 2 && parts[1] == "app":
		return Address{}, nil, refused(s, "is a web page: %s", insteadOfPage(parts, form))
	case hasScheme && len(parts) != names+1, len(parts) < names, len(parts) > names+1:
		return Address{}, nil, refused(s, "does not have the form %s", form)
	case len(parts) == names:
		a, err := defaultHost(env)
		return a, parts, err
	case !hasScheme && !strings.ContainsAny(parts[0], ".:") && parts[0] != "localhost":
		// acme/net is far more often a workspace typed instead of an organization than a
		// host named acme.
		return Address{}, nil, refused(s, "names %q as its host: write %s, and a host without a dot as https://%s/…", parts[0], form, parts[0])
	}
	a := Address{Scheme: strings.ToLower(scheme)}
	host, reason := normalHost(a.Scheme, parts[0])
	if reason != "" {
		return Address{}, nil, refused(s, "%s", reason)
	}
	a.Host = host
	return a, parts[1:], nil
}

// insteadOfPage returns what to write instead of https://HOST/app/ORG/workspaces/WORKSPACE.
func insteadOfPage(parts []string, form string) string {
	if len(parts) >= 5 && parts[3] == "workspaces" && strings.HasSuffix(form, "WORKSPACE") {
		return "write " + parts[0] + "/" + parts[2] + "/" + parts[4]
	}
	if strings.HasSuffix(form, "ORG") {
		return "write " + parts[0] + "/" + parts[2]
	}
	return "write " + form
}

// defaultHost returns the host for an address without one.
func defaultHost(env func(string) string) (Address, error) {
	if given := strings.TrimSpace(env("TFE_ADDRESS")); given != "" {
		return hostOfVariable("TFE_ADDRESS", given)
	}
	if given := strings.TrimSpace(env("TFE_HOSTNAME")); given != "" {
		return hostOfVariable("TFE_HOSTNAME", given)
	}
	return Address{Host: DefaultHost}, nil
}

// hostOfVariable parses a host, with or without a scheme, from a variable.
func hostOfVariable(name, given string) (Address, error) {
	if strings.ContainsAny(given, "@?#") {
		return Address{}, &AddressError{Origin: name, Reason: "contains a user name, a query or a fragment: write https://HOST, and pass the token in TFE_TOKEN"}
	}
	scheme, rest, hasScheme := strings.Cut(given, "://")
	if !hasScheme {
		scheme, rest = "", given
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.Contains(rest, "/") {
		return Address{}, &AddressError{Given: given, Origin: name, Reason: "has a path: write https://HOST"}
	}
	scheme = strings.ToLower(scheme)
	host, reason := normalHost(scheme, rest)
	if reason != "" {
		return Address{}, &AddressError{Given: given, Origin: name, Reason: reason}
	}
	return Address{Scheme: scheme, Host: host}, nil
}

// normalHost normalizes a host, with or without a port, as Terraform does to compare hosts.
// If it returns a reason, the host cannot be used.
func normalHost(scheme, given string) (host, reason string) {
	switch scheme {
	case "", "https", "http":
	default:
		return "", fmt.Sprintf("begins with %q: use https", scheme+"://")
	}
	host, err := comparableHost(given)
	if err != nil {
		return "", fmt.Sprintf("names the host %q, which is not valid: %v", given, err)
	}
	if scheme == "http" {
		if u := (url.URL{Host: host}); !backend.IsLoopback(u.Hostname()) {
			return "", fmt.Sprintf("would send the token and the state unencrypted to %s: use https (http is only for this machine)", displayHost(host))
		}
	}
	return host, ""
}

// comparableHost is svchost.ForComparison, which Terraform uses to compare hosts, but also
// accepts names in punycode and IPv6 addresses.
func comparableHost(given string) (string, error) {
	if strings.HasPrefix(given, "[") {
		return comparableIPv6(given)
	}
	if strings.Count(given, ":") > 1 {
		return "", errors.New("write an IPv6 address in brackets: [::1]:8080")
	}
	host, err := svchost.ForComparison(svchost.ForDisplay(given))
	if err == nil && (!utf8.ValidString(given) || strings.HasSuffix(string(host), ".")) {
		err = errors.New("a host name is text that does not end in a dot")
	}
	if err != nil && strings.HasPrefix(err.Error(), "idna: ") { // which refers to characters by their numbers
		err = errors.New("a host name has only letters, digits, hyphens and dots")
	}
	return string(host), err
}

func comparableIPv6(given string) (string, error) {
	literal, port, ok := strings.Cut(given[1:], "]")
	ip, err := netip.ParseAddr(literal)
	if !ok || err != nil || !ip.Is6() || ip.Zone() != "" {
		return "", errors.New("the text in brackets is not an IPv6 address")
	}
	host := "[" + ip.String() + "]"
	if port == "" || port == ":443" {
		return host, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(port, ":"), 10, 16)
	if err != nil || port[0] != ':' {
		return "", errors.New("the brackets may be followed only by a port")
	}
	return fmt.Sprintf("%s:%d", host, n), nil
}

// displayHost returns the form of a host for people.
func displayHost(host string) string {
	if strings.HasPrefix(host, "[") {
		return host
	}
	return svchost.ForDisplay(host)
}
