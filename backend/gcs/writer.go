package gcs

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A writer locks one object and writes to it, for one move.
type writer struct {
	target *target
	state  *object
	name   string
	backend.WriterOptions

	heir    bool   // earlier processes of the haul have, or may have, left a lock
	id      string // in the description of our lock; "" until we have tried to take it, or have recognized it
	text    []byte // the description of our lock
	held    bool
	granted bool
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
	seen, _, err := w.target.standing(ctx, w.state)
	if err != nil { // the lock is ours; the caller reads again
		seen = &backend.Standing{ID: w.state.key, Name: w.name, CanRead: true, CanWrite: true, CanLock: true}
	}
	w.seen = seen
	return nil
}

// describe makes the description of our lock. Every attempt of this writer has the same ID
// in it, so that one that takes effect late is recognized.
func (w *writer) describe() {
	if w.id != "" {
		return
	}
	doc := backend.NewLockInfo(backend.LockRequest{Operation: backend.MigrateOperation, Info: w.Reason}, w.state.lockPath())
	w.id, w.text = doc.ID, doc.Marshal()
}

// take creates our lock.
func (w *writer) take(ctx context.Context) error {
	for range lockAttempts {
		_, err := w.state.writeLock(ctx, w.text)
		switch {
		case err == nil:
			return nil
		case isThrottled(err): // nothing was stored
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		case !errors.Is(err, errLockHeld) && mayHaveHappened(err):
			if w.Lost++; w.OnLost != nil {
				w.OnLost()
			}
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		case !errors.Is(err, errLockHeld):
			return err
		}
		switch held, err := w.state.readWholeLock(ctx); {
		case err != nil:
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		case held != nil && w.isOurs(held):
			return nil
		case held != nil:
			return lockwait.ErrHeld
		} // released in between
	}
	return w.state.uncreatable()
}

// isOurs reports whether a lock is ours: it has our reason and our ID. A lock that an earlier
// process of the haul has left, or may have left, has an ID that we learn from it.
func (w *writer) isOurs(held *heldLock) bool {
	if held.lock.Info != w.Reason || held.own == "" {
		return false
	}
	if held.own != w.id && w.heir {
		w.id, w.text = held.own, held.text
	}
	return held.own == w.id
}

// Holder reads who holds the lock.
func (w *writer) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	held, err := w.state.readWholeLock(backend.WithSending(ctx, sending))
	switch {
	case err != nil:
		return lockwait.Holder{}, w.unsure(err)
	case held == nil:
		return lockwait.Holder{}, nil
	case w.isOurs(held):
		w.held = true
		return lockwait.Holder{Name: "this haul", Reason: w.Reason, Ours: true}, nil
	}
	return held.lock.Other(), nil
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

// Unlock removes our lock, once, and no other.
func (w *writer) Unlock(ctx context.Context, sending lockwait.Sending) error {
	ctx = backend.WithSending(ctx, sending)
	held, err := w.state.readWholeLock(ctx)
	switch {
	case err != nil:
		return w.unsure(err)
	case held == nil, !w.isOurs(held):
		return lockwait.ErrNotHeld
	}
	w.held = false
	err = w.state.removeLock(ctx, held.generation)
	switch {
	case errors.Is(err, errLockHeld): // it is another one now
		return lockwait.ErrNotHeld
	case err != nil:
		return w.unsure(err)
	}
	return nil
}

// Write stores the state in one request, on the condition that the object is still the one
// that was read, or still does not exist.
func (w *writer) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	if !w.held {
		return nil, w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	return w.store(ctx, &p)
}

func (w *writer) failed(code backend.Code, why string, err error) error {
	return &backend.Error{Address: w.state.address, Code: code, Answer: why, Err: err, Message: fmt.Sprintf("cannot write %q: %s", w.state.address, why)}
}

func (w *writer) store(ctx context.Context, p *backend.Write) (*backend.Version, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	u, err := w.upload(ctx, p)
	if err != nil {
		return nil, err
	}
	m, err := w.send(ctx, p, u)
	if err != nil {
		return w.afterRefusal(ctx, p, err)
	}
	return w.stored(ctx, p, m), nil
}

// stored returns the version that was written.
func (w *writer) stored(ctx context.Context, p *backend.Write, m *metadata) *backend.Version {
	v, _ := w.target.version(ctx, w.state.key, m) // with an error, Kept is unknown, and false
	v.Serial, v.Size = p.Serial, p.Size
	return v
}

// upload returns what to send, without its content. An object that is replaced keeps its KMS
// key, unless the user names one.
func (w *writer) upload(ctx context.Context, p *backend.Write) (*upload, error) {
	sum, err := hex.DecodeString(p.MD5)
	if err != nil {
		return nil, fmt.Errorf("the MD5 %q is not in hex", p.MD5)
	}
	b := w.target.bucket
	u := &upload{key: w.state.key, size: p.Size, md5: sum, kmsKey: b.kmsKey, sse: b.key}
	if p.Was == nil {
		return u, nil
	}
	if _, u.was, err = parseVersionID(p.Was.ID); err != nil {
		return nil, err
	}
	if u.kmsKey == "" && u.sse == nil {
		m, err := b.stat(ctx, w.state.request("access"), w.state.key, u.was)
		if err != nil {
			return nil, err
		}
		if m != nil {
			u.kmsKey, _, _ = strings.Cut(m.KMSKey, "/cryptoKeyVersions/")
		}
	}
	return u, nil
}

// send sends the state. An interrupt ends the reading of the state, and without its last byte
// the request has no effect. Once the request has all bytes, send waits for the response.
func (w *writer) send(ctx context.Context, p *backend.Write, u *upload) (*metadata, error) {
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
	r := request{doing: "write", address: w.state.address, action: "storage.objects.create"}
	if u.was != 0 {
		r.action = "storage.objects.delete" // to replace an object
	}
	m, err := w.target.create(backend.WithSending(watching, p.Sending), r, *u)
	if body != nil {
		_ = body.Close() // only read
	}
	if err != nil && watching.Err() != nil && landed.Err() == nil {
		err = &backend.WordedError{Text: context.Cause(watching).Error(), Err: err}
	}
	if err != nil && body != nil && body.Complete() && mayHaveHappened(err) {
		w.sent = true
		return nil, w.failed(backend.Ambiguous, "the response to the upload was lost or unclear", err)
	}
	return m, err
}

// afterRefusal returns what a refused write means. If an earlier write may have taken effect,
// the object may have changed because it did.
func (w *writer) afterRefusal(ctx context.Context, p *backend.Write, refused error) (*backend.Version, error) {
	if !isUnmet(refused) {
		return nil, refused
	}
	if w.sent {
		now, err := w.target.stat(ctx, w.state.request("access"), w.state.key, 0)
		ours := false
		if err == nil && now != nil {
			ours, err = w.holds(ctx, now, p)
		}
		if err != nil {
			return nil, w.failed(backend.Ambiguous, "the object changed, and cannot be read", errors.Join(refused, err))
		}
		if ours {
			return w.stored(ctx, p, now), nil
		}
	}
	return nil, w.failed(backend.Changed, "another program wrote it meanwhile; nothing was stored", nil)
}

// holds reports whether a version has the bytes to be sent.
func (w *writer) holds(ctx context.Context, m *metadata, p *backend.Write) (bool, error) {
	if m.Size != p.Size {
		return false, nil
	}
	in, _, err := w.state.open(ctx, m.Generation)
	if err != nil {
		return false, err
	}
	sum := md5.New()
	_, err = io.Copy(sum, in)
	_ = in.Close() // only read
	return hex.EncodeToString(sum.Sum(nil)) == p.MD5, err
}

// CheckRemoval implements backend.Remover: only a conditional delete never removes what
// another program wrote. Under the lock it tries, once for each target, whether the server
// compares the condition: it deletes our own lock on one that is not met.
func (w *writer) CheckRemoval(ctx context.Context) error {
	if !w.held {
		return nil // under the lock
	}
	w.target.mu.Lock()
	defer w.target.mu.Unlock()
	if w.target.deletes {
		return nil
	}
	switch err := w.state.removeLock(ctx, 1); {
	case errors.Is(err, errLockHeld):
		w.target.deletes = true
		return nil
	case err != nil:
		return err
	}
	w.held = w.take(ctx) == nil // it ignored the condition
	return w.notRemovable("the server ignores the conditions of deletes (ifGenerationMatch), so tfhaul could delete what another program has just written")
}

func (w *writer) notRemovable(why string) error {
	return &backend.Error{Address: w.state.address, Code: backend.NotRemovable, Answer: why, Message: fmt.Sprintf("%q was not deleted: %s. If it is not needed, delete it yourself.", w.state.address, why)}
}

// Remove implements backend.Remover. A bucket with versions keeps them.
func (w *writer) Remove(ctx context.Context, p backend.Write) error {
	if !w.held || !w.target.deletes {
		return w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	_, was, err := parseVersionID(p.Was.ID)
	if err != nil {
		return err
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	r := request{doing: "delete", address: w.state.address, action: "storage.objects.delete"}
	err = w.target.remove(backend.WithSending(ctx, p.Sending), r, w.state.key, was)
	unmet := isUnmet(err) || statusOf(err) == http.StatusNotFound
	maybe := err == nil || mayHaveHappened(err)
	if !unmet && !maybe {
		return err
	}
	now, looked := w.target.stat(ctx, w.state.request("access"), w.state.key, 0)
	switch {
	case looked != nil:
		return w.failed(backend.Ambiguous, "the object cannot be read after the request to delete it", errors.Join(err, looked))
	case now == nil && unmet:
		return w.failed(backend.Changed, "another program deleted it meanwhile", err)
	case now == nil:
		if kept, err := w.target.keepsVersions(ctx); kept && err == nil {
			w.notes = append(w.notes, fmt.Sprintf("The bucket keeps the deleted version %d.", was))
		}
		return nil
	case now.Generation != was:
		return w.failed(backend.Changed, "another program wrote it meanwhile; nothing was deleted", err)
	}
	return w.failed(backend.Ambiguous, "the object is still there after the request to delete it", err)
}
