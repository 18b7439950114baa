package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// A reading is a snapshot as it was read from its source.
type reading struct {
	snapshot *statefile.Snapshot
	id       string // of the version
}

// version is what was read; nil where nothing was.
func (r reading) version() *backend.Version {
	if r.snapshot == nil {
		return nil
	}
	return &backend.Version{ID: r.id, MD5: r.snapshot.MD5, Size: r.snapshot.Size}
}

// readSnapshot is step 1: read the snapshot, pin its version, refuse what is no
// state, what is encrypted, and what is locked at the source.
func (x *execution) readSnapshot(ctx context.Context) error {
	lock, err := x.Object.Holder(ctx)
	if err != nil {
		return unreadable(err)
	}
	if lock != nil && !x.ownSourceLock(lock) {
		return &stop{code: CodeSourceLocked, message: sourceLockedMessage(lock)}
	}
	if statefile.KindOfName(x.Object.Place().Key) == statefile.KindErrored {
		return &stop{code: CodeErrored, message: "Terraform leaves errored.tfstate when it could not store a state: it is likely newer than what the backend holds. " +
			"Put it there first (terraform state push errored.tfstate), then move the backend's state."}
	}
	if err := x.readBytes(ctx); err != nil {
		return err
	}
	if e := x.Expect; e != nil && (e.MD5 != x.read.snapshot.MD5 || e.Serial != x.read.snapshot.Serial) {
		return &stop{code: CodeSourceChanged, message: fmt.Sprintf(
			"The source changed since the move was planned: it was serial %d then and is serial %d now. Plan again.", e.Serial, x.read.snapshot.Serial)}
	}
	if x.read.snapshot.Empty() && !x.IncludeEmpty {
		return &stop{code: CodeEmpty, message: "The state holds no resources and no outputs, so there is nothing to move; --include-empty moves it all the same."}
	}
	x.payload = wholePayload(x.Object, x.read)
	return nil
}

// readBytes reads the snapshot, unless a plan has read what is still there.
func (x *execution) readBytes(ctx context.Context) (err error) {
	if x.seen != nil && x.seen.read.snapshot != nil && x.Object.Check(ctx, *x.seen.read.version()) == nil {
		x.read = x.seen.read
	} else {
		x.read, err = readObject(ctx, x.Object)
	}
	x.result.Snapshot = newSnapshot(x.read.snapshot)
	return err
}

// readObject reads an object once, from its first byte to its last.
func readObject(ctx context.Context, object backend.State) (reading, error) {
	body, version, err := object.Open(ctx, nil)
	if err != nil {
		return reading{}, unreadable(err)
	}
	snapshot, err := statefile.Read(body)
	if closed := body.Close(); err == nil && closed != nil {
		err = closed
	}
	if snapshot.MD5 == "" { // it was refused, and not read to its end
		snapshot.Size = version.Size
	}
	r := reading{snapshot: snapshot, id: version.ID}
	var notState *statefile.Error
	switch {
	case errors.As(err, &notState) && object.Address() == "-":
		code := Code(notState.Code())
		if snapshot.Size == 0 { // which is no state of a command that succeeded
			code = CodeNotState
		}
		return r, &stop{code: code, message: "Standard input: " + plainwords.Sentence(notState.Error()) + " Did the command before the pipe fail?"}
	case errors.As(err, &notState):
		return r, &stop{code: Code(notState.Code()), message: plainwords.Sentence(notState.Error())}
	case err != nil:
		return r, unreadable(err)
	}
	return r, nil
}

// checkSource is step 9: the source must still be what was read from it.
func (x *execution) checkSource(ctx context.Context) error {
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	err := x.Object.Check(ctx, *x.read.version())
	var changed *backend.ChangedError
	switch {
	case errors.As(err, &changed):
		return &stop{code: CodeSourceChanged, message: fmt.Sprintf(
			"The snapshot of serial %d arrived, but its source changed meanwhile (%v): somebody still works with it. Stop that, then move again.", x.payload.serial, err)}
	case err != nil:
		x.note("Whether the source changed meanwhile could not be checked: %s", plainwords.Ended(err.Error()))
	}
	return nil
}

func unreadable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &stop{code: CodeUnreadable, message: fmt.Sprintf("The state could not be read: %s", plainwords.Ended(err.Error())), sourceDown: isSourceDown(err)}
}

// isSourceDown says whether an error is about the server of a source, and not about
// one state there.
func isSourceDown(err error) bool {
	if e, ok := errors.AsType[*backend.Error](err); ok {
		return e.Down()
	}
	_, network := errors.AsType[*net.OpError](err)
	return network
}

// brokeOff matches where a read broke off, which differs from state to state.
var brokeOff = regexp.MustCompile(`broke off after \d+ of \d+ bytes`)

// withoutSource takes the names of the source out of a message, so that a failure
// of many sources is one cause.
func (x *execution) withoutSource(message string) string {
	for _, name := range []string{strconv.Quote(x.Object.Address()), x.Object.Address(), x.Object.Place().Key} {
		if name != "" {
			message = strings.ReplaceAll(message, name, "the source")
		}
	}
	return brokeOff.ReplaceAllString(message, "broke off in the middle")
}

func sourceLockedMessage(l *backend.Lock) string {
	if target, haul, ours := l.Move(); ours {
		since := ""
		if !l.Created.IsZero() {
			since = " since " + l.Created.Format(time.RFC3339)
		}
		return fmt.Sprintf("The source has been frozen by tfhaul%s: haul %s moved this state to %s, or is moving it now. Work with that workspace. "+
			"If the haul was cut off, resume it. To use the source again, lift the lock (%s): %s.", since, haul, target, l.Path, l.Lift())
	}
	// What others wrote may be anything, and stays on its line.
	oneLine := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	who := oneLine(l.Who)
	if who == "" {
		who = "another user"
	}
	s := fmt.Sprintf("The state is locked at its source by %s", who)
	if !l.Created.IsZero() {
		s += " since " + l.Created.Format(time.RFC3339)
	}
	if l.Operation != "" {
		s += fmt.Sprintf(" (%s)", oneLine(l.Operation))
	}
	lift := l.Lift()
	if !l.IsFile {
		lift = fmt.Sprintf("lift the lock (%s): %s", l.Path, lift)
	}
	return s + ": wait for that to end. If nobody works there any more, " + lift + "."
}

// A payload is what will be sent: the snapshot, or the snapshot with its serial
// raised.
type payload struct {
	serial  int64
	lineage string
	md5     string
	size    int64 // bytes
	open    func(context.Context) (io.ReadCloser, error)
}

// wholePayload is the snapshot as it was read, from the version that was read.
func wholePayload(object backend.State, r reading) payload {
	return payload{
		serial: r.snapshot.Serial, lineage: r.snapshot.Lineage, md5: r.snapshot.MD5, size: r.snapshot.Size,
		open: func(ctx context.Context) (io.ReadCloser, error) {
			body, _, err := object.Open(ctx, r.version())
			return body, err
		},
	}
}
