package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tfhaul/backend/tfe"
	"tfhaul/lockwait"
	"tfhaul/plainwords"
)

// A workspaceLock is a workspace's lock as lockwait sees it.
type workspaceLock struct {
	client *tfe.Client
	// workspace as it was read before locking.
	workspace *tfe.Workspace
	// reason is the one by which our lock is recognised: it carries the haul's id.
	reason string
	// run is the run whose lock it is, where that is not ours to take or release.
	run string
	// underLock is the workspace as it was when we got the lock, or nil.
	underLock *tfe.Workspace
	// stuck says that an announced state version awaits its bytes: waiting does not
	// make an unlock possible.
	stuck bool
	// inHaul says that a server that stays silent is not waited for long: many moves
	// wait for it.
	inHaul bool
	// now is what the workspace was called when it was last looked at.
	now string
	// lost counts the lock requests whose replies were lost, granted says that one
	// was answered. See outstanding.
	lost    int
	granted bool
	// onLost is called after each lost reply; nil for nobody.
	onLost func()
}

// lockReason is what a workspace's lock says while a haul works on it.
func lockReason(haul string) string { return "tfhaul moves a state here (haul " + haul + ")" }

// Lock asks for the lock once. An interrupt ends the wait for the rate limit, but not
// a request that was sent: giving it up would not take it back, and the lock could be
// ours a moment after we looked.
func (l *workspaceLock) Lock(ctx context.Context, sending lockwait.Sending) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	interrupted := ctx
	ctx, cancel := landing(tfe.WithStop(ctx, ctx, true))
	defer cancel()
	locked, err := l.client.Lock(tfe.WithSending(ctx, sending), l.workspace, l.reason)
	if err == nil && locked.Holder.ReasonKnown && locked.Holder.Reason != l.reason {
		// Such as the answer to an earlier request, which something on the way repeats.
		err = &tfe.Error{Op: "lock workspace " + name(l.workspace), Code: tfe.Ambiguous, Err: fmt.Errorf("the answer shows the lock of %s", locked.Holder)}
	}
	if err == nil {
		l.underLock, l.granted = locked, true
		return nil
	}
	switch tfe.CodeOf(err) {
	case tfe.LockedByOther:
		return fmt.Errorf("%w: %w", lockwait.ErrHeld, err)
	case tfe.Ambiguous:
		if l.lost++; l.onLost != nil {
			l.onLost()
		}
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	if interrupted.Err() != nil && errors.Is(err, context.Canceled) {
		return interrupted.Err() // before anything was sent
	}
	return err
}

// outstanding reports whether a lock request may still take effect: its reply was
// lost, and it is not the one that locked the workspace.
func (l *workspaceLock) outstanding(locked bool) bool {
	if locked && !l.granted {
		return l.lost > 1
	}
	return l.lost > 0
}

// name is what people call a workspace.
func name(ws *tfe.Workspace) string { return ws.Organization + "/" + ws.Name }

// Holder reads who holds the lock. It is us when the lock carries our reason; on
// servers that do not repeat reasons, when it is the token's own identity and the
// workspace was free just before we asked for its lock.
func (l *workspaceLock) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	asking := tfe.WithSending(ctx, sending)
	now, err := patiently(ctx, l.client, func() (*tfe.Workspace, error) {
		return l.client.WorkspaceByID(asking, l.workspace.Organization, l.workspace.ID)
	})
	if err != nil && l.inHaul && l.client.Silent() {
		return lockwait.Holder{}, fmt.Errorf("%w: %w", lockwait.ErrGone, err)
	}
	if err != nil {
		return lockwait.Holder{}, askAgain(err)
	}
	if l.now = now.Name; !now.Locked {
		return lockwait.Holder{}, nil
	}
	h := lockwait.Holder{Name: now.Holder.String(), Reason: now.Holder.Reason}
	switch {
	case l.run != "":
		h.Ours = now.Holder.Kind == "run" && now.Holder.ID == l.run
		h.Other = !h.Ours
	case now.Holder.ReasonKnown:
		h.Ours = now.Holder.Reason == l.reason
		h.Other = !h.Ours
	case now.Holder.Kind == "run":
		h.Other = true
	case now.Holder.Kind == "user":
		me, err := l.client.Identity(ctx)
		if err != nil {
			return lockwait.Holder{}, askAgain(err)
		}
		h.Ours = me.ID == now.Holder.ID && !l.workspace.Locked
		h.Other = me.ID != now.Holder.ID
	}
	if h.Ours {
		l.underLock = now
	}
	return h, nil
}

// askAgain marks the failure of a question that may be asked again.
func askAgain(err error) error {
	if code := tfe.CodeOf(err); code == tfe.Ambiguous || code == tfe.Unreachable {
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	return err
}

// Unlock gives the lock back once. That the lock is not ours is believed only
// when reading the workspace says so, too: a lock that is forgotten by mistake
// stays until an administrator forces it.
func (l *workspaceLock) Unlock(ctx context.Context, sending lockwait.Sending) error {
	err := l.client.Unlock(tfe.WithSending(ctx, sending), l.workspace)
	switch tfe.CodeOf(err) {
	case tfe.StillPending:
		if l.stuck {
			return err
		}
		return fmt.Errorf("%w: %w", lockwait.ErrPending, err)
	case tfe.NotLocked, tfe.LockedByOther:
		free := func(context.Context) error { return nil }
		if holder, asked := l.Holder(ctx, free); asked != nil || holder.Ours {
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		}
		return fmt.Errorf("%w: %w", lockwait.ErrNotHeld, err)
	case tfe.Ambiguous, tfe.Unreachable:
		if l.inHaul && l.client.Silent() {
			return fmt.Errorf("%w: %w", lockwait.ErrGone, err)
		}
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	return err
}

// takeLock is step 3: journal the intent, then lock the workspace, waiting if
// somebody holds it.
func (x *execution) takeLock(ctx context.Context) (*lockwait.Lease, error) {
	if err := x.announce(x.intent()); err != nil {
		return nil, err
	}
	x.lock = &workspaceLock{client: x.Target, workspace: x.workspace, reason: lockReason(x.Haul), inHaul: x.park != nil, onLost: x.lockRequestLost}
	if err := x.announce(x.lockEvent(EventLocking)); err != nil {
		return nil, err
	}
	lease, err := lockwait.Acquire(ctx, x.lock, lockwait.Options{Timeout: x.LockTimeout, OnWait: x.waiting, Pause: x.park, Clock: x.Clock})
	x.lease = lease
	var taken *lockwait.HeldError
	switch {
	case errors.As(err, &taken) && taken.MaybeOurs:
		x.leaveLocked()
		return nil, &stop{code: CodeLockLeft, message: fmt.Sprintf(
			"The workspace is %v. Look whether it is free, and if the lock is this haul's, free it: %s", taken, x.result.UnlockCommand)}
	case errors.As(err, &taken):
		return nil, &stop{code: CodeLocked, message: fmt.Sprintf(
			"The workspace is %v.%s", taken, x.unlockAdvice(strings.HasPrefix(taken.Holder.Name, "run ")))}
	case err != nil:
		return nil, err
	}
	x.record(x.lockEvent(EventLocked))
	return lease, nil
}

// intent is the event that announces a move which was decided.
func (x *execution) intent() Event {
	return Event{Event: EventIntent, WorkspaceID: x.workspace.ID, Version: x.read.version(), Relation: x.verdict.Relation, Snapshot: x.result.Snapshot}
}

func (x *execution) lockEvent(event string) Event {
	return Event{Event: event, WorkspaceID: x.workspace.ID, LockReason: x.lock.reason}
}

// waiting tells the observer who is waited for.
func (x *execution) waiting(h lockwait.Holder, _ time.Time, pause time.Duration) {
	e := x.lockEvent(EventWaiting)
	e.Holder, e.Pause = h.String(), pause
	x.record(e)
}

// giveLockBack is step 8: unlock, unless what the workspace holds is unproven and
// the policy is to keep it locked then. It returns what is to be reported: what
// ended the work under the lock comes before a lock that could not be released.
func (x *execution) giveLockBack(ctx context.Context, lease *lockwait.Lease, work error) error {
	ctx, cancel := landing(ctx)
	defer cancel()
	var stopped *stop
	if errors.As(work, &stopped) && stopped.unproven && x.OnFailure != ClearLock && lease.Held() {
		lease.Keep()
		x.leaveLocked()
		x.record(x.lockEvent(EventLockKept))
		stopped.message += " The workspace stays locked, so that nobody builds on it unseen; to free it: " + x.result.UnlockCommand
		return stopped
	}
	if !lease.Held() { // lost, and found so before something was sent
		x.record(x.lockEvent(EventUnlocked))
		return work
	}
	x.record(x.lockEvent(EventUnlocking))
	x.lock.stuck, x.lock.inHaul = x.awaiting != nil, x.park != nil
	released := lease.Release(ctx)
	x.noteUnsure()
	switch {
	case errors.Is(released, lockwait.ErrNotHeld):
		x.record(x.lockEvent(EventUnlocked))
		if work == nil && x.late {
			return x.tookEffectLate(released)
		}
		if inherited := !x.lock.granted && x.lock.lost == 0; inherited && work == nil && x.settled() {
			return &stop{code: CodeUnproven, message: fmt.Sprintf(
				"The server showed the workspace as still locked by an earlier run of this haul, and when that lock was to be released it was gone (%v). What the server showed of the state may be as old. Nothing was sent; move again.", released)}
		}
		x.note("The lock was taken from us while we worked (%v).", released)
	case released != nil && work != nil && x.awaiting != nil && tfe.CodeOf(released) == tfe.StillPending:
		x.result.Locked = true // and no command of ours frees it
		x.note("%s", x.stuckMessage())
		return work
	case released != nil:
		x.leaveLocked()
		if work == nil {
			x.result.cause = "the workspace could not be unlocked" + answerIn(released)
		}
		left := &stop{code: CodeLockLeft, message: fmt.Sprintf("The workspace could not be unlocked: %v. To free it: %s", released, x.result.UnlockCommand)}
		if work != nil {
			x.note("%s", left.message)
			return work
		}
		if x.sent != nil {
			left.message = fmt.Sprintf("The state arrived as %s and was verified. ", x.sent.ID) + left.message
		}
		return left
	default:
		x.record(x.lockEvent(EventUnlocked))
	}
	return x.unlockedLate(lease, x.afterUnlock(ctx, work))
}

// afterUnlock is the part of steps 7 and 9 that comes after the unlock. work is what
// ended the work under the lock.
func (x *execution) afterUnlock(ctx context.Context, work error) error {
	if work != nil {
		return work
	}
	if now := x.lock.now; x.sent != nil && now != "" && !strings.EqualFold(now, x.Move.Workspace) {
		return &stop{code: CodeRenamed, message: fmt.Sprintf(
			"The state arrived as %s and was verified, but the workspace was renamed meanwhile: it is %s/%s now. Check that this is where the state belongs.",
			x.sent.ID, x.Organization, now)}
	}
	if x.settled() {
		return nil
	}
	if err := x.verifyCurrent(ctx); err != nil {
		return err
	}
	return x.checkSource(ctx)
}

// unlockedLate reports an unlock that may have released the lock of another process with
// the same account, or that may do so later. Another reason to fail comes first.
func (x *execution) unlockedLate(lease *lockwait.Lease, other error) error {
	ending := lease.Ending()
	if ending.Outstanding {
		x.note("The reply to an unlock request was lost, and another request unlocked the workspace. If the first one takes effect later, it releases a lock that another process with the same account has taken by then.")
	}
	switch {
	case other != nil && ending.Late():
		x.note("%s", lateUnlock(ending))
	case other != nil:
	case ending.Late():
		x.result.answered = true
		x.result.cause = fmt.Sprintf("the state arrived, but the unlock was under way for more than %s, and whose lock it released is not proven", lockwait.MaxAge)
		return &stop{code: CodeUnproven, message: x.arrivedMessage() + " " + lateUnlock(ending)}
	case x.late && lease.Unsure():
		return &stop{code: CodeUnproven, message: x.arrivedMessage() +
			" But the reply to the upload came late or was lost, and the server does not say who holds the lock: whether another process with the same account had taken it meanwhile, and its state was overwritten, is not proven. Compare the workspace's versions: tfhaul history " + x.result.Target}
	}
	return other
}

// lateUnlock is the sentence about an unlock that took long.
func lateUnlock(e lockwait.Ending) string {
	return fmt.Sprintf("The unlock was under way for %s. Whether it released this haul's lock is not proven: if another process with the same account had taken the lock meanwhile, its lock was released. Check that no other process was working on this workspace.", e.Took.Round(time.Second))
}

// arrivedMessage says what was proven of the state.
func (x *execution) arrivedMessage() string {
	if x.settled() {
		return x.result.Message
	}
	return x.movedMessage()
}

// underTheRunsLock moves under the lock of the run whose token we have.
func (x *execution) underTheRunsLock(ctx context.Context) error {
	if err := x.decide(ctx); err != nil || x.settled() {
		return err
	}
	x.lock = &workspaceLock{client: x.Target, workspace: x.workspace, run: x.Run, underLock: x.workspace}
	x.lease = lockwait.Resume(x.lock, x.Clock, x.lookedAt)
	if err := x.announce(x.intent()); err != nil {
		return err
	}
	if err := x.underLock(ctx); err != nil || x.settled() {
		return err
	}
	ctx, cancel := landing(ctx)
	defer cancel()
	if x.late {
		if err := x.lease.Ensure(ctx, lockwait.MaxAge); errors.Is(err, lockwait.ErrNotHeld) {
			return x.tookEffectLate(err)
		}
	}
	if err := x.verifyCurrent(ctx); err != nil {
		return err
	}
	return x.checkSource(ctx)
}

// underLease returns a context whose requests are sent only while the lock is known to
// be ours.
func (x *execution) underLease(ctx context.Context) context.Context {
	return tfe.WithSending(ctx, func(ctx context.Context) error {
		err := x.lease.Ensure(ctx, lockwait.MaxWriteAge)
		switch {
		case err == nil && x.lease.Doubtful():
			return &stop{code: CodeLockLeft, unproven: true, message: fmt.Sprintf(
				"The server does not say who holds the lock, and it was last known to be this haul's more than %s ago. The state was not sent, because another process with the same account may hold the lock by now.", lockwait.MaxUnsureAge)}
		case err == nil:
			return nil
		case errors.Is(err, lockwait.ErrNotHeld) && x.late:
			// What was sent before, and not answered, may still take effect.
			return x.tookEffectLate(err)
		case errors.Is(err, lockwait.ErrNotHeld):
			return &stop{code: CodeLockLost, message: fmt.Sprintf(
				"The workspace's lock was taken from us before the state was sent (%v). Nothing was sent; find out who did it, then move again.", err)}
		case errors.Is(err, lockwait.ErrTooSlow):
			return &stop{code: CodeUnreachable, message: plainwords.Sentence(err.Error()) + " Nothing was sent; try again when the server answers faster."}
		}
		return err
	})
}

// tookEffectLate is the end of a move whose state may have been stored after the lock
// was lost: then another user's work may have been overwritten.
func (x *execution) tookEffectLate(lost error) error {
	what := "The state was sent under our lock, and its reply came late or was lost"
	if x.sent != nil {
		what = fmt.Sprintf("The workspace stored the state as %s, but the reply came late or was lost", x.sent.ID)
	}
	return &stop{code: CodeUnproven, message: fmt.Sprintf(
		"%s, and meanwhile the lock was taken from us (%v): whether another user's state was overwritten is not proven. Compare the workspace's versions: tfhaul history %s", what, lost, x.result.Target)}
}

// noteUnsure tells the user when the server did not say whose the lock was that we
// relied on.
func (x *execution) noteUnsure() {
	if x.lease != nil && x.lease.Unsure() {
		x.note("The server does not say who holds the lock. That it was still ours could not be checked when its answer was more than %s old.", lockwait.MaxWriteAge)
	}
}

// leaveLocked puts into the result that the workspace stays locked by us.
func (x *execution) leaveLocked() {
	x.result.Locked = true
	x.result.UnlockCommand = HeldLock{Target: x.result.Target, Haul: x.Haul}.UnlockCommand()
}
