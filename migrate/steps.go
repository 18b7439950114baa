package migrate

import (
	"context"

	"tfhaul/backend"
)

// run carries out one move, under the source's own lock if that is asked for.
func (x *execution) run(ctx context.Context) error {
	lease, err := x.lockSource(ctx)
	if err != nil {
		return err
	}
	x.sourceLease = lease
	err = x.steps(ctx)
	return x.releaseSource(ctx, lease, x.unlockedLate(err))
}

// steps are the nine steps of a move. Each ends the move with an error, or by giving it an
// outcome. What happens under the lock is finished even after an interrupt.
func (x *execution) steps(ctx context.Context) error {
	if x.deletes() {
		return x.removalSteps(ctx)
	}
	err := x.inOrder(ctx,
		x.readSource,   // 1. read the state, pin its version, refuse what Terraform cannot use
		x.look,         // 2. look at the target, create it if asked, decide the relation
		x.carryHistory, // the older versions, if asked, each by these steps
		x.lock,         // 3. journal the intent, then lock, waiting if someone holds the lock
		x.underLock(
			x.lookAgain, // 4. the same target, version and relation as before?
			x.backUp,    //    keep what will be replaced
			x.send,      // 5. send the state
			x.findOut,   // 6. after a lost reply: did it arrive?
			x.verify,    // 7. read it back and compare
		), //               8. unlock, whatever happened
		x.verifyCurrent, // 7. where the target makes it current only at the unlock
		x.verifyHistory, //    and with all older versions
		x.checkSource,   // 9. the source must not have changed meanwhile; a haul can check all of them after the last move
	)
	if err != nil {
		return err
	}
	return x.configure(ctx) // the settings with which the workspace can start runs, if any are asked for
}

// A step does one part of a move.
type step func(context.Context) error

// inOrder takes steps until one returns an error, or the move has its outcome.
func (x *execution) inOrder(ctx context.Context, steps ...step) error {
	for _, step := range steps {
		if err := step(ctx); err != nil || x.hasOutcome() {
			return err
		}
	}
	return nil
}

// hasOutcome reports whether the outcome is known already.
func (x *execution) hasOutcome() bool { return x.result.Outcome != "" }

// underLock takes steps while the workspace is locked, and unlocks it. A move that holds
// the lock is finished after an interrupt, because giving it up would leave more behind.
func (x *execution) underLock(steps ...step) step {
	return func(ctx context.Context) error {
		if ctx.Err() == nil {
			var cancel context.CancelFunc
			ctx, cancel = backend.Landing(ctx)
			defer cancel()
			x.finishing = true
		}
		return x.unlock(ctx, x.inOrder(ctx, steps...))
	}
}

// readSource is step 1.
func (x *execution) readSource(ctx context.Context) error {
	return x.inOrder(ctx, x.checkUndo, x.readSnapshot, x.checkNamed, x.readHistoryFirst)
}

// look is step 2.
func (x *execution) look(ctx context.Context) error {
	if err := x.readWorkspace(ctx); err != nil || x.hasOutcome() {
		return err
	}
	x.noteHYOK()
	return x.freeInherited(ctx, x.decide(ctx))
}

// freeInherited releases a lock that an earlier run of the haul has left if the move ends
// here.
func (x *execution) freeInherited(ctx context.Context, err error) error {
	if (err != nil || x.hasOutcome()) && x.inheritLock() {
		return x.unlock(ctx, err)
	}
	return err
}

// lock is step 3. The lock may be ours already: that of the run whose token we have, or
// one that an earlier run of the haul has left.
func (x *execution) lock(ctx context.Context) error {
	switch {
	case x.lockedByOurRun():
		return x.useRunsLock()
	case x.inheritLock():
		return nil
	}
	err := x.takeLock(ctx)
	if err == nil {
		x.noteHYOK() // where it was created
	}
	return err
}
