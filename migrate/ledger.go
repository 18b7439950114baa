package migrate

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"tfhaul/lockwait"
	"tfhaul/source"
)

// A Ledger is what the events of a haul come to: what became of each move, and
// which locks are still ours. It is made from a journal's events, or fed them as
// they happen.
type Ledger struct {
	moves map[moveKey]*entry
	order []moveKey
}

type moveKey struct{ source, target string }

// An entry is what the ledger knows of one move.
type entry struct {
	key         moveKey
	haul        string
	pin         *source.Pin
	result      *Result // of the last outcome
	workspaceID string
	locked      bool // the lock was asked for and not given back
	sending     bool // the state may have been sent since the lock was taken
}

// NewLedger adds up the events of a journal.
func NewLedger(events []Event) *Ledger {
	l := &Ledger{moves: map[moveKey]*entry{}}
	for _, e := range events {
		l.Add(e)
	}
	return l
}

// Add adds one event.
func (l *Ledger) Add(e Event) {
	if e.Source == "" && e.Target == "" {
		return
	}
	key := moveKey{e.Source, e.Target}
	m := l.moves[key]
	if m == nil {
		m = &entry{key: key}
		l.moves[key] = m
		l.order = append(l.order, key)
	}
	m.haul = cmp.Or(e.Haul, m.haul)
	m.workspaceID = cmp.Or(e.WorkspaceID, m.workspaceID)
	if e.Pin != nil {
		m.pin = e.Pin
	}
	switch e.Event {
	case EventLocking, EventLocked, EventLockKept:
		m.locked = true
	case EventUnlocked:
		m.locked, m.sending = false, false
	case EventSending:
		m.sending = true
	case EventOutcome:
		m.result = e.Result
		// What ended without a lock of ours left has none, also where the lock was
		// asked for and somebody else had it.
		m.locked = e.Result != nil && e.Result.Locked
	}
}

// Results are the last outcomes, in the order in which the moves began. A move
// that was cut off has none.
func (l *Ledger) Results() []Result {
	var all []Result
	for _, key := range l.order {
		if r := l.moves[key].result; r != nil {
			all = append(all, *r)
		}
	}
	return all
}

// A HeldLock is a workspace that a haul may have left locked.
type HeldLock struct {
	// Target is host/organization/workspace.
	Target string
	// Haul is the id of the haul that locked it.
	Haul string
}

// UnlockCommand is what frees the workspace.
func (h HeldLock) UnlockCommand() string { return "tfhaul unlock " + h.Target + " --haul " + h.Haul }

// HeldLocks are the workspaces whose lock was asked for and not given back, by name.
func (l *Ledger) HeldLocks() []HeldLock {
	var held []HeldLock
	for _, key := range l.order {
		if m := l.moves[key]; m.locked {
			held = append(held, HeldLock{Target: key.target, Haul: m.haul})
		}
	}
	slices.SortFunc(held, func(a, b HeldLock) int { return strings.Compare(a.Target, b.Target) })
	return slices.Compact(held)
}

// past is what the ledger knows of this move; the zero entry for nothing.
func (x *execution) past() entry {
	if x.Past == nil {
		return entry{}
	}
	if m := x.Past.moves[moveKey{x.result.Source, x.result.Target}]; m != nil {
		return *m
	}
	return entry{}
}

// sameAsRecorded says whether an earlier run of the haul proved that the workspace
// holds the snapshot, and neither has changed since. State versions do not change,
// so it is enough that the same one is current.
func (x *execution) sameAsRecorded() bool {
	past := x.past()
	return past.result != nil && !past.locked && (past.result.Outcome == Moved || past.result.Outcome == AlreadyThere) &&
		past.result.Snapshot != nil && past.result.BumpedTo == 0 && past.result.Snapshot.MD5 == x.read.snapshot.MD5 &&
		x.workspace.Current.Known && x.workspace.Current.ID == past.result.StateVersionID && !x.lockedByUs()
}

// doneBefore settles a move that an earlier run of the haul has carried out.
func (x *execution) doneBefore() bool {
	if x.workspace == nil || !x.sameAsRecorded() {
		return false
	}
	past := x.past()
	x.result = *past.result
	x.result.Message = "Done by an earlier run of this haul, and still so: " + x.result.StateVersionID + " is current."
	return true
}

// lockedByUs says whether the workspace carries a lock that an earlier run of this
// haul has left.
func (x *execution) lockedByUs() bool {
	ws := x.workspace
	if ws == nil || !ws.Locked {
		return false
	}
	if ws.Holder.ReasonKnown {
		return ws.Holder.Reason == lockReason(x.Haul)
	}
	return x.past().locked
}

// inheritedLock is the lease of a lock that an earlier run of this haul has left,
// or nil.
func (x *execution) inheritedLock() *lockwait.Lease {
	if x.DryRun || !x.lockedByUs() {
		return nil
	}
	x.lock = &workspaceLock{client: x.Target, workspace: x.workspace, reason: lockReason(x.Haul), underLock: x.workspace}
	x.note("The workspace was still locked by an earlier run of this haul, which was cut off; the move went on from there.")
	return lockwait.Resume(x.lock)
}

// sentBefore looks, before anything is sent under an inherited lock, whether the
// run that was cut off had sent it already.
func (x *execution) sentBefore(ctx context.Context) error {
	if !x.past().sending {
		return nil
	}
	sent, err := x.find(ctx)
	if err != nil {
		return err
	}
	x.sent = sent
	return nil
}
