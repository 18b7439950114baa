package migrate

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
	"tfhaul/plainwords"
)

// lockReason returns the reason on a workspace's lock while a haul works on it.
func lockReason(haul string) string { return "tfhaul moves a state here (haul " + haul + ")" }

var reasonOfHaul = regexp.MustCompile(`^tfhaul moves a state here \(haul ([^\s()]+)\)$`)

// holdingHaul returns the ID of the haul that holds a lock with this reason, as one on its
// target or its source; "" where no haul does.
func holdingHaul(reason string) string {
	if _, haul, ours := (&backend.Lock{Info: reason}).Move(); ours {
		return haul
	}
	if found := reasonOfHaul.FindStringSubmatch(reason); found != nil {
		return found[1]
	}
	return ""
}

// newWriter prepares to lock the workspace and to write to it.
func (x *execution) newWriter(o backend.WriterOptions) backend.Writer {
	o.Lost += x.lostBefore
	o.Reason, o.Associate, o.Impatient, o.OnLost = lockReason(x.Haul), x.Move.Run, x.park != nil, x.lockRequestLost
	return x.Target.Writer(x.workspace, o)
}

// takeLock journals the intent, then locks the workspace, waiting if someone holds the
// lock.
func (x *execution) takeLock(ctx context.Context) error {
	if err := x.announce(x.intent()); err != nil {
		return err
	}
	x.writer = x.newWriter(backend.WriterOptions{})
	if err := x.announce(x.lockEvent(EventLocking)); err != nil {
		return err
	}
	lease, err := lockwait.Acquire(ctx, x.writer, lockwait.Options{Timeout: x.LockTimeout, OnWait: x.waiting, Pause: x.park, Clock: x.Clock})
	x.lease = lease
	var taken *lockwait.HeldError
	switch {
	case errors.As(err, &taken) && taken.MaybeOurs:
		return x.stopf(CodeLockLeft, "The workspace is %v. Check whether it is still locked. If the lock is this haul's, release it: %s", taken, x.leaveLocked())
	case errors.As(err, &taken):
		return x.stopf(CodeLocked, "The workspace is %v.%s", taken, x.unlockAdvice(strings.HasPrefix(taken.Holder.Name, "run "), taken.Holder.Reason))
	case err != nil:
		return err
	}
	x.record(x.lockEvent(EventLocked))
	return nil
}

// intent returns the event for a move that was decided.
func (x *execution) intent() Event {
	return Event{Event: EventIntent, WorkspaceID: x.workspace.ID, Version: x.read.version(), Relation: x.verdict.Relation, Snapshot: x.result.Snapshot}
}

func (x *execution) lockEvent(event string) Event {
	return Event{Event: event, WorkspaceID: x.workspace.ID, LockReason: lockReason(x.Haul)}
}

// waiting passes the holder of the lock to the observer.
func (x *execution) waiting(h lockwait.Holder, _ time.Duration) {
	e := x.lockEvent(EventWaiting)
	e.Holder = h.String()
	x.record(e)
}

// unlock is step 8: unlock, unless the state could not be verified and the policy is to keep
// the lock. It returns the error to report: one of the work under the lock takes precedence
// over a failed unlock. It does not release the lock of a run.
func (x *execution) unlock(ctx context.Context, work error) error {
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	if x.underRun {
		return x.checkRunsLock(ctx, work)
	}
	lease := x.lease
	var stopped *stop
	if errors.As(work, &stopped) && stopped.unproven && x.OnFailure != ClearLock && lease.Held() && !x.endsWithSession() {
		lease.Keep()
		free := x.leaveLocked()
		x.record(x.lockEvent(EventLockKept))
		stopped.message += x.sayf(" The workspace stays locked so that nobody builds on an unverified state. To unlock it: %s", free)
		return stopped
	}
	if !lease.Held() { // lost before anything was sent
		x.record(x.lockEvent(EventUnlocked))
		return work
	}
	x.record(x.lockEvent(EventUnlocking))
	released := lease.Release(ctx)
	x.noteUnsure()
	switch {
	case errors.Is(released, lockwait.ErrNotHeld):
		x.record(x.lockEvent(EventUnlocked))
		if work == nil && x.maybeLate {
			return x.maybeOverwritten(released)
		}
		if x.inherited && work == nil && x.hasOutcome() {
			return x.stopf(CodeUnproven, "The server reported a lock from an earlier run of this haul, but the lock was gone when tfhaul tried to release it (%v). The state that the server reported may be outdated too. Nothing was sent. Run the move again.", released)
		}
		x.note("tfhaul lost the lock during the move (%v).", released)
	case backend.CodeOf(released) == backend.Stuck && work != nil:
		x.result.Locked = true // and no tfhaul command can unlock it
		x.note("%s", x.stuckMessage(released))
		return work
	case released != nil:
		free := x.leaveLocked()
		if work == nil {
			x.result.cause = x.sayf("the workspace could not be unlocked") + answerIn(released)
		}
		left := x.stopf(CodeLockLeft, "Unlocking the workspace failed: %v. To unlock it: %s", released, free)
		if work != nil {
			x.note("%s", left.message)
			return work
		}
		if x.sent != nil {
			left.message = x.sayf("The state arrived as %s and was verified. ", x.sent.ID) + left.message
		}
		return left
	default:
		x.record(x.lockEvent(EventUnlocked))
	}
	x.released = true
	if now := x.writer.LastName(); work == nil && x.sent != nil && now != "" && !strings.EqualFold(now, x.Move.Workspace) {
		return x.stopf(CodeRenamed, "The state arrived as %s and was verified, but the workspace was renamed to %s/%s during the move. Check that the state belongs there.",
			x.sent.ID, x.Target.Container(), now)
	}
	return work
}

// unlockedLate reports an unlock that may have released, or may still release, the lock of
// another process with the same account. Any other error takes precedence.
func (x *execution) unlockedLate(other error) error {
	if !x.released {
		return other
	}
	ending := x.lease.Ending()
	if ending.Outstanding {
		x.note("The response to an unlock request was lost, and a second request unlocked the workspace. If the first one takes effect later, it may release a lock that another process with the same account holds by then.")
	}
	switch {
	case other != nil && ending.Late():
		x.note("%s", lateUnlock(ending))
	case other != nil:
	case ending.Late():
		x.result.answered = true
		x.result.cause = fmt.Sprintf("the state arrived, but the unlock took more than %s and may have released another process's lock", lockwait.MaxAge)
		return &stop{code: CodeUnproven, message: x.arrivedMessage() + " " + lateUnlock(ending)}
	case x.maybeLate && x.lease.Unsure():
		return x.stopf(CodeUnproven, "%s But the response to the upload was late or lost, and the server does not report who holds the lock. Another process with the same account may have taken the lock, and its state may have been overwritten. Check the workspace's history: %s", x.arrivedMessage(), x.historyCommand())
	}
	return other
}

// lateUnlock returns the message about an unlock that took too long.
func lateUnlock(e lockwait.Ending) string {
	return fmt.Sprintf("The unlock took %s. If another process with the same account took the lock during that time, the unlock released that lock. Check that no other process was working on this workspace.", e.Took.Round(time.Second))
}

// arrivedMessage returns the message about the verified state.
func (x *execution) arrivedMessage() string {
	if x.hasOutcome() {
		return x.result.Message
	}
	return x.movedMessage()
}

// useRunsLock uses the lock of the run whose token tfhaul uses.
func (x *execution) useRunsLock() error {
	x.underRun = true
	x.writer = x.newWriter(backend.WriterOptions{Run: x.Move.Run, Inherited: true})
	x.lease = lockwait.Resume(x.writer, x.Clock, x.lookedAt)
	return x.announce(x.intent())
}

// checkRunsLock checks that the run still holds its lock if the upload may have taken effect
// late.
func (x *execution) checkRunsLock(ctx context.Context, work error) error {
	if work == nil && x.maybeLate {
		if err := x.lease.Ensure(ctx, lockwait.MaxAge); errors.Is(err, lockwait.ErrNotHeld) {
			return x.maybeOverwritten(err)
		}
	}
	return work
}

// checkLease returns an error unless the lock is known to be ours, so that nothing is sent
// without it.
func (x *execution) checkLease(ctx context.Context) error {
	err := x.lease.Ensure(ctx, lockwait.MaxWriteAge)
	switch {
	case err == nil && x.lease.Doubtful():
		return &stop{code: CodeLockLeft, unproven: true, message: x.sayf(
			"The server does not report who holds the lock, and this haul was last known to hold it more than %s ago. The state was not sent, because another process with the same account may hold the lock now.", lockwait.MaxUnsureAge)}
	case err == nil:
		return nil
	case errors.Is(err, lockwait.ErrNotHeld) && x.maybeLate:
		// An earlier upload without a response may still take effect.
		return x.maybeOverwritten(err)
	case errors.Is(err, lockwait.ErrNotHeld):
		return x.stopf(CodeLockLost, "tfhaul lost the workspace's lock before sending the state (%v). Nothing was sent. Find out who released the lock, then run the move again.", err)
	case errors.Is(err, lockwait.ErrTooSlow):
		return &stop{code: CodeUnreachable, message: plainwords.Sentence(err.Error()) + " Nothing was sent. Try again when the server responds faster."}
	}
	return err
}

// maybeOverwritten returns the stop for a state that may have been stored after the lock was
// lost, and so may have overwritten another user's state.
func (x *execution) maybeOverwritten(lost error) error {
	what := "The state was sent while tfhaul held the lock, but the response was late or lost"
	if x.sent != nil {
		what = x.sayf("The workspace stored the state as %s, but the response was late or lost", x.sent.ID)
	}
	return x.stopf(CodeUnproven, "%s, and tfhaul lost the lock meanwhile (%v). Another user's state may have been overwritten. Check the workspace's history: %s", what, lost, x.historyCommand())
}

// noteUnsure adds a note if the server did not report who held the lock that the move relied
// on.
func (x *execution) noteUnsure() {
	if x.lease != nil && x.lease.Unsure() {
		x.note("The server does not report who holds the lock, so tfhaul could not confirm that it still held a lock last confirmed more than %s before.", lockwait.MaxWriteAge)
	}
}

// stuckMessage explains why a workspace cannot be unlocked, and who can unlock it.
func (x *execution) stuckMessage(released error) string {
	stuck, _ := errors.AsType[*backend.Error](released)
	if x.Journal == nil {
		return stuck.Message
	}
	return stuck.Message + " Or fix the upload, then resume the haul with the same --journal."
}

// leaveLocked puts into the result that this haul leaves the workspace locked, and returns how
// to unlock it.
func (x *execution) leaveLocked() string {
	if x.endsWithSession() {
		return "the lock ends with this process"
	}
	x.result.Locked = true
	x.result.UnlockCommand = HeldLock{Target: x.result.Target, Haul: x.Haul}.UnlockCommand()
	return x.result.UnlockCommand
}

// endsWithSession reports whether locks of the target end with their connection or process.
func (x *execution) endsWithSession() bool { return x.Target.Traits().Locks == backend.LocksSession }

// historyCommand returns the command that shows the versions of the target's state.
func (x *execution) historyCommand() string {
	return "tfhaul history " + plainwords.ShellWord(x.result.Target)
}
