// Package migrate moves states into workspaces. It compares a state with the workspace's,
// moves it step by step under the workspace's lock, verifies that the bytes arrived, and
// records what it did in a journal. It knows nothing about flags, terminals or exit codes.
// Sources and targets are interfaces of package backend; package statefile reads states. The
// outcome of a move is a Result.
package migrate

import (
	"context"
	"errors"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
	"tfhaul/plainwords"
)

// An Engine carries out moves to one target. Its fields are set before the first move;
// then it is safe for concurrent use.
type Engine struct {
	// Target is where all moves go.
	Target backend.Target
	// Haul identifies the haul in the reasons of its locks; see NewHaulID.
	Haul string
	// Journal records the haul; nil for none.
	Journal *Journal
	// Observe, if not nil, is called for every event as it happens, concurrently.
	Observe func(Event)
	// Past is what the journal recorded of earlier runs of the haul; nil for none.
	Past *Ledger
	// Options apply to every move.
	Options
	// Clock measures how old the last news about a lock is; nil means the system clock.
	Clock lockwait.Clock

	// park spends a pause while waiting for a lock; nil means to sleep. See Haul.
	park func(ctx context.Context, sleep func(context.Context) error) error
	// relistings check sources of the haul together; nil for none. See Haul.Run.
	relistings map[backend.Lister]*relisting
	// claims records the workspaces of the run's other moves; nil for none. See Haul.Run.
	claims *claims
	// noAccess is why no move can succeed with the target's credentials; nil if they can.
	noAccess *stop
}

// Options control how moves run.
type Options struct {
	// DryRun decides what to do and writes nothing.
	DryRun bool
	// Settings apply to moves without their own.
	Settings
	// DeleteCreated lets a rollback delete what the haul created.
	DeleteCreated bool
	// OnFailure decides what happens to the lock if the workspace's state could not be
	// verified; "" means KeepLock.
	OnFailure LockPolicy
	// Upload is how states are sent; "" means UploadAuto.
	Upload UploadMode
	// BackupDir is where replaced states are saved; "" means DefaultBackupDir.
	BackupDir string
}

// FromState, in CreateOptions, means the Terraform version that wrote the state.
const FromState = "from-state"

// DefaultBackupDir is the default directory for backups.
const DefaultBackupDir = "tfhaul-backup"

// A LockPolicy decides what happens to the lock if the workspace's state could not be verified.
type LockPolicy string

// The policies. Terraform also keeps the lock: nobody should build on a state that may be
// incomplete.
const (
	KeepLock  LockPolicy = "keep"
	ClearLock LockPolicy = "unlock"
)

// An UploadMode is how a state is sent.
type UploadMode string

// The modes.
const (
	UploadAuto   UploadMode = "auto"   // depends on the size and the server
	UploadInline UploadMode = "inline" // in the POST, in base64
	UploadSigned UploadMode = "signed" // to the signed upload URL
)

// A Move is a state and the workspace to move it to.
type Move struct {
	// Object is the source.
	Object backend.State
	// Workspace is the name of the target workspace.
	Workspace string
	// Naming is the text that the workspace's name was derived from, if that took more than
	// joining names; otherwise "" (see pairing.Naming). For an Unnamed move it explains why
	// there is no name.
	Naming string
	// Unnamed moves have no workspace name and are refused.
	Unnamed bool
	// Configuration is the directory of the state's configuration; "" if it is not known.
	Configuration string
	// Replace allows replacing any state in the workspace, after a backup.
	Replace bool
	// Bump allows raising the state's serial if only the serial is too low.
	Bump bool
	// FromManifest means that the move's settings come from a manifest, not from flags.
	FromManifest bool
	// Listed reports that the organization's workspaces have just been listed. See Known.
	Listed bool
	// confirm means to look up a workspace that the listing lacks.
	confirm bool
	// Allow are the codes that do not stop the move: see Allowable.
	Allow []Code
	// Objections are what an audit found about the state; nil for nothing, as for most.
	Objections *[]Objection
	// PermittedFor is the workspace name that Replace, Bump and Allow were given for; ""
	// means Workspace. They apply only if the server has exactly this name.
	PermittedFor string
	// Run is the run to associate the state version with; "" for none.
	Run string
	// Own holds the move's own settings, from a manifest or a map; nil means the engine's.
	Own *Settings
	// Expect, if not nil, describes the state when the move was planned. The move is refused
	// if the state has changed since.
	Expect *Expectation
	// Known is the workspace in the listing; nil if it was missing. It saves a request, and is
	// checked under the lock.
	Known *backend.Standing

	// Undo, if not nil, makes the move a rollback: see Written.Move.
	Undo *Written

	seen *seen // what a plan has already read
	// taken holds the notes about the settings of the source, which are in Own; nil if they were
	// not taken along.
	taken *[]string
	// nameNote explains why the move does not use the name that it was given.
	nameNote string
}

// An Expectation describes a state when its move was planned.
type Expectation struct {
	Serial int64
	MD5    string
}

// seen holds what a plan has read for a move, so that the move need not read it again.
type seen struct {
	read      reading
	workspace *backend.Standing
	held      *holding
	history   *history
	settings  *SettingsResult
}

// Move carries out one move and returns its result. If ctx ends before the workspace is
// locked, the move stops. After that it is finished, which takes a few minutes at most, with
// no single wait longer than 30 seconds.
func (e *Engine) Move(ctx context.Context, m Move) Result {
	x := e.execution(m)
	x.move(ctx, true)
	return x.result
}

// move is Move; last reports that it is the last step of its haul.
func (x *execution) move(ctx context.Context, last bool) {
	start := time.Now()
	ctx, meter := backend.WithMeter(ctx)
	err := x.run(ctx)
	x.conclude(ctx, err)
	x.freeLeftLock(ctx)
	if x.noteLostLock(); last {
		x.checkLostRequest(ctx)
	}
	x.result.APICalls = meter.Calls()
	x.result.Seconds = time.Since(start).Seconds()
	x.recordOutcome()
}

// execution prepares one move.
func (e *Engine) execution(m Move) *execution {
	if m.Own != nil {
		own := *e
		own.Settings = *m.Own
		e = &own
	}
	x := &execution{Engine: e, Move: m}
	x.result.Source, x.result.Target = backend.Printable(m.Object.Address()), e.targetName(m)
	x.result.Rollback = m.Undo != nil
	x.result.server = serverOf(m.Object)
	x.noteName()
	if m.nameNote != "" {
		x.note("%s", m.nameNote)
	}
	if m.taken != nil {
		x.result.Notes = append(x.result.Notes, *m.taken...)
	}
	return x
}

// An execution is a move in progress.
type execution struct {
	*Engine
	Move
	result Result

	read        reading       // step 1
	history     *history      // the older versions to move; nil until they are read
	follows     *following    // set while versions are moved in order; nil without older ones
	sourceLease backend.Lease // the source's own lock, if we hold it

	workspace  *backend.Standing // step 2; renewed under the lock
	held       *holding          // what the workspace holds; nil for nothing
	verdict    Verdict
	payload    payload  // what will be sent
	raised     *payload // the same with a higher serial, for a rollback; nil if it is not needed
	asBytes    bool     // a rollback sends the bytes, because the target cannot copy the former version
	writer     backend.Writer
	lease      *lockwait.Lease
	lookedAt   lockwait.Instant // when the workspace was read; zero if that was long ago
	notedHYOK  bool             // the note on HYOK was added
	lostBefore int              // lock requests for older versions whose responses were lost
	attempts   int              // to send the state
	lost       error            // why the response to the last attempt was lost
	resent     bool             // the state was sent again after a lost response, so it may be stored twice
	maybeLate  bool             // the upload may have taken effect after the lock was last known to be ours
	sent       *backend.Version // step 5
	current    bool             // verify found that the sent state version is current
	underRun   bool             // the lock belongs to the run whose token tfhaul uses
	inherited  bool             // the lock was left by an earlier run of the haul
	comparing  bool             // nothing is moved; see Verify
	finishing  bool             // an interrupt no longer stops the move
	asked      bool             // settings that wait for the state were changed, or may have been
	later      bool             // the end of the haul looks for absent consumers
	absent     []string         // consumers of the state that do not exist so far
	released   bool             // the lock was released, as far as the target reports
}

// conclude sets the result's outcome, code and message from the error of the steps.
func (x *execution) conclude(ctx context.Context, err error) {
	switch {
	case err == nil && x.hasOutcome():
	case err == nil:
		x.result.Outcome = Moved
		x.result.Message = x.movedMessage()
	default:
		var stopped *stop
		if !errors.As(err, &stopped) {
			stopped = x.explain(ctx, err)
		}
		x.nothingReplaced(stopped)
		x.result.Code, x.result.Message = stopped.code, stopped.message
		if stopped.sourceDown {
			x.result.cause, x.result.sourceDown = x.withoutSource(stopped.message), true
		}
		x.result.Outcome = outcomeOf(stopped.code)
	}
}

// note adds a sentence to the result, as sayf makes it.
func (x *execution) note(format string, args ...any) {
	x.result.Notes = append(x.result.Notes, x.sayf(format, args...))
}

// announce writes an event to the journal before the step that it describes, and passes it to
// the observer.
func (x *execution) announce(e Event) error {
	e.Time = time.Now().UTC()
	e.Haul, e.Source, e.Target = x.Haul, x.result.Source, x.result.Target
	if x.follows != nil && x.follows.version != nil {
		e.Older = x.follows.version.version.ID
	}
	if x.Observe != nil {
		x.Observe(e)
	}
	if x.Journal == nil || x.DryRun || e.Event == EventWaiting || e.LockReason != "" && x.endsWithSession() {
		return nil // a lock that ends with its session cannot be released later
	}
	if err := x.Journal.Append(e); err != nil {
		return &stop{code: CodeJournal, message: plainwords.Sentence(err.Error()) + " tfhaul does nothing that it cannot record. Free up disk space, or use another --journal."}
	}
	return nil
}

// record writes an event to the journal after the step that it describes. If that fails, the
// step is not undone, and the result has a note.
func (x *execution) record(e Event) {
	if err := x.announce(e); err != nil {
		x.note("%v", err)
	}
}

// recordOutcome writes the last event of a move.
func (x *execution) recordOutcome() {
	workspaceID := ""
	if x.workspace != nil {
		workspaceID = x.workspace.ID
	}
	x.recordOutcomeOf(x.read.version(), workspaceID)
}

// recordOutcomeOf records the outcome of the move of a version; nil if nothing was read.
func (x *execution) recordOutcomeOf(v *backend.Version, workspaceID string) {
	r := x.result
	if r.History != nil {
		summary := *r.History
		summary.Carried = nil // each has an event
		r.History = &summary
	}
	x.record(Event{Event: EventOutcome, Result: &r, Version: v, StateVersionID: r.StateVersionID, WorkspaceID: workspaceID})
}
