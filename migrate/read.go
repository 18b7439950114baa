package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
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
	serial   int64  // that the source announces for the version; 0 for none
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
	if x.sourceLease == nil { // else the lock was just granted
		lock, err := x.Object.Holder(ctx)
		if err != nil {
			return unreadable(err)
		}
		if lock != nil && !x.ownSourceLock(lock) {
			return &stop{code: CodeSourceLocked, message: sourceLockedMessage(lock)}
		}
	}
	if statefile.KindOfName(x.Object.Place().Key) == statefile.KindErrored && !slices.Contains(x.Allow, CodeErrored) {
		return x.stopf(CodeErrored, "Terraform writes errored.tfstate when it cannot store a state. Compare it with the backend's state. "+
			"If it is newer, push it (terraform state push errored.tfstate), then move the backend's state. If not, delete it. To move it as it is, use %s.", x.allowance(CodeErrored))
	}
	if err := x.readBytes(ctx); err != nil {
		return err
	}
	if e := x.Expect; e != nil && (e.MD5 != x.read.snapshot.MD5 || e.Serial != x.read.snapshot.Serial) {
		return x.stopf(CodeSourceChanged, "The source changed after the move was planned (serial %d then, serial %d now). Plan again.", e.Serial, x.read.snapshot.Serial)
	}
	if x.read.snapshot.Empty() && !x.IncludeEmpty {
		return x.stopf(CodeEmpty, "The state has no resources and no outputs, so there is nothing to move. To move it anyway, use %s.", x.setting("include-empty", ""))
	}
	x.payload = wholePayload(x.Object, x.read)
	return nil
}

// readBytes reads the snapshot, unless a plan has read what is still there.
func (x *execution) readBytes(ctx context.Context) (err error) {
	if x.isAsPlanned(ctx) {
		x.read = x.seen.read
	} else {
		x.read, err = readObject(ctx, x.Object)
	}
	x.result.Snapshot = newSnapshot(x.read.snapshot)
	if announced := x.read.serial; err == nil && announced != 0 && announced != x.read.snapshot.Serial {
		x.note("The source announces serial %d for this state, but the state itself has serial %d, which is the one that is moved.", announced, x.read.snapshot.Serial)
	}
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
	r := reading{snapshot: snapshot, id: version.ID, serial: version.Serial}
	var notState *statefile.Error
	switch {
	case errors.As(err, &notState) && object.Address() == "-":
		if snapshot.Size == 0 { // a command that succeeded prints a state
			return r, &stop{code: CodeNotState, message: "Standard input is empty. Check whether the command before the pipe failed."}
		}
		return r, &stop{code: Code(notState.Code()), message: "Standard input is not a state that tfhaul can read: " + plainwords.Ended(notState.Error()) + " Check whether the command before the pipe failed."}
	case errors.As(err, &notState):
		return r, &stop{code: Code(notState.Code()), message: plainwords.Sentence(notState.Error())}
	case err != nil:
		return r, unreadable(err)
	}
	return r, nil
}

func unreadable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &stop{code: CodeUnreadable, message: fmt.Sprintf("Cannot read the state: %s", plainwords.Ended(err.Error())), sourceDown: isSourceDown(err)}
}

// isSourceDown reports whether an error concerns the source's server, not just one state on it.
func isSourceDown(err error) bool {
	if e, ok := errors.AsType[*backend.Error](err); ok {
		return e.Down()
	}
	_, network := errors.AsType[*net.OpError](err)
	return network
}

// brokeOff matches the position at which a read broke off, which differs between states.
var brokeOff = regexp.MustCompile(`broke off after \d+ of \d+ bytes`)

// withoutSource removes the source's names from a message, so that the same failure of many
// sources counts as one cause.
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
		when := ""
		if !l.Created.IsZero() {
			when = " at " + l.Created.Format(time.RFC3339)
		}
		return fmt.Sprintf("tfhaul froze the source%s: haul %s moved this state to %s, or is moving it now. Use the state there instead. "+
			"If the haul was interrupted, resume it. To use the source again, release its lock (%s): %s.", when, haul, target, l.Path, l.Lift())
	}
	// What others wrote may be anything, and stays on its line.
	oneLine := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	who := oneLine(l.Who)
	if who == "" {
		who = "another user"
	}
	s := fmt.Sprintf("The source is locked by %s", who)
	if !l.Created.IsZero() {
		s += " since " + l.Created.Format(time.RFC3339)
	}
	if l.Operation != "" {
		s += fmt.Sprintf(" (%s)", oneLine(l.Operation))
	}
	lift := l.Lift()
	if !l.IsFile {
		lift = fmt.Sprintf("release the lock (%s): %s", l.Path, lift)
	}
	return s + ". Wait for the lock to be released. If its holder is no longer running, " + lift + "."
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

// is reports whether the payload has this size and digest.
func (p payload) is(size int64, digest string) bool { return p.size == size && p.md5 == digest }

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
