package kubernetes

import (
	"context"
	"fmt"
	"io"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// state is a state in a namespace.
type state struct {
	cluster *cluster
	at      *location
	address string
	place   backend.Place
	listed  parts // of the search that found it, without content; nil if it was named directly
}

func newState(c *cluster, at, searched *location) *state {
	return &state{cluster: c, at: at, address: at.String(), place: placeOf(at, searched)}
}

func (s *state) Address() string        { return s.address }
func (s *state) Place() backend.Place   { return s.place }
func (s *state) Traits() backend.Traits { return traits }

// Server returns the API server.
func (s *state) Server() string { return s.cluster.base.String() }

// Aliases returns the address without parameters.
func (s *state) Aliases() []string { return []string{s.at.path()} }

// Listed implements backend.Listed.
func (s *state) Listed() *backend.Version {
	if s.listed[0] == nil {
		return nil
	}
	return version(s.at, s.listed, 0)
}

// version returns the version of a state that consists of these parts.
func version(l *location, all parts, size int64) *backend.Version {
	v := &backend.Version{ID: all.id(l), Size: size}
	for _, part := range all {
		if t := part.Metadata.written(); t.After(v.Created) {
			v.Created = t
		}
	}
	return v
}

func (s *state) request(doing string) request {
	return request{doing: doing, address: s.address, namespace: s.at.namespace}
}

// find lists the parts of the state as they are at one moment.
func (s *state) find(ctx context.Context, doing string, whole bool) (parts, error) {
	found, err := s.cluster.list(ctx, s.request(doing), s.at.selector(), whole)
	if err != nil {
		return nil, err
	}
	all, why := sortParts(s.at, found)
	if why != "" {
		return nil, s.failed(backend.Failed, doing, why)
	}
	return all, nil
}

func (s *state) failed(code backend.Code, doing, why string) error {
	return &backend.Error{Address: s.address, Code: code, Answer: why, Message: fmt.Sprintf("cannot %s %q: %s", doing, s.address, why)}
}

// A state whose parts do not belong together is read again while another program writes them:
// maxTorn times, with tornPause in between, and as long as they change.
const (
	maxTorn   = 6
	tornPause = 500 * time.Millisecond
)

// load reads the whole state; its content is nil if nothing is stored. One listing is of one moment.
// Because Terraform writes the parts one after the other, that moment may be in between.
func (s *state) load(ctx context.Context, doing string) (parts, *packed, error) {
	before := ""
	for attempt := 1; ; attempt++ {
		all, err := s.find(ctx, doing, true)
		if err != nil {
			return nil, nil, err
		}
		p, why := unpack(all)
		if why == "" {
			return all, p, nil
		}
		if id := all.id(s.at); attempt == maxTorn || id == before {
			return all, nil, s.torn(doing, why)
		} else {
			before = id
		}
		if err := lockwait.Sleep(ctx, tornPause); err != nil {
			return nil, nil, err
		}
	}
}

// torn returns the error for a state that cannot be read.
func (s *state) torn(doing, why string) error {
	err := s.failed(backend.Failed, doing, fmt.Sprintf("%s. If no program is writing it, a write was interrupted: restore it from a backup, after deleting it with: %s delete secret --namespace %s --selector %s",
		why, s.cluster.kubectl, s.at.namespace, s.at.selector())).(*backend.Error)
	err.Err = errTorn
	return err
}

// Open implements backend.State.
func (s *state) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	var pins map[int]string
	if v != nil {
		name, was, err := parseVersionID(v.ID)
		if err != nil || name != s.at.name() {
			return nil, backend.Version{}, fmt.Errorf("not a version of this state: %q", v.ID)
		}
		pins = was
	}
	in, now, err := s.open(ctx, pins)
	if err != nil {
		return nil, backend.Version{}, err
	}
	if v != nil {
		now.MD5 = v.MD5
	}
	return in, *now, nil
}

// open reads the state if it still has these pins, or whatever it holds if they are nil.
func (s *state) open(ctx context.Context, pins map[int]string) (io.ReadCloser, *backend.Version, error) {
	all, p, err := s.load(ctx, "read")
	if pins != nil && all != nil {
		if changed := s.compare(all, pins); changed != nil {
			return nil, nil, changed
		}
	}
	switch {
	case err != nil:
		return nil, nil, err
	case p == nil && pins != nil:
		return nil, nil, &backend.ChangedError{Address: s.address, Gone: true}
	case p == nil:
		return nil, nil, s.missing(ctx)
	}
	in, err := p.open()
	if err != nil {
		return nil, nil, err
	}
	return in, version(s.at, all, p.size), nil
}

// missing returns the error for a state that does not exist.
func (s *state) missing(context.Context) error {
	why := fmt.Sprintf("the namespace %s has no state of the workspace %s with the suffix %s. To list the states: tfhaul audit %s", s.at.namespace, s.at.workspace, s.at.suffix, s.at.in("", "").path())
	return s.failed(backend.NoState, "read", why)
}

// compare returns a *backend.ChangedError unless the parts have these pins.
func (s *state) compare(now parts, pins map[int]string) error {
	id := versionID(s.at, pins)
	switch {
	case now.id(s.at) == id:
		return nil
	case now[0] == nil:
		return &backend.ChangedError{Address: s.address, Gone: true}
	}
	return &backend.ChangedError{Address: s.address, How: fmt.Sprintf("it is %q, and was %q", now.id(s.at), id)}
}

// Check implements backend.State.
func (s *state) Check(ctx context.Context, v backend.Version) error {
	_, pins, err := parseVersionID(v.ID)
	if err != nil {
		return err
	}
	now, err := s.find(ctx, "access", false)
	if err != nil {
		return err
	}
	return s.compare(now, pins)
}
