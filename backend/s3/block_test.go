package s3_test

import (
	"os"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/s3"
)

// The parameters of an address become arguments of Terraform's backend. Nothing in them is a
// credential.
func TestBlocksOfObjects(t *testing.T) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	for _, tt := range []struct {
		name, address string
		environ       map[string]string
		want          []string // lines of the block, without alignment
		workspace     string
		since, note   string
	}{
		{"a region", "s3://states/net/terraform.tfstate?region=eu-west-1", nil,
			[]string{`bucket = "states"`, `key = "net/terraform.tfstate"`, `region = "eu-west-1"`, "use_lockfile = true"}, "", "1.10.0", ""},
		{"no region", "s3://states/a.tfstate", nil, []string{`bucket = "states"`, `key = "a.tfstate"`, "use_lockfile = true"}, "", "1.10.0", "Add the bucket's region"},
		{"the region of the environment", "s3://states/a.tfstate", map[string]string{"AWS_REGION": "eu-north-1"},
			[]string{`bucket = "states"`, `key = "a.tfstate"`, `region = "eu-north-1"`, "use_lockfile = true"}, "", "1.10.0", ""},
		{"a workspace", "s3://states/env:/prod/net/a.tfstate?region=eu-west-1", nil,
			[]string{`bucket = "states"`, `key = "net/a.tfstate"`, `region = "eu-west-1"`, "use_lockfile = true"}, "prod", "1.10.0", ""},
		{"a workspace below a prefix of its own", "s3://states/teams/prod/net/a.tfstate?region=eu-west-1&workspace-key-prefix=teams", nil,
			[]string{`bucket = "states"`, `key = "net/a.tfstate"`, `workspace_key_prefix = "teams"`, `region = "eu-west-1"`, "use_lockfile = true"}, "prod", "1.10.0", ""},
		{"a prefix in front of env:", "s3://states/x/env:/prod/a.tfstate?region=eu-west-1", nil,
			[]string{`bucket = "states"`, `key = "a.tfstate"`, `workspace_key_prefix = "x/env:"`, `region = "eu-west-1"`, "use_lockfile = true"}, "prod", "1.10.0", ""},
		{"no lock file", "s3://states/a.tfstate?region=eu-west-1&lock-file=false&lock-table=locks", nil,
			[]string{`bucket = "states"`, `key = "a.tfstate"`, `region = "eu-west-1"`, `dynamodb_table = "locks"`}, "", "", ""},
		{"a KMS key", "s3://states/a.tfstate?region=eu-west-1&kms-key-id=alias/x&lock-table=locks", nil,
			[]string{`bucket = "states"`, `key = "a.tfstate"`, `region = "eu-west-1"`, "encrypt = true", `kms_key_id = "alias/x"`, "use_lockfile = true", `dynamodb_table = "locks"`}, "", "1.10.0", ""},
		{"KMS without a key", "s3://states/a.tfstate?region=eu-west-1&sse=aws:kms", nil,
			[]string{`bucket = "states"`, `key = "a.tfstate"`, `region = "eu-west-1"`, "use_lockfile = true"}, "", "1.10.0", "only with a key"},
		{"AES256", "s3://states/a.tfstate?region=eu-west-1&sse=AES256", nil,
			[]string{`bucket = "states"`, `key = "a.tfstate"`, `region = "eu-west-1"`, "encrypt = true", "use_lockfile = true"}, "", "1.10.0", ""},
		{"a key of the customer", "s3://states/a.tfstate?region=eu-west-1", map[string]string{"AWS_SSE_CUSTOMER_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="},
			[]string{`bucket = "states"`, `key = "a.tfstate"`, `region = "eu-west-1"`, "encrypt = true", "use_lockfile = true"}, "", "1.10.0", "AWS_SSE_CUSTOMER_KEY"},
		{"another server", "s3://states/a.tfstate?endpoint=https://minio.example.com&path-style=true&region=x&lock-file=false&lock-table=locks", nil,
			[]string{`bucket = "states"`, `key = "a.tfstate"`, `region = "x"`, "endpoints = {", `s3 = "https://minio.example.com"`, "}", "use_path_style = true", "skip_credentials_validation = true",
				"skip_requesting_account_id = true", "skip_region_validation = true", "skip_s3_checksum = true", `dynamodb_table = "locks"`}, "", "1.6.3", ""},
		{"a server without a name", "s3://states/a.tfstate?region=x&lock-file=false&lock-table=locks", map[string]string{"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000"},
			[]string{`bucket = "states"`, `key = "a.tfstate"`, `region = "x"`, "endpoints = {", `s3 = "http://127.0.0.1:9000"`, "}", "use_path_style = true", "skip_credentials_validation = true",
				"skip_requesting_account_id = true", "skip_region_validation = true", "skip_s3_checksum = true", `dynamodb_table = "locks"`}, "", "1.6.3", ""},
		{"an endpoint of the environment", "s3://states/a.tfstate?region=eu-west-1", map[string]string{"AWS_ENDPOINT_URL_S3": "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com"},
			[]string{`bucket = "states"`, `key = "a.tfstate"`, `region = "eu-west-1"`, "endpoints = {", `s3 = "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com"`, "}", "use_lockfile = true"}, "", "1.10.0", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, value := range tt.environ {
				t.Setenv(name, value)
			}
			role := s3.Kind(backend.Connection{}).Target
			container, name, err := role.SplitState(tt.address)
			if err != nil {
				t.Fatal(err)
			}
			b, err := role.Block(t.Context(), container, name)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(b.HCL()) {
				got = append(got, strings.Join(strings.Fields(line), " "))
			}
			want := strings.Join(append(append([]string{"terraform {", `backend "s3" {`}, tt.want...), "}", "}"), "\n")
			if text := strings.Join(got, "\n"); text != want {
				t.Errorf("got\n%s\nwant\n%s", text, want)
			}
			if b.Named() != (tt.workspace != "") || b.Named() && b.Workspace != tt.workspace || b.Terraform != tt.since {
				t.Errorf("workspace %q, since %q", b.Workspace, b.Terraform)
			}
			if notes := strings.Join(b.Notes, " "); (notes != "") != (tt.note != "") || !strings.Contains(notes, tt.note) {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

// Terraform refuses a key that begins with a slash.
func TestNoBlockForAKeyThatBeginsWithASlash(t *testing.T) {
	b, err := s3.Kind(backend.Connection{}).Target.Block(t.Context(), "s3://states//?region=eu-west-1", "a.tfstate")
	if err == nil || !strings.Contains(err.Error(), `"/a.tfstate"`) {
		t.Errorf("%+v, %v", b, err)
	}
}
