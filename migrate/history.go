package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// A History describes what a move does, or did, with the older versions of a state.
type History struct {
	// Versions counts the older versions that belong to the move, and Moved those that arrived.
	Versions int `json:"versions"`
	Moved    int `json:"moved"`
	// APICalls estimates the API calls that the older versions add to the move, and LockCycles
	// how often they lock the target.
	APICalls   int `json:"api_calls"`
	LockCycles int `json:"lock_cycles,omitempty"`
	// Carried are the versions that arrived, oldest first. The journal has an event for each
	// instead.
	Carried []Carried `json:"carried,omitempty"`
}

// A Carried is an older version that arrived. Created, Author and Run are those of the source:
// the new version has its own.
type Carried struct {
	Serial int64  `json:"serial"`
	MD5    string `json:"md5"`
	Size   int64  `json:"size"`
	// SourceID and ID are the version's IDs at the source and at the target.
	SourceID string `json:"source_version_id"`
	ID       string `json:"state_version_id"`
	// Target is where the version is, if it has a place of its own.
	Target  string    `json:"target,omitempty"`
	Created time.Time `json:"created_at,omitzero"`
	Author  string    `json:"author,omitempty"`
	Run     string    `json:"run,omitempty"`
}

// A history is what a move carries before the current version, oldest first.
type history struct {
	versions []olderVersion
	skipped  int // versions that only repeat the next one
	missing  int // versions with places of their own that hold nothing
	calls    int // that reading it takes
}

// An olderVersion is an older version of a source.
type olderVersion struct {
	version  backend.Version
	snapshot statefile.Snapshot // only what its header says
}

// light returns a history for a plan, which must not grow with what kinds know of versions.
func (h *history) light() *history {
	if h == nil {
		return nil
	}
	light := *h
	light.versions = slices.Clone(h.versions)
	for i := range light.versions {
		light.versions[i].version.Detail = nil
	}
	return &light
}

// An older is the source of an older version's move.
type older struct {
	backend.State
	version *backend.Version
}

func (o older) Holder(context.Context) (*backend.Lock, error) { return nil, nil }

// Check returns nil: versions do not change, and the bytes are compared when they are sent.
func (o older) Check(context.Context, backend.Version) error { return nil }

// Open reads the version, whatever is asked for.
func (o older) Open(ctx context.Context, _ *backend.Version) (io.ReadCloser, backend.Version, error) {
	return o.State.Open(ctx, o.version)
}

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

// decideHistory refuses to write older versions where they do not belong, and estimates what
// they take.
func (x *execution) decideHistory(ctx context.Context) error {
	if !x.wantsHistory() {
		return nil
	}
	if err := x.readHistory(ctx); err != nil {
		return err
	}
	versions := x.history.versions
	x.result.History = &History{Versions: len(versions)}
	if len(versions) == 0 {
		x.note("The source has no older versions to move.")
		return nil
	}
	target, ok := x.Target.(backend.HistoryTarget)
	if !ok {
		return x.stopf(CodeNoHistory, "The target cannot store older versions. Move without %s.", x.setting("history", ""))
	}
	before := backend.CallsSoFar(ctx)
	if err := x.resumeHistory(ctx, target); err != nil {
		return err
	}
	again := x.history.calls + backend.CallsSoFar(ctx) - before // the move reads and looks again
	left := len(versions) - x.result.History.Moved
	x.result.History.APICalls = again + target.HistoryCalls(left)
	if !x.apart(target) {
		x.result.History.LockCycles = left
	}
	return nil
}

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

// apart reports whether the target keeps older versions apart from the current one.
func (x *execution) apart(target backend.HistoryTarget) bool {
	v := x.history.versions[0]
	name, err := target.OlderName(x.Move.Workspace, v.snapshot.Serial, v.version.ID)
	return err != nil || name != x.Move.Workspace
}

// carryHistory moves the older versions, oldest first, each by the steps of a move. Between
// two of them, the target is unlocked.
func (x *execution) carryHistory(ctx context.Context) error {
	if x.history == nil || len(x.history.versions) == 0 {
		return nil
	}
	if x.follows = x.newFollowing(); x.follows.apart {
		x.result.History.Moved = 0 // each is compared
	}
	for i := x.result.History.Moved; i < len(x.history.versions); i++ {
		if err := x.carry(ctx, &x.history.versions[i]); err != nil {
			return err
		}
	}
	if !x.follows.apart {
		x.verdict = x.relate(x.held)
	}
	return nil
}

// A following is the order in which versions are written: each is written only on top of the
// one before.
type following struct {
	version *olderVersion // that is written; nil for the current version
	apart   bool
	// run is the run that was queued last when the first version was written, if that is
	// known.
	run      string
	runKnown bool
}

func (x *execution) newFollowing() *following {
	return &following{apart: x.apart(x.Target.(backend.HistoryTarget)), run: x.workspace.NewestRun(), runKnown: x.workspace.RunsKnown}
}

// carry moves one older version.
func (x *execution) carry(ctx context.Context, v *olderVersion) error {
	if ctx.Err() != nil {
		return x.cutHistory(v, CodeInterrupted, "tfhaul was interrupted")
	}
	o, err := x.olderExecution(v)
	if err != nil {
		return err
	}
	o.conclude(ctx, o.unlockedLate(o.steps(ctx)))
	x.takeOver(o)
	switch r := o.result; {
	case r.Outcome == Moved || r.Outcome == AlreadyThere:
	case r.Code == CodeInterrupted, r.Code == CodeNotAttempted:
		return x.cutHistory(v, CodeInterrupted, "tfhaul was interrupted")
	default:
		return x.cutHistory(v, r.Code, plainwords.Ended(r.Message))
	}
	target := ""
	if o.follows.apart {
		target = o.result.Target
	}
	c := v.carried(o.result.StateVersionID, target)
	x.result.History.Moved++
	x.result.History.Carried = append(x.result.History.Carried, c)
	x.record(Event{Event: EventCarried, WorkspaceID: x.workspace.ID, StateVersionID: c.ID, Carried: &c, Index: x.result.History.Moved})
	return nil
}

// cutHistory returns the stop for a history whose next version could not be moved.
func (x *execution) cutHistory(v *olderVersion, code Code, why string) error {
	h := x.result.History
	return &stop{code: code, message: fmt.Sprintf("tfhaul moved %d of %s. The next one, with serial %d (%s), was not moved. %s To continue, run the same command with the same journal.",
		h.Moved, plainwords.Counted(h.Versions, "older version"), v.snapshot.Serial, v.version.ID, plainwords.Sentence(why))}
}

// olderExecution prepares the move of an older version. Its source and its target are those of
// x, which holds the version before.
func (x *execution) olderExecution(v *olderVersion) (*execution, error) {
	name, err := x.Target.(backend.HistoryTarget).OlderName(x.Move.Workspace, v.snapshot.Serial, v.version.ID)
	if err != nil {
		return nil, err // which decideHistory has found before
	}
	engine := *x.Engine
	engine.Create, engine.IncludeEmpty, engine.LockSource, engine.FreezeSource = false, true, false, false
	o := engine.execution(Move{Object: older{x.Object, &v.version}, Workspace: name, Allow: []Code{CodeUnusable, CodeErrored}})
	o.follows = &following{version: v, apart: x.follows.apart, run: x.follows.run, runKnown: x.follows.runKnown}
	o.seen = &seen{read: reading{snapshot: &v.snapshot, id: v.version.ID}}
	o.lostBefore = x.lostBefore
	if !o.follows.apart {
		o.seen.workspace, o.seen.held = x.workspace, x.held
	}
	return o, nil
}

// takeOver adds the outcome of an older version to the move.
func (x *execution) takeOver(o *execution) {
	for _, note := range o.result.Notes {
		if !slices.Contains(x.result.Notes, note) {
			x.result.Notes = append(x.result.Notes, note)
		}
	}
	x.result.cause, x.result.advised, x.result.answered = o.result.cause, o.result.advised, x.result.answered || o.result.answered
	x.result.Locked, x.result.UnlockCommand = o.result.Locked, o.result.UnlockCommand
	x.result.Backup = cmp.Or(x.result.Backup, o.result.Backup)
	if o.writer != nil && o.lockOutstanding() {
		x.lostBefore, x.result.LockRequestLost = o.writer.LostRequests(), true
	}
	written := o.sent
	if written == nil && o.result.Outcome == AlreadyThere {
		written = o.held.version
	}
	if written == nil || o.follows.apart {
		return
	}
	now := *x.workspace
	now.Locked, now.Holder, now.Current = false, backend.Holder{}, backend.Ref{Known: true, ID: written.ID}
	x.workspace, x.held = &now, &holding{version: written, snapshot: o.read.snapshot}
}

// stillFollows checks, under the lock, that the target holds what this haul wrote last, and
// that no run was queued meanwhile.
func (x *execution) stillFollows(ctx context.Context, now *backend.Standing) error {
	if now != nil && now.Automatic != backend.NoAutomation {
		return x.stopf(CodeTargetChanged, "The workspace now %s. Nothing was sent.", now.Automatic)
	}
	if now != nil && now.RunsKnown && x.follows.runKnown && now.NewestRun() != x.follows.run {
		return x.stopf(CodeTargetChanged, "Run %s was queued in the workspace while older versions were written to it. Nothing was sent. Discard or cancel the run, then continue.", now.NewestRun())
	}
	if x.unchanged(now) {
		return nil
	}
	// Only servers with workspaces have replicas that lag.
	lags := x.Target.Traits().Workspaces
	held, err := x.readCurrent(ctx, x.workspace, func(v *backend.Version) bool { return !lags || x.before(v) })
	switch {
	case err != nil:
		return err
	case x.before(held):
		return nil
	case held == nil:
		return x.stopf(CodeTargetChanged, "The workspace no longer holds the version that this haul wrote to it last. Nothing was sent.")
	}
	return x.foreignVersion(held)
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

// readHistoryFirst reads the older versions before the target is looked at, so that what
// cannot be moved is found before anything is created. A move that an earlier run completed
// does not need them.
func (x *execution) readHistoryFirst(ctx context.Context) error {
	if past := x.past().result; past != nil && past.Arrived() && past.Snapshot != nil && past.Snapshot.MD5 == x.read.snapshot.MD5 {
		return nil
	}
	return x.readHistory(ctx)
}

// alreadyThereWithHistory ends a move whose current version is there. Older versions that have
// places of their own can still be added. Otherwise, earlier runs of the haul have moved them
// before it, or nothing can.
func (x *execution) alreadyThereWithHistory(ctx context.Context) error {
	if !x.wantsHistory() {
		x.alreadyThere()
		return nil
	}
	carried := x.past().carried()
	target, ok := x.Target.(backend.HistoryTarget)
	if err := x.readHistory(ctx); err != nil && len(carried) == 0 {
		return err
	}
	switch {
	case ok && x.history != nil && len(x.history.versions) > 0 && x.apart(target):
		return x.addOlder(ctx, target)
	case len(carried) > 0:
		x.result.History = &History{Versions: len(carried), Moved: len(carried), Carried: carried}
	case x.history != nil && len(x.history.versions) > 0:
		x.note("Older versions were not moved, because they can only be written before the current one.")
	}
	x.alreadyThere()
	return nil
}

// olderApart reports whether this is the move of an older version into a place of its own.
func (x *execution) olderApart() bool {
	return x.follows != nil && x.follows.version != nil && x.follows.apart
}

// refuseOther refuses to replace what is in the place of an older version, even if the version
// would continue it: no older version comes from anything but this one version of the source.
func (x *execution) refuseOther() error {
	code := CodeDiverged
	switch x.verdict.Relation {
	case Stale:
		code = CodeStale
	case Unrelated:
		code = CodeUnrelated
	}
	return x.stopf(code, "The file %s holds other bytes, and files of older versions are not replaced. Move it away, or move into another directory.", x.Move.Workspace)
}

// addOlder moves the older versions of a state that is there already. If none is missing, a
// plan compares them, because the haul keeps its result.
func (x *execution) addOlder(ctx context.Context, target backend.HistoryTarget) error {
	if err := x.decideHistory(ctx); err != nil {
		return err
	}
	missing := x.history.missing
	switch {
	case !x.DryRun:
		if err := x.carryHistory(ctx); err != nil {
			return err
		}
	case missing > 0:
		x.result.Outcome = WouldMove
		x.result.Message = x.sayf("The workspace already holds the current state. %s would be added.", plainwords.Counted(missing, "older version"))
		return nil
	default:
		if err := x.compareOlder(ctx, target); err != nil {
			return err
		}
	}
	x.alreadyThere()
	if missing > 0 {
		x.result.Outcome, x.result.Message = Moved, x.sayf("The workspace already holds the current state. tfhaul added %s and read back each.", plainwords.Counted(missing, "older version"))
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

// carried returns what is recorded of a version that arrived.
func (v *olderVersion) carried(id, target string) Carried {
	return Carried{
		Serial: v.snapshot.Serial, MD5: v.snapshot.MD5, Size: v.snapshot.Size, SourceID: v.version.ID, ID: id, Target: target,
		Created: v.version.Created, Author: v.version.Author, Run: v.version.Run,
	}
}

// forecast describes what would be moved, and what that takes.
func (h *History) forecast() string {
	text := plainwords.Counted(h.Versions-h.Moved, "older version") + " would be moved before it"
	if h.APICalls > 0 {
		text += ", with about " + plainwords.Counted(h.APICalls, "API call")
	}
	return text + "."
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
