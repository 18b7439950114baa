package page

import (
	"tfhaul/audit"
	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// readiness is whether a state can be moved: the first question that an audit answers.
type readiness string

const (
	ready     readiness = "ready"
	undecided readiness = "needs a decision"
	blocked   readiness = "blocked"
)

// readinesses are in the order in which they are shown.
var readinesses = []readiness{ready, undecided, blocked}

func (r readiness) tone() string {
	return map[readiness]string{ready: "good", undecided: "warning", blocked: "error"}[r]
}

// readinessOf judges a state by what its file is, its lock, what a plan said, if there was
// one, and its most serious finding. Blocked means that no flag of tfhaul moves it.
func readinessOf(sn *audit.Snapshot, most audit.Severity) readiness {
	switch migrate.Code(sn.Code) {
	case "", migrate.CodeErrored, migrate.CodeEmpty:
	default:
		return blocked
	}
	outcome := migrate.Outcome("")
	if sn.Target != nil {
		outcome = migrate.Outcome(sn.Target.Outcome)
	}
	switch {
	case sn.Lock != nil || outcome == migrate.Failed:
		return blocked
	case outcome == migrate.Refused || most == audit.SeverityError || most == audit.SeverityWarning:
		return undecided
	}
	return ready
}

// A tally counts states by readiness.
type tally map[readiness]int

func (t tally) total() int    { return t[ready] + t[undecided] + t[blocked] }
func (t tally) notReady() int { return t[undecided] + t[blocked] }

// fillVerdict counts the states by readiness.
func (a *auditPage) fillVerdict() {
	notes := map[readiness]string{
		ready:     "no errors, no warnings",
		undecided: "movable, but with errors or warnings to look at first",
		blocked:   "damaged, encrypted, locked, or not a state",
	}
	if a.targets {
		notes[undecided] = "refused by the plan, or with errors or warnings to look at first"
		notes[blocked] = "damaged, encrypted, locked, not a state, or failed in the plan"
	}
	total, at := len(a.inventory.Snapshots), 0
	if total == 0 {
		return
	}
	a.Verdict.Heading = "Can the states be moved?"
	for _, r := range readinesses {
		n := a.facets.count(facetReadiness, string(r))
		label := string(r)
		if r == undecided && n != 1 {
			label = "need a decision"
		}
		c := class{Label: label, Value: plainwords.Grouped(n), Note: notes[r], Filter: a.facets.address(facetReadiness, string(r)), X: percent(at, total), Width: percent(n, total)}
		if n > 0 {
			c.Tone = r.tone()
		}
		a.Verdict.Classes = append(a.Verdict.Classes, c)
		at += n
	}
}
