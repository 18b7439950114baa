package migrate

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
	"tfhaul/plainwords"
)

// verify is step 7: the workspace's current state version must be the one that
// was sent, with the serial and the bytes that were sent. Where the server makes
// it current only at the unlock, its bytes are compared now, and that it is
// current afterwards: see verifyCurrent.
func (x *execution) verify(ctx context.Context) error {
	// The workspace holds something new. An interrupt must not leave it unexamined.
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	if x.Target.Traits().Current == backend.CurrentAtWrite {
		current, err := backend.Retry(ctx, x.Target.Down, func() (*backend.Version, error) { return x.Target.Current(ctx, x.workspace) })
		if err != nil {
			return x.unproven("reading the workspace's current state version failed: %v", err)
		}
		if current != nil && current.ID == x.sent.ID {
			x.sent = current
			x.current = true
		}
	}
	if err := x.compare(ctx); err != nil {
		return err
	}
	x.record(x.payloadEvent(EventVerified))
	return nil
}

// compare downloads what was sent and compares it.
func (x *execution) compare(ctx context.Context) error {
	if x.hasOtherSerial(x.sent) {
		return x.unproven("the server stored it as serial %d instead of %d", x.sent.Serial, x.payload.serial)
	}
	same, err := x.sameBytes(ctx, x.sent)
	switch {
	case err != nil:
		return x.unproven("reading it back failed: %v", err)
	case !same:
		return x.unproven("the server returned different bytes than were sent")
	}
	return nil
}

// hasOtherSerial reports whether a version has another serial than the payload. Only
// servers with workspaces report serials; elsewhere the bytes decide.
func (x *execution) hasOtherSerial(v *backend.Version) bool {
	// A server that rolls back chooses the serial.
	return x.Undo == nil && v.Serial != x.payload.serial && x.reportsSerial(v)
}

func (x *execution) unproven(format string, args ...any) error {
	s := x.stopf(CodeUnproven, "The server acknowledged the state as %s, but tfhaul could not verify it: %s.", x.sent.ID, x.sayf(format, args...))
	s.unproven = true
	return s
}

// reportsSerial reports whether the target reports a version's serial. If it always does, 0
// is a serial.
func (x *execution) reportsSerial(v *backend.Version) bool {
	return v.Serial != 0 || x.Target.Traits().Workspaces
}

// called names a version in messages.
func (x *execution) called(v *backend.Version) string {
	if !x.reportsSerial(v) {
		return v.ID
	}
	return fmt.Sprintf("%s (serial %d)", v.ID, v.Serial)
}

// verifyCurrent is the part of step 7 that some servers only allow after the
// unlock: what was sent must have become current.
func (x *execution) verifyCurrent(ctx context.Context) error {
	if x.current {
		return nil
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	current, err := x.readCurrent(ctx, x.workspace, func(v *backend.Version) bool { return !x.before(v) })
	switch {
	case err != nil:
		return x.unproven("it was read back, but tfhaul could not read whether it became current at the unlock: %v", err)
	case current != nil && current.ID == x.sent.ID:
		return nil
	case x.before(current) && current == nil:
		return x.unproven("it was read back, but %s after the unlock the workspace still has no current state version. The server's replicas may be lagging, or the state never became current. Run tfhaul verify in a few minutes", replicaTime)
	case x.before(current):
		return x.unproven("it was read back, but %s after the unlock the previous version, %s, is still current. The server's replicas may be lagging, or the state never became current. Run tfhaul verify in a few minutes", replicaTime, x.called(current))
	case current == nil:
		return x.unproven("it was read back, but the workspace has no current state version after the unlock")
	case x.resent && !x.hasOtherSerial(current):
		// Our own first request, which took effect after the second.
		if same, err := x.sameBytes(ctx, current); err == nil && same {
			x.sent, x.result.StateVersionID = current, current.ID
			return nil
		}
	}
	return x.unproven("it was read back, but %s is current after the unlock: another user wrote a state meanwhile", x.called(current))
}

// movedMessage returns the message about the verified state.
func (x *execution) movedMessage() string {
	if w := x.Undo; w != nil {
		return x.sayf("The workspace again holds what the haul replaced, %s with serial %d, as %s. All %d bytes were read back and match.",
			w.Was.ID, x.payload.serial, x.sent.ID, x.payload.size)
	}
	moved := x.sayf("Serial %d is the workspace's current state (%s). All %d bytes were read back and match.",
		x.payload.serial, x.sent.ID, x.payload.size)
	if h := x.result.History; h != nil && h.Moved > 0 {
		moved += fmt.Sprintf(" Before it, tfhaul moved %s and read back each.", plainwords.Counted(h.Moved, "older version"))
	}
	return moved
}

// copyBuffers holds buffers for downloads, because every move needs one.
var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

const copyBuffer = 32 << 10

// sameBytes downloads a state version and reports whether it matches the payload.
func (x *execution) sameBytes(ctx context.Context, version *backend.Version) (bool, error) {
	var same, raised bool
	err := x.download(ctx, version, func(body io.Reader) error {
		sum := md5.New()
		buffer := copyBuffers.Get().(*[copyBuffer]byte)
		size, err := io.CopyBuffer(sum, body, buffer[:])
		copyBuffers.Put(buffer)
		digest := hex.EncodeToString(sum.Sum(nil))
		same = x.payload.is(size, digest)
		raised = err == nil && !same && x.raised != nil && x.raised.is(size, digest)
		return err
	})
	if err == nil && raised { // what an earlier run of the rollback sent
		x.useRaised()
		same = true
	}
	return same, err
}

// errNotReady is returned when a state version still cannot be downloaded after
// processingTime.
var errNotReady = errors.New("the server is still processing it")

// processingTime is how long the server may take until a state version can be
// downloaded; the pauses between two questions double from the first to the longest.
const (
	processingTime  = time.Minute
	firstReadyPause = 250 * time.Millisecond
	maxReadyPause   = 5 * time.Second
)

// download gives use the bytes of a state version, from the start again when the
// connection fails on the way. A version that is still being processed is waited for.
func (x *execution) download(ctx context.Context, version *backend.Version, use func(io.Reader) error) error {
	start := time.Now()
	for pause := firstReadyPause; ; pause = min(2*pause, maxReadyPause) {
		_, err := backend.Retry(ctx, x.Target.Down, func() (struct{}, error) { return struct{}{}, x.downloadOnce(ctx, version, use) })
		code := backend.CodeOf(err)
		notYet := code == backend.NoBytesYet || code == backend.ForbiddenOrMissing && version.Pending
		if err == nil || !notYet {
			return err
		}
		if time.Since(start) > processingTime {
			return errNotReady
		}
		if err := lockwait.Sleep(ctx, pause); err != nil {
			return err
		}
		id := version.ID
		asked, err := backend.Retry(ctx, x.Target.Down, func() (*backend.Version, error) { return x.Target.Version(ctx, id) })
		switch {
		case err == nil:
			version = asked
		case backend.CodeOf(err) != backend.ForbiddenOrMissing: // a replica that lags does not know it yet
			return err
		}
	}
}

func (x *execution) downloadOnce(ctx context.Context, version *backend.Version, use func(io.Reader) error) error {
	body, err := x.Target.Read(ctx, version)
	if err != nil {
		return err
	}
	err = use(body)
	if closed := body.Close(); err == nil {
		err = closed
	}
	if err != nil && backend.CodeOf(err) == "" {
		// Read short: whatever it said so far does not count.
		return &backend.Error{Code: backend.Ambiguous, Message: fmt.Sprintf("download state version %s: %v", version.ID, err), Answer: err.Error(), Err: err}
	}
	return err
}
