package tfe

import (
	"net/url"
	"testing"
)

// Messages, journals and unlock commands name the server as the user does, not where
// discovery found the API.
func TestHostIsWhatTheUserAddressed(t *testing.T) {
	for given, want := range map[string]string{
		"acme/net":                       "app.terraform.io",
		"tfe.example.com:8443/acme/net":  "tfe.example.com:8443",
		"http://127.0.0.1:8080/acme/net": "http://127.0.0.1:8080",
	} {
		address, err := ParseWorkspace(given, func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		client, err := New(Options{Host: address.Server(), API: &url.URL{Scheme: "https", Host: "api.elsewhere.example", Path: "/api/v2/"}, Token: "t"})
		if err != nil {
			t.Fatal(err)
		}
		if got := client.Host(); got != want {
			t.Errorf("%s: Host is %q, want %q", given, got, want)
		}
		if again, err := ParseWorkspace(client.Host()+"/acme/net", func(string) string { return "" }); err != nil || again != address {
			t.Errorf("%s: the host leads to %v (%v)", given, again, err)
		}
	}
}
