// Package migrate moves snapshots into workspaces: it decides how a snapshot
// stands to what a workspace holds, carries a move out step by step under the
// workspace's lock, proves that the bytes arrived, and records what it did in a
// journal. It knows nothing of flags, terminals or exit codes. Snapshots come from
// package source, are understood by statefile, and go to target; what is to be
// said of a move is its Result.
package migrate

import (
	"context"
	"errors"
	"fmt"
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
	// Observe, if not nil, is told of every event as it happens, by many
	// goroutines at once.
	Observe func(Event)
	// Past is what the journal says of earlier runs of the haul; nil for nothing.
	Past *Ledger
	// Options apply to every move.
	Options
	// Clock tells how old what was seen of a lock is; nil means this machine's.
	Clock lockwait.Clock

	// park spends a pause of waiting for a lock; nil: just sleep. See Haul.
	park func(ctx context.Context, sleep func(context.Context) error) error
	// claims are the workspaces of the run's other moves; nil for none. See Haul.Run.
	claims *claims
	// unfit is why no move can succeed with the target's credentials; nil where they can.
	unfit *stop
}

// Options say how moves are carried out.
type Options struct {
	// DryRun decides and writes nothing.
	DryRun bool
	// Settings apply to the moves that have none of their own.
	Settings
	// OnFailure says what becomes of the lock when what the workspace holds is
	// unproven; "" means KeepLock.
	OnFailure LockPolicy
	// Upload says how states are sent; "" means UploadAuto.
	Upload UploadMode
	// BackupDir is where what is replaced is kept; "" means DefaultBackupDir.
	BackupDir string
}

// FromState stands for the version that wrote the state, in CreateOptions.
const FromState = "from-state"

// DefaultBackupDir is where backups go when nothing else is said.
const DefaultBackupDir = "tfhaul-backup"

// A LockPolicy says what becomes of a lock when what the workspace holds is unproven.
type LockPolicy string

// The policies. Keeping the lock is Terraform's own: nobody should build on a
// state that may be half there.
const (
	KeepLock  LockPolicy = "keep"
	ClearLock LockPolicy = "unlock"
)

// An UploadMode says how a state is sent.
type UploadMode string

// The modes.
const (
	UploadAuto   UploadMode = "auto"   // by size, and by what the server knows
	UploadInline UploadMode = "inline" // in the POST, in base64
	UploadSigned UploadMode = "signed" // to the signed upload URL
)

// A Move is one snapshot and the workspace it is to go into.
type Move struct {
	// Object is where the snapshot is.
	Object backend.State
	// Workspace is the name of the target's state.
	Workspace string
	// Naming is the text that the workspace's name was made from by more than joining
	// names, "" for nothing to tell (see pairing.Naming); of an Unnamed move it is why
	// there is no name.
	Naming string
	// Unnamed moves have no workspace's name, and are refused.
	Unnamed bool
	// Replace allows replacing whatever the workspace holds, after a backup.
	Replace bool
	// Bump allows raising the snapshot's serial where only that is too low.
	Bump bool
	// Listed says that the organization's workspaces have just been listed. See Known.
	Listed bool
	// confirm says that the listing lacks the workspace, and that it is asked for.
	confirm bool
	// Allow are the codes that do not stop the move: see Allowable.
	Allow []Code
	// PermittedFor is the workspace's name as Replace, Bump and Allow were given for it;
	// "" means Workspace. They hold only if the server has this very name.
	PermittedFor string
	// Run is the run to associate the state version with; "" for none.
	Run string
	// Own are the move's own settings, from a manifest; nil for the engine's.
	Own *Settings
	// Expect, if not nil, is what the snapshot was when the move was planned; it
	// is refused when it is another now.
	Expect *Expectation
	// Known is what the listing said of the workspace: nil that it is not there. It
	// saves asking; under the lock it is checked.
	Known *backend.Standing

	seen *seen // what a plan has read already
	// nameNote says what became of the name that the move was given.
	nameNote string
}

// An Expectation is what a snapshot was when its move was planned.
type Expectation struct {
	Serial int64
	MD5    string
}

// seen is what a plan has read for a move, so that it need not be read again.
type seen struct {
	read      reading
	workspace *backend.Standing
	held      *holding
}

// Move carries out one move and reports how it ended. When ctx ends before the
// workspace is locked, the move is given up; after that it is finished, which takes at
// most a few minutes, and no wait in it more than 30 seconds.
func (e *Engine) Move(ctx context.Context, m Move) Result {
	x := e.execution(m)
	x.move(ctx, true)
	return x.result
}

// move is Move; last says that nothing of its haul comes after it.
func (x *execution) move(ctx context.Context, last bool) {
	start := time.Now()
	ctx, meter := backend.WithMeter(ctx)
	err := x.run(ctx)
	x.conclude(ctx, err)
	x.freeLeftLock(ctx)
	if x.noteLostLock(); last {
		x.lookOnceMore(ctx)
	}
	x.result.APICalls = meter.Calls()
	x.result.Seconds = time.Since(start).Seconds()
	x.recordOutcome()
}

// execution prepares the carrying out of one move.
func (e *Engine) execution(m Move) *execution {
	if m.Own != nil {
		own := *e
		own.Settings = *m.Own
		e = &own
	}
	x := &execution{Engine: e, Move: m}
	x.result.Source, x.result.Target = backend.Printable(m.Object.Address()), e.targetName(m)
	x.result.server = serverOf(m.Object)
	x.noteName()
	if m.nameNote != "" {
		x.note("%s", m.nameNote)
	}
	return x
}

// An execution is one move being carried out.
type execution struct {
	*Engine
	Move
	result Result

	read      reading           // step 1
	workspace *backend.Standing // step 2; renewed under the lock
	held      *holding          // what the workspace holds; nil for nothing
	verdict   Verdict
	payload   payload // what will be sent
	writer    backend.Writer
	lease     *lockwait.Lease
	lookedAt  lockwait.Instant // when the workspace was asked for; zero when that was long ago
	notedHYOK bool             // that the workspace uses HYOK was noted
	attempts  int              // to send the state
	lost      error            // why the reply to the last attempt was lost
	resent    bool             // the state was sent again after a lost reply, so that it may be stored twice
	late      bool             // what was sent may have taken effect after the lock was last seen as ours
	sent      *backend.Version // step 5
	current   bool             // verify found what was sent to be the current state version
	underRun  bool             // the lock is that of the run whose token we have
	inherited bool             // the lock is one that an earlier run of the haul has left
	comparing bool             // nothing is moved: see Verify
	finishing bool             // an interrupt does not end the move any more
	released  bool             // the lock was released, as far as the target says
}

// conclude turns the end of the steps into the result's outcome, code and message.
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

// note adds a sentence to the result.
func (x *execution) note(format string, args ...any) {
	x.result.Notes = append(x.result.Notes, fmt.Sprintf(format, args...))
}

// announce writes an event to the journal before the step that it announces, and
// tells the observer.
func (x *execution) announce(e Event) error {
	e.Time = time.Now().UTC()
	e.Haul, e.Source, e.Target = x.Haul, x.result.Source, x.result.Target
	if x.Observe != nil {
		x.Observe(e)
	}
	if x.Journal == nil || x.DryRun || e.Event == EventWaiting || e.LockReason != "" && x.Target.Traits().Locks == backend.LocksSession {
		return nil // a lock that ends with its session cannot be released later
	}
	if err := x.Journal.Append(e); err != nil {
		return &stop{code: CodeJournal, message: plainwords.Sentence(err.Error()) + " tfhaul does nothing that it cannot record. Free up disk space, or use another --journal."}
	}
	return nil
}

// record writes an event to the journal after the step that it records. What was
// done is not undone when that fails: the result says so.
func (x *execution) record(e Event) {
	if err := x.announce(e); err != nil {
		x.note("%v", err)
	}
}

// recordOutcome writes the last event of a move.
func (x *execution) recordOutcome() {
	r := x.result
	e := Event{Event: EventOutcome, Result: &r, Version: x.read.version(), StateVersionID: r.StateVersionID}
	if x.workspace != nil {
		e.WorkspaceID = x.workspace.ID
	}
	x.record(e)
}
