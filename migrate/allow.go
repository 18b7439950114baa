package migrate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"tfhaul/backend"
	"tfhaul/statefile"
)

// Allowable lists the codes that the user can allow for a move (--allow).
var Allowable = []Code{CodeUnusable}

// CheckAllow returns an error if a code cannot be allowed.
func CheckAllow(code string) error {
	if slices.Contains(Allowable, Code(code)) {
		return nil
	}
	names := make([]string, len(Allowable))
	for i, c := range Allowable {
		names[i] = string(c)
	}
	return fmt.Errorf("only %s can be allowed, not %q", strings.Join(names, ", "), code)
}

// Permit adds a code that does not stop the move.
func (m *Move) Permit(code Code) {
	if !slices.Contains(m.Allow, code) {
		m.Allow = append(m.Allow, code)
	}
}

// allowance returns the flag or attribute that allows a code for this move.
func (x *execution) allowance(code Code) string {
	if x.FromManifest {
		return fmt.Sprintf("allow = [%q] in the manifest's move block", code)
	}
	return x.sayf("--allow %s=%s", x.Move.Workspace, code)
}

// checkUsable refuses a state that Terraform cannot use, unless the user allowed it, and
// notes providers that Terraform would look up in its own registry.
func (x *execution) checkUsable() error {
	if x.comparing {
		return nil
	}
	snapshot := x.read.snapshot
	if reason, advice, unusable := snapshot.Unusable(); unusable && !slices.Contains(x.Allow, CodeUnusable) {
		return x.unusable(reason, advice)
	}
	if reason, advice := snapshot.OpenTofuProviders(); reason != "" {
		x.note("%s %s", reason, advice)
	}
	return nil
}

func (x *execution) unusable(reason, advice string) error {
	return x.stopf(CodeUnusable, "%s %s To move the state as it is, use %s.", reason, advice, x.allowance(CodeUnusable))
}

// checkLegacyProviders refuses a state of Terraform 0.13 or older if the workspace's release
// cannot initialize with it, unless the user allowed it. If that release is unknown, it only
// adds a note.
func (x *execution) checkLegacyProviders(runs, mode string) error {
	reason, advice := x.read.snapshot.LegacyProviders()
	if reason == "" || x.comparing {
		return nil
	}
	_, err := version.NewVersion(runs)
	known := mode != "local" && (runs == backend.LatestTerraform || err == nil)
	switch {
	case !known:
		x.note("%s %s", reason, advice)
	case statefile.LooksUpProviders(runs):
		x.note("%s The workspace runs Terraform %s, which can use the state. Keep that version until the state is repaired. %s", reason, runs, advice)
	case !slices.Contains(x.Allow, CodeUnusable):
		return x.unusable(fmt.Sprintf("%s The workspace runs Terraform %s.", reason, runs), advice)
	default:
		x.note("%s The move is allowed by %s. %s", reason, x.allowance(CodeUnusable), advice)
	}
	return nil
}

// noteAllowed adds a note about a state that is moved only because the user allowed it.
func (x *execution) noteAllowed() {
	if reason, advice, unusable := x.read.snapshot.Unusable(); unusable {
		x.note("%s The move is allowed by %s. %s", reason, x.allowance(CodeUnusable), advice)
	}
}
