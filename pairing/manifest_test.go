package pairing_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfhaul/migrate"
	"tfhaul/pairing"
)

func TestManifestRoundTrip(t *testing.T) {
	serial, md5, relation, yes := int64(41), "9e107d9d372bb6826bd81d3542a419d6", "fresh", true
	project, mode, version, timeout := "network", "local", "~> 1.11", "5m0s"
	repository, connection, text, from := "acme/net", "ot-1", "${a} \"b\"\n", "env:W"
	written := &pairing.Manifest{
		Target:   pairing.ManifestTarget{Hostname: "tfe.example.com:8443", Organization: "acme"},
		Defaults: &pairing.ManifestSettings{Create: &yes, Project: &project, Tags: []string{"prod", "env=prod"}, LockTimeout: &timeout},
		Matches:  []*pairing.ManifestMatch{{Glob: "n*", Settings: pairing.ManifestSettings{Description: &text}}},
		Moves: []*pairing.ManifestMove{
			{Source: "s3://acme-tfstate/network/terraform.tfstate", Workspace: "network", Serial: &serial, MD5: &md5, Relation: &relation},
			{Source: `C:\states\a "quoted" ${name} %{if} näme.tfstate`, Workspace: "odd", Replace: &yes, BumpSerial: &yes,
				Own: pairing.ManifestSettings{ExecutionMode: &mode, TerraformVersion: &version, Tags: []string{}, AutoApply: &yes, Consumers: []string{"app"},
					VCS:       &pairing.ManifestRepository{Identifier: &repository, OAuthTokenID: &connection, TriggerPatterns: []string{"live/**"}},
					Variables: []*pairing.ManifestVariable{{Key: "v", Value: &text}, {Key: "w", ValueFrom: &from, Sensitive: &yes}}}},
		},
	}
	var file bytes.Buffer
	if _, err := written.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	read, err := pairing.ReadManifest(bytes.NewReader(file.Bytes()), "plan.hcl")
	if err != nil {
		t.Fatalf("%v\n%s", err, &file)
	}
	if d := cmp.Diff(written, read); d != "" {
		t.Errorf("the manifest changed between writing and reading (-written +read):\n%s", d)
	}
	if !strings.Contains(file.String(), "move \"s3://acme-tfstate/network/terraform.tfstate\" {\n  workspace = \"network\"\n  serial    = 41\n") {
		t.Errorf("not formatted for people:\n%s", &file)
	}
}

func TestManifestErrors(t *testing.T) {
	const target = "target {\n  hostname = \"h\"\n  organization = \"o\"\n}\n"
	cases := []struct{ name, text, says string }{
		{"empty", "", `Missing target block`},
		{"no moves", target, "no move blocks"},
		{"cut off in the middle", target + "move \"a\" {\n  workspace = \"n", "plan.hcl:6"},
		{"an unknown attribute", target + "move \"a\" {\n  workspace = \"n\"\n  serail = 4\n}\n", `plan.hcl:7,3: Unsupported argument: An argument named "serail" is not expected here`},
		{"a serial that is not a number", target + "move \"a\" {\n  workspace = \"n\"\n  serial = \"four\"\n  md5 = \"x\"\n}\n", "plan.hcl:7"},
		{"a fractional serial", target + "move \"a\" {\n  workspace = \"n\"\n  serial = 4.5\n  md5 = \"x\"\n}\n", "plan.hcl:7"},
		{"serial without md5", target + "move \"a\" {\n  workspace = \"n\"\n  serial = 4\n}\n", "write both"},
		{"one source twice", target + "move \"a\" {\n  workspace = \"n\"\n}\nmove \"a\" {\n  workspace = \"m\"\n}\n", "move it into one"},
		{"no organization", "target {\n  hostname = \"h\"\n  organization = \"\"\n}\nmove \"a\" {\n  workspace = \"n\"\n}\n", "must not be empty"},
		{"a function", target + "move \"a\" {\n  workspace = upper(\"n\")\n}\n", "plan.hcl:6"},
		{"an unknown default", target + "defaults {\n  craete = true\n}\nmove \"a\" {\n  workspace = \"n\"\n}\n", "plan.hcl:6,3: Unsupported argument"},
		{"a project without create", target + "defaults {\n  project = \"p\"\n}\nmove \"a\" {\n  workspace = \"n\"\n}\n", "project describes new workspaces and requires create = true"},
		{"a version without create", target + "move \"a\" {\n  workspace = \"n\"\n  terraform_version = \"1.11.4\"\n}\n", "requires create = true"},
		{"an unknown execution mode", target + "defaults {\n  create = true\n  execution_mode = \"cloud\"\n}\nmove \"a\" {\n  workspace = \"n\"\n}\n", "use remote, local or agent"},
		{"a pool without agents", target + "defaults {\n  create = true\n  agent_pool = \"p\"\n}\nmove \"a\" {\n  workspace = \"n\"\n}\n", "agent_pool requires execution_mode"},
		{"an invalid tag", target + "defaults {\n  create = true\n  tags = [\"a b\"]\n}\nmove \"a\" {\n  workspace = \"n\"\n}\n", "tags cannot contain \"a b\""},
		{"a repository without a connection", target + "move \"a\" {\n  workspace = \"n\"\n  create = true\n  vcs_repository {\n    identifier = \"acme/net\"\n  }\n}\n", "needs oauth_token_id or github_app_installation_id"},
		{"a repository without a name", target + "move \"a\" {\n  workspace = \"n\"\n  create = true\n  vcs_repository {\n    oauth_token_id = \"ot-1\"\n  }\n}\n", "needs an identifier"},
		{"two connections", target + "defaults {\n  create = true\n  vcs_repository {\n    oauth_token_id = \"ot-1\"\n    github_app_installation_id = \"ghain-1\"\n  }\n}\nmove \"a\" {\n  workspace = \"n\"\n}\n", "use only one"},
		{"a sensitive value", target + "move \"a\" {\n  workspace = \"n\"\n  create = true\n  variable \"v\" {\n    sensitive = true\n    value = \"x\"\n  }\n}\n", "its value must not be in the manifest"},
		{"a value as a reference", target + "move \"a\" {\n  workspace = \"n\"\n  create = true\n  variable \"v\" {\n    value_from = \"x\"\n  }\n}\n", "write env:NAME or file:PATH"},
		{"a variable without a value", target + "move \"a\" {\n  workspace = \"n\"\n  create = true\n  variable \"v\" {\n  }\n}\n", "either value or value_from"},
		{"an unknown category", target + "move \"a\" {\n  workspace = \"n\"\n  create = true\n  variable \"v\" {\n    value = \"x\"\n    category = \"tf\"\n  }\n}\n", "use terraform or env"},
		{"an environment variable in HCL", target + "move \"a\" {\n  workspace = \"n\"\n  create = true\n  variable \"v\" {\n    value = \"x\"\n    category = \"env\"\n    hcl = true\n  }\n}\n", "cannot be HCL"},
		{"a setting without create", target + "move \"a\" {\n  workspace = \"n\"\n  auto_apply = true\n}\n", "auto_apply describes a new workspace and requires create = true"},
		{"a glob that matches nothing", target + "match \"x-*\" {\n  create = true\n}\nmove \"a\" {\n  workspace = \"n\"\n}\n", "matches no workspace"},
		{"an invalid glob", target + "match \"[\" {\n  create = true\n}\nmove \"a\" {\n  workspace = \"n\"\n}\n", "not a valid glob"},
		{"an unknown attribute of a match", target + "match \"*\" {\n  craete = true\n}\nmove \"a\" {\n  workspace = \"n\"\n}\n", "plan.hcl:6,3: Unsupported argument"},
		{"an invalid duration", target + "defaults {\n  lock_timeout = \"soon\"\n}\nmove \"a\" {\n  workspace = \"n\"\n}\n", "use a duration"},
		{"JSON", `{"target":{}}`, "plan.hcl:1"},
		{"binary", "\x00\xff\xfe", "plan.hcl:1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := pairing.ReadManifest(strings.NewReader(c.text), "plan.hcl")
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line with %q", err, c.says)
			}
		})
	}
}

func FuzzReadManifest(f *testing.F) {
	f.Add("target {\n  hostname = \"h\"\n  organization = \"o\"\n}\nmove \"a\" {\n  workspace = \"n\"\n  serial = 1\n  md5 = \"m\"\n}\n")
	f.Add("move \"${x}\" {}")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := pairing.ReadManifest(strings.NewReader(text), "plan.hcl")
		if err != nil {
			return
		}
		// Anything that can be read can also be written, and reads back the same.
		var file bytes.Buffer
		if _, err := m.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		again, err := pairing.ReadManifest(&file, "plan.hcl")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, again); d != "" {
			t.Error(d)
		}
	})
}

// TestCopiesAreComments: of several copies of one state only the newest is moved, and of
// identical ones that whose workspace holds the state.
func TestCopiesAreComments(t *testing.T) {
	planned := func(name, lineage string, serial int64, md5 string, relation migrate.Relation) migrate.Planned {
		return migrate.Planned{Move: migrate.Move{Workspace: name}, Result: migrate.Result{Source: name, Outcome: migrate.WouldMove, Relation: relation,
			Snapshot: &migrate.Snapshot{Lineage: lineage, Serial: serial, MD5: md5}}}
	}
	plan := &migrate.Plan{Moves: []migrate.Planned{
		planned("same", "l", 7, "m7", migrate.Fresh), planned("old", "l", 3, "m3", migrate.Fresh), planned("live", "l", 7, "m7", migrate.Newer),
		planned("other", "k", 1, "m1", migrate.Fresh), planned("none-a", "", 1, "m0", migrate.Fresh), planned("none-b", "", 1, "m0", migrate.Fresh),
		planned("left", "d", 2, "ma", migrate.Fresh), planned("right", "d", 2, "mb", migrate.Fresh),
	}}
	m := pairing.NewManifest(plan, pairing.ManifestTarget{Hostname: "h", Organization: "o"}, migrate.Settings{})
	reasons := map[string]string{}
	for _, move := range m.Moves {
		if move.Reason != "" {
			reasons[move.Source] = move.Reason
		}
	}
	want := map[string]string{
		"same": "This is an identical copy of live. Two workspaces would manage the same resources.",
		"old":  "This is an older copy (serial 3) of live, which has serial 7. Two workspaces would manage the same resources.",
	}
	if d := cmp.Diff(want, reasons); d != "" {
		t.Errorf("the comments (-want +got):\n%s", d)
	}
	var file bytes.Buffer
	if _, err := m.WriteTo(&file); err != nil || !strings.Contains(file.String(), "# Not moved: This is an older copy (serial 3) of live") {
		t.Errorf("%v:\n%s", err, &file)
	}
}
