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

// sendAttempts is how often a state is sent after replies were lost.
const sendAttempts = 2

// send is step 5, and step 6 when the reply is lost: after it the server has
// acknowledged the state version, or holds it for certain.
func (x *execution) send(ctx context.Context) error {
	if err := x.announce(x.payloadEvent(EventSending)); err != nil {
		return err
	}
	if err := x.sentBefore(ctx); err != nil {
		return err
	}
	for attempt := 1; x.sent == nil; attempt++ {
		if err := x.sendAndLook(ctx, attempt == sendAttempts); err != nil || x.settled() {
			return err
		}
	}
	x.result.StateVersionID = x.sent.ID
	x.record(x.payloadEvent(EventSent))
	return nil
}

// sendAndLook sends once. Without an error and without a state version sent, it is
// certain that nothing arrived, and that it may be sent again.
func (x *execution) sendAndLook(ctx context.Context, last bool) (err error) {
	x.sent, err = x.writer.Write(ctx, x.write())
	if err == nil && x.notOurs(x.sent) {
		const answer = "the answer is about another state version"
		x.sent, err = nil, &backend.Error{Code: backend.Ambiguous, Answer: answer, Err: errors.New(answer),
			Message: fmt.Sprintf("create a state version in %s/%s: %s", x.Target.Container(), x.workspace.Name, answer)}
	}
	if backend.CodeOf(err) == backend.Ambiguous {
		x.late, x.resent = true, !last
		x.sent, err = x.lookForOurs(ctx, err, last)
	}
	x.late = x.late || x.lease.Age() > lockwait.MaxAge
	switch {
	case err == nil:
		return nil
	case last || ctx.Err() != nil:
		return err
	case backend.CodeOf(err) == backend.Ambiguous:
		return nil
	case backend.CodeOf(err) == backend.NotLocked && !x.underRun:
		return x.lockAgain(ctx)
	}
	return err
}

// payloadEvent describes what is sent.
func (x *execution) payloadEvent(event string) Event {
	s := *x.result.Snapshot
	s.Serial, s.MD5, s.Size = x.payload.serial, x.payload.md5, x.payload.size
	e := Event{Event: event, WorkspaceID: x.workspace.ID, Snapshot: &s, Relation: x.verdict.Relation}
	if x.sent != nil {
		e.StateVersionID = x.sent.ID
	}
	return e
}

// write is what is sent, under the lease.
func (x *execution) write() backend.Write {
	return backend.Write{
		Lease: x.lease, Sending: x.checkLease,
		Serial: x.payload.serial, Lineage: x.payload.lineage, MD5: x.payload.md5, Size: x.payload.size, Open: x.payload.open,
		Force: x.Replace && x.replaces(), Mode: string(x.Upload),
		Answered: func() { x.late = x.late || x.lease.Age() > lockwait.MaxAge },
	}
}

// lookForOurs is step 6: after a lost or ambiguous reply, read what the server
// holds and compare. It returns the state version that holds our bytes; or the
// lost reply's own error when there is none for certain; or a stop that says that
// nothing is certain.
//
// After the last attempt it looks for longer: the answer may come from a replica that
// lags, and the request may take effect late.
func (x *execution) lookForOurs(ctx context.Context, lost error, last bool) (*backend.Version, error) {
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	found, err := x.find(ctx)
	for pause := firstLookPause; last && err == nil && found == nil && pause <= lastLookPause; pause *= 2 {
		if err = lockwait.Sleep(ctx, pause); err == nil {
			found, err = x.find(ctx)
		}
	}
	switch {
	case err != nil:
		return nil, &stop{code: CodeUnproven, unproven: true, message: fmt.Sprintf(
			"The reply to the upload was lost (%v), and whether the state arrived cannot be found out: %s", lost, plainwords.Ended(err.Error()))}
	case found != nil:
		return found, nil
	}
	return nil, lost
}

// The first and the last of the pauses between looks for a state whose last attempt got no
// answer. They double.
const (
	firstLookPause = 500 * time.Millisecond
	lastLookPause  = 4 * time.Second
)

// notOurs reports whether the answer to what was sent describes another state version:
// the one from before, or one with another serial, as when something on the way repeats
// an earlier answer. Where the server chose another serial, reading it back shows that.
func (x *execution) notOurs(sent *backend.Version) bool {
	return x.held != nil && sent.ID == x.held.version.ID && sent.Serial != x.payload.serial
}

// find searches what the workspace got since we locked it for our bytes, newest
// first. A server that promotes at the unlock lists ours without it being current.
func (x *execution) find(ctx context.Context) (*backend.Version, error) {
	before := ""
	if x.held != nil {
		before = x.held.version.ID
	}
	return backend.Retry(ctx, x.Target.Down, func() (*backend.Version, error) {
		for version, err := range x.Target.Versions(ctx, x.workspace) {
			if err != nil {
				return nil, err
			}
			if version.ID == before {
				break
			}
			if version.Serial != x.payload.serial || version.Announced {
				continue
			}
			same, err := x.sameBytes(ctx, version)
			if errors.Is(err, errNotReady) {
				continue // announced, and its bytes never came
			}
			if err != nil {
				return nil, err
			}
			if same {
				return version, nil
			}
		}
		return nil, nil
	})
}

// lockAgain takes the lock again that somebody took from us before anything was
// sent, and decides again.
func (x *execution) lockAgain(ctx context.Context) error {
	x.note("The lock was taken from us before the state was sent; it was taken again.")
	if err := x.lease.Retake(ctx); err != nil {
		if errors.Is(err, lockwait.ErrHeld) {
			return &stop{code: CodeLockLost, message: "The workspace's lock was taken from us, and somebody else holds it now. Nothing was sent; find out who did it, then move again."}
		}
		return err
	}
	return x.decideAgain(ctx)
}
