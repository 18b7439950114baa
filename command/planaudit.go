package command

import (
	"context"
	"fmt"
	"slices"

	"tfhaul/audit"
	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
)

// findingNotAudited is the code of a plan's finding that its sources could not be audited.
const findingNotAudited = "not-audited"

// auditSources audits the sources of a haul, because no single move shows what is wrong with
// several states together, or with the files next to a state. What stops a move becomes an
// objection to it, and any other error a finding. A manifest records the verdict, so its
// sources are not audited again; nor are workspaces, which have no such files.
func (h *hauling) auditSources(ctx context.Context, p *pairing.Pairing) error {
	sources := h.sources
	if len(sources) == 0 {
		for i := range p.Moves { // a map names them
			sources = append(sources, p.Moves[i].Object.Address())
		}
	}
	files := slices.ContainsFunc(p.Moves, func(m migrate.Move) bool { return !m.Object.Traits().Workspaces })
	if h.manifest != "" || h.audited || !files || slices.Contains(sources, "-") {
		return nil
	}
	tell, clear := h.readingProgress()
	inventory, err := audit.Take(ctx, sources, audit.Options{Kinds: h.kinds, Filter: h.filter, Progress: tell})
	clear()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		p.Findings = append(p.Findings, migrate.Finding{Code: findingNotAudited, Severity: migrate.SeverityWarning,
			Message: fmt.Sprintf("The sources could not be audited: %s Check them with tfhaul audit.", plainwords.Sentence(err.Error()))})
		return nil
	}
	moves := map[string]*migrate.Move{}
	for i := range p.Moves {
		moves[backend.Printable(p.Moves[i].Object.Address())] = &p.Moves[i]
	}
	for _, f := range inventory.Findings {
		if f.Severity != audit.SeverityError {
			continue
		}
		if stopped := stoppedBy(f); stopped != nil {
			for _, source := range stopped {
				if m := moves[source]; m != nil {
					m.AddObjection(migrate.Objection{Code: migrate.Code(f.Code), Message: saying(f)})
				}
			}
			continue
		}
		p.Findings = append(p.Findings, migrate.Finding{Code: string(f.Code), Severity: migrate.SeverityError, Message: saying(f), Sources: f.Sources})
	}
	return nil
}

// stoppedBy returns the states that a finding stops. A fault that the states have already,
// wherever they are, stops none.
func stoppedBy(f audit.Finding) []string {
	switch f.Code {
	case audit.CodeDiverged, audit.CodeBackupNewer:
		return f.Sources
	case audit.CodeErrored:
		return f.ComparedWith
	}
	return nil
}

func saying(f audit.Finding) string {
	if f.Advice == "" {
		return f.Message
	}
	return f.Message + " " + f.Advice
}

// aboutPlanned returns the findings about states that would be moved.
func aboutPlanned(found []migrate.Finding, plan *migrate.Plan) []migrate.Finding {
	planned := map[string]bool{}
	for i := range plan.Moves {
		if r := &plan.Moves[i].Result; r.Outcome == migrate.WouldMove {
			planned[r.Source] = true
		}
	}
	return slices.DeleteFunc(found, func(f migrate.Finding) bool {
		return len(f.Sources) > 0 && !slices.ContainsFunc(f.Sources, func(source string) bool { return planned[source] })
	})
}
