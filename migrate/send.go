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

// send is step 5. A lost reply is left to findOut.
func (x *execution) send(ctx context.Context) error {
	if err := x.announce(x.payloadEvent(EventSending)); err != nil {
		return err
	}
	if err := x.sentBefore(ctx); err != nil || x.sent != nil {
		return err
	}
	err := x.sendOnce(ctx)
	if backend.CodeOf(err) != backend.NotLocked || x.underRun || ctx.Err() != nil {
		return err
	}
	if err := x.lockAgain(ctx); err != nil || x.hasOutcome() {
		return err
	}
	return x.sendOnce(ctx)
}

// sendOnce sends the state. Without an error and without a version sent, the reply was
// lost.
func (x *execution) sendOnce(ctx context.Context) (err error) {
	x.attempts++
	x.sent, err = x.transmit(ctx)
	if err == nil && x.notOurs(x.sent) {
		const answer = "the response describes another state version"
		x.sent, err = nil, &backend.Error{Code: backend.Ambiguous, Answer: answer, Err: errors.New(answer),
			Message: fmt.Sprintf("create a state version in %s/%s: %s", x.Target.Container(), x.workspace.Name, answer)}
	}
	code := backend.CodeOf(err)
	x.maybeLate = x.maybeLate || code == backend.Ambiguous || x.lease.Age() > lockwait.MaxAge
	if code == backend.Ambiguous || code == backend.Changed { // perhaps by an attempt of ours
		x.lost = err
		return nil
	}
	return err
}

// transmit writes the payload. A rollback lets the target copy the former version if it can.
func (x *execution) transmit(ctx context.Context) (*backend.Version, error) {
	if x.Undo == nil || x.asBytes {
		return x.writer.Write(ctx, x.write())
	}
	if restorer, ok := x.writer.(backend.Restorer); ok {
		version, err := restorer.Restore(ctx, x.write(), x.Undo.Was.ID)
		if backend.CodeOf(err) != backend.Unsupported {
			return version, err
		}
		x.note("The server cannot roll back to %s (%v), so its bytes were sent.", x.Undo.Was.ID, err)
	}
	x.asBytes = true
	if x.raised != nil {
		x.useRaised()
		x.note("The server requires a higher serial, so it was raised from %d to %d. Nothing else in the state changes.", x.read.snapshot.Serial, x.payload.serial)
		if err := x.announce(x.payloadEvent(EventSending)); err != nil {
			return nil, err
		}
	}
	return x.writer.Write(ctx, x.write())
}

// findOut is step 6: after it the server has acknowledged the state version, or holds it
// for certain. Where it certainly holds none after a lost reply, the state is sent once
// more.
func (x *execution) findOut(ctx context.Context) error {
	for x.sent == nil {
		var err error
		last := x.attempts == sendAttempts
		x.sent, err = x.lookForOurs(ctx, x.lost, last)
		if err == nil {
			break
		}
		if last || ctx.Err() != nil || backend.CodeOf(err) != backend.Ambiguous {
			return err
		}
		x.resent = true
		if err := x.sendOnce(ctx); err != nil {
			return err
		}
	}
	x.result.Notes = append(x.result.Notes, x.writer.Notes()...)
	x.result.StateVersionID = x.sent.ID
	x.record(x.payloadEvent(EventSent))
	return nil
}

// payloadEvent describes what is sent.
func (x *execution) payloadEvent(event string) Event {
	s := *x.result.Snapshot
	s.Serial, s.MD5, s.Size = x.payload.serial, x.payload.md5, x.payload.size
	e := Event{Event: event, WorkspaceID: x.workspace.ID, Snapshot: &s, Relation: x.verdict.Relation}
	if event == EventSending && x.held != nil { // for a rollback
		h := x.held
		e.Was = &backend.Version{ID: h.version.ID, Serial: h.snapshot.Serial, Size: h.snapshot.Size, MD5: h.snapshot.MD5}
	}
	if x.sent != nil {
		e.StateVersionID = x.sent.ID
	}
	return e
}

// write is what is sent, under the lease.
func (x *execution) write() backend.Write {
	return backend.Write{
		Lease: x.lease, Sending: x.checkLease, Was: x.heldVersion(),
		Serial: x.payload.serial, Lineage: x.payload.lineage, MD5: x.payload.md5, Size: x.payload.size, Open: x.payload.open,
		Force: x.Replace && x.replaces(), Mode: string(x.Upload),
		Answered: func() { x.maybeLate = x.maybeLate || x.lease.Age() > lockwait.MaxAge },
	}
}

// heldVersion returns the version that the target held when the relation was decided.
func (x *execution) heldVersion() *backend.Version {
	if x.held == nil {
		return nil
	}
	return x.held.version
}

// lookForOurs reads, after a lost or ambiguous reply, what the server
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
		return nil, &stop{code: CodeUnproven, unproven: true, message: x.sayf(
			"The response to the upload was lost (%v), and tfhaul cannot find out whether the state arrived: %s", lost, plainwords.Ended(err.Error()))}
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
			if x.hasOtherSerial(version) || version.Announced {
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

// lockAgain locks the workspace again after another user released the lock before anything was
// sent, and decides again.
func (x *execution) lockAgain(ctx context.Context) error {
	x.note("tfhaul lost the lock before sending the state, and locked the workspace again.")
	if err := x.lease.Retake(ctx); err != nil {
		if errors.Is(err, lockwait.ErrHeld) {
			return x.stopf(CodeLockLost, "tfhaul lost the workspace's lock, and another user holds it now. Nothing was sent. Find out who took it, then run the move again.")
		}
		return err
	}
	return x.lookAgain(ctx)
}
