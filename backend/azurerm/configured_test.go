package azurerm

import (
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
)

func settings(values map[string]any) *backend.Settings {
	return &backend.Settings{Type: "azurerm", Values: values}
}

func TestConfiguredBlobs(t *testing.T) {
	backendtest.Configured(t, backend.Kinds{kind()}, settings(map[string]any{"storage_account_name": "acmestates", "container_name": "live", "key": "net/vpc.tfstate"}),
		"azurerm://acmestates/live/net/vpc.tfstate", "azurerm://acmestates/live/net/vpc.tfstateenv:prod", "azurerm://acmestates/live/")
	backendtest.Configured(t, backend.Kinds{kind()}, settings(map[string]any{"storage_account_name": "acmestates", "container_name": "live", "key": "a b?%", "environment": "china", "resource_group_name": "infra", "subscription_id": "0f"}),
		"azurerm://acmestates/live/a%20b%3F%25?environment=china&resource-group=infra&subscription=0f",
		"azurerm://acmestates/live/a%20b%3F%25env:prod?environment=china&resource-group=infra&subscription=0f",
		"azurerm://acmestates/live/?environment=china&resource-group=infra&subscription=0f")
}

func TestSettingsThatNameNoBlob(t *testing.T) {
	for want, values := range map[string]map[string]any{
		"storage_account_name and key are not set": {"container_name": "live"},
		"is not the name of a storage account":     {"storage_account_name": "Acme", "container_name": "live", "key": "x"},
		"key ends in a slash":                      {"storage_account_name": "acmestates", "container_name": "live", "key": "x/"},
	} {
		if _, err := configured(settings(values)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestCredentialsOfAConfigurationAreNotUsed(t *testing.T) {
	got, err := configured(settings(map[string]any{"storage_account_name": "acmestates", "container_name": "live", "key": "x", "sas_token": "sig=secret"}))
	if err != nil || len(got.Notes) != 1 || strings.Contains(got.Notes[0]+got.Container+got.State("prod"), "secret") {
		t.Errorf("got the notes of %+v, %v", got, err)
	}
}
