package tfe

import (
	"errors"
	"strings"
	"testing"
)

// FuzzParseAddress checks that a valid address, written out, is parsed as the same address
// again; that its names need no escaping; that nothing is sent unencrypted over a network;
// and that every error is an *AddressError.
func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{
		"acme/net", "tfe.example.com/acme/net", "https://tfe.example.com:8443/acme/net/", "http://127.0.0.1:8080/acme/net", "http://[::1]:1/a/b",
		"localhost/a/b", "münchen.example/a/b", "xn--mnchen-3ya.example/a/b", "[::1]/a/b", "a:0/b/c", "https://a/app/b/workspaces/c", "a@b/c/d", "//", "a//b", "http://evil/a/b", "",
	} {
		f.Add(seed, "", true)
		f.Add(seed, "https://tfe.example.com", false)
	}
	f.Fuzz(func(t *testing.T, given, variable string, ofWorkspace bool) {
		env := func(name string) string {
			if name == "TFE_ADDRESS" {
				return variable
			}
			return ""
		}
		parse := ParseOrganization
		if ofWorkspace {
			parse = ParseWorkspace
		}
		a, err := parse(given, env)
		if err != nil {
			if _, ok := errors.AsType[*AddressError](err); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			if strings.ContainsAny(err.Error(), "\x1b\n\r\x00\x07") {
				t.Fatalf("the address contains a control character: %q", err)
			}
			return
		}
		if a.Host == "" || !permittedName.MatchString(a.Organization) || ofWorkspace != (a.Workspace != "") || a.Workspace != "" && !permittedName.MatchString(a.Workspace) {
			t.Fatalf("%q was parsed as %+v", given, a)
		}
		if strings.ContainsAny(a.Host, "/@?# \x00") || a.Scheme != "" && a.Scheme != "https" && a.Scheme != "http" {
			t.Fatalf("%q was parsed as %+v", given, a)
		}
		again, err := parse(a.Scheme+"://"+a.Host+"/"+a.Organization+strings.TrimSuffix("/"+a.Workspace, "/"), env)
		if a.Scheme == "" {
			again, err = parse("https://"+a.Host+"/"+a.Organization+strings.TrimSuffix("/"+a.Workspace, "/"), env)
			again.Scheme = ""
		}
		if err != nil || again != a {
			t.Fatalf("%q is parsed as %+v, and then as %+v: %v", given, a, again, err)
		}
	})
}
