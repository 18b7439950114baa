package http

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A writer locks one state and writes to it, for one move.
type writer struct {
	target *target
	state  *state
	name   string
	backend.WriterOptions
	latch *latch

	held    bool // as far as is known
	granted bool
	refused *backend.Lock // who held the lock when it was last requested; nil if that was used
	seen    *backend.Standing
	sent    bool // a write may have taken effect
}

func (w *writer) Seen() *backend.Standing { return w.seen }
func (w *writer) LastName() string        { return w.name }
func (w *writer) LostRequests() int       { return w.Lost }
func (w *writer) Granted() bool           { return w.granted }
func (w *writer) Notes() []string         { return nil }

// Lock tries once to take the lock. An interrupt does not end a request that was sent:
// canceling it would not undo it.
func (w *writer) Lock(ctx context.Context, sending lockwait.Sending) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	interrupted := ctx
	ctx, cancel := backend.Landing(backend.WithStop(ctx, backend.Stop{Interrupted: ctx, Unsent: true}))
	defer cancel()
	w.held, w.refused = false, nil
	other, err := w.latch.take(backend.WithSending(ctx, sending))
	switch {
	case err == nil && other != nil:
		w.refused = other
		return lockwait.ErrHeld
	case err == nil:
	case isThrottled(err): // the request was refused
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	case mayHaveHappened(err):
		if w.Lost++; w.OnLost != nil {
			w.OnLost()
		}
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	case interrupted.Err() != nil && errors.Is(err, interrupted.Err()):
		return interrupted.Err() // before anything was sent
	default:
		return err
	}
	w.held, w.granted, w.seen = true, true, w.state.standing()
	if now, err := w.state.current(ctx); err == nil { // otherwise the caller reads again
		w.seen.Current = backend.Ref{Known: true}
		if now != nil {
			w.seen.Current.ID = now.ID
		}
	}
	return nil
}

// Holder finds out who holds the lock.
func (w *writer) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	if other := w.refused; other != nil && other.ID != "" { // that was just now
		if w.refused = nil; sending(ctx) == nil {
			return other.Other(), nil
		}
	}
	lock, ours, err := w.latch.holder(backend.WithSending(ctx, sending))
	switch {
	case err != nil:
		return lockwait.Holder{}, w.unsure(err)
	case lock == nil:
		return lockwait.Holder{}, nil
	case ours:
		w.held = true
		return lockwait.Holder{Name: "this haul", Reason: w.Reason, Ours: true}, nil
	case lock.ID == "":
		return lockwait.Holder{Name: "a process that the server does not name"}, nil
	}
	return lock.Other(), nil
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

// Unlock releases our lock, once. The server compares its ID.
func (w *writer) Unlock(ctx context.Context, sending lockwait.Sending) error {
	err := w.latch.free(backend.WithSending(ctx, sending), w.latch.info)
	switch {
	case err == nil:
		w.held = false
		return nil
	case !isHeld(err):
		return w.unsure(err)
	}
	lock, ours, asked := w.latch.holder(ctx)
	if asked != nil || ours || lock != nil && lock.ID == "" {
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, errors.Join(err, asked))
	}
	w.held = false
	return lockwait.ErrNotHeld
}

func (w *writer) failed(code backend.Code, why string, err error) error {
	return &backend.Error{Address: w.state.address, Code: code, Answer: why, Err: err, Message: fmt.Sprintf("cannot write %q: %s", w.state.address, why)}
}

// Write stores the state in one request, with the ID of our lock. The server has no other
// condition. An interrupt ends the reading of the state, and without its last byte the request
// has no effect. Once the request has all bytes, Write waits for the response.
func (w *writer) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	switch {
	case !w.held:
		return nil, w.failed(backend.NotLocked, "the lock is not held", nil)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case w.state.project != nil && p.Was != nil && p.Serial <= p.Was.Serial:
		return nil, w.failed(backend.Stale, fmt.Sprintf("GitLab uses the version with the highest serial, which is %d, so serial %d would not become the current one: raise it with --bump-serial", p.Was.Serial, p.Serial), nil)
	}
	r, err := w.request(&p)
	if err != nil {
		return nil, err
	}
	landed, cancel := backend.Landing(ctx)
	defer cancel()
	// The response may take as long as the last of the request.
	watching, progress, stop := backend.Watched(landed, 2*w.target.server.timeout)
	defer stop()
	var body *backend.Outgoing
	r.body = func() io.ReadCloser { // for every attempt
		body = backend.NewOutgoing(ctx, &p, progress)
		return body
	}
	status, _, err := w.target.server.ask(backend.WithSending(watching, p.Sending), *r)
	if body != nil {
		_ = body.Close() // only read
	}
	if err != nil && watching.Err() != nil && landed.Err() == nil {
		err = &backend.WordedError{Text: context.Cause(watching).Error(), Err: err}
	}
	switch {
	case err == nil && status == http.StatusNoContent && w.state.project != nil:
		return nil, w.failed(backend.Failed, "GitLab answered that it received no state: check whether a proxy drops the body of requests", nil)
	case err == nil:
		return w.stored(&p), nil
	case body != nil && body.Complete() && mayHaveHappened(err):
		w.sent = true
		return nil, w.failed(backend.Ambiguous, "the response to the upload was lost or unclear", err)
	}
	return w.afterRefusal(ctx, &p, err)
}

// request returns the request to store the state, without its content.
func (w *writer) request(p *backend.Write) (*request, error) {
	sum, err := hex.DecodeString(p.MD5)
	if err != nil {
		return nil, fmt.Errorf("the MD5 %q is not in hex", p.MD5)
	}
	at := *w.state.url
	query := at.Query()
	query.Set("ID", w.latch.info.ID)
	at.RawQuery = query.Encode()
	r := w.state.request("write")
	r.writes, r.method, r.url, r.size, r.md5 = true, w.state.update, &at, p.Size, base64.StdEncoding.EncodeToString(sum)
	return &r, nil
}

// stored returns the version that was written.
func (w *writer) stored(p *backend.Write) *backend.Version {
	v := &backend.Version{Serial: p.Serial, Size: p.Size}
	if w.state.project != nil {
		v.ID, v.Kept = w.state.versionID(serialPart, serialText(p.Serial)), true
	} else {
		v.ID = w.state.versionID(contentPart, p.MD5)
	}
	return v
}

// afterRefusal returns what a refused write means. If an earlier write may have taken effect,
// GitLab refuses a second version with the same serial because it did.
func (w *writer) afterRefusal(ctx context.Context, p *backend.Write, refused error) (*backend.Version, error) {
	if backend.CodeOf(refused) != backend.Diverged || !w.sent {
		return nil, refused
	}
	v := w.stored(p)
	v.MD5 = p.MD5
	in, _, err := w.state.Open(ctx, v)
	if err == nil {
		_, err = io.Copy(io.Discard, in)
		_ = in.Close() // only read
	}
	if _, other := errors.AsType[*backend.ChangedError](err); other {
		return nil, refused
	}
	if err != nil {
		return nil, w.failed(backend.Ambiguous, "GitLab has a version with this serial, which cannot be read", errors.Join(refused, err))
	}
	return w.stored(p), nil
}
