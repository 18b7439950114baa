package kubernetes

import (
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
)

func settingsOf(values map[string]any) *backend.Settings {
	return &backend.Settings{Type: "kubernetes", Values: values}
}

func TestConfiguredSecrets(t *testing.T) {
	kind := Kind(backend.Connection{Environ: []string{"KUBE_NAMESPACE=of-the-environment"}})
	backendtest.Configured(t, backend.Kinds{kind}, settingsOf(map[string]any{"secret_suffix": "net", "namespace": "infra"}),
		"kubernetes://infra/net/default", "kubernetes://infra/net/prod", "kubernetes://infra")
	backendtest.Configured(t, backend.Kinds{kind}, settingsOf(map[string]any{"secret_suffix": "net", "namespace": "infra", "config_context": "live", "labels": map[string]any{"team": "a", "acme.com/area": "b"}}),
		"kubernetes://infra/net/default?context=live&labels=acme.com/area=b,team=a", "kubernetes://infra/net/prod?context=live&labels=acme.com/area=b,team=a",
		"kubernetes://infra?context=live&labels=acme.com/area=b,team=a")
	got, err := kind.Configured(settingsOf(map[string]any{"secret_suffix": "net"}))
	if err != nil || got.Container != "kubernetes://of-the-environment" {
		t.Errorf("without a namespace: %+v, %v", got, err)
	}
	got, err = Kind(backend.Connection{Environ: []string{}}).Configured(settingsOf(map[string]any{"secret_suffix": "net"}))
	if err != nil || got.Container != "kubernetes://default" {
		t.Errorf("without a namespace anywhere: %+v, %v", got, err)
	}
}

func TestSettingsThatNameNoSecret(t *testing.T) {
	for want, values := range map[string]map[string]any{
		"secret_suffix is not set":        {"namespace": "infra"},
		"is not the name of a namespace":  {"secret_suffix": "net", "namespace": "Infra"},
		`names the suffix "Net"`:          {"secret_suffix": "Net"},
		`the label "team" is not a strin`: {"secret_suffix": "net", "labels": map[string]any{"team": true}},
	} {
		if _, err := Kind(backend.Connection{}).Configured(settingsOf(values)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestSettingsOfAClusterAreNotUsed(t *testing.T) {
	got, err := Kind(backend.Connection{}).Configured(settingsOf(map[string]any{"secret_suffix": "net", "config_path": "~/.kube/config", "token": "secret", "insecure": false}))
	if err != nil || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "has config_path and token, which") || strings.Contains(got.Notes[0], "secret") {
		t.Errorf("got the notes of %+v, %v", got, err)
	}
}
