package tfe_test

import (
	"net/http/httptest"
	"net/url"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	"tfhaul/backend/tfe"
	"tfhaul/tfesim"
)

// An organization can be a target on every kind of server.
func TestOrganizationIsATarget(t *testing.T) {
	for _, personality := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		t.Run(personality.String(), func(t *testing.T) {
			backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
				sim, err := tfesim.New(tfesim.Options{Personality: personality, Organizations: []string{"acme"}})
				if err != nil {
					t.Fatal(err)
				}
				server := httptest.NewServer(sim)
				t.Cleanup(func() {
					server.Close()
					if err := sim.Close(); err != nil {
						t.Error(err)
					}
				})
				if _, err := sim.AddWorkspace("acme", "network"); err != nil {
					t.Fatal(err)
				}
				api, err := url.Parse(server.URL + "/api/v2/")
				if err != nil {
					t.Fatal(err)
				}
				client, err := tfe.New(tfe.Options{API: api, Token: sim.Token(tfesim.Owner)})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(client.Close)
				return client.Target("acme"), "network"
			})
		})
	}
}

func TestAddressesOfTargets(t *testing.T) {
	kind := tfe.Kind(backend.Connection{Environ: []string{"TFE_TOKEN=secret"}})
	backendtest.Role(t, kind, "http://127.0.0.1:8080/acme/network", "http://127.0.0.1:8080/acme")
	for _, address := range []string{"acme/network", "tfe://acme/network", "app.terraform.io/acme/network"} {
		if container, name, err := kind.Target.SplitState(address); err != nil || container != "app.terraform.io/acme" || name != "network" {
			t.Errorf("%s: %q, %q, %v", address, container, name, err)
		}
	}
}
