package tfe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tfhaul/backend"
)

const (
	discoveryPath = "/.well-known/terraform.json"
	apiService    = "tfe.v2"
	apiPath       = "/api/v2/"

	// The same limits as in Terraform (terraform-svchost, package disco).
	maxDiscoveryRedirects = 3
	maxDiscoveryDocument  = 1 << 20 // bytes

	discoveryPatience = 30 * time.Second
)

// DiscoverAPI asks a host where its API is, as Terraform does
// (https://developer.hashicorp.com/terraform/internals/remote-service-discovery), and
// returns a URL that ends in a slash. If the host has no discovery document (404), the API
// is at /api/v2/. If the address has a scheme, it names the API's host, and DiscoverAPI
// sends no request. It sends no credentials. It uses the TLS configuration and proxy of hc,
// but not its redirect policy.
func DiscoverAPI(ctx context.Context, hc *http.Client, addr Address) (*url.URL, error) {
	if addr.Scheme != "" {
		api := &url.URL{Scheme: addr.Scheme, Host: addr.Host, Path: apiPath}
		return api, mustBeSafe(api, api)
	}
	ctx, cancel := context.WithTimeout(ctx, discoveryPatience)
	defer cancel()
	ask := &url.URL{Scheme: "https", Host: addr.Host, Path: discoveryPath}
	api, err := discover(ctx, hc, ask)
	if err != nil {
		return nil, fmt.Errorf("cannot find the API of %s: %w", displayHost(addr.Host), err)
	}
	return api, nil
}

func discover(ctx context.Context, hc *http.Client, ask *url.URL) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ask.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	asking := *hc
	asking.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > maxDiscoveryRedirects {
			return fmt.Errorf("more than %d redirects", maxDiscoveryRedirects)
		}
		return mustBeSafe(req.URL, ask)
	}
	resp, err := asking.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return &url.URL{Scheme: ask.Scheme, Host: ask.Host, Path: apiPath}, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answers %s with status %d", discoveryPath, resp.StatusCode)
	}
	if mt, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return nil, fmt.Errorf("%s is not JSON: is this host a Terraform Enterprise, with no login page or proxy in front of it?", discoveryPath)
	}
	doc, err := io.ReadAll(io.LimitReader(resp.Body, maxDiscoveryDocument+1))
	if err != nil {
		return nil, unreachable(err)
	}
	if len(doc) > maxDiscoveryDocument {
		return nil, fmt.Errorf("%s is larger than %d bytes", discoveryPath, maxDiscoveryDocument)
	}
	api, err := apiOf(doc, resp.Request.URL) // after redirects
	if err != nil {
		return nil, err
	}
	return api, mustBeSafe(api, ask)
}

// apiOf returns the API's URL from a discovery document read from base.
func apiOf(doc []byte, base *url.URL) (*url.URL, error) {
	var services map[string]any
	if err := json.Unmarshal(doc, &services); err != nil {
		return nil, fmt.Errorf("%s is not a JSON object", discoveryPath)
	}
	given, ok := services[apiService].(string)
	if !ok {
		offers := "nothing"
		if len(services) > 0 {
			offers = clean(strings.Join(slices.Sorted(maps.Keys(services)), ", "))
		}
		return nil, fmt.Errorf("%s does not offer %s, but %s: this host has no workspaces", discoveryPath, apiService, offers)
	}
	relative, err := url.Parse(given)
	if err != nil {
		return nil, fmt.Errorf("%s has a %s that is not a URL", discoveryPath, apiService)
	}
	api := base.ResolveReference(relative)
	if api.User != nil || api.Host == "" {
		return nil, fmt.Errorf("%s has a %s that is not the URL of an API", discoveryPath, apiService)
	}
	api.RawQuery, api.Fragment, api.RawFragment, api.ForceQuery = "", "", "", false
	if !strings.HasSuffix(api.Path, "/") {
		api = api.JoinPath("/")
	}
	return api, nil
}

// mustBeSafe refuses unencrypted connections over a network. Plain http is allowed only to
// this machine, and only if the user named it: another host must not redirect us there.
func mustBeSafe(u, named *url.URL) error {
	if u.Scheme == "https" || u.Scheme == "http" && backend.IsLoopback(u.Hostname()) && backend.IsLoopback(named.Hostname()) {
		return nil
	}
	return fmt.Errorf("it points to %s://%s, which is not encrypted", clean(u.Scheme), clean(u.Host))
}

// unreachable explains why there was no response, and what may help.
func unreachable(err error) error {
	return &backend.Error{Code: backend.Unreachable, Message: redact(err), Err: err}
}
