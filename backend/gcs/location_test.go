package gcs

import (
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
)

func TestAddressesOfTargets(t *testing.T) {
	for _, state := range []string{
		"gs://acme/default.tfstate", "gs://acme/net/prod.tfstate?endpoint=https://storage.example.com/storage/v1/",
		"gs://acme/net/a%20b%25%3Fc.tfstate", "gs://acme/net/a.tfstate?kms-key-id=projects/p/locations/eu/keyRings/r/cryptoKeys/k",
	} {
		backendtest.Role(t, kind(), state, "gs://acme/net/")
	}
}

func TestUnusableAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"gs://ann:hunter2@acme/a.tfstate":                                        "must not contain credentials",
		"gs://A/a.tfstate":                                                       "is not a bucket name",
		"gs://acme/a%zz.tfstate":                                                 "not percent-encoded correctly",
		"gs://acme/a.tfstate?key=hunter2":                                        `have no parameter "key"`,
		"gs://acme/a.tfstate?generation=new":                                     "must be the number of a version",
		"gs://acme/net/?generation=7":                                            "a prefix to search",
		"gs://acme/?endpoint=http://storage.example.com":                         "over plain http",
		"gs://acme/?endpoint=https://ann:hunter2@storage.example":                "must not contain credentials",
		"gs://acme/?endpoint=https://storage.example/%3Fsig%3D1%3F&generation=1": "a prefix to search",
		"gs://acme/?endpoint=https://storage.example?sig=hunter2":                "must not have a query",
		"gs://acme/?endpoint=storage.example":                                    "is not an https:// URL",
		"gs://acme/?kms-key-id=":                                                 "has no value",
	} {
		if _, err := parseLocation(address); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

func TestUnusableTargets(t *testing.T) {
	role := kind().Target
	for address, want := range map[string]string{
		"gs://acme/net/":                   "names a prefix, not an object",
		"gs://acme/a.tfstate?generation=7": "generation names a version that exists",
	} {
		if _, _, err := role.SplitState(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	if err := role.CheckContainer("gs://acme/net"); err == nil || !strings.Contains(err.Error(), "with a slash at the end") {
		t.Errorf("an object as a container: %v", err)
	}
	for name, want := range map[string]string{
		"": "use NAME.tfstate", "net/": "use NAME.tfstate", "net/.tfstate": "use NAME.tfstate", "net/terraform.json": "use NAME.tfstate",
		"net/default.tflock": "use NAME.tfstate", "a//b.tfstate": "empty, . and .. parts", "../a.tfstate": "empty, . and .. parts",
		"a\nb.tfstate": "line breaks", strings.Repeat("k", 1020) + ".tfstate": "at most 1024",
	} {
		if err := role.CheckName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

// Terraform's gcs backend has a prefix for each configuration, and names the file after the
// workspace.
func TestLayoutOfWorkspaces(t *testing.T) {
	for _, tt := range []struct{ path, workspace, want string }{
		{"terraform.tfstate", "default", "default.tfstate"},
		{"net/terraform.tfstate", "", "net/default.tfstate"},
		{"net/terraform.tfstate", "prod", "net/prod.tfstate"},
		{"net/default.tfstate", "prod", "net/prod.tfstate"},
		{"net/vpc.tfstate", "default", "net/vpc/default.tfstate"},
		{"net/vpc.tfstate", "prod", "net/vpc/prod.tfstate"},
		{"legacy.state", "default", "legacy.state/default.tfstate"},
	} {
		if got := layout("gs://acme/", tt.path, tt.workspace); got != tt.want {
			t.Errorf("%s in %s: %s, want %s", tt.workspace, tt.path, got, tt.want)
		}
	}
}

func TestPlacesOfStates(t *testing.T) {
	for address, want := range map[string]backend.Place{
		"gs://acme/":                 {Dir: "net", Base: "terraform", Workspace: "prod", Root: "acme", Searched: "acme"},
		"gs://acme/net/":             {Dir: "", Base: "terraform", Workspace: "prod", Root: "net", Searched: "net"},
		"gs://acme/net/prod.tfstate": {Dir: "net", Base: "terraform", Workspace: "prod", Root: "acme", Searched: "acme"},
	} {
		u, err := parseLocation(address)
		if err != nil {
			t.Fatal(err)
		}
		want.Key, want.Bucket = "net/prod.tfstate", "acme"
		if got := placeInBucket(u, want.Key); got != want {
			t.Errorf("%s: %+v\nwant %+v", address, got, want)
		}
	}
}

func TestOneAddressForOneObject(t *testing.T) {
	for address, want := range map[string]string{
		"gs://acme/a%2Fb?kms-key-id=k":                "gs://acme/a/b",
		"gs://acme/a?endpoint=https://h&generation=7": "gs://acme/a?endpoint=https://h&generation=7",
		"gs://x": "gs://x", // no bucket's name
	} {
		if got := canonical(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestBlocksOfConfigurations(t *testing.T) {
	role := kind().Target
	for _, tt := range []struct{ container, name, workspace, hcl, since string }{
		{"gs://acme/", "default.tfstate", "default", `bucket = "acme"`, ""},
		{"gs://acme/live/", "net/prod.tfstate", "prod", `prefix = "live/net"`, ""},
		{"gs://acme/?kms-key-id=projects/p", "default.tfstate", "default", `kms_encryption_key = "projects/p"`, "1.4.0"},
		{"gs://acme/?endpoint=https://h/storage/v1/", "default.tfstate", "default", `storage_custom_endpoint = "https://h/storage/v1/"`, "1.4.0"},
	} {
		b, err := role.Block(t.Context(), tt.container, tt.name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(b.HCL()), " ")
		if b.Workspace != tt.workspace || b.Terraform != tt.since || !strings.Contains(text, tt.hcl) || !strings.Contains(text, `backend "gcs"`) {
			t.Errorf("%s%s: %+v\n%s", tt.container, tt.name, b, text)
		}
	}
	if _, err := role.Block(t.Context(), "gs://acme/", "a b.tfstate"); err == nil {
		t.Error("Terraform has no workspace of this name")
	}
}
