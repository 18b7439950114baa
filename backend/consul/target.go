package consul

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"

	"tfhaul/backend"
)

// A target is a prefix below which keys are states.
type target struct {
	server *server
	at     *location // of the prefix

	mu       sync.Mutex
	sessions map[*session]bool // that hold, or may hold, a lock
}

func (t *target) Traits() backend.Traits     { return traits }
func (t *target) Host() string               { return t.server.host }
func (t *target) Container() string          { return t.at.key }
func (t *target) Address(name string) string { return t.at.at(t.at.key + name).String() }

// Down implements backend.Target.
func (t *target) Down() bool { return t.server.wire.Down() }

// Close ends all sessions, so that no lock outlives the target by more than a moment.
func (t *target) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.sessions {
		_ = s.close() // it expires anyway
	}
	clear(t.sessions)
}

// List returns nil: a listing does not show who holds a lock.
func (t *target) List(context.Context) iter.Seq2[*backend.Standing, error] { return nil }

// state returns the state at key.
func (t *target) state(key string) *state { return newState(t.server, t.at, key) }

// Look implements backend.Target. A state exists for every name.
func (t *target) Look(ctx context.Context, name string) (*backend.Standing, error) {
	return t.LookByID(ctx, t.at.key+name)
}

// LookByID implements backend.Target. The ID of a state is its key.
func (t *target) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	o := t.state(id)
	s, err := t.standing(ctx, o)
	if err != nil {
		return nil, err
	}
	held, err := o.readLock(ctx)
	if err != nil {
		return nil, err
	}
	if held != nil {
		s.Locked, s.Holder = true, held.lock.Standing()
	}
	return s, nil
}

// standing returns what is stored, without the lock.
func (t *target) standing(ctx context.Context, o *state) (*backend.Standing, error) {
	now, err := o.value(ctx, o.request("access"))
	if err != nil {
		return nil, err
	}
	s := &backend.Standing{ID: o.at.key, Name: strings.TrimPrefix(o.at.key, t.at.key), CanRead: true, CanWrite: true, CanLock: true, Current: backend.Ref{Known: true}}
	if now != nil {
		s.Current.ID = versionID(now.key, now.index)
	}
	return s, nil
}

// Current implements backend.Target.
func (t *target) Current(ctx context.Context, s *backend.Standing) (*backend.Version, error) {
	o := t.state(s.ID)
	now, err := o.value(ctx, o.request("access"))
	if now == nil || err != nil {
		return nil, err
	}
	return now.version(), nil
}

// Version implements backend.Target.
func (t *target) Version(ctx context.Context, id string) (*backend.Version, error) {
	key, index, err := parseVersionID(id)
	if err != nil {
		return nil, err
	}
	o := t.state(key)
	now, err := o.value(ctx, o.request("access"))
	switch {
	case err != nil:
		return nil, err
	case now == nil || now.index != index:
		return nil, &backend.Error{Address: o.address, Code: backend.NoState, Message: fmt.Sprintf("the version %s was replaced, and Consul keeps no older ones", id)}
	}
	return now.version(), nil
}

// Versions implements backend.Target. There is only the current one.
func (t *target) Versions(ctx context.Context, s *backend.Standing) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		if v, err := t.Current(ctx, s); v != nil || err != nil {
			yield(v, err)
		}
	}
}

// Read implements backend.Target.
func (t *target) Read(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	key, index, err := parseVersionID(v.ID)
	if err != nil {
		return nil, err
	}
	b, err := t.state(key).open(ctx, index)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Writer implements backend.Target.
func (t *target) Writer(s *backend.Standing, o backend.WriterOptions) backend.Writer {
	return &writer{target: t, state: t.state(s.ID), name: s.Name, WriterOptions: o}
}

// keep remembers a session, and forget forgets it.
func (t *target) keep(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sessions[s] = true
}

func (t *target) forget(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sessions, s)
}
