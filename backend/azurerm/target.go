package azurerm

import (
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"

	"tfhaul/backend"
)

// A target is a container, or what is below a prefix in it, whose blobs are states.
type target struct {
	*container

	mu     sync.Mutex
	exists bool // the container does
}

func (t *target) Traits() backend.Traits { return traits }

func (t *target) Host() string { return t.host() }

func (t *target) Container() string { return t.url.container + "/" + t.url.key }

func (t *target) Address(name string) string { return t.url.name(t.url.key + name) }

// Down implements backend.Target.
func (t *target) Down() bool { return t.wire.Down() }

// Close does nothing: targets share connections, which end when they are idle.
func (t *target) Close() {}

// List returns nil: a listing does not show who holds a lock.
func (t *target) List(context.Context) iter.Seq2[*backend.Standing, error] { return nil }

// blob returns the state at key.
func (t *target) blob(key string) *blob { return newBlob(t.container, key) }

// Look implements backend.Target. A state exists for every name.
func (t *target) Look(ctx context.Context, name string) (*backend.Standing, error) {
	return t.LookByID(ctx, t.url.key+name)
}

// LookByID implements backend.Target. The ID of a state is its key.
func (t *target) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	b := t.blob(id)
	lock, now, err := b.readLock(ctx)
	if err == nil && now == nil {
		err = t.requireContainer(ctx)
	}
	if err != nil {
		return nil, err
	}
	s := t.standing(b, now)
	if lock != nil {
		s.Locked, s.Holder = true, lock.Standing()
	}
	return s, nil
}

// standing returns what is stored, without the lock.
func (t *target) standing(b *blob, now *properties) *backend.Standing {
	s := &backend.Standing{ID: b.key, Name: strings.TrimPrefix(b.key, t.url.key), CanRead: true, CanWrite: true, CanLock: true, Current: backend.Ref{Known: true}}
	if now.holdsState() {
		s.Current.ID = b.id(now)
	}
	return s
}

// holdsState reports whether a state is stored. An empty blob counts as no state, because a
// lock creates one.
func (p *properties) holdsState() bool { return p != nil && p.size > 0 }

// requireContainer returns an error if the container does not exist. Not every server
// distinguishes that from a missing blob.
func (t *target) requireContainer(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.exists {
		return nil
	}
	r := request{doing: "access", address: t.url.name(""), needs: mayList}
	err := t.list(ctx, r, "", "", func(string, *entry) bool { return false })
	if backend.CodeOf(err) == backend.AccessDenied { // the blob can still be written
		err = nil
	}
	t.exists = err == nil
	return err
}

// Current implements backend.Target.
func (t *target) Current(ctx context.Context, s *backend.Standing) (*backend.Version, error) {
	b := t.blob(s.ID)
	now, err := b.stat(ctx, selection{})
	if err == nil && now == nil {
		err = t.requireContainer(ctx)
	}
	if err != nil || !now.holdsState() {
		return nil, err
	}
	return b.version(now), nil
}

// Version implements backend.Target.
func (t *target) Version(ctx context.Context, id string) (*backend.Version, error) {
	key, err := keyOfID(id)
	if err != nil {
		return nil, err
	}
	b := t.blob(key)
	now, err := b.stat(ctx, selection{})
	switch {
	case err != nil:
		return nil, err
	case now != nil && b.id(now) == id:
		return b.version(now), nil
	}
	all, err := b.versions(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if b.id(p) == id {
			return b.version(p), nil
		}
	}
	return nil, &backend.Error{Address: b.address, Code: backend.NoState, Message: fmt.Sprintf("the version %s was replaced, and the storage account did not keep it", id)}
}

// Versions implements backend.Target. Without versions and snapshots, there is the current one.
func (t *target) Versions(ctx context.Context, s *backend.Standing) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		for v, err := range t.blob(s.ID).Versions(ctx) {
			if err == nil && v.Size == 0 {
				continue
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// Read implements backend.Target.
func (t *target) Read(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	key, err := keyOfID(v.ID)
	if err != nil {
		return nil, err
	}
	in, _, err := t.blob(key).openVersion(ctx, v)
	if err != nil {
		return nil, err
	}
	return in, nil
}

// Writer implements backend.Target.
func (t *target) Writer(s *backend.Standing, o backend.WriterOptions) backend.Writer {
	w := &writer{target: t, state: t.blob(s.ID), name: s.Name, WriterOptions: o, heir: o.Inherited || o.Lost > 0}
	if o.Inherited {
		w.seen = s
	}
	return w
}

// GetObject implements backend.Objects.
func (t *target) GetObject(ctx context.Context, name string) (io.ReadCloser, *backend.Version, error) {
	b := t.blob(t.url.key + name)
	in, p, err := b.download(ctx, selection{})
	if err != nil {
		return nil, nil, err
	}
	return in, b.version(p), nil
}

// PutObject implements backend.Objects. No lock belongs to it.
func (t *target) PutObject(ctx context.Context, name string, o backend.Object) (*backend.Version, error) {
	w := &writer{target: t, state: t.blob(t.url.key + name), name: name}
	p := &backend.Write{Was: o.Was, MD5: o.MD5, Size: o.Size, Open: o.Open, Sending: func(context.Context) error { return nil }}
	var now *properties
	if o.Was != nil {
		var err error
		if now, err = w.state.stat(ctx, selection{}); err != nil {
			return nil, err
		}
		if now == nil || w.state.id(now) != o.Was.ID {
			return nil, w.failed(backend.Changed, "another program wrote it meanwhile; nothing was stored", nil)
		}
	}
	return w.store(ctx, p, now)
}

// RemoveObject implements backend.Objects. Where the account keeps versions, the version stays.
func (t *target) RemoveObject(ctx context.Context, name string) error {
	b := t.blob(t.url.key + name)
	r := request{doing: "remove", address: b.address, needs: mayErase}
	err := t.remove(ctx, r, b.key, "", "")
	if backend.CodeOf(err) == backend.NoState {
		return nil
	}
	return err
}

func md5Of(text []byte) []byte {
	sum := md5.Sum(text)
	return sum[:]
}
