package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"tfhaul/migrate"
	"tfhaul/plainwords"
	"tfhaul/prove"
)

// A ProofSummary counts verdicts.
type ProofSummary map[prove.Verdict]int

// SummarizeProofs counts the verdicts of results. It returns nil if there are none.
func SummarizeProofs(results []migrate.Result) ProofSummary {
	var s ProofSummary
	for _, r := range results {
		if r.Proof == nil {
			continue
		}
		if s == nil {
			s = ProofSummary{}
		}
		s[r.Proof.Verdict]++
	}
	return s
}

func (s ProofSummary) text(style Style) string {
	return tally("proof", prove.Verdicts, s, style.verdict)
}

// proofLine writes the summary of the proofs, if there are any.
func (s Style) proofLine(b *bytes.Buffer, results []migrate.Result) {
	if proofs := SummarizeProofs(results); proofs != nil {
		fmt.Fprintln(b, proofs.text(s))
	}
}

// proofs lists the proofs with other verdicts than "proven", and counts the rest.
func (s Style) proofs(b *bytes.Buffer, h Haul) {
	prefix := CommonPlace(h.Results)
	for _, verdict := range prove.Verdicts {
		var group []migrate.Result
		for _, r := range h.Results {
			if r.Proof != nil && r.Proof.Verdict == verdict {
				group = append(group, r)
			}
		}
		if len(group) == 0 || verdict == prove.Proven && !h.All {
			continue
		}
		slices.SortStableFunc(group, func(a, b migrate.Result) int { return strings.Compare(string(a.Proof.Code), string(b.Proof.Code)) })
		fmt.Fprintf(b, "%s (%s)\n", s.verdict(verdict), plainwords.Grouped(len(group)))
		shown := group
		if !h.All && len(group) > fewRows {
			shown = group[:fewRows]
		}
		t := table{columns: []column{{title: strings.ToUpper(PlaceNoun(group)), elastic: true}, {title: "BECAUSE"}, {title: "CHANGES", right: true}, {title: "RUN"}}}
		for _, r := range shown {
			changes := ""
			if n := len(r.Proof.Changes); n > 0 {
				changes = fmt.Sprint(n)
			}
			t.rows = append(t.rows, []string{PlainLine(strings.TrimPrefix(r.Target, prefix)), PlainLine(r.Proof.Code), changes, PlainLine(r.Proof.RunID)})
		}
		t.write(b, s, "  ")
		andMore(b, len(group)-len(shown), inAll)
		if verdict != prove.Proven {
			for _, r := range shown[:min(len(shown), maxSentences)] {
				s.indented(b, "  ", PlainLine(strings.TrimPrefix(r.Target, prefix))+": "+r.Proof.Message)
			}
		}
		b.WriteByte('\n')
	}
}
