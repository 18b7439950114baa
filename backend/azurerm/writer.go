package azurerm

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A writer locks one blob and writes to it, for one move.
type writer struct {
	target *target
	state  *blob
	name   string
	backend.WriterOptions

	heir    bool   // earlier processes of the haul have, or may have, left a lock
	id      string // of our lease; "" until we have tried to take it, or have recognized it
	text    []byte // the description of our lock
	held    bool
	granted bool
	created bool // we created the empty blob that is locked
	removed bool // we removed the state, and the lock with it
	seen    *backend.Standing
	sent    bool // a write may have taken effect
	notes   []string
}

func (w *writer) Seen() *backend.Standing { return w.seen }
func (w *writer) LastName() string        { return w.name }
func (w *writer) LostRequests() int       { return w.Lost }
func (w *writer) Granted() bool           { return w.granted }
func (w *writer) Notes() []string         { return w.notes }

// Lock tries once to take the lock. An interrupt does not end a request that was sent:
// canceling it would not undo it.
func (w *writer) Lock(ctx context.Context, sending lockwait.Sending) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	interrupted := ctx
	ctx, cancel := backend.Landing(backend.WithStop(ctx, backend.Stop{Interrupted: ctx, Unsent: true}))
	defer cancel()
	w.describe()
	w.held = false
	if err := w.take(backend.WithSending(ctx, sending)); err != nil {
		if interrupted.Err() != nil && errors.Is(err, interrupted.Err()) && !errors.Is(err, lockwait.ErrUnsure) {
			return interrupted.Err() // before anything was sent
		}
		return err
	}
	w.held, w.granted = true, true
	now, err := w.state.stat(ctx, selection{})
	if err == nil {
		w.seen = w.target.standing(w.state, now)
	} else { // the lock is ours; the caller reads again
		w.seen = &backend.Standing{ID: w.state.key, Name: w.name, CanRead: true, CanWrite: true, CanLock: true}
	}
	return nil
}

// describe makes the description of our lock. Every attempt of this writer has the same ID, so
// that one that takes effect late is recognized.
func (w *writer) describe() {
	if w.id != "" {
		return
	}
	doc := backend.NewLockInfo(backend.LockRequest{Operation: backend.MigrateOperation, Info: w.Reason}, w.state.lockPath())
	w.id, w.text = doc.ID, doc.Marshal()
}

// take takes our lock.
func (w *writer) take(ctx context.Context) error {
	for range lockAttempts {
		created, err := w.state.writeLock(ctx, w.id, w.text)
		w.created = w.created || created
		switch {
		case err == nil:
			return nil
		case isThrottled(err): // no lease was taken
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		case mayBeLocked(err):
			if w.Lost++; w.OnLost != nil {
				w.OnLost()
			}
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		case !errors.Is(err, errLockHeld):
			return err
		}
		switch there, _, err := w.state.readLock(ctx); {
		case err != nil:
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		case there != nil && w.isOurs(there):
			return nil
		case there != nil:
			return lockwait.ErrHeld
		} // released in between
	}
	return w.state.uncreatable()
}

// isOurs reports whether a lock is ours: it has our reason and our ID. A lock that an earlier
// process of the haul has left, or may have left, has an ID that we learn from it.
func (w *writer) isOurs(there *backend.Lock) bool {
	if there.Info != w.Reason || there.ID == "" {
		return false
	}
	if there.ID != w.id && w.heir {
		w.id = there.ID
	}
	return there.ID == w.id
}

// Holder reads who holds the lock.
func (w *writer) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	there, _, err := w.state.readLock(backend.WithSending(ctx, sending))
	switch {
	case err != nil:
		return lockwait.Holder{}, w.unsure(err)
	case there == nil:
		return lockwait.Holder{}, nil
	case w.isOurs(there):
		w.held = true
		return lockwait.Holder{Name: "this haul", Reason: w.Reason, Ours: true}, nil
	}
	return there.Other(), nil
}

// unsure marks the failure of a request that may be repeated.
func (w *writer) unsure(err error) error {
	switch code := backend.CodeOf(err); {
	case w.Impatient && w.target.Down():
		return fmt.Errorf("%w: %w", lockwait.ErrGone, err)
	case code == backend.Unreachable, code == backend.Ambiguous, isThrottled(err), mayHaveHappened(err):
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	return err
}

// Unlock ends our lease, once, and no other. An empty blob that we created for the lock is
// removed with it.
func (w *writer) Unlock(ctx context.Context, sending lockwait.Sending) error {
	if w.removed {
		return nil
	}
	ctx = backend.WithSending(ctx, sending)
	there, now, err := w.state.readLock(ctx)
	switch {
	case err != nil:
		return w.unsure(err)
	case there == nil, !w.isOurs(there):
		return lockwait.ErrNotHeld
	}
	w.held = false
	if w.created && !now.holdsState() {
		r := request{doing: "remove the empty blob of", address: w.state.address, needs: mayErase}
		if w.target.remove(ctx, r, w.state.key, now.etag, w.id) == nil {
			return nil
		}
	}
	err = w.state.free(ctx, w.id)
	switch {
	case backend.IsLockLost(err):
		return lockwait.ErrNotHeld
	case err != nil:
		return w.unsure(err)
	}
	return nil
}

// Write stores the state in one request, under our lease, on the condition that the blob is
// still the one that was read, or still has no state.
func (w *writer) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	if !w.held {
		return nil, w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	now, err := w.leased(ctx)
	if err != nil {
		return nil, err
	}
	if !w.isAs(now, p.Was) {
		if w.sent {
			return w.afterRefusal(ctx, &p, nil)
		}
		return nil, w.failed(backend.Changed, "another program wrote it meanwhile; nothing was stored", nil)
	}
	if w.target.snapshots && now.holdsState() {
		r := request{doing: "take a snapshot of", address: w.state.address, needs: mayWrite}
		if err := w.target.takeSnapshot(backend.WithSending(ctx, p.Sending), r, w.state.key, now.etag, w.id); err != nil {
			return nil, err
		}
	}
	return w.store(ctx, &p, now)
}

// leased returns the properties of the blob, which has our lease.
func (w *writer) leased(ctx context.Context) (*properties, error) {
	now, err := w.target.stat(ctx, w.state.request("access"), w.state.key, selection{}, w.id)
	if isNotOurs(err) || err == nil && now == nil {
		return nil, w.failed(backend.NotLocked, "the lock is not held any more: the lease of the blob was broken", err)
	}
	return now, err
}

// isAs reports whether a blob still has the content of a version; none for nil.
func (w *writer) isAs(now *properties, was *backend.Version) bool {
	if was == nil {
		return !now.holdsState()
	}
	return now.holdsState() && w.state.id(now) == was.ID
}

func (w *writer) failed(code backend.Code, why string, err error) error {
	return &backend.Error{Address: w.state.address, Code: code, Answer: why, Err: err, Message: fmt.Sprintf("cannot write %q: %s", w.state.address, why)}
}

// store stores a blob in place of the present one; nil if there is none. The metadata stays,
// because the description of the lock is in it.
func (w *writer) store(ctx context.Context, p *backend.Write, now *properties) (*backend.Version, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	sum, err := hex.DecodeString(p.MD5)
	if err != nil {
		return nil, fmt.Errorf("the MD5 %q is not in hex", p.MD5)
	}
	u := upload{key: w.state.key, size: p.Size, md5: sum}
	if w.held {
		u.lease = w.id
	}
	if now != nil {
		u.was, u.metadata = now.etag, now.metadata
	}
	stored, err := w.send(ctx, p, u)
	if err != nil {
		return w.afterRefusal(ctx, p, err)
	}
	return w.stored(p, stored), nil
}

// stored returns the version that was written.
func (w *writer) stored(p *backend.Write, now *properties) *backend.Version {
	v := w.state.version(now)
	v.Serial, v.Size = p.Serial, p.Size
	return v
}

// send sends the state. An interrupt ends the reading of the state, and without its last byte
// the request has no effect. Once the request has all bytes, send waits for the response.
func (w *writer) send(ctx context.Context, p *backend.Write, u upload) (*properties, error) {
	landed, cancel := backend.Landing(ctx)
	defer cancel()
	// The response may take as long as the last of the request.
	watching, progress, stop := backend.Watched(landed, 2*w.target.timeout)
	defer stop()
	var body *backend.Outgoing
	u.open = func() io.ReadCloser { // for every attempt
		body = backend.NewOutgoing(ctx, p, progress)
		return body
	}
	r := request{doing: "write", address: w.state.address, needs: mayWrite}
	if u.size == 0 {
		empty := backend.NewOutgoing(ctx, p, progress)
		_, err := io.Copy(io.Discard, empty)
		_ = empty.Close() // only read
		if err != nil {
			return nil, err
		}
		u.open = nil
	}
	now, err := w.target.put(backend.WithSending(watching, p.Sending), r, u)
	if body != nil {
		_ = body.Close() // only read
	}
	if err != nil && watching.Err() != nil && landed.Err() == nil {
		err = &backend.WordedError{Text: context.Cause(watching).Error(), Err: err}
	}
	if err != nil && (body == nil || body.Complete()) && mayHaveHappened(err) {
		w.sent = true
		return nil, w.failed(backend.Ambiguous, "the response to the upload was lost or unclear", err)
	}
	return now, err
}

// afterRefusal returns what a refused write means; nil if the blob was found to have changed.
// If an earlier write may have taken effect, the blob may have changed because it did.
func (w *writer) afterRefusal(ctx context.Context, p *backend.Write, refused error) (*backend.Version, error) {
	if refused != nil && !isUnmet(refused) {
		if isNotOurs(refused) {
			return nil, w.failed(backend.NotLocked, "the lock is not held any more: the lease of the blob was broken", refused)
		}
		return nil, refused
	}
	if w.sent {
		now, err := w.state.stat(ctx, selection{})
		ours := false
		if err == nil && now != nil {
			ours, err = w.holds(ctx, now, p)
		}
		if err != nil {
			return nil, w.failed(backend.Ambiguous, "the blob changed, and cannot be read", errors.Join(refused, err))
		}
		if ours {
			return w.stored(p, now), nil
		}
	}
	return nil, w.failed(backend.Changed, "another program wrote it meanwhile; nothing was stored", nil)
}

// holds reports whether a blob has the bytes to be sent.
func (w *writer) holds(ctx context.Context, now *properties, p *backend.Write) (bool, error) {
	if now.size != p.Size || now.md5 != "" {
		return now.size == p.Size && now.md5 == p.MD5, nil
	}
	in, _, err := w.state.download(ctx, selection{})
	if err != nil {
		return false, err
	}
	sum := md5.New()
	_, err = io.Copy(sum, in)
	_ = in.Close() // only read
	return hex.EncodeToString(sum.Sum(nil)) == p.MD5, err
}

// CheckRemoval implements backend.Remover. Snapshots of a blob would be deleted with it.
func (w *writer) CheckRemoval(ctx context.Context) error {
	snapshots := false
	r := request{doing: "list the snapshots of", address: w.state.address, needs: mayList}
	err := w.target.list(ctx, r, w.state.key, "snapshots", func(name string, e *entry) bool {
		snapshots = snapshots || name == w.state.key && e.Snapshot != ""
		return !snapshots
	})
	if err == nil && snapshots {
		err = w.notRemovable("the blob has snapshots, which would be deleted with it")
	}
	return err
}

func (w *writer) notRemovable(why string) error {
	return &backend.Error{Address: w.state.address, Code: backend.NotRemovable, Answer: why, Message: fmt.Sprintf("%q was not deleted: %s. If it is not needed, delete it yourself.", w.state.address, why)}
}

// Remove implements backend.Remover. The lease goes with the blob. An account with versions
// keeps them.
func (w *writer) Remove(ctx context.Context, p backend.Write) error {
	if !w.held {
		return w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	was, err := w.leased(ctx)
	switch {
	case err != nil:
		return err
	case !w.isAs(was, p.Was):
		return w.failed(backend.Changed, "another program wrote it meanwhile; nothing was deleted", nil)
	}
	r := request{doing: "delete", address: w.state.address, needs: mayErase}
	err = w.target.remove(backend.WithSending(ctx, p.Sending), r, w.state.key, was.etag, w.id)
	switch {
	case reasonOf(err) == "SnapshotsPresent":
		return w.notRemovable("the blob has snapshots, which would be deleted with it")
	case isNotOurs(err):
		return w.failed(backend.NotLocked, "the lock is not held any more: the lease of the blob was broken", err)
	case isUnmet(err):
		return w.failed(backend.Changed, "another program wrote it meanwhile; nothing was deleted", err)
	case err != nil && backend.CodeOf(err) != backend.NoState && !mayHaveHappened(err):
		return err
	}
	now, looked := w.state.stat(ctx, selection{})
	switch {
	case looked != nil:
		return w.failed(backend.Ambiguous, "the blob cannot be read after the request to delete it", errors.Join(err, looked))
	case now != nil:
		return w.failed(backend.Ambiguous, "the blob is still there after the request to delete it", err)
	}
	w.removed, w.held = true, false
	if was.versioned {
		w.notes = append(w.notes, "The storage account keeps the deleted version.")
	}
	return nil
}
