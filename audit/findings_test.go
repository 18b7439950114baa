package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tfhaul/audit"
	"tfhaul/backend"
)

// instance returns a resource of type kind with one object.
func instance(provider, kind, id string) string {
	return fmt.Sprintf(`{"mode": "managed", "type": %q, "name": "x", "provider": %q, "instances": [{"attributes": {"id": %q}}]}`,
		kind, `provider["`+provider+`"]`, id)
}

const aws = "registry.terraform.io/hashicorp/aws"

// inStates returns n states with different lineages and the same resources.
func inStates(n int, resources string) map[string]string {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("s%d.tfstate", i+1)] = state(spec{lineage: fmt.Sprintf("l%d", i+1), resources: resources})
	}
	return files
}

// legacyState has format 3.
const legacyState = `{"version": 3, "terraform_version": "0.11.14", "serial": 1, "lineage": "m", "modules": [{"path": ["root"], "outputs": {}, "resources":
	{"aws_vpc.x": {"type": "aws_vpc", "primary": {"id": "vpc-1", "attributes": {"id": "vpc-1"}}, "provider": "provider.aws"}}}]}`

const someOutput = `"x": {"value": "x", "type": "string"}`

func TestFindings(t *testing.T) {
	const lock = `{"ID": "lock-1", "Operation": "OperationTypeApply", "Who": "ana@build", "Created": "%s"}`
	tests := []struct {
		name  string
		files map[string]string
		// want lists all findings as "severity code" followed by the files concerned.
		want []string
		says string // a part of one of the messages or pieces of advice
	}{
		{"a healthy state", map[string]string{"a.tfstate": state(spec{lineage: "l"})}, nil, ""},
		{"errored.tfstate that is newer", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 4}), "errored.tfstate": state(spec{lineage: "l", serial: 5})},
			[]string{"error errored errored.tfstate"}, "its serial is 5, and the stored state's serial is 4"},
		{"errored.tfstate that was left behind", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 6}), "errored.tfstate": state(spec{lineage: "l", serial: 5})},
			[]string{"error errored errored.tfstate"}, "has reached serial 6 without it"},
		{"errored.tfstate that was pushed", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 5}), "errored.tfstate": state(spec{lineage: "l", serial: 5})},
			[]string{"info errored errored.tfstate"}, "same bytes have been stored since then"},
		{"errored.tfstate that was pushed, next to copies", map[string]string{
			"half/errored.tfstate": state(spec{lineage: "l", serial: 5}), "net/terraform.tfstate": state(spec{lineage: "l", serial: 5}),
			"a/terraform.tfstate": state(spec{lineage: "l", serial: 5, outputs: someOutput}), "old/terraform.tfstate": state(spec{lineage: "l", serial: 2})},
			[]string{"error diverged a/terraform.tfstate net/terraform.tfstate old/terraform.tfstate", "info errored half/errored.tfstate"}, filepath.FromSlash("half/errored.tfstate can be removed.")},
		{"errored.tfstate alone", map[string]string{"errored.tfstate": state(spec{lineage: "l", serial: 5})},
			[]string{"error errored errored.tfstate"}, "no state with its lineage was found"},
		{"a backup that is newer", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 4}), "terraform.tfstate.backup": state(spec{lineage: "l", serial: 5})},
			[]string{"error backup-newer terraform.tfstate terraform.tfstate.backup"}, "serial 5, newer than the state's serial 4"},
		{"a backup of a state command that is newer", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 4}), "terraform.tfstate.1712345678.backup": state(spec{lineage: "l", serial: 5})},
			[]string{"error backup-newer terraform.tfstate terraform.tfstate.1712345678.backup"}, ""},
		{"a large backup that is newer", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 4}), "terraform.tfstate.backup": state(spec{lineage: "l", serial: 5, outputs: `"x": {"value": "` + strings.Repeat("x", 200_000) + `", "type": "string"}`})},
			[]string{"error backup-newer terraform.tfstate terraform.tfstate.backup"}, ""},
		{"a backup in order", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 5}), "terraform.tfstate.backup": state(spec{lineage: "l", serial: 4})}, nil, ""},
		{"a backup of another state", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 4}), "terraform.tfstate.backup": state(spec{lineage: "m", serial: 9})}, nil, ""},
		{"half a state, and a backup", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 5})[:30], "terraform.tfstate.backup": state(spec{lineage: "l", serial: 4}), "terraform.tfstate.1712345678.backup": state(spec{lineage: "l", serial: 3})},
			[]string{"error invalid terraform.tfstate"}, "The backup next to it (terraform.tfstate.backup) has serial 4."},
		{"an empty file, and a backup", map[string]string{
			"terraform.tfstate": "", "terraform.tfstate.backup": state(spec{lineage: "l", serial: 4})},
			[]string{"warning empty terraform.tfstate"}, "the backup next to it (terraform.tfstate.backup) has serial 4."},
		{"an empty state, and a full backup", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 5, empty: true}), "terraform.tfstate.backup": state(spec{lineage: "l", serial: 4})},
			[]string{"info empty terraform.tfstate"}, "The backup next to it (terraform.tfstate.backup) has serial 4 and is not empty."},
		{"an empty state, and a large backup", map[string]string{
			"terraform.tfstate":        state(spec{lineage: "l", serial: 5, empty: true}),
			"terraform.tfstate.backup": state(spec{lineage: "l", serial: 4, outputs: `"x": {"value": "` + strings.Repeat("x", 200_000) + `", "type": "string"}`})},
			[]string{"info empty terraform.tfstate"}, "Keep both files until you know."},
		{"an empty state, an empty backup, and an older full one", map[string]string{
			"terraform.tfstate":                   state(spec{lineage: "l", serial: 5, empty: true}),
			"terraform.tfstate.backup":            state(spec{lineage: "l", serial: 4, empty: true}),
			"terraform.tfstate.1712345678.backup": state(spec{lineage: "l", serial: 3})},
			[]string{"info empty terraform.tfstate"}, "The backup next to it (terraform.tfstate.1712345678.backup) has serial 3 and is not empty."},
		{"an empty state, and an empty backup", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 5, empty: true}), "terraform.tfstate.backup": state(spec{lineage: "l", serial: 4, empty: true})},
			[]string{"info empty terraform.tfstate"}, `delete it with "terraform workspace delete"`},
		{"half a state, and an unusable backup", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 5})[:30], "terraform.tfstate.backup": "?"},
			[]string{"error invalid terraform.tfstate"}, "an earlier version in its backend."},
		{"copies", map[string]string{
			"a.tfstate": state(spec{lineage: "l", serial: 5}), "b.tfstate": state(spec{lineage: "l", serial: 5}), "c.tfstate": state(spec{lineage: "l", serial: 2})},
			[]string{"warning shared-lineage a.tfstate b.tfstate c.tfstate"}, "newest has serial 5, 1 identical to it, 1 older"},
		{"copies that diverged", map[string]string{
			"a.tfstate": state(spec{lineage: "l", serial: 5}), "b.tfstate": state(spec{lineage: "l", serial: 5, outputs: someOutput})},
			[]string{"error diverged a.tfstate b.tfstate"}, "that was changed independently in several places: serial 5 has 2 different contents. The files do not show which is right."},
		{"copies in different formatting", map[string]string{
			"a.tfstate": state(spec{lineage: "l", serial: 5}), "b.tfstate": strings.ReplaceAll(state(spec{lineage: "l", serial: 5}), ", ", ",\r\n\t")},
			[]string{"warning diverged a.tfstate b.tfstate"}, "2 files are copies of one state (lineage l): the 2 different files of serial 5 have the same content in different formatting. No resource or output differs."},
		{"copies by two versions of Terraform", map[string]string{
			"a.tfstate": state(spec{lineage: "l", serial: 5}), "b.tfstate": state(spec{lineage: "l", serial: 5, version: "1.11.3"}), "c.tfstate": state(spec{lineage: "l", serial: 3})},
			[]string{"warning diverged a.tfstate b.tfstate c.tfstate"}, "have the same content; only terraform_version differs, 1 older. No resource"},
		{"copies of which one is reformatted and one diverged", map[string]string{
			"a.tfstate": state(spec{lineage: "l", serial: 5}), "b.tfstate": state(spec{lineage: "l", serial: 5}) + "\n", "c.tfstate": state(spec{lineage: "l", serial: 5, outputs: someOutput})},
			[]string{"error diverged a.tfstate b.tfstate c.tfstate"}, "changed independently in several places: serial 5 has 2 different contents"},
		{"errored.tfstate that was pushed and reformatted", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 5}) + "\n", "errored.tfstate": state(spec{lineage: "l", serial: 5})},
			[]string{"info errored errored.tfstate"}, "The stored state has the same serial, 5, and the same content in different formatting."},
		{"errored.tfstate overtaken at the same serial", map[string]string{
			"terraform.tfstate": state(spec{lineage: "l", serial: 5, outputs: someOutput}), "errored.tfstate": state(spec{lineage: "l", serial: 5})},
			[]string{"error errored errored.tfstate"}, "has reached serial 5 without it"},
		{"one object in two states", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_instance", "i-0123456789abcdef0")}),
			"b.tfstate": state(spec{lineage: "m", resources: instance(aws, "aws_instance", "i-0123456789abcdef0")})},
			[]string{"error shared-resource a.tfstate b.tfstate"}, "1 object is managed by 2 states at the same time: 1 aws_instance. An apply of one can change or destroy what the other manages."},
		{"one object, once through OpenTofu", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_instance", "i-0123456789abcdef0")}),
			"b.tfstate": state(spec{lineage: "m", resources: instance("registry.opentofu.org/hashicorp/aws", "aws_instance", "i-0123456789abcdef0")})},
			[]string{"error shared-resource a.tfstate b.tfstate", "warning opentofu-provider b.tfstate"}, ""},
		{"one name in two states", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_iam_role", "deploy")}),
			"b.tfstate": state(spec{lineage: "m", resources: instance(aws, "aws_iam_role", "deploy")})},
			[]string{"warning shared-resource a.tfstate b.tfstate"}, "1 object is in 2 states with the same ID: 1 aws_iam_role. They are the same objects if both states work in one account or cluster."},
		{"one name in seven states", inStates(7, instance(aws, "aws_iam_role", "deploy")),
			[]string{"warning shared-resource s1.tfstate s2.tfstate s3.tfstate s4.tfstate s5.tfstate s6.tfstate s7.tfstate"}, "if all of them work in one account"},
		{"one object in seven states", inStates(7, instance(aws, "aws_instance", "i-0123456789abcdef0")),
			[]string{"error shared-resource s1.tfstate s2.tfstate s3.tfstate s4.tfstate s5.tfstate s6.tfstate s7.tfstate"}, "what the others manage."},
		{"one bucket in two states, by names without a digit", inStates(2, instance(aws, "aws_s3_bucket", "acme-logs")+","+instance(aws, "aws_s3_bucket_policy", "acme-logs")),
			[]string{"error shared-resource s1.tfstate s2.tfstate"}, "2 objects are managed by 2 states at the same time: 1 aws_s3_bucket, 1 aws_s3_bucket_policy."},
		{"one key in two buckets", inStates(2, instance(aws, "aws_s3_bucket_object", "index.html")+","+instance(aws, "aws_s3_object", "index.html")),
			[]string{"warning shared-resource s1.tfstate s2.tfstate"}, ""},
		{"a default object that two states adopt", inStates(2, instance(aws, "aws_default_vpc", "vpc-0123456789abcdef0")),
			[]string{"warning shared-resource s1.tfstate s2.tfstate"}, `"terraform state rm", which destroys nothing.`},
		{"objects of four types in two states", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_a", "x") + "," + instance(aws, "aws_b", "x") + "," + instance(aws, "aws_c", "x") + "," + instance(aws, "aws_d", "x")}),
			"b.tfstate": state(spec{lineage: "m", resources: instance(aws, "aws_a", "x") + "," + instance(aws, "aws_b", "x") + "," + instance(aws, "aws_c", "x") + "," + instance(aws, "aws_d", "x")})},
			[]string{"warning shared-resource a.tfstate b.tfstate"}, "1 aws_a, 1 aws_b, 1 aws_c, 1 aws_d."},
		{"one ID of two types", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_s3_bucket", "acme-logs-0123456789abc")}),
			"b.tfstate": state(spec{lineage: "m", resources: instance(aws, "aws_s3_bucket_policy", "acme-logs-0123456789abc")})}, nil, ""},
		{"IDs that mean nothing", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance("registry.terraform.io/hashicorp/random", "random_password", "none")}),
			"b.tfstate": state(spec{lineage: "m", resources: instance("registry.terraform.io/hashicorp/random", "random_password", "none")})}, nil, ""},
		{"placeholder IDs", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance("registry.terraform.io/acme/x", "x_setting", "none")}),
			"b.tfstate": state(spec{lineage: "m", resources: instance("registry.terraform.io/acme/x", "x_setting", "none")})}, nil, ""},
		{"one account's number, under which every region has a setting", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_securityhub_account", "123456789012")}),
			"b.tfstate": state(spec{lineage: "m", resources: instance(aws, "aws_securityhub_account", "123456789012")})},
			[]string{"warning shared-resource a.tfstate b.tfstate"}, ""},
		{"an ARN that is the same in all accounts", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_securityhub_standards_subscription", "arn:aws:securityhub:::ruleset/cis/v/1.2.0")}),
			"b.tfstate": state(spec{lineage: "m", resources: instance(aws, "aws_securityhub_standards_subscription", "arn:aws:securityhub:::ruleset/cis/v/1.2.0")})},
			[]string{"warning shared-resource a.tfstate b.tfstate"}, ""},
		{"a name with a year in it", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_iam_role", "eksclusterrole2023")}),
			"b.tfstate": state(spec{lineage: "m", resources: instance(aws, "aws_iam_role", "eksclusterrole2023")})},
			[]string{"warning shared-resource a.tfstate b.tfstate"}, ""},
		{"one object, once through the provider's beta", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance("registry.terraform.io/hashicorp/google", "google_compute_instance", "projects/p/zones/z/instances/i")}),
			"b.tfstate": state(spec{lineage: "m", resources: instance("registry.terraform.io/hashicorp/google-beta", "google_compute_instance", "projects/p/zones/z/instances/i")})},
			[]string{"error shared-resource a.tfstate b.tfstate"}, ""},
		{"copies of a state without lineage", map[string]string{
			"a.tfstate": state(spec{resources: instance(aws, "aws_vpc", "vpc-0123456789abcdef0")}),
			"b.tfstate": state(spec{resources: instance(aws, "aws_vpc", "vpc-0123456789abcdef0")})},
			[]string{"warning shared-lineage a.tfstate b.tfstate", "info no-lineage a.tfstate", "info no-lineage b.tfstate"}, "identical byte for byte"},
		{"older copies that diverged", map[string]string{
			"a.tfstate": state(spec{lineage: "l", serial: 9}), "b.tfstate": state(spec{lineage: "l", serial: 7}), "c.tfstate": state(spec{lineage: "l", serial: 7, outputs: someOutput})},
			[]string{"warning shared-lineage a.tfstate b.tfstate c.tfstate"}, "2 older (of which serial 7 exists with different content"},
		{"older copies in different formatting", map[string]string{
			"a.tfstate": state(spec{lineage: "l", serial: 9}), "b.tfstate": state(spec{lineage: "l", serial: 7}), "c.tfstate": state(spec{lineage: "l", serial: 7}) + "\n"},
			[]string{"warning shared-lineage a.tfstate b.tfstate c.tfstate"}, "The newest has serial 9, 2 older."},
		{"one object twice in a state", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_vpc", "vpc-0123456789abcdef0") + "," + strings.Replace(instance(aws, "aws_vpc", "vpc-0123456789abcdef0"), `"x"`, `"y"`, 1)})}, nil, ""},
		{"one resource instance twice in a state", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_vpc", "vpc-0123456789abcdef0") + "," + instance(aws, "aws_vpc", "vpc-0123456789abcdef1")})},
			[]string{"error invalid a.tfstate"}, "contains the same resource instance twice"},
		{"a resource that Terraform drops", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance("registry.opentofu.org/-/aws", "aws_vpc", "vpc-0123456789abcdef0")})},
			[]string{"error unusable a.tfstate"}, "Terraform would silently drop the only resource and plan to create it again"},
		{"a legacy provider that Terraform does not initialize", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance("registry.terraform.io/-/aws", "aws_vpc", "vpc-0123456789abcdef0")})},
			[]string{"error unusable a.tfstate"}, `"terraform state replace-provider registry.terraform.io/-/aws registry.terraform.io/hashicorp/aws"`},
		{"legacy providers of old releases", map[string]string{
			"a.tfstate": state(spec{lineage: "l", version: "0.13.5", resources: instance("registry.terraform.io/-/aws", "aws_vpc", "vpc-0123456789abcdef0")}),
			"b.tfstate": legacyState},
			[]string{"warning legacy-format b.tfstate", "warning legacy-provider a.tfstate", "warning legacy-provider b.tfstate", "warning old-terraform a.tfstate", "warning old-terraform b.tfstate"},
			"First repair the addresses of its providers (legacy-provider), because no newer release initializes with them. Upgrade the configuration to Terraform 1.0.0 or later"},
		{"a local mirror and a resource that Terraform drops", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance("?", "aws_vpc", "vpc-0123456789abcdef0") + "," + instance("terraform.local/acme/internal", "internal_thing", "1")})},
			[]string{"error unusable a.tfstate", "error unusable-provider a.tfstate"}, "the command would lose them."},
		{"copies naturally share their objects", map[string]string{
			"a.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_vpc", "vpc-0123456789abcdef0")}),
			"b.tfstate": state(spec{lineage: "l", resources: instance(aws, "aws_vpc", "vpc-0123456789abcdef0")})},
			[]string{"warning shared-lineage a.tfstate b.tfstate"}, ""},
		{"secrets by shape and by name", map[string]string{"a.tfstate": state(spec{lineage: "l",
			outputs: `"url": {"value": "https://bob:hunter2hunter2@example.com", "type": "string"}, "db_password": {"value": "x", "type": "string"},
				"token": {"value": "x", "type": "string", "sensitive": true}, "password_policy": {"value": "x", "type": "string"}, "secret_count": {"value": 3, "type": "number"}`})},
			[]string{"error plain-secret a.tfstate", "warning plain-secret a.tfstate"}, "(password in a URL): url."},
		{"empty outputs named like secrets", map[string]string{"a.tfstate": state(spec{lineage: "l",
			outputs: `"password": {"value": "", "type": "string"}, "secret_key": {"value": null, "type": "string"}, "tokens": {"value": [], "type": ["list","string"]},
				"passwords": {"value": {}, "type": ["map","string"]}`})}, nil, ""},
		{"a provider of a local mirror", map[string]string{"a.tfstate": state(spec{lineage: "l", resources: instance("terraform.local/acme/internal", "internal_thing", "1")})},
			[]string{"error unusable-provider a.tfstate"}, "terraform.local/acme/internal"},
		{"a private registry is not a local mirror", map[string]string{"a.tfstate": state(spec{lineage: "l", resources: instance("tfe.acme.net/acme/internal", "internal_thing", "1")})}, nil, ""},
		{"a held lock", map[string]string{"a.tfstate": state(spec{lineage: "l"}), ".a.tfstate.lock.info": fmt.Sprintf(lock, "2025-04-01T09:30:00Z")},
			[]string{"warning locked a.tfstate"}, "by ana@build (OperationTypeApply) since 2025-04-01T09:30:00Z; the lock's ID is lock-1."},
		{"a lock that was left behind", map[string]string{"a.tfstate": state(spec{lineage: "l"}), ".a.tfstate.lock.info": fmt.Sprintf(lock, "2025-03-01T09:30:00Z")},
			[]string{"warning stale-lock a.tfstate"}, "which is 31 days"},
		{"a source frozen by tfhaul", map[string]string{"a.tfstate": state(spec{lineage: "l"}),
			".a.tfstate.lock.info": `{"ID": "lock-1", "Operation": "OperationTypeMigrate", "Info": "tfhaul moves this state to app.terraform.io/acme/net (haul h-7)", "Created": "2025-03-01T09:30:00Z"}`},
			[]string{"info locked a.tfstate"}, "frozen by tfhaul since 2025-03-01T09:30:00Z: haul h-7 moved this state to app.terraform.io/acme/net, or is moving it now. " +
				"Use that workspace. If the haul was interrupted, resume it. To use the source again, remove the lock: remove "},
		{"the description of a local lock, which terraform force-unlock does not remove", map[string]string{"a.tfstate": state(spec{lineage: "l"}), ".a.tfstate.lock.info": fmt.Sprintf(lock, "2025-04-01T09:30:00Z")},
			[]string{"warning locked a.tfstate"}, ".a.tfstate.lock.info."},
		{"an unreadable lock", map[string]string{"a.tfstate": state(spec{lineage: "l"}), ".a.tfstate.lock.info": "?"},
			[]string{"warning locked a.tfstate"}, ""},
		{"a lock without a state", map[string]string{"a.tfstate": state(spec{lineage: "l"}), "b.tfstate.tflock": "{}", ".c.tfstate.lock.info": "{}"},
			[]string{"warning orphaned-lock .c.tfstate.lock.info", "warning orphaned-lock b.tfstate.tflock"}, ""},
		{"a lock of a state outside the sources", map[string]string{"a.tfstate": state(spec{lineage: "l"}), "b.state": "", "b.state.tflock": "{}"}, nil, ""},
		{"no lineage", map[string]string{"a.tfstate": state(spec{})}, []string{"info no-lineage a.tfstate"}, ""},
		{"an old Terraform", map[string]string{"a.tfstate": state(spec{lineage: "l", version: "0.12.31"})}, []string{"warning old-terraform a.tfstate"}, "written by Terraform 0.12.31"},
		{"a pre-release of the oldest Terraform", map[string]string{"a.tfstate": state(spec{lineage: "l", version: "1.0.0-rc1"})}, nil, ""},
		{"four releases", map[string]string{
			"a.tfstate": state(spec{lineage: "a", version: "1.11.4"}), "b.tfstate": state(spec{lineage: "b", version: "1.2.3"}), "c.tfstate": state(spec{lineage: "c", version: "1.2.9"}),
			"d.tfstate": state(spec{lineage: "d", version: "1.5.7"}), "e.tfstate": state(spec{lineage: "e", version: "1.10.0"})},
			[]string{"info terraform-versions"}, "from 1.2.3 to 1.11.4: 1.2 (2), 1.5 (1), 1.10 (1), 1.11 (1)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for path, text := range test.files {
				write(t, dir, path, text)
			}
			i := take(t, audit.Options{Now: atWork(t)}, dir)
			var got, messages []string
			for _, f := range i.Findings {
				line := string(f.Severity) + " " + string(f.Code)
				for _, name := range f.Sources {
					path, err := filepath.Rel(dir, name)
					if err != nil {
						t.Fatal(err)
					}
					line += " " + filepath.ToSlash(path)
				}
				got, messages = append(got, line), append(messages, f.Message+" "+f.Advice)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("found %q\nwant  %q", got, test.want)
			}
			if all := strings.Join(messages, "\n"); !strings.Contains(all, test.says) {
				t.Errorf("no message contains %q:\n%s", test.says, all)
			}
		})
	}
}

// The audit reads the errored.tfstate that a search skips.
func TestSkippedExcludesAuditedFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "terraform.tfstate", state(spec{lineage: "l", serial: 4}))
	write(t, dir, "errored.tfstate", state(spec{lineage: "l", serial: 5}))
	write(t, dir, "terraform.tfstate.backup", state(spec{lineage: "l", serial: 3}))
	i := take(t, audit.Options{Now: atWork(t)}, dir)
	if len(i.Snapshots) != 2 || i.Skipped[backend.SkipErrored] != 0 || i.Skipped[backend.SkipBackup] != 1 {
		t.Errorf("%d snapshots, skipped %v", len(i.Snapshots), i.Skipped)
	}
}

// One directory is named directly, from elsewhere, and through a link.
func TestOneDirectoryNamedTwiceHasNoCopies(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "here/terraform.tfstate", state(spec{lineage: "l", resources: instance(aws, "aws_vpc", "vpc-0123456789abcdef0")}))
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "here"), link); err != nil {
		t.Skip(err)
	}
	t.Chdir(dir)
	i := take(t, audit.Options{Now: atWork(t)}, "here", filepath.Join(dir, "here"), "./here/terraform.tfstate", link)
	if len(i.Snapshots) != 1 || len(i.Findings) != 0 || i.Skipped[backend.SkipDuplicate] != 3 {
		t.Errorf("%d snapshots, found %v, skipped %v", len(i.Snapshots), i.Findings, i.Skipped)
	}
}

func TestUnreadablePathsAreReportedInSentences(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.tfstate", state(spec{lineage: "l"}))
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "b.tfstate")); err != nil {
		t.Skip(err)
	}
	i := take(t, audit.Options{Now: atWork(t)}, dir)
	want := []string{"This is a broken symbolic link: no such file or directory."}
	if os.Geteuid() > 0 { // root can read everything
		want = append([]string{"This directory was not searched: permission denied."}, want...)
	}
	var got []string
	for _, f := range i.Findings {
		got = append(got, f.Message)
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// A state may contain very long names that would bury the rest of a message.
func TestLongNamesAreShortened(t *testing.T) {
	long := strings.Repeat("é", 10_000)
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		write(t, dir, name+".tfstate", state(spec{lineage: name, outputs: fmt.Sprintf(`"password_%s": {"value": "x", "type": "string"}`, long),
			resources: instance("terraform.local/"+long, "aws_"+long, "i-0123456789abcdef0")}))
	}
	write(t, dir, ".a.tfstate.lock.info", fmt.Sprintf(`{"ID": %q, "Who": %q, "Operation": %q}`, long, long, long))
	i := take(t, audit.Options{Now: atWork(t)}, dir)
	codes := i.Summary().Codes
	if codes[audit.CodeLocked] != 1 || codes[audit.CodePlainSecret] != 2 || codes[audit.CodeUnusableProvider] != 2 || codes[audit.CodeSharedResource] != 1 {
		t.Errorf("found %v", codes)
	}
	for _, f := range i.Findings {
		if len(f.Message) > 700 || !utf8.ValidString(f.Message) {
			t.Errorf("%s has a message of %d bytes", f.Code, len(f.Message))
		}
	}
}

func TestVeryLargeStates(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.tfstate", state(spec{lineage: "l"}))
	if i := take(t, audit.Options{Large: 100}, dir); i.Summary().Codes[audit.CodeVeryLarge] != 1 {
		t.Errorf("%v", i.Findings)
	}
}

func TestSnapshotsListTheirFindings(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.tfstate", state(spec{lineage: "l", version: "0.13.0", outputs: `"token": {"value": "x", "type": "string"}`}))
	i := take(t, audit.Options{}, dir)
	want := []audit.Code{audit.CodeOldTerraform, audit.CodePlainSecret}
	if got := i.Snapshots[0].Findings; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// errored.tfstate's finding does not list the states that it was compared with as
// sources: its advice must not seem to be about them.
func TestErroredNamesOnlyItself(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "half/errored.tfstate", state(spec{lineage: "l", serial: 7}))
	write(t, dir, "network/terraform.tfstate", state(spec{lineage: "l", serial: 7}))
	i := take(t, audit.Options{}, filepath.Join(dir, "half", "errored.tfstate"), filepath.Join(dir, "network"))
	errored, live := filepath.Join(dir, "half", "errored.tfstate"), filepath.Join(dir, "network", "terraform.tfstate")
	if len(i.Findings) != 1 {
		t.Fatalf("found %v", i.Findings)
	}
	f := i.Findings[0]
	if !slices.Equal(f.Sources, []string{errored}) || !slices.Equal(f.ComparedWith, []string{live}) || !strings.Contains(f.Advice, errored+" can be removed.") {
		t.Errorf("sources %q, compared with %q, advice %q", f.Sources, f.ComparedWith, f.Advice)
	}
	for _, s := range i.Snapshots {
		if marked := slices.Contains(s.Findings, audit.CodeErrored); marked != (s.Source == errored) {
			t.Errorf("%s has the findings %v", s.Source, s.Findings)
		}
	}
}
