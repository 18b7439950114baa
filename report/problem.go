package report

import (
	"slices"
	"strings"

	"tfhaul/audit"
	"tfhaul/migrate"
)

// A problem is a finding of an audit, a finding of a plan, or a move that did not succeed,
// in the form that SARIF and Markdown show.
type problem struct {
	code        string
	severity    audit.Severity
	message     string
	advice      string
	places      []string // what it concerns, the most important first
	notes       []string // about the places, in the same order
	fingerprint string
	known       *audit.Known
}

// text returns the message and the advice.
func (p *problem) text() string { return strings.TrimSpace(p.message + " " + p.advice) }

// problemsOf returns the findings of an audit.
func problemsOf(i *audit.Inventory) []problem {
	list := make([]problem, 0, len(i.Findings))
	for _, f := range i.Findings {
		p := problem{code: string(f.Code), severity: f.Severity, message: f.Message, advice: f.Advice, fingerprint: f.Fingerprint, known: f.Known}
		p.places = slices.Concat(f.Sources, f.ComparedWith)
		for k := range p.places {
			if k < len(f.Sources) {
				p.notes = append(p.notes, f.CopyStanding(k))
			} else {
				p.notes = append(p.notes, audit.Compared)
			}
		}
		list = append(list, p)
	}
	return list
}

// problemsIn returns what a haul could not move and what its plan found, errors first.
func problemsIn(h Haul) []problem {
	var list []problem
	for _, r := range h.Results {
		if tone := Tone(r.Outcome); tone == "warning" || tone == "error" {
			p := problem{code: kindOf(r), severity: audit.Severity(tone), message: r.Message, places: []string{r.Source}, notes: []string{"to " + r.Target}}
			if r.Locked && !strings.Contains(r.Message, r.UnlockCommand) {
				p.advice = "The " + PlaceNoun([]migrate.Result{r}) + " is still locked. To unlock it: " + r.UnlockCommand
			}
			list = append(list, p.identified(r.Source, r.Target))
		}
		if p := r.Proof; p != nil && r.Arrived() && (Tone(p.Verdict) == "warning" || Tone(p.Verdict) == "error") {
			proof := problem{code: "proof-" + string(p.Verdict), severity: audit.Severity(Tone(p.Verdict)), message: p.Message, places: []string{r.Source}, notes: []string{"in " + r.Target}}
			list = append(list, proof.identified(r.Source, r.Target))
		}
	}
	for _, f := range h.Findings {
		p := problem{code: f.Code, severity: audit.Severity(f.Severity), message: f.Message, places: f.Sources, notes: make([]string, len(f.Sources))}
		list = append(list, p.identified(slices.Concat(f.Sources, f.Targets)...))
	}
	slices.SortStableFunc(list, func(a, b problem) int {
		return slices.Index(audit.Severities, a.severity) - slices.Index(audit.Severities, b.severity)
	})
	return list
}

// identified returns the problem with a fingerprint of its code and what it concerns.
func (p problem) identified(names ...string) problem {
	p.fingerprint = audit.Digest(slices.Concat([]string{p.code}, names)...)
	return p
}

// unknown returns the problems that are in no baseline.
func unknown(list []problem) []problem {
	return slices.DeleteFunc(slices.Clone(list), func(p problem) bool { return p.known != nil })
}

// titleOf returns what a code means, in a few words; "" for a code of a plan or a haul, whose
// messages say it.
func titleOf(code string) string { return audit.Code(code).Title() }
