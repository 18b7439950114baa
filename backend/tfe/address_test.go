package tfe

import (
	"errors"
	"strings"
	"testing"

	"tfhaul/backend"
)

// environment returns a lookup function for NAME=VALUE pairs.
func environment(variables ...string) func(string) string { return backend.Getenv(variables) }

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct {
		does, given string
		parse       func(string, func(string) string) (Address, error)
		env         []string
		want        Address
		text        string
	}{
		{"a workspace on HCP Terraform", "acme/net", ParseWorkspace, nil, Address{"", "app.terraform.io", "acme", "net"}, "app.terraform.io/acme/net"},
		{"an organization on HCP Terraform", "acme", ParseOrganization, nil, Address{"", "app.terraform.io", "acme", ""}, "app.terraform.io/acme"},
		{"a host", "tfe.example.com/acme/net", ParseWorkspace, nil, Address{"", "tfe.example.com", "acme", "net"}, "tfe.example.com/acme/net"},
		{"a host and an organization", "tfe.example.com/acme", ParseOrganization, nil, Address{"", "tfe.example.com", "acme", ""}, "tfe.example.com/acme"},
		{"capitals in the host", "TFE.Example.com/Acme/Net_1", ParseWorkspace, nil, Address{"", "tfe.example.com", "Acme", "Net_1"}, "tfe.example.com/Acme/Net_1"},
		{"a port", "tfe.example.com:8443/acme/net", ParseWorkspace, nil, Address{"", "tfe.example.com:8443", "acme", "net"}, "tfe.example.com:8443/acme/net"},
		{"the default port", "tfe.example.com:443/acme/net", ParseWorkspace, nil, Address{"", "tfe.example.com", "acme", "net"}, "tfe.example.com/acme/net"},
		{"a scheme", "https://tfe.example.com/acme/net", ParseWorkspace, nil, Address{"https", "tfe.example.com", "acme", "net"}, "tfe.example.com/acme/net"},
		{"a scheme and a host without a dot", "https://tfe/acme", ParseOrganization, nil, Address{"https", "tfe", "acme", ""}, "tfe/acme"},
		{"a trailing slash", "https://tfe.example.com/acme/net/", ParseWorkspace, nil, Address{"https", "tfe.example.com", "acme", "net"}, "tfe.example.com/acme/net"},
		{"http to this machine", "http://127.0.0.1:8080/acme/net", ParseWorkspace, nil, Address{"http", "127.0.0.1:8080", "acme", "net"}, "http://127.0.0.1:8080/acme/net"},
		{"http to localhost", "HTTP://localhost:8080/acme/net", ParseWorkspace, nil, Address{"http", "localhost:8080", "acme", "net"}, "http://localhost:8080/acme/net"},
		{"http to this machine over IPv6", "http://[::1]:8080/acme", ParseOrganization, nil, Address{"http", "[::1]:8080", "acme", ""}, "http://[::1]:8080/acme"},
		{"an unabbreviated IPv6 address", "https://[2001:DB8:0:0::1]/acme", ParseOrganization, nil, Address{"https", "[2001:db8::1]", "acme", ""}, "[2001:db8::1]/acme"},
		{"a non-ASCII name", "tfe.café.fr/acme/net", ParseWorkspace, nil, Address{"", "tfe.xn--caf-dma.fr", "acme", "net"}, "tfe.café.fr/acme/net"},
		{"the same name in punycode", "tfe.xn--caf-dma.fr/acme/net", ParseWorkspace, nil, Address{"", "tfe.xn--caf-dma.fr", "acme", "net"}, "tfe.café.fr/acme/net"},
		{"TFE_HOSTNAME", "acme/net", ParseWorkspace, []string{"TFE_HOSTNAME=tfe.example.com"}, Address{"", "tfe.example.com", "acme", "net"}, "tfe.example.com/acme/net"},
		{"TFE_ADDRESS takes precedence over TFE_HOSTNAME", "acme/net", ParseWorkspace, []string{"TFE_HOSTNAME=other", "TFE_ADDRESS=https://tfe.example.com/"}, Address{"https", "tfe.example.com", "acme", "net"}, "tfe.example.com/acme/net"},
		{"TFE_ADDRESS on this machine", "acme", ParseOrganization, []string{"TFE_ADDRESS=http://127.0.0.1:8080"}, Address{"http", "127.0.0.1:8080", "acme", ""}, "http://127.0.0.1:8080/acme"},
		{"a host takes precedence even over an invalid TFE_ADDRESS", "a.example/acme", ParseOrganization, []string{"TFE_ADDRESS=ftp://x"}, Address{"", "a.example", "acme", ""}, "a.example/acme"},
	} {
		t.Run(tt.does, func(t *testing.T) {
			got, err := tt.parse(tt.given, environment(tt.env...))
			if err != nil || got != tt.want {
				t.Fatalf("%q is %+v, %v\nwant %+v", tt.given, got, err, tt.want)
			}
			if got.String() != tt.text {
				t.Errorf("String = %q, want %q", got, tt.text)
			}
			again, err := tt.parse(got.String(), environment())
			if err != nil && !(tt.want.Host == "tfe" || strings.HasPrefix(tt.want.Host, "[2001")) {
				t.Errorf("String cannot be parsed again: %v", err)
			} else if err == nil && again.Host != got.Host {
				t.Errorf("parsed again it names %q, not %q", again.Host, got.Host)
			}
		})
	}
}

func TestParseAddressErrors(t *testing.T) {
	for _, tt := range []struct {
		does, given string
		parse       func(string, func(string) string) (Address, error)
		env         []string
		want        string
	}{
		{"nothing", "", ParseWorkspace, nil, `the target is empty: write [HOST/]ORG/WORKSPACE`},
		{"settings of PostgreSQL, without repeating the password", "host=db.example user=ci password=hunter2", ParseWorkspace, nil, `the target is a list of connection settings with a password: write postgres://USER@HOST/DATABASE?schema=NAME, and set PGPASSWORD`},
		{"no workspace", "acme", ParseWorkspace, nil, `the target "acme" does not have the form [HOST/]ORG/WORKSPACE`},
		{"a host instead of an organization", "app.terraform.io/acme", ParseWorkspace, nil, `the target "app.terraform.io/acme" names the organization "app.terraform.io": use only letters, digits, - and _; if that is the host, the organization is missing: write [HOST/]ORG/WORKSPACE`},
		{"an unwanted workspace", "acme/net", ParseOrganization, nil, `the target "acme/net" names "acme" as its host: write [HOST/]ORG, and a host without a dot as https://acme/…`},
		{"too many parts", "a.example/b/c/d", ParseWorkspace, nil, `the target "a.example/b/c/d" does not have the form [HOST/]ORG/WORKSPACE`},
		{"an empty part", "a.example//net", ParseWorkspace, nil, `the target "a.example//net" names the organization "": use only letters, digits, - and _`},
		{"http to another machine", "http://tfe.example.com/acme/net", ParseWorkspace, nil, `the target "http://tfe.example.com/acme/net" would send the token and the state unencrypted to tfe.example.com: use https (http is only for this machine)`},
		{"http to a name that begins like this machine's", "http://127.0.0.1.example.com/acme/net", ParseWorkspace, nil, `the target "http://127.0.0.1.example.com/acme/net" would send the token and the state unencrypted to 127.0.0.1.example.com: use https (http is only for this machine)`},
		{"another scheme", "ftp://tfe.example.com/acme/net", ParseWorkspace, nil, `the target "ftp://tfe.example.com/acme/net" begins with "ftp://": use https`},
		{"a password, not repeated", "https://ann:hunter2@tfe.example.com/acme/net", ParseWorkspace, nil, `the target contains a user name, a query or a fragment: write [HOST/]ORG/WORKSPACE, and pass the token in TFE_TOKEN`},
		{"the page of a workspace", "https://app.terraform.io/app/acme/workspaces/net/runs", ParseWorkspace, nil, `the target "https://app.terraform.io/app/acme/workspaces/net/runs" is a web page: write app.terraform.io/acme/net`},
		{"a page instead of an organization", "https://app.terraform.io/app/acme/workspaces", ParseOrganization, nil, `the target "https://app.terraform.io/app/acme/workspaces" is a web page: write app.terraform.io/acme`},
		{"a dot in the workspace", "acme/net.prod", ParseWorkspace, nil, `the target "acme/net.prod" names the workspace "net.prod": use only letters, digits, - and _`},
		{"261 characters", "acme/" + strings.Repeat("n", 261), ParseWorkspace, nil, `the target "acme/` + strings.Repeat("n", 261) + `" names a workspace of 261 characters: the maximum is 260`},
		{"an invalid port", "tfe.example.com:http/acme", ParseOrganization, nil, `the target "tfe.example.com:http/acme" names the host "tfe.example.com:http", which is not valid: port portion contains non-digit characters`},
		{"IPv6 without brackets", "::1/acme", ParseOrganization, nil, `the target "::1/acme" names the host "::1", which is not valid: write an IPv6 address in brackets: [::1]:8080`},
		{"brackets without an address", "[x]/acme", ParseOrganization, nil, `the target "[x]/acme" names "[x]" as its host: write [HOST/]ORG, and a host without a dot as https://[x]/…`},
		{"brackets around an invalid address", "https://[::g]/acme", ParseOrganization, nil, `the target "https://[::g]/acme" names the host "[::g]", which is not valid: the text in brackets is not an IPv6 address`},
		{"brackets not followed by a port", "https://[::1]x/acme", ParseOrganization, nil, `the target "https://[::1]x/acme" names the host "[::1]x", which is not valid: the brackets may be followed only by a port`},
		{"a control character", "tfe.\x1b[2J.com/acme", ParseOrganization, nil, `the target "tfe.\x1b[2J.com/acme" names the host "tfe.\x1b[2J.com", which is not valid: a host name has only letters, digits, hyphens and dots`},
		{"TFE_ADDRESS with a path", "acme", ParseOrganization, []string{"TFE_ADDRESS=https://tfe.example.com/api/v2"}, `TFE_ADDRESS "https://tfe.example.com/api/v2" has a path: write https://HOST`},
		{"TFE_ADDRESS with http to another machine", "acme", ParseOrganization, []string{"TFE_ADDRESS=http://tfe.example.com"}, `TFE_ADDRESS "http://tfe.example.com" would send the token and the state unencrypted to tfe.example.com: use https (http is only for this machine)`},
		{"TFE_ADDRESS with a password, not repeated", "acme", ParseOrganization, []string{"TFE_ADDRESS=https://ann:hunter2@tfe.example.com"}, `TFE_ADDRESS contains a user name, a query or a fragment: write https://HOST, and pass the token in TFE_TOKEN`},
		{"an invalid TFE_HOSTNAME", "acme", ParseOrganization, []string{"TFE_HOSTNAME=a..b"}, `TFE_HOSTNAME "a..b" names the host "a..b", which is not valid: hostname contains empty label (two consecutive periods)`},
	} {
		t.Run(tt.does, func(t *testing.T) {
			got, err := tt.parse(tt.given, environment(tt.env...))
			if err == nil || err.Error() != tt.want {
				t.Fatalf("%+v, %v\nwant error %s", got, err, tt.want)
			}
			if _, ok := errors.AsType[*AddressError](err); !ok {
				t.Errorf("a %T, want an *AddressError", err)
			}
		})
	}
}
