package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tfhaul/backend/tfe"
	"tfhaul/lockwait"
	"tfhaul/plainwords"
)

// inlineMost is the size in bytes up to which a state travels inside the POST
// when the user leaves it open: one request less to wait for. Larger ones go to
// the signed URL, past the body limits of proxies.
const inlineMost = 4 << 20

// The attempts to bring a state to its place after replies were lost, and to
// upload an announced one.
const (
	sendAttempts   = 2
	uploadAttempts = 3
)

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
	x.sent, err = x.sendOnce(x.underLease(ctx))
	if err == nil && x.notOurs(x.sent) {
		x.sent, err = nil, &tfe.Error{Op: "create a state version in " + name(x.workspace), Code: tfe.Ambiguous,
			Err: errors.New("the answer is about another state version")}
	}
	if tfe.CodeOf(err) == tfe.Ambiguous {
		x.late, x.resent = true, !last
		x.sent, err = x.lookForOurs(ctx, err, last)
	}
	x.late = x.late || x.lease.Age() > lockwait.MaxAge
	switch {
	case err == nil:
		return nil
	case last || ctx.Err() != nil:
		return err
	case tfe.CodeOf(err) == tfe.Ambiguous:
		return nil
	case tfe.CodeOf(err) == tfe.NotLocked && x.lock.run == "":
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

// sendOnce sends the payload in the way that fits, or in the other one where the
// server or something before it does not take the first.
func (x *execution) sendOnce(ctx context.Context) (*tfe.StateVersion, error) {
	if x.Upload == UploadInline {
		return x.sendInline(ctx)
	}
	if x.Upload != UploadSigned && x.payload.size <= inlineMost {
		sv, err := x.sendInline(ctx)
		if tfe.CodeOf(err) != tfe.TooLarge {
			return sv, err
		}
		tooLarge := err
		sv, err = x.sendSigned(ctx)
		if blocked, ok := errors.AsType[*uploadError](err); ok {
			blocked.inline = tooLarge
		}
		return sv, err
	}
	sv, err := x.sendSigned(ctx)
	blocked, isBlocked := errors.AsType[*uploadError](err)
	switch {
	case isBlocked && ctx.Err() == nil:
		return x.sendAfterBlockedUpload(ctx, blocked)
	case tfe.CodeOf(err) == tfe.NoSignedUpload && x.Upload != UploadSigned:
		return x.sendInline(ctx)
	}
	return sv, err
}

// sendAfterBlockedUpload sends inline what could not be uploaded, also with
// --upload signed: the server does not unlock a workspace while an announced state
// version awaits its bytes, and only another state version supersedes it.
func (x *execution) sendAfterBlockedUpload(ctx context.Context, blocked *uploadError) (*tfe.StateVersion, error) {
	sv, err := x.sendInline(ctx)
	switch {
	case err == nil:
		x.awaiting = nil
		if x.Upload == UploadSigned {
			x.note("The signed upload failed (%v), so the state was sent inside the request: else the workspace could not have been unlocked.", blocked)
		}
	case tfe.CodeOf(err) == tfe.TooLarge:
		blocked.inline = err
		return nil, blocked
	}
	return sv, err
}

// sendInline sends the state in one request. An interrupt ends the reading of the
// snapshot, without the last bytes of which the request has no effect; once it has
// all of them its reply is waited for, because to give the request up then would
// not take it back.
func (x *execution) sendInline(ctx context.Context) (*tfe.StateVersion, error) {
	landed, cancel := landing(ctx)
	defer cancel()
	return x.Target.CreateInline(landed, x.workspace, x.attributes(), x.body(ctx))
}

// sendSigned announces the state version and uploads its bytes. An announced
// state version blocks the unlock until its bytes arrive, so the upload is tried
// again, after asking whether it did not arrive after all. For the same reason an
// interrupt does not end it.
func (x *execution) sendSigned(ctx context.Context) (*tfe.StateVersion, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	ctx, cancel := landing(ctx)
	defer cancel()
	sv, err := x.Target.Announce(ctx, x.workspace, x.attributes())
	x.late = x.late || x.lease.Age() > lockwait.MaxAge
	if err != nil || !sv.AwaitsUpload() {
		return sv, err
	}
	x.awaiting = sv
	for attempt := 1; ; attempt++ {
		err := x.Target.Upload(ctx, sv, x.body(ctx))
		if err == nil {
			x.awaiting = nil
			return sv, nil
		}
		if _, ours := errors.AsType[*tfe.SourceError](err); ours || ctx.Err() != nil {
			return nil, err
		}
		now, asked := patiently(ctx, x.Target, func() (*tfe.StateVersion, error) { return x.Target.StateVersion(ctx, sv.ID) })
		if asked == nil && !now.Pending() && !now.Discarded() {
			x.awaiting = nil
			return now, nil
		}
		if attempt == uploadAttempts {
			return nil, &uploadError{error: err}
		}
	}
}

// An uploadError says that the bytes of an announced state version could not be
// brought to their signed URL, whose host is often another than the API's.
type uploadError struct {
	error
	inline error // why they could not be sent inside the request either; nil where that was not tried
}

func (e *uploadError) Unwrap() error { return e.error }

// explainUpload makes a stop of an upload that failed in every way.
func explainUpload(e *uploadError) *stop {
	code, ok := targetCodes[tfe.CodeOf(e.error)]
	if !ok {
		code = CodeServerRefused
	}
	message := "The server announced an address for the state, but the upload to it failed: " + plainwords.Sentence(e.Error())
	if e.inline != nil {
		message += " Sending the state inside the request failed, too: " + plainwords.Sentence(e.inline.Error())
	}
	message += " Nothing was stored. Let PUT requests to that address pass (proxy, firewall)"
	if e.inline != nil {
		message += ", or raise the limit for request bodies on the way to the API"
	}
	return &stop{code: code, message: message + "."}
}

// stuckMessage says why a workspace cannot be unlocked whose announced state version
// awaits its bytes, and who can.
func (x *execution) stuckMessage() string {
	m := fmt.Sprintf("The workspace stays locked: the server does not unlock it while %s awaits its bytes. "+
		"An administrator of the workspace frees it with Force unlock (Settings, Locking) or POST /api/v2/workspaces/%s/actions/force-unlock.", x.awaiting.ID, x.workspace.ID)
	if x.Journal != nil {
		m += " Or make the upload possible and continue with the same --journal."
	}
	return m
}

func (x *execution) attributes() tfe.Attributes {
	return tfe.Attributes{
		Serial: x.payload.serial, Lineage: x.payload.lineage, MD5: x.payload.md5,
		Force: x.Replace && x.replaces(), Run: x.Run,
	}
}

// body is the payload as a request's body, which breaks off when ctx ends.
func (x *execution) body(ctx context.Context) tfe.Body {
	open := func(requested context.Context) (io.ReadCloser, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		body, err := x.payload.open(requested)
		if err != nil {
			return nil, err
		}
		return &endable{body, ctx}, nil
	}
	return tfe.Body{Open: open, Size: x.payload.size, MD5: x.payload.md5}
}

// An endable body ends in an error when its context has ended.
type endable struct {
	io.ReadCloser
	ctx context.Context
}

func (e *endable) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.ReadCloser.Read(p)
}

// lookForOurs is step 6: after a lost or ambiguous reply, read what the server
// holds and compare. It returns the state version that holds our bytes; or the
// lost reply's own error when there is none for certain; or a stop that says that
// nothing is certain.
//
// After the last attempt it looks for longer: the answer may come from a replica that
// lags, and the request may take effect late.
func (x *execution) lookForOurs(ctx context.Context, lost error, last bool) (*tfe.StateVersion, error) {
	ctx, cancel := landing(ctx)
	defer cancel()
	found, err := x.find(ctx)
	for pause := firstReadPause; last && err == nil && found == nil && pause <= lastLookPause; pause *= 2 {
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

// lastLookPause is the last of the pauses between looks for a state whose last
// attempt got no answer.
const lastLookPause = 4 * time.Second

// notOurs reports whether the answer to what was sent describes another state version:
// the one from before, or one with another serial, as when something on the way repeats
// an earlier answer. Where the server chose another serial, reading it back shows that.
func (x *execution) notOurs(sent *tfe.StateVersion) bool {
	return x.held != nil && sent.ID == x.held.version.ID && sent.Serial != x.payload.serial
}

// find searches what the workspace got since we locked it for our bytes, newest
// first. A server that promotes at the unlock lists ours without it being current.
func (x *execution) find(ctx context.Context) (*tfe.StateVersion, error) {
	before := ""
	if x.held != nil {
		before = x.held.version.ID
	}
	return patiently(ctx, x.Target, func() (*tfe.StateVersion, error) {
		for version, err := range x.Target.History(ctx, x.Organization, x.Move.Workspace) {
			if err != nil {
				return nil, err
			}
			if version.ID == before {
				break
			}
			if version.Serial != x.payload.serial || version.AwaitsUpload() {
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
