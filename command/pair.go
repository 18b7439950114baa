package command

import (
	"context"
	"errors"
	"fmt"

	"tfhaul/backend/tfe"
	"tfhaul/pairing"
	"tfhaul/report"
)

// pair finds the states and names their workspaces. No state is read yet.
func (h *hauling) pair(ctx context.Context) (*pairing.Pairing, error) {
	p, err := h.find(ctx)
	if err != nil {
		return nil, asUsage(err)
	}
	return p, permit(p.Moves, h.permissions)
}

func (h *hauling) find(ctx context.Context) (*pairing.Pairing, error) {
	f := pairing.Finder{Kinds: h.kinds, Filter: h.filter, CheckWorkspace: checkWorkspace, Settings: h.options.Settings}
	switch {
	case h.manifest != "":
		m, err := pairing.OpenManifest(h.manifest)
		if err != nil {
			return nil, &usageError{err.Error()}
		}
		if source, dir := m.Elsewhere(h.manifest); source != "" {
			return nil, usagef("the manifest %s names the source %q, which is not in this directory but in %s: run the command there", h.manifest, source, dir)
		}
		if h.address, err = h.organizationAddress(m.Target.Hostname + "/" + m.Target.Organization); err != nil {
			return nil, usagef("%s: %v", h.manifest, err)
		}
		return f.ByManifest(ctx, m, h.manifest)
	case h.mapFile != "":
		return f.ByMap(ctx, h.sources, h.mapFile)
	}
	return f.ByName(ctx, h.sources, h.namer, h.typed["workspace-name"])
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

// checkWorkspace refuses what cannot be a workspace's name.
func checkWorkspace(name string) error {
	if err := tfe.CheckWorkspaceName(name); err != nil {
		return fmt.Errorf("it %w", err)
	}
	return nil
}
