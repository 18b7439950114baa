package consul

import (
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
)

func settings(values map[string]any) *backend.Settings {
	return &backend.Settings{Type: "consul", Values: values}
}

func TestConfiguredPaths(t *testing.T) {
	backendtest.Configured(t, backend.Kinds{kind()}, settings(map[string]any{"address": "consul.example.com:8501", "scheme": "https", "path": "live/net"}),
		"consul://consul.example.com:8501/live/net", "consul://consul.example.com:8501/live/net-env:prod", "consul://consul.example.com:8501/live/")
	backendtest.Configured(t, backend.Kinds{kind()}, settings(map[string]any{"address": "127.0.0.1:8500", "scheme": "http", "path": "net", "datacenter": "dc2"}),
		"consul://127.0.0.1:8500/net?datacenter=dc2", "consul://127.0.0.1:8500/net-env:prod?datacenter=dc2", "consul://127.0.0.1:8500/?datacenter=dc2")
}

// How Consul's client and Terraform find the server.
func TestTheServerOfAConfiguration(t *testing.T) {
	for _, tt := range []struct {
		environ string
		values  map[string]any
		want    string
	}{
		{"", map[string]any{"path": "net"}, "consul://127.0.0.1:8500/net"},
		{"CONSUL_HTTP_ADDR=https://consul.example.com", map[string]any{"path": "net"}, "consul://consul.example.com/net"},
		{"CONSUL_HTTP_SSL=true", map[string]any{"path": "net", "address": "consul.example.com"}, "consul://consul.example.com/net"},
		{"", map[string]any{"path": "net", "address": "https://consul.example.com", "scheme": "http"}, "consul://consul.example.com/net"},
		{"", map[string]any{"path": "net", "address": "127.0.0.1:8500", "gzip": true}, "consul://127.0.0.1:8500/net?gzip=true"},
	} {
		got, err := kind(tt.environ).Configured(settings(tt.values))
		if err != nil || got.State("") != tt.want {
			t.Errorf("%s %v: got %+v, %v; want %s", tt.environ, tt.values, got, err, tt.want)
		}
	}
}

func TestSettingsThatNameNoState(t *testing.T) {
	for want, values := range map[string]map[string]any{
		"path is not set":    {"address": "127.0.0.1:8500"},
		"over plain http":    {"path": "net", "address": "consul.example.com:8500"},
		"begins with a":      {"path": "/net"},
		"path ends in a":     {"path": "net/"},
		"address is not":     {"path": "net", "address": "https://jo:secret@consul.example.com"},
		"address names a Un": {"path": "net", "address": "unix:///run/consul"},
	} {
		if _, err := kind().Configured(settings(values)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestCredentialsOfAConfigurationAreNotUsed(t *testing.T) {
	got, err := kind().Configured(settings(map[string]any{"path": "net", "access_token": "secret", "ca_file": "/etc/ca.pem"}))
	if err != nil || len(got.Notes) != 2 || strings.Contains(strings.Join(got.Notes, " ")+got.Container+got.State("prod"), "secret") {
		t.Errorf("got the notes of %+v, %v", got, err)
	}
}
