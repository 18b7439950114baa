package http

import (
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
)

func settings(values map[string]any) *backend.Settings {
	return &backend.Settings{Type: "http", Values: values}
}

func TestConfiguredAddresses(t *testing.T) {
	const gitLab = "https://gitlab.example.com/api/v4/projects/acme%2Finfra/terraform/state/net"
	const gitea = "https://git.example.com/api/packages/acme/terraform/state/net"
	backendtest.Configured(t, kinds(), settings(map[string]any{"address": gitLab, "lock_address": gitLab + "/lock", "lock_method": "POST", "unlock_address": gitLab + "/lock", "unlock_method": "DELETE"}),
		"gitlab://gitlab.example.com/acme/infra/net", "gitlab://gitlab.example.com/acme/infra/net", "gitlab://gitlab.example.com/acme/infra/")
	backendtest.Configured(t, kinds(), settings(map[string]any{"address": gitea, "lock_address": gitea + "/lock", "lock_method": "POST", "unlock_address": gitea + "/unlock", "unlock_method": "DELETE", "update_method": "PUT"}),
		"http+https://git.example.com/api/packages/acme/terraform/state/net?lock-address="+gitea+"/lock&lock-method=POST&unlock-address="+gitea+"/unlock&unlock-method=DELETE&update-method=PUT",
		"http+https://git.example.com/api/packages/acme/terraform/state/net?lock-address="+gitea+"/lock&lock-method=POST&unlock-address="+gitea+"/unlock&unlock-method=DELETE&update-method=PUT", "")
}

func TestFormsOfConfiguredAddresses(t *testing.T) {
	const project = "/api/v4/projects/42/terraform/state/a%20b"
	for _, tt := range []struct {
		environ, want string
		values        map[string]any
		notes         int
	}{
		{"", "gitlab://gitlab.com/42/a%20b", map[string]any{"address": "https://gitlab.com" + project}, 0},
		{"", "gitlab+http://127.0.0.1:8080/42/a%20b", map[string]any{"address": "http://127.0.0.1:8080" + project, "username": "jo", "password": "secret"}, 1},
		{"", "gitlab://gitlab.com/42/a%20b", map[string]any{"address": "https://jo:secret@gitlab.com" + project, "lock_address": "https://jo:secret@gitlab.com" + project + "/lock"}, 1},
		{"", "http+https://git.example.com/gitlab" + project, map[string]any{"address": "https://git.example.com/gitlab" + project}, 0},
		{"", "http+https://gitlab.com" + project + "?update-method=PUT", map[string]any{"address": "https://gitlab.com" + project, "update_method": "PUT"}, 0},
		{"TF_HTTP_ADDRESS=https://states.example.com/net", "http+https://states.example.com/net", nil, 0},
		{"", "http+https://states.example.com/net?env=1&lock-address=https://states.example.com/net%3Fl%3D1", map[string]any{"address": "https://states.example.com/net?env=1", "lock_address": "https://states.example.com/net?l=1"}, 0},
	} {
		got, err := kinds(tt.environ).Configured(settings(tt.values))
		if err != nil {
			t.Errorf("%s: %v", tt.want, err)
			continue
		}
		if got.State("") != tt.want || len(got.Notes) != tt.notes {
			t.Errorf("got %s with %d notes, want %s with %d", got.State(""), len(got.Notes), tt.want, tt.notes)
		}
	}
}

func TestSettingsThatNameNoAddress(t *testing.T) {
	for want, values := range map[string]map[string]any{
		"address is not set":           {"username": "jo"},
		"address is not an https":      {"address": "s3://jo:secret@x"},
		"over plain http":              {"address": "http://states.example.com/net"},
		`the parameter "token" must n`: {"address": "https://states.example.com/net?token=secret"},
		"address ends in a slash":      {"address": "https://states.example.com/"},
		"must be on the same server":   {"address": "https://states.example.com/net", "lock_address": "https://jo:secret@evil.example.com/"},
	} {
		if _, err := kinds().Configured(settings(values)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
