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
)

const (
	discoveryPath = "/.well-known/terraform.json"
	apiService    = "tfe.v2"
	apiPath       = "/api/v2/"

	// The bounds Terraform has, too (terraform-svchost, package disco).
	mostDiscoveryRedirects = 3
	mostDiscoveryDocument  = 1 << 20 // bytes

	discoveryPatience = 30 * time.Second
)

// DiscoverAPI asks a host where its API is, as Terraform does it
// (https://developer.hashicorp.com/terraform/internals/remote-service-discovery), and returns the URL
// with a slash at its end. A host without a discovery document (404) has its API at /api/v2/. An address
// with a scheme names the API's host itself, and nothing is asked. No credentials are sent. hc carries
// the TLS configuration and the proxy; its redirect policy is not used.
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
		if len(via) > mostDiscoveryRedirects {
			return fmt.Errorf("it redirects more than %d times", mostDiscoveryRedirects)
		}
		return mustBeSafe(req.URL, ask)
	}
	resp, err := asking.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return &url.URL{Scheme: ask.Scheme, Host: ask.Host, Path: apiPath}, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answers %s with status %d", discoveryPath, resp.StatusCode)
	}
	if mt, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return nil, fmt.Errorf("%s is not JSON there: is this host a Terraform Enterprise, and does nothing (a login page, a proxy) stand before it?", discoveryPath)
	}
	doc, err := io.ReadAll(io.LimitReader(resp.Body, mostDiscoveryDocument+1))
	if err != nil {
		return nil, unreachable(err)
	}
	if len(doc) > mostDiscoveryDocument {
		return nil, fmt.Errorf("%s is larger there than %d bytes", discoveryPath, mostDiscoveryDocument)
	}
	api, err := apiOf(doc, resp.Request.URL) // after redirects
	if err != nil {
		return nil, err
	}
	return api, mustBeSafe(api, ask)
}

// apiOf reads the API's URL from a discovery document that came from base.
func apiOf(doc []byte, base *url.URL) (*url.URL, error) {
	var services map[string]any
	if err := json.Unmarshal(doc, &services); err != nil {
		return nil, fmt.Errorf("%s is not a JSON object there", discoveryPath)
	}
	given, ok := services[apiService].(string)
	if !ok {
		offers := "nothing"
		if len(services) > 0 {
			offers = clean(strings.Join(slices.Sorted(maps.Keys(services)), ", "))
		}
		return nil, fmt.Errorf("%s does not offer %s there, but %s: this host keeps no workspaces", discoveryPath, apiService, offers)
	}
	relative, err := url.Parse(given)
	if err != nil {
		return nil, fmt.Errorf("%s gives a %s there that is no URL", discoveryPath, apiService)
	}
	api := base.ResolveReference(relative)
	if api.User != nil || api.Host == "" {
		return nil, fmt.Errorf("%s gives a %s there that is no URL of an API", discoveryPath, apiService)
	}
	api.RawQuery, api.Fragment, api.RawFragment, api.ForceQuery = "", "", "", false
	if !strings.HasSuffix(api.Path, "/") {
		api = api.JoinPath("/")
	}
	return api, nil
}

// mustBeSafe refuses what would travel unencrypted over a network. Plain http is for this machine, and
// only where the user named it: no other host may send us there.
func mustBeSafe(u, named *url.URL) error {
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) && isLoopback(named.Hostname()) {
		return nil
	}
	return fmt.Errorf("it leads to %s://%s, where nothing would be encrypted", clean(u.Scheme), clean(u.Host))
}

// unreachable says why there was no answer, and what helps where the cause is known.
func unreachable(err error) error {
	return &silence{redact(err), err}
}

// silence is an error of the network with a text that holds no URL.
type silence struct {
	text string
	err  error
}

func (s *silence) Error() string { return s.text }
func (s *silence) Unwrap() error { return s.err }
