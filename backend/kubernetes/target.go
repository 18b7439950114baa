package kubernetes

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"

	"tfhaul/backend"
)

// A target is a namespace whose states are named SUFFIX/WORKSPACE.
type target struct {
	cluster *cluster
	at      *location // of the namespace
}

func (t *target) Traits() backend.Traits { return traits }

// Host returns the API server.
func (t *target) Host() string { return t.cluster.host() }

// Container returns the namespace.
func (t *target) Container() string { return t.at.namespace }

func (t *target) Address(name string) string {
	suffix, workspace, _ := strings.Cut(name, "/")
	return t.at.in(suffix, workspace).String()
}

// Down implements backend.Target.
func (t *target) Down() bool { return t.cluster.wire.Down() }

// Close does nothing: targets share connections, which end when they are idle.
func (t *target) Close() {}

// List returns nil: a listing of Secrets shows neither their locks nor whether they hold a state.
func (t *target) List(context.Context) iter.Seq2[*backend.Standing, error] { return nil }

// state returns the state with this name.
func (t *target) state(name string) (*state, error) {
	suffix, workspace, _ := strings.Cut(name, "/")
	if suffix == "" || workspace == "" {
		return nil, fmt.Errorf("the name %q is not SUFFIX/WORKSPACE", name)
	}
	if err := checkParts(suffix, workspace); err != nil {
		return nil, fmt.Errorf("the target %w", err)
	}
	at := t.at.in(suffix, workspace)
	return newState(t.cluster, at, at), nil
}

// Look implements backend.Target. A state exists for every name.
func (t *target) Look(ctx context.Context, name string) (*backend.Standing, error) {
	s, err := t.state(name)
	if err != nil {
		return nil, err
	}
	standing, err := s.standing(ctx)
	if err != nil {
		return nil, err
	}
	o, err := s.readLease(ctx)
	if err != nil {
		return nil, err
	}
	if o.held() {
		standing.Locked, standing.Holder = true, s.lock(o).Standing()
	}
	return standing, nil
}

// LookByID implements backend.Target. The ID of a state is its name.
func (t *target) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	return t.Look(ctx, id)
}

// standing returns what is stored, without the lock.
func (s *state) standing(ctx context.Context) (*backend.Standing, error) {
	all, err := s.find(ctx, "access", true)
	if err != nil {
		return nil, err
	}
	standing := s.unknown()
	standing.Current.Known = true
	if all.holds() {
		standing.Current.ID = all.id(s.at)
	}
	return standing, nil
}

// unknown returns what is known of a state that has not been read.
func (s *state) unknown() *backend.Standing {
	return &backend.Standing{ID: s.at.name(), Name: s.at.name(), CanRead: true, CanWrite: true, CanLock: true}
}

// holds reports whether a state is stored: as for Terraform, a Secret without the state's key holds
// none.
func (p parts) holds() bool { return p[0] != nil && p[0].data != nil }

// Current implements backend.Target.
func (t *target) Current(ctx context.Context, standing *backend.Standing) (*backend.Version, error) {
	s, err := t.state(standing.ID)
	if err != nil {
		return nil, err
	}
	all, p, err := s.load(ctx, "read")
	if err != nil || p == nil {
		return nil, err
	}
	return version(s.at, all, p.size), nil
}

// Version implements backend.Target.
func (t *target) Version(ctx context.Context, id string) (*backend.Version, error) {
	name, pins, err := parseVersionID(id)
	if err != nil {
		return nil, err
	}
	s, err := t.state(name)
	if err != nil {
		return nil, err
	}
	all, p, err := s.load(ctx, "read")
	switch {
	case err != nil:
		return nil, err
	case p == nil || s.compare(all, pins) != nil:
		return nil, s.failed(backend.NoState, "read", fmt.Sprintf("the version %s was replaced, and Kubernetes keeps no older ones", id))
	}
	return version(s.at, all, p.size), nil
}

// Versions implements backend.Target. There is only the current one.
func (t *target) Versions(ctx context.Context, standing *backend.Standing) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		if v, err := t.Current(ctx, standing); v != nil || err != nil {
			yield(v, err)
		}
	}
}

// Read implements backend.Target.
func (t *target) Read(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	name, pins, err := parseVersionID(v.ID)
	if err != nil {
		return nil, err
	}
	s, err := t.state(name)
	if err != nil {
		return nil, err
	}
	in, _, err := s.open(ctx, pins)
	return in, err
}

// Writer implements backend.Target.
func (t *target) Writer(standing *backend.Standing, o backend.WriterOptions) backend.Writer {
	s, err := t.state(standing.ID)
	if err != nil {
		panic(err) // a standing is one of this target's
	}
	w := &writer{target: t, state: s, WriterOptions: o, heir: o.Inherited || o.Lost > 0, ours: map[int]string{}}
	if o.Inherited {
		w.seen = standing
	}
	return w
}
