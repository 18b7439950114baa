package azurerm

import (
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
)

func TestAddressesOfTargets(t *testing.T) {
	for _, state := range []string{
		acme + "network.tfstate", acme + "net/prod.tfstateenv:prod", acme + "net/a%20b%25%3Fc.tfstate",
		acme + "a.tfstate?endpoint=https://account.z01.blob.storage.azure.net", acme + "a.tfstate?environment=china&resource-group=rg&subscription=s-1",
	} {
		backendtest.Role(t, kind(), state, acme+"net/")
	}
}

func TestUnusableAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"azurerm://ann:hunter2@account/acme/a":                                                  "must not contain credentials",
		"azurerm://account/acme/a?sv=1&sig=hunter2":                                             "must not contain a SAS token",
		"azurerm://account.blob.core.windows.net/acme/a":                                        "write only its name, azurerm://account/CONTAINER/KEY",
		"azurerm://Account/acme/a":                                                              "is not the name of a storage account",
		"azurerm://account":                                                                     "is not the name of a container",
		"azurerm://account/A/a":                                                                 "is not the name of a container",
		"azurerm://account/a--b/a":                                                              "is not the name of a container",
		"azurerm://account/acme/a%zz":                                                           "not percent-encoded correctly",
		"azurerm://account/acme/a?key=hunter2":                                                  `have no parameter "key"`,
		"azurerm://account/acme/a?versionid=new":                                                "must be a time as Azure writes it",
		"azurerm://account/acme/?snapshot=2026-03-04T05:06:07Z":                                 "a prefix to search",
		"azurerm://account/acme/a?endpoint=http://storage.example.com":                          "over plain http",
		"azurerm://account/acme/a?endpoint=https://a:hunter2@h.example":                         "must not contain credentials",
		"azurerm://account/acme/a?endpoint=https://h?sig=hunter2":                               "must not have a query",
		"azurerm://account/acme/a?environment=moon":                                             "must be china, public, usgovernment",
		"azurerm://account/acme/a?versionid=2026-03-04T05:06:07Z&snapshot=2026-03-04T05:06:07Z": "name two versions",
	} {
		if _, err := parseLocation(address); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

func TestUnusableTargets(t *testing.T) {
	role := kind().Target
	for address, want := range map[string]string{
		acme + "net/": "names a prefix, not a blob", acme + "a?snapshot=2026-03-04T05:06:07Z": "name a version that exists",
	} {
		if _, _, err := role.SplitState(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	if err := role.CheckContainer(acme + "net"); err == nil || !strings.Contains(err.Error(), "with a slash at the end") {
		t.Errorf("a blob as a container: %v", err)
	}
	for name, want := range map[string]string{
		"": "end in a slash", "net/": "end in a slash", "a//b": "empty parts", "../a": "end in a dot", "a./b": "end in a dot", "a\nb": "control characters", `a\b`: "backslashes",
		strings.Repeat("k", 1025): "at most 1024", strings.Repeat("k/", 255) + "k": "in 254",
	} {
		if err := role.CheckName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

// Terraform appends env: and the workspace to the key, without a separator.
func TestPlacesOfStates(t *testing.T) {
	for _, tt := range []struct {
		address, key, dir, base, workspace string
	}{
		{acme, "net/vpc.tfstate", "net", "vpc", "default"},
		{acme, "net/vpc.tfstateenv:prod", "net", "vpc", "prod"},
		{acme + "net/", "net/vpc.tfstateenv:prod", "", "vpc", "prod"},
		{acme, "prod.terraformenv:blue", "", "prod.terraform", "blue"},
		{acme, "my.env:x.tfstateenv:y", "", "my.env:x", "y"},
		{acme, "env:x.tfstate", "", "env:x", "default"},
		{acme, "a.tfstateenv:", "", "a.tfstateenv:", "default"},
		{acme, "a.tfstateenv:b/c.tfstate", "a.tfstateenv:b", "c", "default"},
	} {
		u, err := parseLocation(tt.address)
		if err != nil {
			t.Fatal(err)
		}
		if got := placeInContainer(u, tt.key); got.Dir != tt.dir || got.Base != tt.base || got.Workspace != tt.workspace || got.Bucket != "acme" || got.Key != tt.key {
			t.Errorf("%s in %s: %+v", tt.key, tt.address, got)
		}
	}
}

func TestOneAddressForOneBlob(t *testing.T) {
	for address, want := range map[string]string{acme + "a%2Fb": acme + "a/b", acme + "a?subscription=s&environment=china": acme + "a?environment=china&subscription=s", "azurerm://A": "azurerm://A"} {
		if got := canonical(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestBlocksOfConfigurations(t *testing.T) {
	role := kind().Target
	for _, tt := range []struct{ container, name, workspace, hcl string }{
		{acme, "network.tfstate", "default", `storage_account_name = "account" container_name = "acme" key = "network.tfstate"`},
		{acme + "live/", "net.tfstateenv:prod", "prod", `key = "live/net.tfstate"`},
		{acme + "?environment=china&resource-group=rg&subscription=s-1", "a", "default", `environment = "china" resource_group_name = "rg" subscription_id = "s-1"`},
	} {
		b, err := role.Block(t.Context(), tt.container, tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(strings.Fields(b.HCL()), " "); b.Workspace != tt.workspace || !strings.Contains(text, tt.hcl) || !strings.Contains(text, `backend "azurerm"`) {
			t.Errorf("%s%s: %+v\n%s", tt.container, tt.name, b, text)
		}
	}
	for _, name := range []string{"a.tfstateenv:a b", "a.tfstate?endpoint=https://h"} {
		container, name, _ := strings.Cut(acme+name, "acme/")
		name, query, _ := strings.Cut(name, "?")
		if _, err := role.Block(t.Context(), container+"acme/?"+query, name); err == nil {
			t.Errorf("%s?%s: a block that Terraform does not accept", name, query)
		}
	}
}

func TestFiltersSelectWorkspaces(t *testing.T) {
	for _, tt := range []struct {
		filter backend.Filter
		want   int
	}{
		{backend.Filter{}, 2}, {backend.Filter{Include: []string{"net/vpc.tfstate"}}, 2}, {backend.Filter{Include: []string{"**/*env:prod"}}, 1},
		{backend.Filter{Exclude: []string{"**/*env:prod"}}, 1},
	} {
		s := backend.Selection{Filter: tt.filter, Name: func(key string) string { return key }, Listing: &backend.Listing{}}
		got := 0
		for _, name := range []string{"net/vpc.tfstate", "net/vpc.tfstateenv:prod", "net/main.tf"} {
			if takes(&s, name) {
				got++
			}
		}
		if got != tt.want {
			t.Errorf("%+v takes %d, want %d", tt.filter, got, tt.want)
		}
	}
}
