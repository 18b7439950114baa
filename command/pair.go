package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tfhaul/backend/tfe"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// pair finds the states and names their workspaces. No state is read yet.
func (h *hauling) pair(ctx context.Context) (*pairing.Pairing, error) {
	p, err := h.find(ctx)
	if err != nil {
		return nil, asUsage(err)
	}
	if err := permit(p.Moves, h.to, h.permissions); err != nil {
		return nil, err
	}
	if err := h.notOntoItself(p.Moves); err != nil {
		return nil, err
	}
	if err := h.checkHistories(p.Moves); err != nil {
		return nil, err
	}
	return p, h.auditSources(ctx, p)
}

// findingVariable is the code of a plan's finding about a variable whose value cannot be read.
const findingVariable = "variable-value"

// noteValues adds a finding for each variable whose value cannot be read here. A plan does not
// need them.
func (h *hauling) noteValues(p *pairing.Pairing) {
	for _, problem := range h.valueProblems(p) {
		p.Findings = append(p.Findings, migrate.Finding{Code: findingVariable, Severity: migrate.SeverityWarning,
			Message: plainwords.Sentence(problem.Error()) + " tfhaul migrate needs it."})
	}
}

// readValues reads the values of variables. If one is missing, nothing is moved.
func (h *hauling) readValues(p *pairing.Pairing) error {
	problems := h.valueProblems(p)
	if len(problems) == 0 {
		return nil
	}
	texts := make([]string, len(problems))
	for i, problem := range problems {
		texts[i] = problem.Error()
	}
	return usagef("%s: %s. Nothing was moved", h.manifest, strings.Join(texts, "; "))
}

func (h *hauling) valueProblems(p *pairing.Pairing) []error {
	return pairing.ReadValues(p.Moves, func(name string) (string, bool) {
		set := slices.ContainsFunc(h.environ, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		return h.getenv(name), set
	})
}

func (h *hauling) find(ctx context.Context) (*pairing.Pairing, error) {
	if h.manifest == "" {
		f := h.finder()
		switch {
		case h.mapFile != "":
			return f.ByMap(ctx, h.sources, h.mapFile)
		case f.Keys:
			namer, err := pairing.ParseKeyNamer(h.keyName, h.to.layout())
			if err != nil {
				return nil, &usageError{err.Error()}
			}
			return f.ByName(ctx, h.sources, namer, h.typed["key-name"])
		}
		return f.ByName(ctx, h.sources, h.namer, h.typed["workspace-name"])
	}
	m, err := pairing.OpenManifest(h.manifest)
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	if source, dir := m.Elsewhere(h.manifest); source != "" {
		return nil, usagef("the manifest %s names the source %q, which is not in this directory but in %s: run the command there", h.manifest, source, dir)
	}
	if err := h.aim(m.Target.Container()); err != nil {
		return nil, usagef("%s: %v", h.manifest, err)
	}
	f := h.finder()
	return f.ByManifest(ctx, m, h.manifest)
}

// finder returns what finds states and names them at the target.
func (h *hauling) finder() pairing.Finder {
	f := pairing.Finder{Kinds: h.kinds, Filter: h.filter, CheckName: tfe.CheckWorkspaceName, Settings: h.options.Settings}
	if h.to.kind.Target != nil {
		f.CheckName, f.Keys, f.Container = h.to.kind.Target.CheckName, !h.to.workspaces(), h.to.container
	}
	return f
}

// notOntoItself refuses a haul with a move from a state into the same state.
func (h *hauling) notOntoItself(moves []migrate.Move) error {
	for _, m := range moves {
		if into := h.to; into.kind.Target != nil && !m.Unnamed {
			into.name = m.Workspace
			if h.kinds.Same(m.Object.Address(), into.String()) {
				return usagef("the source and the target of a move are the same: %s", report.PlainLine(into.String()))
			}
		}
	}
	return nil
}

// asUsage returns a mistake in what the user wrote as a usage error, with what was found
// and not taken. Other errors stay as they are.
func asUsage(err error) error {
	m, ok := errors.AsType[*pairing.Mistake](err)
	if !ok {
		return err
	}
	message := m.Message
	for i, l := range m.LeftOut {
		if i == mostListed {
			message += fmt.Sprintf("\n  … and %d more", len(m.LeftOut)-i)
			break
		}
		message += fmt.Sprintf("\n  skipped %s: %s", report.PlainLine(l.Source), report.PlainLine(l.Message))
	}
	return &usageError{message}
}
