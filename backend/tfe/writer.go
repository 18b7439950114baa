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

// maxInline is the size in bytes up to which a state travels inside the POST when the user
// leaves it open: one request less to wait for. Larger ones go to the signed URL, past the
// body limits of proxies.
const maxInline = 4 << 20

// uploadAttempts is how often the bytes of an announced state version are uploaded.
const uploadAttempts = 3

// The ways in which a state travels, as backend.Write's Mode.
const (
	ModeInline = "inline" // in the POST, in base64
	ModeSigned = "signed" // to the signed upload URL
)

// A writer locks a workspace and writes to it, for one move.
type writer struct {
	target *Target
	// workspace as it was read before locking.
	workspace *Workspace
	backend.WriterOptions

	seen     *backend.Standing
	lastName string
	granted  bool
	// awaiting is the state version that was announced and whose bytes have not arrived: as
	// long as there is one, the server does not unlock the workspace.
	awaiting *StateVersion
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

func (w *writer) name() string { return w.workspace.Organization + "/" + w.workspace.Name }

// Lock asks for the lock once. An interrupt ends the wait for the rate limit, but not a
// request that was sent: giving it up would not take it back, and the lock could be ours a
// moment after we looked.
func (w *writer) Lock(ctx context.Context, sending lockwait.Sending) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	interrupted := ctx
	ctx, cancel := backend.Landing(backend.WithStop(ctx, backend.Stop{Interrupted: ctx, Unsent: true}))
	defer cancel()
	locked, err := w.target.Lock(backend.WithSending(ctx, sending), w.workspace, w.Reason)
	if err == nil && locked.Holder.ReasonKnown && locked.Holder.Reason != w.Reason {
		// Such as the answer to an earlier request, which something on the way repeats.
		err = &Error{Op: "lock workspace " + w.name(), Code: Ambiguous, Err: fmt.Errorf("the answer shows the lock of %s", locked.Holder)}
	}
	if err == nil {
		w.seen, w.granted = locked.standing(), true
		return nil
	}
	switch CodeOf(err) {
	case LockedByOther:
		return fmt.Errorf("%w: %w", lockwait.ErrHeld, err)
	case Ambiguous:
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

// Holder reads who holds the lock. It is us when the lock carries our reason; on servers
// that do not repeat reasons, when it is the token's own identity and the workspace was
// free just before we asked for its lock.
func (w *writer) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
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
		w.seen = now.standing()
	}
	return h, nil
}

// askAgain marks the failure of a question that may be asked again.
func askAgain(err error) error {
	if code := CodeOf(err); code == Ambiguous || code == Unreachable {
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	return err
}

// Unlock releases the lock once. That the lock is not ours is believed only when reading
// the workspace says so, too: a lock that is forgotten by mistake stays until an
// administrator forces it.
func (w *writer) Unlock(ctx context.Context, sending lockwait.Sending) error {
	err := w.target.Unlock(backend.WithSending(ctx, sending), w.workspace)
	switch CodeOf(err) {
	case StillPending:
		if w.awaiting != nil {
			return w.stuck(err)
		}
		return fmt.Errorf("%w: %w", lockwait.ErrPending, err)
	case NotLocked, LockedByOther:
		free := func(context.Context) error { return nil }
		if holder, asked := w.Holder(ctx, free); asked != nil || holder.Ours {
			return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
		}
		return fmt.Errorf("%w: %w", lockwait.ErrNotHeld, err)
	case Ambiguous, Unreachable:
		if w.Impatient && w.target.Down() {
			return fmt.Errorf("%w: %w", lockwait.ErrGone, err)
		}
		return fmt.Errorf("%w: %w", lockwait.ErrUnsure, err)
	}
	return err
}

// stuck is the error of a workspace that cannot be unlocked because the state version that
// was announced awaits its bytes, with who can unlock it.
func (w *writer) stuck(err error) error {
	return &backend.Error{Code: backend.Stuck, Err: err, Message: fmt.Sprintf(
		"The workspace stays locked: the server does not unlock it while %s awaits its bytes. "+
			"An administrator of the workspace frees it with Force unlock (Settings, Locking) or POST /api/v2/workspaces/%s/actions/force-unlock.", w.awaiting.ID, w.workspace.ID)}
}

// Write sends the state in the way that fits, or in the other one where the server or
// something before it does not take the first.
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
		if CodeOf(err) != TooLarge {
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
	case CodeOf(err) == NoSignedUpload && p.Mode != ModeSigned:
		return w.inline(ctx, p)
	}
	return sv, err
}

// afterBlockedUpload sends inline what could not be uploaded, also with ModeSigned: the
// server does not unlock a workspace while an announced state version awaits its bytes,
// and only another state version supersedes it.
func (w *writer) afterBlockedUpload(ctx context.Context, p *backend.Write, blocked *uploadError) (*StateVersion, error) {
	sv, err := w.inline(ctx, p)
	switch {
	case err == nil:
		w.awaiting = nil
		if p.Mode == ModeSigned {
			w.notes = append(w.notes, fmt.Sprintf("The signed upload failed (%v), so the state was sent inside the request: else the workspace could not have been unlocked.", blocked.error))
		}
	case CodeOf(err) == TooLarge:
		blocked.inline = err
		return nil, blocked
	}
	return sv, err
}

// inline sends the state in one request. An interrupt ends the reading of the state,
// without the last bytes of which the request has no effect; once it has all of them its
// reply is waited for, because to give the request up then would not take it back.
func (w *writer) inline(ctx context.Context, p *backend.Write) (*StateVersion, error) {
	landed, cancel := backend.Landing(ctx)
	defer cancel()
	return w.target.CreateInline(landed, w.workspace, w.attributes(p), body(ctx, p))
}

// signed announces the state version and uploads its bytes. An announced state version
// blocks the unlock until its bytes arrive, so the upload is tried again, after asking
// whether it did not arrive after all. For the same reason an interrupt does not end it.
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
	if err != nil || !sv.AwaitsUpload() {
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
		if asked == nil && !now.Pending() && !now.Discarded() {
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

// body is what is written as a request's body, which breaks off when ctx ends.
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

// An uploadError says that the bytes of an announced state version could not be brought to
// their signed URL, whose host is often another than the API's.
type uploadError struct {
	error
	inline error // why they could not be sent inside the request either; nil where that was not tried
}

func (e *uploadError) Unwrap() error { return e.error }

// As makes a *backend.Error of it that says what can be done.
func (e *uploadError) As(target any) bool {
	as, ok := target.(**backend.Error)
	if !ok {
		return false
	}
	message := "The server announced an address for the state, but the upload to it failed: " + plainwords.Sentence(e.error.Error())
	if e.inline != nil {
		message += " Sending the state inside the request failed, too: " + plainwords.Sentence(e.inline.Error())
	}
	message += " Nothing was stored. Let PUT requests to that address pass (proxy, firewall)"
	if e.inline != nil {
		message += ", or raise the limit for request bodies on the way to the API"
	}
	*as = &backend.Error{Code: CodeOf(e.error), Message: message + "."}
	if answer, ok := errors.AsType[*Error](e.error); ok {
		(*as).Answer = strings.TrimPrefix(answer.Error(), answer.Op+": ")
	}
	return true
}
