package migrate

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tfhaul/backend"
	"tfhaul/crash"
	"tfhaul/plainwords"
)

// checkSource is step 9: the source must still be what was read from it. The response to the
// release of its lock may show that, and in a haul, one listing after the last move shows it for
// many sources.
func (x *execution) checkSource(ctx context.Context) error {
	switch {
	case x.releaseShows():
		return nil
	case x.relisting() != nil:
		x.result.SourceUnchecked = true
		return nil
	}
	return x.compareSource(ctx, *x.read.version())
}

// releaseShows reports whether the source's lock will be released, and the response shows
// which version is current.
func (x *execution) releaseShows() bool {
	_, shows := x.sourceLease.(backend.Witness)
	return shows && !x.FreezeSource
}

// lockShows reports whether the response to the last request that took or released the source's
// lock showed that a version is current.
func (x *execution) lockShows(v backend.Version) bool {
	witness, ok := x.sourceLease.(backend.Witness)
	return ok && witness.Shows(v)
}

// compareSource asks the source whether it still is what was read from it.
func (x *execution) compareSource(ctx context.Context, v backend.Version) error {
	if changed := x.sourceChange(ctx, v); changed != nil {
		return changed
	}
	return nil
}

// sourceChange returns how the source differs from what was read from it, or nil.
func (x *execution) sourceChange(ctx context.Context, v backend.Version) *stop {
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	err := x.Object.Check(ctx, v)
	_, changed := errors.AsType[*backend.ChangedError](err)
	switch {
	case changed:
		serial := cmp.Or(x.result.BumpedTo, x.result.Snapshot.Serial)
		return x.stopf(CodeSourceChanged, "The state (serial %d) arrived, but %s", serial, plainwords.Ended(err.Error()))
	case err != nil:
		x.noteUncheckable(err)
	}
	return nil
}

func (x *execution) noteUncheckable(err error) {
	x.note("Cannot check whether the source changed during the move: %s", plainwords.Ended(err.Error()))
}

// isAsPlanned reports whether the source still is what the plan read from it.
func (x *execution) isAsPlanned(ctx context.Context) bool {
	if x.seen == nil || x.seen.read.snapshot == nil {
		return false
	}
	v := *x.seen.read.version()
	return x.lockShows(v) || x.relisting().isAsPlanned(ctx, x.Object) || x.Object.Check(ctx, v) == nil
}

// A relisting lists sources of a haul again that were found by one listing.
type relisting struct {
	lister backend.Lister
	// planned returns what the plan read of the sources whose moves have not ended.
	planned func(backend.Lister) []backend.Pinned

	mu     sync.Mutex
	listed time.Time              // when the sources were planned, or listed again
	same   map[backend.State]bool // those that the last listing showed to be as planned
	again  bool                   // they were listed again
}

// maxListingAge is how long a move relies on what was read for the plan, or on a listing, before
// its source is checked again. A change during that time is found by the check after the last
// move.
const maxListingAge = time.Minute

// isAsPlanned reports whether a source was the same as for the plan less than maxListingAge ago.
// False means that this is unknown.
func (l *relisting) isAsPlanned(ctx context.Context, source backend.State) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.listed) >= maxListingAge {
		l.listed, l.same, l.again = time.Now(), l.list(ctx), true
	}
	return !l.again || l.same[source]
}

// list returns the sources that a new listing shows to be as planned. If it fails, or is not
// worth its requests, each source is checked by itself.
func (l *relisting) list(ctx context.Context) map[backend.State]bool {
	pinned := l.planned(l.lister)
	if len(pinned) <= l.lister.Requests() {
		return nil
	}
	unchanged, err := l.lister.Unchanged(ctx, pinned)
	if err != nil {
		return nil
	}
	same := make(map[backend.State]bool, len(pinned))
	for i, p := range pinned {
		same[p.State] = unchanged[i]
	}
	return same
}

// listerOf returns what lists a move's source again, or nil if the move checks its source by
// itself: because nothing can list it, or because it holds the source's lock.
func listerOf(m *Move, s *Settings) backend.Lister {
	if m.Own != nil {
		s = m.Own
	}
	listable, ok := m.Object.(backend.Listable)
	if !ok || s.LockSource || s.FreezeSource {
		return nil
	}
	return listable.Lister()
}

// relisting returns what checks this move's source, among others; nil if the move does.
func (x *execution) relisting() *relisting {
	if len(x.relistings) == 0 {
		return nil
	}
	return x.relistings[listerOf(&x.Move, &x.Settings)]
}

// relistings returns what lists the sources of the plan again, where that takes fewer requests
// than a check of each.
func (r *haulRun) relistings() map[backend.Lister]*relisting {
	sources := map[backend.Lister]int{}
	for i := range r.plan.Moves {
		m := &r.plan.Moves[i]
		if lister := listerOf(&m.Move, &r.Settings); lister != nil && m.Result.Outcome == WouldMove {
			sources[lister]++
		}
	}
	found := map[backend.Lister]*relisting{}
	for lister, n := range sources {
		if n > lister.Requests() {
			found[lister] = &relisting{lister: lister, planned: r.planned, listed: r.plan.began}
		}
	}
	return found
}

// planned returns what the plan read of a listing's sources whose moves have not ended.
func (r *haulRun) planned(of backend.Lister) []backend.Pinned {
	r.mu.Lock()
	defer r.mu.Unlock()
	var pinned []backend.Pinned
	for i := range r.plan.Moves {
		m := &r.plan.Moves[i]
		if m.seen != nil && m.seen.read.snapshot != nil && listerOf(&m.Move, &r.Settings) == of {
			pinned = append(pinned, backend.Pinned{State: m.Object, Version: *m.seen.read.version()})
		}
	}
	return pinned
}

// An unchecked move has arrived. Its outcome is provisional until its source is checked.
type unchecked struct {
	move        int // its index in the plan
	version     backend.Version
	workspaceID string
}

// checkSources is step 9 of the moves whose sources are checked together. It lists each group of
// sources once, and asks those that do not appear unchanged.
func (r *haulRun) checkSources(ctx context.Context) {
	if len(r.unchecked) == 0 {
		return
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	groups := map[backend.Lister][]unchecked{}
	for _, u := range r.unchecked {
		lister := listerOf(&r.plan.Moves[u.move].Move, &r.Settings)
		groups[lister] = append(groups[lister], u)
	}
	for lister, group := range groups {
		r.checkGroup(ctx, lister, group)
	}
	if r.Journal != nil {
		// If this fails, the journal says that the sources were not checked, and a later run
		// checks them again.
		_ = r.Journal.Append(Event{Event: EventSourcesChecked, Haul: r.Haul.Haul})
	}
}

func (r *haulRun) checkGroup(ctx context.Context, lister backend.Lister, group []unchecked) {
	pinned := make([]backend.Pinned, len(group))
	for i, u := range group {
		pinned[i] = backend.Pinned{State: r.plan.Moves[u.move].Object, Version: u.version}
	}
	listing, meter := backend.WithMeter(ctx)
	unchanged, failed := lister.Unchanged(listing, pinned)
	r.plan.APICalls += meter.Calls()
	var checks errgroup.Group
	checks.SetLimit(r.parallelism())
	for i, u := range group {
		if failed == nil && unchanged[i] {
			r.plan.Moves[u.move].Result.SourceUnchecked = false
			continue
		}
		checks.Go(func() error {
			defer crash.Catch(ctx)
			r.checkOne(ctx, u, failed)
			return nil
		})
	}
	_ = checks.Wait() // no function returns an error
}

// checkOne checks a source that the listing does not show to be unchanged, and records the
// outcome of its move again if there is something to add. listing is why the listing failed, or
// nil.
func (r *haulRun) checkOne(ctx context.Context, u unchecked, listing error) {
	p := &r.plan.Moves[u.move]
	x := r.Engine.execution(p.Move)
	x.result = p.Result
	x.result.SourceUnchecked = false
	before := len(x.result.Notes)
	metered, meter := backend.WithMeter(ctx)
	var changed *stop
	if isSourceDown(listing) { // each check would have to wait for the server
		x.noteUncheckable(listing)
	} else {
		changed = x.sourceChange(metered, u.version)
	}
	x.result.APICalls += meter.Calls()
	if changed != nil {
		if x.result.Outcome != Moved {
			x.note("%s", x.result.Message)
		}
		x.result.Outcome, x.result.Code, x.result.Message = outcomeOf(changed.code), changed.code, changed.message
	}
	if changed != nil || len(x.result.Notes) > before {
		x.recordOutcomeOf(&u.version, u.workspaceID)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	former := p.Result
	if p.Result = x.result; changed != nil && r.Revised != nil {
		r.Revised(former, x.result)
	}
}
