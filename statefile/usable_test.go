package statefile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/statefile"
)

// What Terraform makes of each of these states is held against the real one in e2e/terraform.
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
