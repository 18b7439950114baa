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
var Allowable = []Code{CodeUnusable, CodeDiverged, CodeBackupNewer, CodeErrored}

// An Objection is what an audit found about a state and the files around it. It stops the
// move unless its code is allowed.
type Objection struct {
	Code Code
	// Message says what it is and what to do.
	Message string
}

// AddObjection adds what an audit found.
func (m *Move) AddObjection(o Objection) {
	if m.Objections == nil {
		m.Objections = new([]Objection)
	}
	*m.Objections = append(*m.Objections, o)
}

// ListObjections returns what an audit found.
func (m *Move) ListObjections() []Objection {
	if m.Objections == nil {
		return nil
	}
	return *m.Objections
}

// checkObjections refuses a state that an audit objects to, unless the user allowed it.
func (x *execution) checkObjections() error {
	for _, o := range x.ListObjections() {
		if !x.comparing && !slices.Contains(x.Allow, o.Code) {
			return x.stopf(o.Code, "%s To move the state as it is, use %s.", o.Message, x.allowance(o.Code))
		}
	}
	return nil
}

// CheckAllow returns an error if a code cannot be allowed.
func CheckAllow(code string) error {
	if slices.Contains(Allowable, Code(code)) {
		return nil
	}
	last := len(Allowable) - 1
	names := make([]string, last)
	for i, c := range Allowable[:last] {
		names[i] = string(c)
	}
	return fmt.Errorf("only %s and %s can be allowed, not %q", strings.Join(names, ", "), Allowable[last], code)
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

// noteFormat adds a note about a state of an old format.
func (x *execution) noteFormat() {
	if f := x.read.snapshot.Format; f < 4 && !x.comparing {
		x.note("The state has format %d, from a Terraform older than 0.12. Current Terraform releases read it, but the server may reject it. To convert it to format 4, apply a change with a newer Terraform before the move.", f)
	}
}

// noteAllowed adds a note about a state that is moved only because the user allowed it.
func (x *execution) noteAllowed() {
	for _, o := range x.ListObjections() {
		x.note("%s The move is allowed by %s.", o.Message, x.allowance(o.Code))
	}
	if reason, advice, unusable := x.read.snapshot.Unusable(); unusable {
		x.note("%s The move is allowed by %s. %s", reason, x.allowance(CodeUnusable), advice)
	}
}
