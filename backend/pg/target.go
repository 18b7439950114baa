package pg

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"

	"tfhaul/backend"
)

// A target is a schema whose workspaces are states.
type target struct {
	database *database
	at       *location // of the schema
}

func (t *target) Traits() backend.Traits { return traits }

// Host returns the server, without the user.
func (t *target) Host() string { return t.at.host }

// Container returns the database and the schema.
func (t *target) Container() string { return t.at.database + "/" + t.at.schema }

func (t *target) Address(name string) string { return t.at.in(name).String() }

// Down implements backend.Target.
func (t *target) Down() bool { return t.database.wire.Down() }

// Close ends idle connections. Targets in the same database share them and can open others.
func (t *target) Close() { t.database.pool.SetMaxIdleConns(-1) }

// List returns nil: looking at each state is as cheap.
func (t *target) List(context.Context) iter.Seq2[*backend.Standing, error] { return nil }

// Look implements backend.Target. A state exists for every name, if the table exists.
func (t *target) Look(ctx context.Context, name string) (*backend.Standing, error) {
	f, err := t.database.look(ctx, t.at.in(name))
	if backend.CodeOf(err) == backend.NoContainer {
		return nil, t.withoutTable(err)
	}
	if err != nil {
		return nil, err
	}
	s := &backend.Standing{ID: name, Name: name, CanRead: true, CanWrite: f.canWrite, CanLock: true, Current: backend.Ref{Known: true}}
	if f.pin != nil {
		s.Current.ID = f.pin.id(name)
	}
	if h := f.holder; h != nil {
		s.Locked = true
		s.Holder = backend.Holder{Kind: "user", ID: strconv.Itoa(h.process), Name: fmt.Sprintf("%s (PostgreSQL session %d)", h.name(), h.process), Reason: h.program, ReasonKnown: true}
	}
	return s, nil
}

// LookByID implements backend.Target. The ID of a state is its name.
func (t *target) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	return t.Look(ctx, id)
}

// Current implements backend.Target.
func (t *target) Current(ctx context.Context, s *backend.Standing) (*backend.Version, error) {
	f, err := t.database.look(ctx, t.at.in(s.ID))
	if err != nil || f.pin == nil {
		return nil, err
	}
	return f.pin.version(s.ID), nil
}

// Version implements backend.Target.
func (t *target) Version(ctx context.Context, id string) (*backend.Version, error) {
	name, was, err := parseID(id)
	if err != nil {
		return nil, err
	}
	f, err := t.database.look(ctx, t.at.in(name))
	if err != nil {
		return nil, err
	}
	if f.pin == nil || *f.pin != was {
		return nil, &backend.Error{Address: t.Address(name), Code: backend.NoState, Message: fmt.Sprintf("the version %s was replaced, and PostgreSQL keeps no older ones", id)}
	}
	return was.version(name), nil
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
	name, was, err := parseID(v.ID)
	if err != nil {
		return nil, err
	}
	in, _, err := (&row{t.database, t.at.in(name)}).open(ctx, &was)
	return in, err
}

// Writer implements backend.Target.
func (t *target) Writer(s *backend.Standing, o backend.WriterOptions) backend.Writer {
	return &writer{target: t, at: t.at.in(s.ID), name: s.Name, WriterOptions: o}
}
