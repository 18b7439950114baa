package http

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"tfhaul/backend"
)

// A latch is our lock of a state. Its ID is made of its reason and the address of the lock, so
// that every process of a haul recognizes the lock that an earlier one has left: a server does
// not have to return the reason, and GitLab returns that of the request instead.
//
// The protocol shows the holder of a lock only to those who request it. So the latch has a
// second ID, of a probe: while the lock is held, a request with that ID is refused and shows
// the holder. If the probe is granted, the lock was free, and the probe is released again.
type latch struct {
	state *state
	info  *backend.LockInfo // ours
	probe *backend.LockInfo
	// silent means that refusals do not say who holds the lock, as far as is known.
	silent bool
}

func (s *state) newLatch(r backend.LockRequest) *latch {
	l := &latch{state: s, info: backend.NewLockInfo(r, ""), probe: backend.NewLockInfo(r, "")}
	l.info.ID, l.probe.ID = s.lockID(r.Info, "lock"), s.lockID(r.Info, "probe")
	return l
}

// lockID returns the ID of our lock with a reason, in the form of a UUID.
func (s *state) lockID(reason, use string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"tfhaul", s.lock.String(), reason, use}, "\x00")))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // version 8, of no particular making
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (s *state) lockRequest(doing, method string, at *url.URL, info *backend.LockInfo) request {
	text := info.Marshal()
	return request{doing: doing, address: s.address, writes: true, method: method, url: at, body: bytesOf(text), size: int64(len(text)), md5: md5Of(text)}
}

// errLockHeld is returned when another lock is held. The error of the request is behind it.
var errLockHeld = errors.New("the state is locked")

// ask sends a lock request once. It returns the lock that there is now, if the server says so,
// and errLockHeld if it is not the requested one.
func (l *latch) ask(ctx context.Context, info *backend.LockInfo) (*backend.Lock, error) {
	r := l.state.lockRequest("lock", l.state.lockMethod, l.state.lock, info)
	_, text, err := l.state.server.ask(ctx, r)
	switch {
	case err == nil:
		granted := l.describe(text)
		if granted.ID != "" && granted.ID != info.ID { // such as a response to another request, replayed
			return nil, l.state.server.explain(ctx, r, &lostAnswer{errors.New("the response shows another lock than the requested one")})
		}
		return granted, nil
	case !isHeld(err):
		return nil, err
	}
	a, _ := answerOf(err)
	return l.describe(a.text), errLockHeld
}

// describe reads the description of a lock in a response. What GitLab says about the purpose of
// a lock is that of the request.
func (l *latch) describe(text []byte) *backend.Lock {
	lock := &backend.Lock{Path: l.state.lock.String()}
	if !json.Valid(text) {
		return lock // not all servers describe it
	}
	lock.Describe(text)
	if l.state.project != nil && lock.ID != l.info.ID {
		lock.Operation, lock.Info = "", ""
	}
	return lock
}

// take requests the lock once. It returns nil if the lock is ours, or who holds it.
func (l *latch) take(ctx context.Context) (*backend.Lock, error) {
	for attempt := 0; ; attempt++ {
		lock, err := l.ask(ctx, l.info)
		switch {
		case err == nil:
			return nil, l.confirm(ctx)
		case !errors.Is(err, errLockHeld):
			return nil, err
		case lock.ID == l.info.ID: // from a request whose response was lost, or an earlier process
			return nil, nil
		case lock.ID == l.probe.ID && attempt == 0: // which an earlier process has left
			if err := l.free(ctx, l.probe); err != nil {
				return nil, err
			}
		default:
			return lock, nil
		}
	}
}

// confirm checks that a lock that was granted is one: a server that grants two at a time has no
// locks. GitLab is known to have them.
func (l *latch) confirm(ctx context.Context) error {
	if l.state.project != nil {
		return nil
	}
	lock, err := l.ask(ctx, l.probe)
	switch {
	case errors.Is(err, errLockHeld):
		l.silent = lock.ID == ""
		return nil
	case err != nil && !mayHaveHappened(err):
		l.silent = true // it refuses in its own way
		return nil
	case err != nil:
		return err
	}
	failed := errors.Join(l.free(ctx, l.probe), l.free(ctx, l.info))
	why := "its server grants a lock to two processes at a time, so its locks protect nothing: check the lock-address and the lock-method"
	return errors.Join(&backend.Error{Address: l.state.address, Code: backend.Failed, Answer: why, Message: fmt.Sprintf("cannot lock %q: %s", l.state.address, why)}, failed)
}

// free sends a request to release a lock of ours.
func (l *latch) free(ctx context.Context, info *backend.LockInfo) error {
	s := l.state
	at := s.unlock
	if s.project != nil {
		// GitLab releases any lock if no ID arrives, and some proxies drop the body of a DELETE.
		u := *at
		u.RawQuery = url.Values{"ID": {info.ID}}.Encode()
		at = &u
	}
	_, _, err := s.server.ask(ctx, s.lockRequest("unlock", s.unlockMethod, at, info))
	return err
}

// holder finds out who holds the lock. It returns nil if nobody does. ours is false for a lock
// whose holder the server does not name, which has no ID.
func (l *latch) holder(ctx context.Context) (lock *backend.Lock, ours bool, err error) {
	lock, err = l.ask(ctx, l.probe)
	switch {
	case errors.Is(err, errLockHeld) && lock.ID == l.probe.ID, err == nil:
		return nil, false, l.free(context.WithoutCancel(ctx), l.probe)
	case errors.Is(err, errLockHeld):
		if lock.ID == l.info.ID {
			return l.ours(), true, nil
		}
		return lock, false, nil
	}
	return nil, false, err
}

// ours describes our lock.
func (l *latch) ours() *backend.Lock {
	return &backend.Lock{ID: l.info.ID, Who: l.info.Who, Operation: l.info.Operation, Info: l.info.Info, Created: l.info.Created, Path: l.state.lock.String()}
}

// A lockable state has an address for its lock.
type lockable struct{ *state }

// lockCleanup is how long TakeLock tries to find out what became of its lock.
const lockCleanup = 30 * time.Second

// TakeLock implements backend.Lockable.
func (s lockable) TakeLock(ctx context.Context, r backend.LockRequest) (backend.Lease, error) {
	l := s.newLatch(r)
	other, err := l.take(ctx)
	switch {
	case err == nil && other == nil:
	case err == nil:
		return nil, &backend.LockedError{Address: s.address, Lock: *other}
	case !mayHaveHappened(err):
		return nil, err
	default:
		// Find out whose lock it is, even after an interrupt.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockCleanup)
		defer cancel()
		now, ours, unread := l.holder(after)
		switch {
		case unread == nil && ours && ctx.Err() == nil:
		case unread == nil && ours:
			if left := l.free(after, l.info); left != nil {
				return nil, s.left(l, left)
			}
			return nil, err
		case unread == nil && now == nil:
			return nil, err
		case unread == nil && now.ID != "":
			return nil, &backend.LockedError{Address: s.address, Lock: *now}
		default:
			return nil, s.left(l, err)
		}
	}
	s.mu.Lock()
	s.held = l
	s.mu.Unlock()
	return &lease{l}, nil
}

func (s *state) left(l *latch, err error) error {
	return &backend.LockLeftError{Address: s.address, Lift: l.lift(), Err: err}
}

// FreeLock implements backend.Lockable.
func (s lockable) FreeLock(ctx context.Context, id string) error {
	l := s.newLatch(backend.LockRequest{Operation: backend.MigrateOperation})
	l.info.ID = id
	err := l.release(ctx)
	if lost, ok := errors.AsType[*backend.LockLostError](err); ok && lost.Lock == nil {
		return nil
	}
	return err
}

// release releases our lock. It returns a *backend.LockLostError if it was not ours.
func (l *latch) release(ctx context.Context) error {
	err := l.free(ctx, l.info)
	if err == nil || !isHeld(err) && !mayHaveHappened(err) {
		return err
	}
	now, ours, unread := l.holder(ctx)
	switch {
	case unread != nil:
		return errors.Join(err, unread)
	case ours:
		return err
	case now == nil && !isHeld(err):
		return nil // the request took effect
	}
	return &backend.LockLostError{Address: l.state.address, Lock: now}
}

// lift returns the command that removes the lock by hand.
func (l *latch) lift() string { return l.ours().Lift() }

// lease is a lock that we hold on a source.
type lease struct{ latch *latch }

func (l *lease) Lock() backend.Lock { return *l.latch.ours() }

// Release implements backend.Lease.
func (l *lease) Release(ctx context.Context) error {
	err := l.latch.release(ctx)
	if err != nil && !backend.IsLockLost(err) {
		return l.latch.state.left(l.latch, err)
	}
	l.forget()
	return err
}

func (l *lease) forget() {
	s := l.latch.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = nil
}

// Leave implements backend.Lease.
func (l *lease) Leave() string {
	return fmt.Sprintf("The lock %s was left on %q: it stops every terraform that would write there. To remove it: terraform force-unlock %[1]s in the old configuration.", l.latch.info.ID, l.latch.state.address)
}
