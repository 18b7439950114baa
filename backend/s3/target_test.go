package s3

import (
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
)

func TestAddressesOfTargets(t *testing.T) {
	awsEnvironment(t)
	kind := Kind(backend.Connection{})
	for _, state := range []string{
		"s3://acme/terraform.tfstate", "s3://acme/net/terraform.tfstate?endpoint=https://s3.example.com&lock-table=locks&path-style=true",
		"s3://acme/env:/prod/net/a%20b.tfstate?sse=AES256", "s3://acme/a?kms-key-id=alias/states&lock-file=false&lock-table=locks&workspace-key-prefix=env",
	} {
		backendtest.Role(t, kind, state, "s3://acme/?region=eu-west-1")
	}
}

func TestUnusableTargets(t *testing.T) {
	role := Kind(backend.Connection{}).Target
	for address, want := range map[string]string{
		"s3://acme/net/":                      "names a prefix, not an object",
		"s3://acme/a.tfstate?versionId=7":     "versionId names a version that exists",
		"s3://acme/a.tfstate?sse=SSE-C":       "sse must be AES256 or aws:kms",
		"s3://acme/a?sse=AES256&kms-key-id=1": "leave out kms-key-id",
		"s3://acme/a?lock-file=false":         "lock-file=false leaves no lock",
		"s3://acme/a?lock-file=no":            "lock-file must be true or false",
	} {
		if _, _, err := role.SplitState(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	if err := role.CheckContainer("s3://acme/net"); err == nil || !strings.Contains(err.Error(), "with a slash at the end") {
		t.Errorf("an object as a container: %v", err)
	}
	for name, want := range map[string]string{
		"": "names the key", "net/": "does not end in a slash", "a//b": "empty, . and .. parts", "../a": "empty, . and .. parts", "./a": "empty, . and .. parts",
		"a.tfstate.tflock": "Terraform uses the extension", strings.Repeat("k", 1020): "at most 1017",
	} {
		if err := role.CheckName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	for _, name := range []string{"terraform.tfstate", "env:/prod/terraform.tfstate", "/env:/prod/net/terraform.tfstate", "ünïcode/a b"} {
		if err := role.CheckName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Terraform puts workspace_key_prefix in front of the whole key.
func TestLayoutOfWorkspaces(t *testing.T) {
	awsEnvironment(t)
	role := Kind(backend.Connection{}).Target
	for _, tt := range []struct{ container, workspace, want string }{
		{"s3://acme/", "default", "s3://acme/net/terraform.tfstate"},
		{"s3://acme/", "", "s3://acme/net/terraform.tfstate"},
		{"s3://acme/", "prod", "s3://acme/env:/prod/net/terraform.tfstate"},
		{"s3://acme/live/", "default", "s3://acme/live/net/terraform.tfstate"},
		{"s3://acme/live/", "prod", "s3://acme/env:/prod/live/net/terraform.tfstate"},
		{"s3://acme/?workspace-key-prefix=ws", "prod", "s3://acme/ws/prod/net/terraform.tfstate?workspace-key-prefix=ws"},
	} {
		name := role.Layout(tt.container, "net/terraform.tfstate", tt.workspace)
		if err := role.CheckName(name); err != nil {
			t.Error(err)
		}
		target, err := role.Open(t.Context(), tt.container)
		if err != nil {
			t.Fatal(err)
		}
		if got := target.Address(name); got != tt.want {
			t.Errorf("%s, %s: %s, want %s", tt.container, tt.workspace, got, tt.want)
		}
	}
}

func TestOneAddressForOneObject(t *testing.T) {
	kind := Kind(backend.Connection{})
	for address, want := range map[string]string{
		"s3://acme/a%2Fb?region=eu-west-1&lock-table=t&sse=AES256": "s3://acme/a/b",
		"s3://acme/a?path-style=true&endpoint=https://h":           "s3://acme/a?endpoint=https://h",
		"s3://acme/a?versionId=7":                                  "s3://acme/a?versionId=7",
		"s3://x":                                                   "s3://x", // no bucket's name
	} {
		if got := kind.Canonical(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestTwoEncryptionsAreRefused(t *testing.T) {
	awsEnvironment(t)
	t.Setenv(customerKeyVariable, "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=")
	_, err := Kind(backend.Connection{}).Target.Open(t.Context(), "s3://acme/?sse=AES256")
	if err == nil || !strings.Contains(err.Error(), "two different encryptions") {
		t.Errorf("error %v", err)
	}
}
