package gcs

import (
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"tfhaul/backend"
)

// A target is a bucket, or what is below a prefix of it, whose objects are states.
type target struct {
	*bucket

	mu         sync.Mutex
	versioning *bool // whether the bucket keeps versions; nil until known
	deletes    bool  // the server compares the condition of a delete
	exists     bool  // the bucket does
}

func (t *target) Traits() backend.Traits { return traits }

func (t *target) Host() string { return t.host() }

func (t *target) Container() string { return t.url.bucket + "/" + t.url.key }

func (t *target) Address(name string) string { return t.url.name(t.url.key + name) }

// Down implements backend.Target.
func (t *target) Down() bool { return t.wire.Down() }

// Close does nothing: targets share connections, which end when they are idle.
func (t *target) Close() {}

// List returns nil: a listing does not show who holds a lock.
func (t *target) List(context.Context) iter.Seq2[*backend.Standing, error] { return nil }

// object returns the state at key.
func (t *target) object(key string) *object { return newObject(t.bucket, key) }

// Look implements backend.Target. A state exists for every name.
func (t *target) Look(ctx context.Context, name string) (*backend.Standing, error) {
	return t.LookByID(ctx, t.url.key+name)
}

// LookByID implements backend.Target. The ID of a state is its key.
func (t *target) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	o := t.object(id)
	s, _, err := t.standing(ctx, o)
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
func (t *target) standing(ctx context.Context, o *object) (*backend.Standing, *metadata, error) {
	m, err := t.stored(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	s := &backend.Standing{ID: o.key, Name: strings.TrimPrefix(o.key, t.url.key), CanRead: true, CanWrite: true, CanLock: true, Current: backend.Ref{Known: true}}
	if m != nil {
		s.Current.ID = versionID(o.key, m.Generation)
	}
	return s, m, nil
}

// stored returns what is stored, or nil if nothing is.
func (t *target) stored(ctx context.Context, o *object) (*metadata, error) {
	m, err := t.stat(ctx, o.request("access"), o.key, 0)
	if err == nil && m == nil {
		err = t.requireBucket(ctx)
	}
	return m, err
}

// requireBucket returns an error if the bucket does not exist. Not every server distinguishes
// that from a missing object.
func (t *target) requireBucket(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.exists {
		return nil
	}
	r := request{doing: "access", address: t.url.name(""), action: "storage.objects.list"}
	err := t.list(ctx, r, url.Values{"maxResults": {"1"}}, func([]*metadata) bool { return false })
	if backend.CodeOf(err) == backend.AccessDenied { // the object can still be written
		err = nil
	}
	t.exists = err == nil
	return err
}

// version returns a version of the object at key.
func (t *target) version(ctx context.Context, key string, m *metadata) (*backend.Version, error) {
	v := m.version(key)
	var err error
	v.Kept, err = t.keepsVersions(ctx)
	return v, err
}

// keepsVersions reports whether the bucket's versioning is enabled. If that is unknown,
// because the credentials may not read the bucket's settings, it does not count as keeping
// versions.
func (t *target) keepsVersions(ctx context.Context) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.versioning != nil {
		return *t.versioning, nil
	}
	r := request{doing: "read the versioning of", address: t.url.name(""), action: "storage.buckets.get",
		method: http.MethodGet, path: "/b/" + t.url.bucket, query: url.Values{"fields": {"versioning"}}}
	var answer struct {
		Versioning struct {
			Enabled bool `json:"enabled"`
		} `json:"versioning"`
	}
	err := t.ask(ctx, r, &answer)
	if err != nil && backend.CodeOf(err) != backend.AccessDenied {
		return false, err
	}
	enabled := err == nil && answer.Versioning.Enabled
	t.versioning = &enabled
	return enabled, nil
}

// Current implements backend.Target.
func (t *target) Current(ctx context.Context, s *backend.Standing) (*backend.Version, error) {
	m, err := t.stored(ctx, t.object(s.ID))
	if m == nil || err != nil {
		return nil, err
	}
	return t.version(ctx, s.ID, m)
}

// Version implements backend.Target.
func (t *target) Version(ctx context.Context, id string) (*backend.Version, error) {
	key, generation, err := parseVersionID(id)
	if err != nil {
		return nil, err
	}
	o := t.object(key)
	m, err := t.stat(ctx, o.request("access"), key, generation)
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return nil, &backend.Error{Address: o.address, Code: backend.NoState, Message: fmt.Sprintf("the version %s was replaced, and the bucket did not keep it", id)}
	}
	return t.version(ctx, key, m)
}

// Versions implements backend.Target. A bucket without versioning has the current one.
func (t *target) Versions(ctx context.Context, s *backend.Standing) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		all, err := t.versions(ctx, t.object(s.ID))
		if err != nil {
			yield(nil, err)
			return
		}
		for _, m := range all {
			if v, err := t.version(ctx, s.ID, m); !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// Read implements backend.Target.
func (t *target) Read(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	key, generation, err := parseVersionID(v.ID)
	if err != nil {
		return nil, err
	}
	o := t.object(key)
	in, _, err := o.open(ctx, generation)
	if backend.CodeOf(err) == backend.NoState {
		return nil, o.changed(ctx, generation)
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

// Writer implements backend.Target.
func (t *target) Writer(s *backend.Standing, o backend.WriterOptions) backend.Writer {
	w := &writer{target: t, state: t.object(s.ID), name: s.Name, WriterOptions: o, heir: o.Inherited || o.Lost > 0}
	if o.Inherited {
		w.seen = s
	}
	return w
}

// GetObject implements backend.Objects.
func (t *target) GetObject(ctx context.Context, name string) (io.ReadCloser, *backend.Version, error) {
	key := t.url.key + name
	in, m, err := t.object(key).open(ctx, 0)
	if err != nil {
		return nil, nil, err
	}
	return in, m.version(key), nil
}

// PutObject implements backend.Objects. No lock belongs to it.
func (t *target) PutObject(ctx context.Context, name string, o backend.Object) (*backend.Version, error) {
	w := &writer{target: t, state: t.object(t.url.key + name), name: name}
	return w.store(ctx, &backend.Write{Was: o.Was, MD5: o.MD5, Size: o.Size, Open: o.Open, Sending: func(context.Context) error { return nil }})
}

// RemoveObject implements backend.Objects. In a versioned bucket the version stays.
func (t *target) RemoveObject(ctx context.Context, name string) error {
	o := t.object(t.url.key + name)
	r := o.request("remove")
	r.action, r.method, r.path = "storage.objects.delete", http.MethodDelete, t.objectPath(o.key)
	err := t.ask(ctx, r, nil)
	if backend.CodeOf(err) == backend.NoState {
		return nil
	}
	return err
}

func md5Of(text []byte) []byte {
	sum := md5.Sum(text)
	return sum[:]
}
