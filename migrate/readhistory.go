package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// wantsHistory reports whether older versions belong to the move.
func (x *execution) wantsHistory() bool {
	return x.WithHistory() && x.Undo == nil && !x.comparing && x.follows == nil
}

// readHistory reads the older versions of the source, newest first, and refuses them unless a
// target can take all of them in turn.
func (x *execution) readHistory(ctx context.Context) error {
	if !x.wantsHistory() || x.history != nil {
		return nil
	}
	source, ok := x.Object.(backend.Historic)
	if !ok {
		return x.stopf(CodeNoHistory, "The source keeps no older versions. Move without %s.", x.setting("history", ""))
	}
	before, read := backend.CallsSoFar(ctx), x.plannedHeaders()
	h, err := backend.Retry(ctx, func() bool { return false }, func() (*history, error) { return x.walkHistory(ctx, source, read) })
	if err != nil {
		return unlessStopped(err)
	}
	h.calls = backend.CallsSoFar(ctx) - before
	slices.Reverse(h.versions)
	x.history = h
	if h.skipped > 0 {
		x.note("Not moved: %s with the same bytes as the next one.", plainwords.Counted(h.skipped, "older version"))
	}
	return nil
}

// unlessStopped is unreadable for an error that is not a stop.
func unlessStopped(err error) error {
	if _, ok := errors.AsType[*stop](err); ok {
		return err
	}
	return unreadable(err)
}

// plannedHeaders returns what a plan has read, by the IDs of the versions.
func (x *execution) plannedHeaders() map[string]*statefile.Snapshot {
	read := map[string]*statefile.Snapshot{}
	if x.seen != nil && x.seen.history != nil {
		for i := range x.seen.history.versions {
			v := &x.seen.history.versions[i]
			read[v.version.ID] = &v.snapshot
		}
	}
	return read
}

// walkHistory goes through the versions, newest first, until it has found all that belong to
// the move. read keeps what was read of them.
func (x *execution) walkHistory(ctx context.Context, source backend.Historic, read map[string]*statefile.Snapshot) (*history, error) {
	h, next, current := &history{}, x.read.snapshot, true
	for v, err := range source.Versions(ctx) {
		switch {
		case err != nil:
			return nil, err
		case v.Announced: // its bytes never came
			continue
		case current && v.ID != x.read.id:
			return nil, x.stopf(CodeSourceChanged, "The newest version of the source is %s, but %s was read as the current one, so someone is writing to it. Stop them, then run the move again.", v.ID, x.read.id)
		case current:
			current = false
			continue
		case h.complete(x):
			return h, nil
		}
		if read[v.ID] == nil {
			header, why, err := x.headerOf(ctx, v)
			if err != nil {
				return nil, err
			}
			if why != "" {
				return nil, x.brokenHistory(h, v, why)
			}
			read[v.ID] = header
		}
		s := read[v.ID]
		if s.Serial == next.Serial && s.MD5 == next.MD5 {
			h.skipped++
			continue
		}
		if why := cannotPrecede(s, next); why != "" {
			return nil, x.brokenHistory(h, v, why)
		}
		h.versions = append(h.versions, olderVersion{version: *v, snapshot: *s})
		next = s
	}
	return h, nil
}

// cannotPrecede returns why a state cannot be the version before next; "" if it can.
func cannotPrecede(s, next *statefile.Snapshot) string {
	switch {
	case s.Lineage != next.Lineage:
		return fmt.Sprintf("its lineage is %s, but that of the next version is %s", orNone(s.Lineage), orNone(next.Lineage))
	case s.Serial == next.Serial:
		return fmt.Sprintf("the next version has the same serial, %d, but other bytes", next.Serial)
	case s.Serial > next.Serial:
		return fmt.Sprintf("its serial is %d, but the next version has the lower serial %d", s.Serial, next.Serial)
	}
	return ""
}

// headerOf reads a version to its end. It returns why if its bytes are not a state, or are
// gone.
func (x *execution) headerOf(ctx context.Context, v *backend.Version) (*statefile.Snapshot, string, error) {
	switch {
	case v.Gone:
		return nil, "the source no longer has its bytes", nil
	case v.Pending:
		return nil, "the source is still processing it", nil
	}
	body, _, err := x.Object.Open(ctx, v)
	if _, changed := errors.AsType[*backend.ChangedError](err); changed {
		return nil, "the source no longer has it", nil
	}
	if err != nil {
		return nil, "", unreadable(err)
	}
	s, err := statefile.Read(body)
	if closed := body.Close(); err == nil {
		err = closed
	}
	if refused, ok := errors.AsType[*statefile.Error](err); ok {
		return nil, refused.Error(), nil
	}
	if err != nil {
		return nil, "", unreadable(err)
	}
	return &statefile.Snapshot{Format: s.Format, TerraformVersion: s.TerraformVersion, Serial: s.Serial, Lineage: s.Lineage, MD5: s.MD5, Size: s.Size}, "", nil
}

// complete reports whether the move needs no version before those in h. If an earlier run of
// the haul moved older versions, the history begins with the first of them.
func (h *history) complete(x *execution) bool {
	if carried := x.past().carried(); len(carried) > 0 {
		return len(h.versions) > 0 && h.versions[len(h.versions)-1].version.ID == carried[0].SourceID
	}
	return x.History != backend.AllVersions && len(h.versions) >= x.History-1
}

// brokenHistory refuses a history of which only the newest versions can be moved.
func (x *execution) brokenHistory(h *history, v *backend.Version, why string) error {
	fits := len(h.versions) + 1
	advice := fmt.Sprintf("Nothing was written. The newest %s can be moved: use %s.", plainwords.Counted(fits, "version"), x.setting("history", fmt.Sprint(fits)))
	if fits == 1 {
		advice = "Nothing was written. Only the current version can be moved: leave out the history."
	}
	name := v.ID
	if v.Serial != 0 {
		name = x.called(v)
	}
	return x.stopf(CodeNoHistory, "The older version %s cannot be moved: %s %s", name, plainwords.Ended(why), advice)
}

// readHistoryFirst reads the older versions before the target is looked at, so that what
// cannot be moved is found before anything is created. A move that an earlier run completed
// does not need them.
func (x *execution) readHistoryFirst(ctx context.Context) error {
	if past := x.past().result; past != nil && past.Arrived() && past.Snapshot != nil && past.Snapshot.MD5 == x.read.snapshot.MD5 {
		return nil
	}
	return x.readHistory(ctx)
}
