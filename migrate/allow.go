package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// Allowable are the codes that the user may allow for a move (--allow).
var Allowable = []Code{CodeUnusable}

// CheckAllow refuses a code that cannot be allowed.
func CheckAllow(code string) error {
	if slices.Contains(Allowable, Code(code)) {
		return nil
	}
	names := make([]string, len(Allowable))
	for i, c := range Allowable {
		names[i] = string(c)
	}
	return fmt.Errorf("%q cannot be allowed; what can: %s", code, strings.Join(names, ", "))
}

// Permit adds a code to those that do not stop the move.
func (m *Move) Permit(code Code) {
	if !slices.Contains(m.Allow, code) {
		m.Allow = append(m.Allow, code)
	}
}

// allowance names what allows a code for this move.
func (x *execution) allowance(code Code) string {
	if x.Own != nil {
		return fmt.Sprintf("allow = [%q] in the manifest", code)
	}
	return fmt.Sprintf("--allow %s=%s", x.Move.Workspace, code)
}

// checkUsable refuses a state that Terraform could not use, unless the user allowed it, and
// notes what Terraform takes for something else.
func (x *execution) checkUsable() error {
	if x.comparing {
		return nil
	}
	snapshot := x.read.snapshot
	if reason, advice, unusable := snapshot.Unusable(); unusable {
		if !slices.Contains(x.Allow, CodeUnusable) {
			return &stop{code: CodeUnusable, message: fmt.Sprintf("%s %s To move it as it is: %s.", reason, advice, x.allowance(CodeUnusable))}
		}
		x.note("%s It is moved anyway, because you allowed it. %s", reason, advice)
	}
	if reason, advice := snapshot.OpenTofuProviders(); reason != "" {
		x.note("%s %s", reason, advice)
	}
	return nil
}
