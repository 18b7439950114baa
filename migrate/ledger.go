package migrate

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
	"tfhaul/plainwords"
	"tfhaul/prove"
)

// A Ledger summarizes the events of a haul: how each move ended, and which locks the haul still
// holds. It is built from a journal or from events as they happen, and keeps about 1 KB per
// move, however many events it had.
//
// It is not safe for concurrent use.
type Ledger struct {
	LockLedger
	moves map[moveKey]*entry
	order []*entry

	events        int
	runs          int // how many have planned their moves
	planned       int // moves, of the latest run
	haul, dir     string
	command       string // that continues the haul
	first, latest time.Time
}

type moveKey struct{ source, target string }

// folded returns the key under which a move is found: organizations and workspaces whose
// names differ only in case are one.
func (k moveKey) folded() moveKey { return moveKey{k.source, foldTarget(k.target)} }

// An entry summarizes one move.
type entry struct {
	moveKey
	result     *Result     // of the last outcome
	begun      *Snapshot   // from the first event, until there is an outcome
	sent       *Snapshot   // the last state that was sent or about to be sent
	sending    bool        // the state may have been sent since the lock was taken
	deleting   bool        // a rollback may have deleted what the haul created
	creating   bool        // the haul may have created the workspace
	created    bool        // the haul created the workspace
	configured bool        // and applied all its settings
	apart      bool        // the move is that of an older version with a place of its own
	older      *olderEntry // set once an older version may have been sent
	sourceLock string      // the ID of the source's own lock while the haul holds it

	proof       *prove.Result // the last one,
	provenOf    string        // and the state version that it is about
	workspaceID string
	version     *backend.Version // which version of the source was read last
	run         int              // the latest that the move belongs to
}

// NewLedger returns a ledger of the events of a journal.
func NewLedger(events []Event) *Ledger {
	l := &Ledger{moves: map[moveKey]*entry{}}
	for _, e := range events {
		l.Add(e)
	}
	return l
}

// ReadLedger reads the ledger of a journal, which another process may still be writing.
func ReadLedger(r io.Reader) (*Ledger, error) {
	l := NewLedger(nil)
	if _, err := readEvents(r, l.Add); err != nil {
		return nil, err
	}
	return l, nil
}

// Add adds one event.
func (l *Ledger) Add(e Event) {
	l.LockLedger.Add(e)
	l.events++
	l.haul, l.dir = cmp.Or(l.haul, e.Haul), cmp.Or(l.dir, e.Dir)
	if l.first.IsZero() {
		l.first = e.Time
	}
	l.latest = e.Time
	if e.Event == EventPlanned {
		l.command = cmp.Or(e.Command, l.command)
		l.runs, l.planned = l.runs+1, e.Moves
	}
	if e.Event == EventSourcesChecked {
		l.confirm()
	}
	if e.Source == "" {
		return // of no single move
	}
	key := moveKey{e.Source, e.Target}
	m := l.moves[key.folded()]
	if m == nil {
		m = &entry{moveKey: key, begun: e.Snapshot, apart: e.Older != ""}
		l.moves[key.folded()] = m
		l.order = append(l.order, m)
	}
	m.run = l.runs
	if e.Older != "" {
		m.addOlder(e)
		return
	}
	m.apart = false
	switch e.Event {
	case EventIntent:
		m.begins(e)
	case EventCreating:
		m.creating = true
	case EventCreated:
		m.created, m.configured, m.workspaceID = true, false, e.WorkspaceID
	case EventConfigured:
		m.configured = true
	case EventSending:
		m.sending, m.sent = true, e.Snapshot
	case EventCarried:
		if e.Carried != nil && e.Index > 0 { // an earlier run may have written to a workspace that is gone
			o := m.startOlder()
			o.carried = append(o.carried[:min(len(o.carried), e.Index-1)], *e.Carried)
		}
	case EventDeleting:
		m.deleting = true
	case EventUnlocked:
		m.sending = false
	case EventSourceLocked:
		m.sourceLock = e.SourceLockID
	case EventSourceFreed:
		m.sourceLock = ""
	case EventProof:
		m.proof, m.provenOf = e.Proof, e.StateVersionID
	case EventOutcome:
		m.ended(e)
	}
}

// confirm makes the outcomes of the latest run final.
func (l *Ledger) confirm() {
	for _, m := range l.order {
		if m.result != nil && m.run == l.runs {
			m.result.SourceUnchecked = false
		}
	}
}

// An olderEntry is what is known of a state's older versions.
type olderEntry struct {
	carried []Carried // those that arrived, oldest first
}

// startOlder returns the entry of the older versions, which may be new.
func (m *entry) startOlder() *olderEntry {
	if m.older == nil {
		m.older = new(olderEntry)
	}
	return m.older
}

// carried returns the older versions that arrived, oldest first.
func (m entry) carried() []Carried {
	if m.older == nil {
		return nil
	}
	return m.older.carried
}

// addOlder adds an event about an older version.
func (m *entry) addOlder(e Event) {
	switch e.Event {
	case EventIntent:
		m.begins(e)
	case EventSending:
		m.sending = true
		m.startOlder()
	case EventUnlocked:
		m.sending = false
	}
}

// begins records the start of a move. If a later run repeats the move, its earlier outcome no
// longer counts.
func (m *entry) begins(e Event) {
	if m.result != nil && !m.result.Arrived() {
		m.result, m.begun = nil, e.Snapshot
	}
}

// ended records the outcome of a move. It shares equal values, because a move would otherwise
// need 1,380 bytes, and the budget is 1,200.
func (m *entry) ended(e Event) {
	if m.created && e.WorkspaceID != "" && m.workspaceID != "" && e.WorkspaceID != m.workspaceID {
		m.creating, m.created = false, false // another workspace has its name
	}
	m.workspaceID = cmp.Or(e.WorkspaceID, m.workspaceID)
	if e.Version != nil && e.Version.MD5 != "" {
		m.version = e.Version
	}
	if e.Result == nil {
		m.result = nil
		return
	}
	result := *e.Result
	if (moveKey{result.Source, result.Target}) == m.moveKey {
		result.Source, result.Target = m.source, m.target
	}
	if m.sent != nil && result.Snapshot != nil && *m.sent == *result.Snapshot {
		m.sent = result.Snapshot
	}
	if past := m.result; result.APICalls == 0 && past != nil && past.Arrived() && past.StateVersionID == result.StateVersionID {
		// A later run only confirmed the move, from a listing that served all moves.
		result.APICalls, result.Seconds = past.APICalls, max(past.Seconds, result.Seconds)
	}
	m.result, m.begun = &result, nil
	if result.SourceFrozen != "" {
		m.sourceLock = "" // left there on purpose
	}
}

// NotAttempted returns how many moves of the latest run the journal does not mention.
func (l *Ledger) NotAttempted() int { return max(0, l.planned-len(l.current())) }

// SourcesUnchecked returns how many moves have a provisional outcome: the haul ended before it
// checked their sources.
func (l *Ledger) SourcesUnchecked() int {
	n := 0
	for _, m := range l.current() {
		if m.result != nil && m.result.SourceUnchecked {
			n++
		}
	}
	return n
}

// current returns the moves that still belong to the haul, in the order in which they began.
// One that did not arrive is replaced when a later run has another move from its source or
// into its target: the manifest was edited, or the source is named from another directory.
func (l *Ledger) current() []*entry {
	order := slices.DeleteFunc(slices.Clone(l.order), func(m *entry) bool { return m.apart })
	if l.runs < 2 {
		return order
	}
	bySource, byTarget := map[string]int{}, map[string]int{}
	for _, m := range l.order {
		bySource[m.source] = max(bySource[m.source], m.run)
		byTarget[foldTarget(m.target)] = max(byTarget[foldTarget(m.target)], m.run)
	}
	return slices.DeleteFunc(order, func(m *entry) bool {
		named := m.result == nil || m.result.Code != CodeNoName // a move without a name has its container as the target
		replaced := bySource[m.source] > m.run || named && byTarget[foldTarget(m.target)] > m.run
		return replaced && (m.result == nil || !m.result.Arrived())
	})
}

// Concerns reports whether the journal records a move from the source or into the target of
// one of these. One that records no move concerns all.
func (l *Ledger) Concerns(moves []Result) bool {
	if l == nil || len(l.order) == 0 || len(moves) == 0 {
		return true
	}
	sources, targets := map[string]bool{}, map[string]bool{}
	for _, m := range l.order {
		sources[m.source], targets[foldTarget(m.target)] = true, true
	}
	return slices.ContainsFunc(moves, func(r Result) bool { return sources[r.Source] || targets[foldTarget(r.Target)] })
}

// Runs is how often a haul of many moves was planned: 0 for the journal of a single move.
func (l *Ledger) Runs() int { return l.runs }

// Dir is the directory in which the haul began; "" when no event names one.
func (l *Ledger) Dir() string { return l.dir }

// Command returns the command that continues the haul, or "" if the journal does not record
// it.
func (l *Ledger) Command() string { return l.command }

// Events returns the number of events.
func (l *Ledger) Events() int { return l.events }

// Haul returns the ID of the haul; "" if no event has one.
func (l *Ledger) Haul() string { return l.haul }

// Times returns the times of the first and the last event; zero if there are none.
func (l *Ledger) Times() (first, latest time.Time) { return l.first, l.latest }

// A SourceLock is a source's own lock that a haul may have left behind.
type SourceLock struct {
	// Source names the state, Target the workspace.
	Source, Target string
	// ID is the lock's.
	ID string
}

// SourceLocks returns the sources' own locks that were taken and not released, sorted by name.
// It omits locks that were left on purpose.
func (l *Ledger) SourceLocks() []SourceLock {
	var left []SourceLock
	for _, m := range l.order {
		if m.sourceLock != "" {
			left = append(left, SourceLock{Source: m.source, Target: m.target, ID: m.sourceLock})
		}
	}
	slices.SortFunc(left, func(a, b SourceLock) int { return strings.Compare(a.Source, b.Source) })
	return left
}

// Results returns the last results in the order in which the moves began. An interrupted move
// is not among them.
func (l *Ledger) Results() []Result {
	var all []Result
	for _, m := range l.current() {
		if m.result == nil {
			continue
		}
		r := *m.result
		if carried := m.carried(); r.History != nil && len(carried) > 0 {
			whole := *r.History
			whole.Carried = carried
			r.History = &whole
		}
		if m.proof != nil && m.provenOf == r.StateVersionID {
			r.Proof = m.proof
		}
		all = append(all, r)
	}
	return all
}

// CutOff returns the moves without an outcome, in the order in which they began. Only Source,
// Target and, if the first event has it, Snapshot are set.
func (l *Ledger) CutOff() []Result {
	var all []Result
	for _, m := range l.current() {
		if m.result == nil && m.target != "" {
			all = append(all, Result{Source: m.source, Target: m.target, Snapshot: m.begun})
		}
	}
	return all
}

// A LockLedger tracks which locks of workspaces a haul still holds. It knows nothing else about
// the moves, so its size depends only on the number of locks. The zero value is empty.
//
// It is not safe for concurrent use.
type LockLedger struct {
	locks locks
	lost  locks // where a lock request may still take effect
}

// locks maps folded targets to workspaces. A target has several if a workspace was renamed or
// deleted and another one has its name.
type locks map[string][]HeldLock

// add adds a lock, or replaces what was known of it.
func (l *locks) add(h HeldLock) {
	if *l == nil {
		*l = locks{}
	}
	l.drop(h.Target, h.WorkspaceID)
	(*l)[foldTarget(h.Target)] = append(l.of(h.Target), h)
}

// drop removes a workspace; all of the target where its id is not known.
func (l locks) drop(target, id string) {
	left := slices.DeleteFunc(l.of(target), func(h HeldLock) bool { return h.is(id) })
	if len(left) == 0 {
		delete(l, foldTarget(target))
		return
	}
	l[foldTarget(target)] = left
}

// of returns those of a target.
func (l locks) of(target string) []HeldLock { return l[foldTarget(target)] }

// has reports whether a workspace is among them.
func (l locks) has(target, id string) bool {
	return slices.ContainsFunc(l.of(target), func(h HeldLock) bool { return h.is(id) })
}

// sorted returns all, by name.
func (l locks) sorted() []HeldLock {
	var all []HeldLock
	for _, target := range slices.Sorted(maps.Keys(l)) {
		all = append(all, l[target]...)
	}
	return all
}

// Add updates the locks from an event.
func (l *LockLedger) Add(e Event) {
	lock := HeldLock{Target: e.Target, Haul: e.Haul, WorkspaceID: e.WorkspaceID}
	switch e.Event {
	case EventLockRequestLost:
		l.lost.add(lock)
	case EventLocking:
		l.locks.add(lock)
	case EventLocked, EventLockKept:
		lock.Sure = true
		l.locks.add(lock)
	case EventUnlocked:
		l.locks.drop(e.Target, e.WorkspaceID)
	case EventCarried: // and its move ended unlocked
		if e.Carried != nil && e.Carried.Target != "" {
			l.locks.drop(e.Carried.Target, "")
		} else {
			l.locks.drop(e.Target, e.WorkspaceID)
		}
	case EventOutcome:
		// A move that ended unlocked holds no lock, even if it asked for one that
		// another user held.
		if e.Result != nil && !e.Result.Locked {
			l.locks.drop(e.Target, e.WorkspaceID)
		}
		if e.Result != nil && !e.Result.LockRequestLost {
			l.lost.drop(e.Target, e.WorkspaceID)
		}
	}
}

// Hold adds a lock.
func (l *LockLedger) Hold(h HeldLock) { l.locks.add(h) }

// HeldLocks returns the workspaces whose lock was requested and not released, sorted by name.
func (l *LockLedger) HeldLocks() []HeldLock { return l.locks.sorted() }

// LostRequests returns the workspaces where the response to a lock request was lost and no lock
// is known to be held, sorted by name. The request may take effect at any later time.
func (l *LockLedger) LostRequests() []HeldLock {
	return slices.DeleteFunc(l.lost.sorted(), func(h HeldLock) bool { return l.locks.has(h.Target, h.WorkspaceID) })
}

// left returns the workspaces behind a target that are locked, or may be.
func (l *LockLedger) left(target string) []HeldLock {
	all := slices.Clone(l.locks.of(target))
	for _, h := range l.lost.of(target) {
		if !l.locks.has(target, h.WorkspaceID) {
			all = append(all, h)
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
	// WorkspaceID is the server's, which outlives a rename; "" where it is not known.
	WorkspaceID string
	// Sure reports that the lock was granted, and not only requested.
	Sure bool
}

// is reports whether the lock is that of the workspace with an id. One that is not known
// may be any.
func (h HeldLock) is(id string) bool { return h.WorkspaceID == id || h.WorkspaceID == "" || id == "" }

// UnlockCommand returns the command that unlocks the workspace.
func (h HeldLock) UnlockCommand() string {
	return "tfhaul unlock " + plainwords.ShellWord(h.Target) + " --haul " + h.Haul
}

// past returns the ledger's entry for this move; the zero entry if there is none.
func (x *execution) past() entry {
	if x.Past == nil {
		return entry{}
	}
	if m := x.Past.moves[x.key().folded()]; m != nil {
		return *m
	}
	return entry{}
}

// doneBefore reuses the result of an earlier run of the haul if its state version is still
// current and the source has not changed. State versions do not change, so nothing is read
// again.
func (x *execution) doneBefore(current string) bool {
	past := x.past().result
	if past == nil || past.Outcome != Moved && past.Outcome != AlreadyThere || past.StateVersionID == "" || past.StateVersionID != current {
		return false
	}
	if past.Snapshot == nil || past.Snapshot.MD5 != x.read.snapshot.MD5 || x.lockedByUs() {
		return false
	}
	x.result = *past
	x.result.SourceUnchecked = false // it was just read, and is the same
	x.result.Message = x.sayf("An earlier run of this haul completed the move. %s is still the current state version.", current)
	return true
}

// bumpedBefore reports whether the workspace holds the state with the raised serial that an
// interrupted run of the haul sent.
func (x *execution) bumpedBefore() bool {
	sent := x.past().sent
	return x.Bump && sent != nil && x.held != nil && sent.MD5 == x.held.snapshot.MD5 && sent.Size == x.held.snapshot.Size
}

// lockedByUs reports whether the workspace carries a lock that an earlier run of this
// haul has left. A lock that ends with its session cannot be taken over.
func (x *execution) lockedByUs() bool {
	ws := x.workspace
	if ws == nil || !ws.Locked || x.endsWithSession() {
		return false
	}
	if ws.Holder.ReasonKnown {
		return ws.Holder.Reason == lockReason(x.Haul)
	}
	if x.Past == nil {
		return false
	}
	return x.Past.locks.has(x.result.Target, ws.ID) || x.Past.lost.has(x.result.Target, ws.ID)
}

// lockedByOurRun reports whether the run that the state version will be associated with holds
// the lock. The token then belongs to that run, and the lock is neither taken nor released.
func (x *execution) lockedByOurRun() bool {
	ws := x.workspace
	return x.Run != "" && ws != nil && ws.Locked && ws.Holder.Kind == "run" && ws.Holder.ID == x.Run
}

// inheritLock takes over a lock that an earlier run of this haul has left, and reports
// whether there is one.
func (x *execution) inheritLock() bool {
	if x.DryRun || !x.lockedByUs() {
		return false
	}
	x.writer, x.inherited = x.newWriter(backend.WriterOptions{Inherited: true}), true
	x.note("An earlier run of this haul was interrupted and left the workspace locked. This run took over the lock and continued the move.")
	x.lease = lockwait.Resume(x.writer, x.Clock, x.lookedAt)
	return true
}

// sentBefore checks, before anything is sent under an inherited lock, whether the interrupted
// run has already sent it.
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
