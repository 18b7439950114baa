package tfe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"tfhaul/backend"
	"tfhaul/lockwait"
	"tfhaul/plainwords"
)

// maxInline is the size in bytes up to which a state is sent inside the POST by default,
// which saves one request. Larger states are sent to the signed URL, which avoids the body
// limits of proxies.
const maxInline = 4 << 20

// uploadAttempts is how often to upload the bytes of an announced state version.
const uploadAttempts = 3

// Values of backend.Write's Mode.
const (
	ModeInline = "inline" // in the POST, in base64
	ModeSigned = "signed" // to the signed upload URL
)

// A writer locks a workspace and writes to it, for one move.
type writer struct {
	target *Target
	// workspace is as read before locking.
	workspace *Workspace
	backend.WriterOptions

	seen     *backend.Standing
	lastName string
	granted  bool
	// awaiting is the announced state version whose bytes have not arrived. While there is
	// one, the server does not unlock the workspace.
	awaiting *StateVersion
	removed  bool // the workspace is gone, and its lock with it
	notes    []string
}

// Writer implements backend.Target.
func (t *Target) Writer(s *backend.Standing, o backend.WriterOptions) backend.Writer {
	w := &writer{target: t, workspace: t.workspaceOf(s), WriterOptions: o}
	if o.Inherited {
		w.seen = s
	}
	return w
}

func (w *writer) LastName() string        { return w.lastName }
func (w *writer) Seen() *backend.Standing { return w.seen }
func (w *writer) LostRequests() int       { return w.Lost }
func (w *writer) Granted() bool           { return w.granted }
func (w *writer) Notes() []string         { return w.notes }

// Lock tries once to take the lock. An interrupt ends the wait for the rate limit, but not
// a request that was sent: canceling it would not undo it, and the lock could become ours
// just after we looked.
func (w *writer) Lock(ctx context.Context, sending lockwait.Sending) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	interrupted := ctx
	ctx, cancel := backend.Landing(backend.WithStop(ctx, backend.Stop{Interrupted: ctx, Unsent: true}))
	defer cancel()
	locked, err := w.target.Lock(backend.WithSending(ctx, sending), w.workspace, w.Reason)
	if err == nil && locked.Holder.ReasonKnown && locked.Holder.Reason != w.Reason {
		// For example, a response to an earlier request, replayed by something on the way.
		err = &Error{Op: "lock workspace " + w.workspace.String(), Code: backend.Ambiguous, Err: fmt.Errorf("the response shows the lock of %s", locked.Holder)}
	}
	if err == nil {
		w.seen, w.granted = &locked.Standing, true
		return nil
	}
	switch backend.CodeOf(err) {
	case backend.LockedByOther:
		return fmt.Errorf("%w: %w", lockwait.ErrHeld, err)
	case backend.Ambiguous:
		if w.Lost++; w.OnLost != nil {
			w.OnLost()
		}
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	if interrupted.Err() != nil && errors.Is(err, context.Canceled) {
		return interrupted.Err() // before anything was sent
	}
	return err
}

// Holder reads who holds the lock. It is ours if it has our reason. On servers that do not
// return reasons, it is ours if its holder is the token's own account and the workspace was
// unlocked just before we requested the lock.
func (w *writer) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	if w.removed { // with the workspace, its lock is gone
		return lockwait.Holder{Name: "this haul", Reason: w.Reason, Ours: true}, sending(ctx)
	}
	asking := backend.WithSending(ctx, sending)
	now, err := backend.Retry(ctx, w.target.Down, func() (*Workspace, error) {
		return w.target.WorkspaceByID(asking, w.workspace.Organization, w.workspace.ID)
	})
	if err != nil && w.Impatient && w.target.Down() {
		return lockwait.Holder{}, fmt.Errorf("%w: %w", lockwait.ErrGone, err)
	}
	if err != nil {
		return lockwait.Holder{}, askAgain(err)
	}
	if w.lastName = now.Name; !now.Locked {
		return lockwait.Holder{}, nil
	}
	h := lockwait.Holder{Name: now.Holder.String(), Reason: now.Holder.Reason}
	switch {
	case w.Run != "":
		h.Ours = now.Holder.Kind == "run" && now.Holder.ID == w.Run
		h.Other = !h.Ours
	case now.Holder.ReasonKnown:
		h.Ours = now.Holder.Reason == w.Reason
		h.Other = !h.Ours
	case now.Holder.Kind == "run":
		h.Other = true
	case now.Holder.Kind == "user":
		me, err := w.target.Identity(ctx)
		if err != nil {
			return lockwait.Holder{}, askAgain(err)
		}
		h.Ours = me.ID == now.Holder.ID && !w.workspace.Locked
		h.Other = me.ID != now.Holder.ID
	}
	if h.Ours {
		w.seen = &now.Standing
	}
	return h, nil
}

// askAgain marks the failure of a read that may be repeated.
func askAgain(err error) error {
	if code := backend.CodeOf(err); code == backend.Ambiguous || code == backend.Unreachable {
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	return err
}

// Unlock releases the lock once. It accepts that the lock is not ours only if reading the
// workspace confirms it: a lock forgotten by mistake stays until an administrator
// force-unlocks it.
func (w *writer) Unlock(ctx context.Context, sending lockwait.Sending) error {
	if w.removed {
		return sending(ctx)
	}
	_, err := w.target.Unlock(backend.WithSending(ctx, sending), w.workspace)
	switch backend.CodeOf(err) {
	case backend.StillPending:
		if w.awaiting != nil {
			return w.stuck(err)
		}
		return fmt.Errorf("%w: %w", lockwait.ErrPending, err)
	case backend.NotLocked, backend.LockedByOther:
		free := func(context.Context) error { return nil }
		if holder, asked := w.Holder(ctx, free); asked != nil || holder.Ours {
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		}
		return fmt.Errorf("%w: %w", lockwait.ErrNotHeld, err)
	case backend.Ambiguous, backend.Unreachable:
		if w.Impatient && w.target.Down() {
			return fmt.Errorf("%w: %w", lockwait.ErrGone, err)
		}
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	return err
}

// stuck returns the error for a workspace that cannot be unlocked because an announced
// state version awaits its bytes. It says who can unlock it.
func (w *writer) stuck(err error) error {
	return &backend.Error{Code: backend.Stuck, Err: err, Message: fmt.Sprintf(
		"The workspace stays locked: the server does not unlock it while %s awaits its bytes. "+
			"An administrator of the workspace can free it with Force unlock (Settings, Locking) or POST /api/v2/workspaces/%s/actions/force-unlock.", w.awaiting.ID, w.workspace.ID)}
}

// Write sends the state in the preferred way, or in the other way if the server or
// something before it does not accept the first.
func (w *writer) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	sv, err := w.write(backend.WithSending(ctx, p.Sending), &p)
	return versionOf(sv, err)
}

func (w *writer) write(ctx context.Context, p *backend.Write) (*StateVersion, error) {
	if p.Mode == ModeInline {
		return w.inline(ctx, p)
	}
	if p.Mode != ModeSigned && p.Size <= maxInline {
		sv, err := w.inline(ctx, p)
		if backend.CodeOf(err) != TooLarge {
			return sv, err
		}
		tooLarge := err
		sv, err = w.signed(ctx, p)
		if blocked, ok := errors.AsType[*uploadError](err); ok {
			blocked.inline = tooLarge
		}
		return sv, err
	}
	sv, err := w.signed(ctx, p)
	blocked, isBlocked := errors.AsType[*uploadError](err)
	switch {
	case isBlocked && ctx.Err() == nil:
		return w.afterBlockedUpload(ctx, p, blocked)
	case backend.CodeOf(err) == NoSignedUpload && p.Mode != ModeSigned:
		return w.inline(ctx, p)
	}
	return sv, err
}

// afterBlockedUpload sends inline what could not be uploaded, even with ModeSigned: the
// server does not unlock a workspace while an announced state version awaits its bytes, and
// only another state version replaces it.
func (w *writer) afterBlockedUpload(ctx context.Context, p *backend.Write, blocked *uploadError) (*StateVersion, error) {
	sv, err := w.inline(ctx, p)
	switch {
	case err == nil:
		w.awaiting = nil
		if p.Mode == ModeSigned {
			w.notes = append(w.notes, fmt.Sprintf("The signed upload failed (%v), so the state was sent inside the request; otherwise the workspace could not be unlocked.", blocked.error))
		}
	case backend.CodeOf(err) == TooLarge:
		blocked.inline = err
		return nil, blocked
	}
	return sv, err
}

// inline sends the state in one request. An interrupt ends the reading of the state, and
// without its last bytes the request has no effect. Once the request has all bytes, inline
// waits for the response, because canceling the request would not undo it.
func (w *writer) inline(ctx context.Context, p *backend.Write) (*StateVersion, error) {
	landed, cancel := backend.Landing(ctx)
	defer cancel()
	return w.target.CreateInline(landed, w.workspace, w.attributes(p), body(ctx, p))
}

// signed announces the state version and uploads its bytes. An announced state version
// prevents the unlock until its bytes arrive. So the upload is repeated, after checking
// whether the bytes did arrive, and an interrupt does not end it.
func (w *writer) signed(ctx context.Context, p *backend.Write) (*StateVersion, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	sv, err := w.target.Announce(ctx, w.workspace, w.attributes(p))
	if p.Answered != nil {
		p.Answered()
	}
	if err != nil || !sv.Announced {
		return sv, err
	}
	w.awaiting = sv
	for attempt := 1; ; attempt++ {
		err := w.target.Upload(ctx, sv, body(ctx, p))
		if err == nil {
			w.awaiting = nil
			return sv, nil
		}
		if _, ours := errors.AsType[*backend.SourceError](err); ours || ctx.Err() != nil {
			return nil, err
		}
		now, asked := backend.Retry(ctx, w.target.Down, func() (*StateVersion, error) { return w.target.StateVersion(ctx, sv.ID) })
		if asked == nil && !now.Pending && !now.Discarded() {
			w.awaiting = nil
			return now, nil
		}
		if attempt == uploadAttempts {
			return nil, &uploadError{error: err}
		}
	}
}

func (w *writer) attributes(p *backend.Write) Attributes {
	return Attributes{Serial: p.Serial, Lineage: p.Lineage, MD5: p.MD5, Force: p.Force, Run: w.Associate}
}

// body returns the body of a request with the state, which ends early when ctx ends.
func body(ctx context.Context, p *backend.Write) Body {
	open := func(requested context.Context) (io.ReadCloser, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		body, err := p.Open(requested)
		if err != nil {
			return nil, err
		}
		return &endable{body, ctx}, nil
	}
	return Body{Open: open, Size: p.Size, MD5: p.MD5}
}

// An endable body returns an error once its context has ended.
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

// An uploadError is returned when the bytes of an announced state version could not be sent
// to their signed URL, whose host is often not the API's.
type uploadError struct {
	error
	inline error // why they could not be sent inside the request either; nil if that was not tried
}

func (e *uploadError) Unwrap() error { return e.error }

// As converts it to a *backend.Error that says what to do.
func (e *uploadError) As(target any) bool {
	as, ok := target.(**backend.Error)
	if !ok {
		return false
	}
	message := "The server provided a URL for the state, but the upload failed: " + plainwords.Sentence(e.error.Error())
	if e.inline != nil {
		message += " Sending the state inside the request failed, too: " + plainwords.Sentence(e.inline.Error())
	}
	message += " Nothing was stored. Allow PUT requests to that URL (proxy, firewall)"
	if e.inline != nil {
		message += ", or raise the limit for request bodies on the way to the API"
	}
	*as = &backend.Error{Code: backend.CodeOf(e.error), Message: message + "."}
	if answer, ok := errors.AsType[*Error](e.error); ok {
		(*as).Answer = strings.TrimPrefix(answer.Error(), answer.Op+": ")
	}
	return true
}
