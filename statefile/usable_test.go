package statefile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/statefile"
)

// e2e/terraform compares the results for each of these states with the real Terraform.
func TestStatesThatTerraformCannotUse(t *testing.T) {
	for _, c := range slices.Concat(fixtures.CraftedStates(), fixtures.HostileStates()) {
		t.Run(c.Name, func(t *testing.T) {
			s, err := statefile.Read(strings.NewReader(c.State))
			refusal, refused := errors.AsType[*statefile.Error](err)
			if err != nil && !refused {
				t.Fatal(err)
			}
			verdict := fixtures.VerdictUsable
			switch reason, advice, unusable := s.Unusable(); {
			case refused:
				verdict = refusal.Code()
			case unusable:
				verdict = fixtures.VerdictUnusable
				if !strings.HasSuffix(reason, ".") || !strings.HasSuffix(advice, ".") {
					t.Errorf("not sentences: %s %s", reason, advice)
				}
			}
			if verdict != c.Verdict {
				t.Errorf("verdict %q (%v), want %q", verdict, err, c.Verdict)
			}
		})
	}
}

// read returns the Snapshot of a crafted state, with changes to its text.
func read(t *testing.T, name string, changes ...string) *statefile.Snapshot {
	t.Helper()
	for _, c := range fixtures.CraftedStates() {
		if c.Name == name {
			s, err := statefile.Read(strings.NewReader(strings.NewReplacer(changes...).Replace(c.State)))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	t.Fatalf("there is no crafted state %q", name)
	return nil
}

// If Terraform drops some resources, a command that repairs the others would write the
// state without them.
func TestAdviceNeverLosesResources(t *testing.T) {
	const mixed = "providers of 0.12 and 0.13, and one that cannot be parsed"
	for _, wrote := range []string{"1.11.4", "0.13.5"} {
		s := read(t, mixed, "1.11.4", wrote)
		_, advice, unusable := s.Unusable()
		if !unusable || !strings.Contains(advice, `"terraform state replace-provider" cannot repair this`) || strings.Contains(advice, "replace-provider registry") {
			t.Errorf("written by %s: unusable %v, advice %q", wrote, unusable, advice)
		}
		if reason, advice := s.LegacyProviders(); reason+advice != "" {
			t.Errorf("written by %s: also %q %q", wrote, reason, advice)
		}
	}
	s := read(t, mixed, `provider.aws`, `provider[\"registry.opentofu.org/hashicorp/aws\"]`)
	if _, advice := s.OpenTofuProviders(); strings.Contains(advice, "replace-provider registry") || !strings.Contains(advice, "would lose them") {
		t.Errorf("the advice on OpenTofu's providers is %q", advice)
	}
}

// States of Terraform 0.13 and older are valid for those releases, but every newer
// release fails on them.
func TestLegacyProvidersOfOldReleases(t *testing.T) {
	const repairsAWS = `"terraform init", which connects to the backend before it fails, then "terraform state replace-provider registry.terraform.io/-/aws registry.terraform.io/hashicorp/aws"`
	for _, test := range []struct {
		name, wrote string
		legacy      bool
	}{
		{"a legacy provider", "0.13.5", true},
		{"a provider of 0.12", "0.12.31", true},
		{"an aliased provider of 0.12 in a module", "0.12.31", true},
		{"the built-in provider of 0.12", "0.12.31", false},
		{"a plain state", "0.13.5", false},
		{"format 3", "0.11.14", true},
		{"format 3 with a compact provider", "0.11.14", true},
		{"format 3 without a provider", "0.11.14", true},
	} {
		s := read(t, test.name, "1.11.4", test.wrote)
		reason, advice := s.LegacyProviders()
		if _, _, unusable := s.Unusable(); unusable {
			t.Errorf("%s by %s is unusable", test.name, test.wrote)
		}
		if test.legacy != strings.Contains(reason, `"Invalid legacy provider address"): it names the provider aws without a namespace.`) || test.legacy != strings.Contains(advice, repairsAWS) {
			t.Errorf("%s by %s: %q %q", test.name, test.wrote, reason, advice)
		}
	}
	for terraform, looks := range map[string]bool{"0.12.31": true, "0.13.7": true, "0.14.0": false, "1.11.4": false, "latest": false, "": false} {
		if statefile.LooksUpProviders(terraform) != looks {
			t.Errorf("Terraform %q looks up the namespaces: %v", terraform, !looks)
		}
	}
}
