package tfe

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDiscoverAPI(t *testing.T) {
	const json = "application/json"
	for _, tt := range []struct {
		does, contentType, document string
		status                      int
		want                        string // below the server; or the beginning of an error
		fails                       bool
	}{
		{"a relative URL", json, `{"tfe.v2":"/api/v2/","modules.v1":"/x"}`, 200, "/api/v2/", false},
		{"a relative URL without a trailing slash", json, `{"tfe.v2":"/some/api"}`, 200, "/some/api/", false},
		{"a URL relative to the document", json, `{"tfe.v2":"v2/"}`, 200, "/.well-known/v2/", false},
		{"a content type with a charset", json + "; charset=utf-8", `{"tfe.v2":"/api/v2/"}`, 200, "/api/v2/", false},
		{"no document", "text/html", "not found", 404, "/api/v2/", false},
		{"a document without the service", json, `{"modules.v1":"/x","login.v1":{}}`, 200, "/.well-known/terraform.json does not offer tfe.v2, but login.v1, modules.v1: this host has no workspaces", true},
		{"an empty document", json, `{}`, 200, "/.well-known/terraform.json does not offer tfe.v2, but nothing: this host has no workspaces", true},
		{"a service that is not a string", json, `{"tfe.v2":{"x":1}}`, 200, "/.well-known/terraform.json does not offer tfe.v2", true},
		{"an invalid URL", json, `{"tfe.v2":"http://[::1"}`, 200, "/.well-known/terraform.json has a tfe.v2 that is not a URL", true},
		{"a URL with a password", json, `{"tfe.v2":"https://a:b@example.com/"}`, 200, "/.well-known/terraform.json has a tfe.v2 that is not the URL of an API", true},
		{"plain http to another machine", json, `{"tfe.v2":"http://example.com/api/v2/"}`, 200, "it points to http://example.com, which is not encrypted", true},
		{"another scheme", json, `{"tfe.v2":"file:///etc/passwd"}`, 200, "/.well-known/terraform.json has a tfe.v2 that is not the URL of an API", true},
		{"a login page", "text/html; charset=utf-8", `<html>`, 200, "/.well-known/terraform.json is not JSON", true},
		{"a malformed content type", ";", `{}`, 200, "/.well-known/terraform.json is not JSON", true},
		{"broken JSON", json, `{"tfe.v2":`, 200, "/.well-known/terraform.json is not a JSON object", true},
		{"JSON other than an object", json, `["tfe.v2"]`, 200, "/.well-known/terraform.json is not a JSON object", true},
		{"endless JSON", json, `{"tfe.v2":"/api/v2/","x":"` + strings.Repeat("x", 1<<20) + `"}`, 200, "/.well-known/terraform.json is larger than 1048576 bytes", true},
		{"an error", json, `{}`, 500, "it answers /.well-known/terraform.json with status 500", true},
	} {
		t.Run(tt.does, func(t *testing.T) {
			server, host := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/.well-known/terraform.json" || r.Header.Get("Accept") != "application/json" || r.Header.Get("Authorization") != "" {
					t.Errorf("requested %s with Accept %q and Authorization %q", r.URL, r.Header.Get("Accept"), r.Header.Get("Authorization"))
				}
				w.Header().Set("Content-Type", tt.contentType)
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.document)) // the client may disconnect
			})
			api, err := DiscoverAPI(t.Context(), server.Client(), Address{Host: host})
			switch {
			case tt.fails:
				if want := "cannot find the API of " + host + ": " + tt.want; err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("%v, %v\nwant error %s", api, err, want)
				}
			case err != nil || api.String() != server.URL+tt.want:
				t.Errorf("%v, %v; want %s", api, err, server.URL+tt.want)
			}
		})
	}
}

func TestDiscoveryFollowsRedirectsAndReadsURLsRelativeToTheLast(t *testing.T) {
	other, _ := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"tfe.v2":"/elsewhere/"}`)) // the client may disconnect
	})
	hops := 0
	server, host := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		if hops--; hops > 0 {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return
		}
		http.Redirect(w, r, other.URL+"/moved.json", http.StatusFound)
	})
	hops = 3
	api, err := DiscoverAPI(t.Context(), server.Client(), Address{Host: host})
	if err != nil || api.String() != other.URL+"/elsewhere/" {
		t.Errorf("%v, %v; want it below %s", api, err, other.URL)
	}
	hops = 4
	if _, err := DiscoverAPI(t.Context(), server.Client(), Address{Host: host}); err == nil || !strings.Contains(err.Error(), "more than 3 redirects") {
		t.Errorf("after a fourth redirect: %v", err)
	}
}

func TestDiscoveryIsNeverLedToPlainHTTP(t *testing.T) {
	asked := false
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(plain.Close)
	server, host := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(plain.URL, "127.0.0.1", "127.0.0.1.nip.example", 1), http.StatusFound)
	})
	_, err := DiscoverAPI(t.Context(), server.Client(), Address{Host: host})
	if err == nil || !strings.Contains(err.Error(), "which is not encrypted") || asked {
		t.Errorf("%v; the plain server was contacted: %v", err, asked)
	}

	// A remote host must not redirect us to a port of this machine either.
	loopback := mustParse(t, "http://127.0.0.1:1/api/v2/")
	if err := mustBeSafe(loopback, mustParse(t, "https://tfe.example.com/")); err == nil {
		t.Error("a remote host may redirect to plain http on this machine")
	}
	if err := mustBeSafe(loopback, loopback); err != nil {
		t.Errorf("plain http on this machine, named by the user: %v", err)
	}
}

func TestAnAddressWithASchemeIsNotDiscovered(t *testing.T) {
	for given, want := range map[string]string{
		"https://tfe.example.com:8443/acme": "https://tfe.example.com:8443/api/v2/",
		"http://127.0.0.1:8080/acme":        "http://127.0.0.1:8080/api/v2/",
		"http://[::1]:8080/acme":            "http://[::1]:8080/api/v2/",
	} {
		addr, err := ParseOrganization(given, environment())
		if err != nil {
			t.Fatal(err)
		}
		api, err := DiscoverAPI(t.Context(), nil, addr) // without a client, a request would panic
		if err != nil || api.String() != want {
			t.Errorf("%s: %v, %v; want %s", given, api, err, want)
		}
	}
	if _, err := DiscoverAPI(t.Context(), nil, Address{Scheme: "http", Host: "tfe.example.com"}); err == nil {
		t.Error("plain http to another host is not refused")
	}
}

func TestDiscoveryOfAHostThatCannotBeReached(t *testing.T) {
	t.Run("with an untrusted authority", func(t *testing.T) {
		_, host := tlsServer(t, func(http.ResponseWriter, *http.Request) {})
		_, err := DiscoverAPI(t.Context(), &http.Client{}, Address{Host: host})
		if err == nil || !strings.Contains(err.Error(), "--ca-file") {
			t.Errorf("%v; want it to name --ca-file", err)
		}
	})
	t.Run("that hangs", func(t *testing.T) {
		asked := make(chan struct{})
		server, host := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
			close(asked)
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-asked; cancel() }()
		if _, err := DiscoverAPI(ctx, server.Client(), Address{Host: host}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	})
}
