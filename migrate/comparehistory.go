package migrate

import (
	"context"
	"slices"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// resumeHistory finds out how much of the history the target holds already, and refuses one
// that holds anything else.
func (x *execution) resumeHistory(ctx context.Context, target backend.HistoryTarget) error {
	if x.apart(target) {
		return x.countMissing(ctx, target)
	}
	past := x.past()
	switch {
	case x.held == nil && (x.workspace == nil || x.result.Created || past.created):
		return nil // what the haul has created is empty
	case x.held == nil:
		_, err := backend.Retry(ctx, x.Target.Down, func() (struct{}, error) { return struct{}{}, target.CheckHistory(ctx, x.workspace) })
		return err
	case past.older == nil:
		return x.stopf(CodeNoHistory, "The workspace already holds a state (%s), and older versions can only be written to an empty one. Move into a new workspace, or without the history.", x.holds())
	}
	return x.matchCarried(ctx, past.carried())
}

// countMissing counts the older versions whose own places hold nothing. What the others hold is
// compared when their turn comes.
func (x *execution) countMissing(ctx context.Context, target backend.HistoryTarget) error {
	for i := range x.history.versions {
		v := &x.history.versions[i]
		there, err := x.versionApart(ctx, target, v.snapshot.Serial, v.version.ID)
		if err != nil {
			return err
		}
		if there == nil {
			x.history.missing++
		}
	}
	x.result.History.Moved = len(x.history.versions) - x.history.missing
	return nil
}

// matchCarried compares the versions of the target with those that earlier runs of the haul
// carried. One more may be there, which was sent just before the interruption.
func (x *execution) matchCarried(ctx context.Context, carried []Carried) error {
	for i, c := range carried {
		if i >= len(x.history.versions) || x.history.versions[i].version.ID != c.SourceID {
			return x.stopf(CodeSourceChanged, "The source's older versions are not those that an earlier run of this haul moved: it no longer has %s, or has it in a different order. Nothing was sent.", c.SourceID)
		}
	}
	there, err := x.targetVersions(ctx)
	if err != nil {
		return err
	}
	for i, v := range there {
		ours := i < len(carried) && v.ID == carried[i].ID
		if i >= len(carried) { // sent and not recorded, perhaps twice
			if ours, err = x.isOurs(ctx, v, len(carried)); err != nil {
				return err
			}
		}
		if !ours {
			return x.foreignVersion(v)
		}
	}
	if len(there) < len(carried) {
		return x.stopf(CodeTargetChanged, "The workspace has %s, but this haul wrote %d to it. Someone removed versions. Nothing was sent. Move into a new workspace.", plainwords.Counted(len(there), "version"), len(carried))
	}
	x.result.History.Moved, x.result.History.Carried = len(carried), slices.Clone(carried)
	return nil
}

// isOurs reports whether a version of the target has the bytes of the i-th version that the move
// writes, or of the one before. The last one is the current version of the source.
func (x *execution) isOurs(ctx context.Context, v *backend.Version, i int) (bool, error) {
	for _, at := range []int{i, i - 1} {
		var s *statefile.Snapshot
		switch n := len(x.history.versions); {
		case at == n:
			s = x.read.snapshot
		case at >= 0 && at < n:
			s = &x.history.versions[at].snapshot
		default:
			continue
		}
		compared := *x
		compared.payload = payload{serial: s.Serial, md5: s.MD5, size: s.Size}
		if x.reportsSerial(v) && v.Serial != s.Serial {
			continue
		}
		if same, err := compared.sameBytes(ctx, v); err != nil || same {
			return same, err
		}
	}
	return false, nil
}

func (x *execution) foreignVersion(v *backend.Version) error {
	return x.stopf(CodeTargetChanged, "The workspace has a version that this haul did not write there: %s. The older versions that are still missing can no longer be written in order. Check the history: %s", x.called(v), x.historyCommand())
}

// targetVersions lists the versions of the target, oldest first, without those whose bytes
// never came.
func (x *execution) targetVersions(ctx context.Context) ([]*backend.Version, error) {
	return backend.Retry(ctx, x.Target.Down, func() (all []*backend.Version, err error) {
		for v, err := range x.Target.Versions(ctx, x.workspace) {
			if err != nil {
				return nil, err
			}
			if !v.Announced {
				all = append(all, v)
			}
		}
		slices.Reverse(all)
		return all, nil
	})
}

// verifyHistory is the last part of step 7 for a move with older versions: the target must
// have them in order, and nothing else.
func (x *execution) verifyHistory(ctx context.Context) error {
	if x.follows == nil || x.follows.version != nil || x.follows.apart {
		return nil
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	there, err := x.targetVersions(ctx)
	if err != nil {
		return x.unproven("its history could not be read: %v", err)
	}
	missing := make([]string, 0, len(x.result.History.Carried)+1)
	for _, c := range x.result.History.Carried {
		missing = append(missing, c.ID)
	}
	missing = append(missing, x.sent.ID)
	repeated := 0
	for _, v := range there {
		if len(missing) > 0 && v.ID == missing[0] {
			missing = missing[1:]
			continue
		}
		i := len(x.result.History.Carried) + 1 - len(missing)
		if ours, err := x.isOurs(ctx, v, i); err != nil || !ours {
			return x.unproven("the workspace has a version that this haul did not write: %s", x.called(v))
		}
		repeated++
	}
	if len(missing) > 0 {
		return x.unproven("the workspace no longer has the older version %s", missing[0])
	}
	if repeated > 0 {
		x.note("The workspace has %s more than the source, because a request took effect after its response was lost. The bytes are the same.", plainwords.Counted(repeated, "version"))
	}
	return nil
}

// compareOlder compares the older versions in places of their own with those of the source.
func (x *execution) compareOlder(ctx context.Context, target backend.HistoryTarget) error {
	for i := range x.history.versions {
		v := &x.history.versions[i]
		there, err := x.versionApart(ctx, target, v.snapshot.Serial, v.version.ID)
		if err != nil {
			return err
		}
		name, err := target.OlderName(x.Move.Workspace, v.snapshot.Serial, v.version.ID)
		if err != nil {
			return err // versionApart reports it first
		}
		if there == nil {
			return x.stopf(CodeTargetChanged, "%s is no longer there. Run the same command again.", name)
		}
		compared := *x
		compared.payload = payload{serial: v.snapshot.Serial, md5: v.snapshot.MD5, size: v.snapshot.Size}
		same, err := compared.sameBytes(ctx, there)
		if err != nil {
			return err
		}
		if !same {
			return x.stopf(CodeNoHistory, "The workspace already holds the current state, but the older version with serial %d has other bytes in %s than at the source. Files of older versions are not replaced. Move it away, then run the same command again.", v.snapshot.Serial, name)
		}
		x.result.History.Carried = append(x.result.History.Carried, v.carried(there.ID, x.targetName(Move{Object: x.Move.Object, Workspace: name})))
	}
	return nil
}

// recordCompared records the older versions that a plan found at the target.
func (x *execution) recordCompared() {
	if x.result.History == nil || x.workspace == nil || x.result.Outcome != AlreadyThere {
		return
	}
	for i, c := range x.result.History.Carried {
		if c.Target != "" {
			x.record(Event{Event: EventCarried, WorkspaceID: x.workspace.ID, StateVersionID: c.ID, Carried: &c, Index: i + 1})
		}
	}
}

// recheckHistory checks that the target still has the older versions, in order, with the bytes
// that were moved.
func (x *execution) recheckHistory(ctx context.Context, carried []Carried) error {
	if len(carried) == 0 {
		return nil
	}
	x.result.History = &History{Versions: len(carried), Moved: len(carried), Carried: carried}
	there := map[string]*backend.Version{}
	if carried[0].Target == "" {
		versions, err := x.targetVersions(ctx)
		if err != nil {
			return err
		}
		wanted := carried
		for _, v := range versions {
			there[v.ID] = v
			if len(wanted) > 0 && wanted[0].ID == v.ID {
				wanted = wanted[1:]
			}
		}
		if len(wanted) > 0 && there[wanted[0].ID] != nil {
			return x.stopf(CodeNoHistory, "The workspace's older versions are no longer in the order in which they were moved: see %s.", x.historyCommand())
		}
	}
	for i := range carried {
		if err := x.recheckOlder(ctx, &carried[i], there[carried[i].ID]); err != nil {
			return err
		}
	}
	return nil
}

// recheckOlder checks one older version; v is nil if the target does not list it.
func (x *execution) recheckOlder(ctx context.Context, c *Carried, v *backend.Version) (err error) {
	if c.Target != "" {
		target, ok := x.Target.(backend.HistoryTarget)
		if !ok {
			return x.stopf(CodeNoHistory, "The target cannot store older versions.")
		}
		if v, err = x.versionApart(ctx, target, c.Serial, c.SourceID); err != nil {
			return err
		}
	}
	if v == nil || v.Gone {
		return x.stopf(CodeNoHistory, "The workspace holds the moved state, but no longer the older version with serial %d (%s).", c.Serial, c.ID)
	}
	compared := *x
	compared.payload = payload{serial: c.Serial, md5: c.MD5, size: c.Size}
	same, err := compared.sameBytes(ctx, v)
	if err == nil && !same {
		err = x.stopf(CodeNoHistory, "The workspace holds the moved state, but the older version with serial %d (%s) no longer has the bytes that were moved.", c.Serial, c.ID)
	}
	return err
}

// versionApart reads what the place of its own of an older version holds; nil for nothing.
func (x *execution) versionApart(ctx context.Context, target backend.HistoryTarget, serial int64, id string) (*backend.Version, error) {
	name, err := target.OlderName(x.Move.Workspace, serial, id)
	if err != nil {
		return nil, x.stopf(CodeNoHistory, "The older version %s cannot be stored: %v.", id, err)
	}
	s, err := backend.Retry(ctx, x.Target.Down, func() (*backend.Standing, error) { return x.Target.Look(ctx, name) })
	if err != nil {
		return nil, err
	}
	return x.currentVersion(ctx, s)
}
