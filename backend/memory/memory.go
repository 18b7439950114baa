// Package memory keeps states in memory, for tests and rehearsals. It is the smallest kind of backend that
// can be both source and target, and shows what a new kind takes: this package and a line
// in command/kinds.go.
package memory

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// Scheme is the scheme of addresses of this kind.
const Scheme = "memory"

var traits = backend.Traits{
	Noun: "entry", Pins: backend.PinsAnyVersion, Locks: backend.LocksDurable, Writes: backend.WritesCondition,
}

// A Store holds states by name. It is safe for concurrent use.
type Store struct {
	// KeepsOne makes the store keep only the current version of a state and report no
	// serials, as a directory does.
	KeepsOne bool

	mu     sync.Mutex
	states map[string]*state
}

// New returns an empty store.
func New() *Store { return &Store{states: map[string]*state{}} }

// A state holds the versions of one state, oldest first, and its lock.
type state struct {
	versions []stored
	removed  bool
	keepsOne bool
	lock     string // the holder's reason; "" if unlocked
}

type stored struct {
	text    []byte
	serial  int64
	written time.Time
}

// Put stores a state's next version as another writer would; nil removes the state.
func (s *Store) Put(name string, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.at(name)
	if at.removed = text == nil; !at.removed {
		at.versions = append(at.versions, stored{text: bytes.Clone(text), written: time.Now()})
	}
}

// ForceLock gives a state's lock to another holder, even if it is held; "" unlocks it.
func (s *Store) ForceLock(name, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at(name).lock = reason
}

// LockReason returns the reason of a state's lock; "" if it is not locked.
func (s *Store) LockReason(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at(name).lock
}

// Forget removes a state and all its versions.
func (s *Store) Forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.states, name)
}

// at returns the state with this name, creating it on the first call. The caller holds the
// mutex.
func (s *Store) at(name string) *state {
	if s.states[name] == nil {
		s.states[name] = &state{keepsOne: s.KeepsOne}
	}
	return s.states[name]
}

// Kind returns a kind whose only backend is the store. memory://NAME is the address of a
// state, and memory://PREFIX/ that of a search.
func (s *Store) Kind() backend.Kind {
	return backend.Kind{Name: "memory", Scheme: Scheme, Example: "memory://NAME", Traits: traits,
		Open: func(_ context.Context, address string) (backend.Backend, error) {
			return &place{s, nameIn(address)}, nil
		},
		Target: &backend.TargetRole{
			State: "memory://NAME", Container: "memory://PREFIX/",
			SplitState: func(address string) (container, name string, err error) {
				dir, base := path.Split(nameIn(address))
				if base == "" {
					return "", "", fmt.Errorf("%q does not name a state: write memory://NAME", address)
				}
				return Scheme + "://" + dir, base, nil
			},
			CheckContainer: func(address string) error {
				if name := nameIn(address); name != "" && !strings.HasSuffix(name, "/") {
					return fmt.Errorf("%q names one state: write memory://PREFIX/", address)
				}
				return nil
			},
			CheckName: func(string) error { return nil },
			Layout: func(_, at, workspace string) string {
				if workspace == backend.DefaultWorkspace {
					return at
				}
				return path.Join("env:", workspace, at)
			},
			Open: func(_ context.Context, container string) (backend.Target, error) {
				return s.Target(nameIn(container)), nil
			},
		},
	}
}

func nameIn(address string) string {
	_, name, _ := strings.Cut(address, "://")
	return name
}

// A place is the state, or the prefix of states, that an address names.
type place struct {
	store *Store
	name  string
}

// States implements backend.Backend.
func (p *place) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if p.name != "" && !strings.HasSuffix(p.name, "/") {
		return &backend.Listing{States: []backend.State{p.state(p.name)}}, nil
	}
	l := &backend.Listing{}
	searched := map[string]bool{".": true}
	for _, name := range p.store.names() {
		key, below := strings.CutPrefix(name, p.name)
		if !below || !p.enters(path.Dir(key), f, searched, l) {
			continue
		}
		take, skip := f.File(key)
		switch {
		case skip != nil:
			skip.Name = Scheme + "://" + name
			l.Skipped = append(l.Skipped, *skip)
		case take:
			l.States = append(l.States, p.state(name))
		}
	}
	l.Sort()
	if len(l.States) == 0 {
		return l, f.Nothing(Scheme+"://"+p.name, l)
	}
	return l, nil
}

// enters reports whether to search the directory dir: neither it nor a parent is excluded.
func (p *place) enters(dir string, f backend.Filter, known map[string]bool, l *backend.Listing) bool {
	if enter, ok := known[dir]; ok {
		return enter
	}
	enter := p.enters(path.Dir(dir), f, known, l)
	if enter {
		var skip *backend.Skip
		if enter, skip = f.Directory(dir); skip != nil {
			skip.Name = Scheme + "://" + p.name + dir + "/"
			l.Skipped = append(l.Skipped, *skip)
		}
	}
	known[dir] = enter
	return enter
}

func (p *place) state(name string) backend.State {
	key := strings.TrimPrefix(name, p.name)
	if key == "" {
		key = name
	}
	return &source{store: p.store, name: name, key: key}
}

// names returns the names of all states that have a version.
func (s *Store) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.states))
	return slices.DeleteFunc(names, func(n string) bool { return s.states[n].removed || len(s.states[n].versions) == 0 })
}

// A source is a state for reading.
type source struct {
	store     *Store
	name, key string
}

func (s *source) Address() string        { return Scheme + "://" + s.name }
func (s *source) Traits() backend.Traits { return traits }

// Place implements backend.State.
func (s *source) Place() backend.Place {
	dir, base := path.Split(s.key)
	return backend.Place{Dir: strings.TrimSuffix(dir, "/"), Base: strings.TrimSuffix(base, backend.StateExt), Key: s.key, Workspace: backend.DefaultWorkspace}
}

// Open implements backend.State.
func (s *source) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, backend.Version{}, err
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	at := s.store.at(s.name)
	if v != nil {
		text, err := at.text(v.ID)
		return io.NopCloser(bytes.NewReader(text)), *v, err
	}
	now := at.current(s.name)
	if now == nil {
		return nil, backend.Version{}, &backend.Error{Address: s.Address(), Code: backend.NoState, Message: fmt.Sprintf("the state %q does not exist", s.Address())}
	}
	return io.NopCloser(bytes.NewReader(at.versions[len(at.versions)-1].text)), *now, nil
}

// Check implements backend.State.
func (s *source) Check(ctx context.Context, v backend.Version) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	switch now := s.store.at(s.name).current(s.name); {
	case ctx.Err() != nil:
		return ctx.Err()
	case now == nil:
		return &backend.ChangedError{Address: s.Address(), Gone: true}
	case now.ID != v.ID:
		return &backend.ChangedError{Address: s.Address(), How: fmt.Sprintf("version %s, was %s", now.ID, v.ID)}
	}
	return nil
}

// Holder implements backend.State. It reports another program's lock, stored beside the
// state.
func (s *source) Holder(ctx context.Context) (*backend.Lock, error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if lock := s.store.at(s.name).lock; lock != "" {
		return &backend.Lock{Info: lock, Path: s.Address()}, ctx.Err()
	}
	beside := s.store.states[s.name+".tflock"]
	if beside == nil || len(beside.versions) == 0 {
		return nil, ctx.Err()
	}
	lock := &backend.Lock{Path: s.Address() + ".tflock"}
	lock.Describe(beside.versions[len(beside.versions)-1].text)
	return lock, ctx.Err()
}

// current returns the current version, or nil without one.
func (s *state) current(name string) *backend.Version {
	if s.removed || len(s.versions) == 0 {
		return nil
	}
	return s.version(name, len(s.versions))
}

// version returns the version with this number, counted from 1.
func (s *state) version(name string, n int) *backend.Version {
	v := s.versions[n-1]
	sum := md5.Sum(v.text)
	serial := v.serial
	if s.keepsOne {
		serial = 0
	}
	return &backend.Version{ID: name + "@" + strconv.Itoa(n), Serial: serial, Size: int64(len(v.text)), Kept: !s.keepsOne, MD5: hex.EncodeToString(sum[:]), Created: v.written}
}

// text returns the bytes of a version.
func (s *state) text(id string) ([]byte, error) {
	n, err := strconv.Atoi(id[strings.LastIndexByte(id, '@')+1:])
	if err != nil || n < 1 || n > len(s.versions) || s.keepsOne && n < len(s.versions) {
		return nil, fmt.Errorf("the version %q does not exist", id)
	}
	return s.versions[n-1].text, nil
}

// Target returns the states below a prefix, "" or ending in a slash, as a target.
func (s *Store) Target(prefix string) backend.Target { return &target{s, prefix} }

type target struct {
	*Store
	prefix string
}

func (t *target) Traits() backend.Traits { return traits }
func (t *target) Host() string           { return Scheme + ":" }
func (t *target) Container() string      { return t.prefix }
func (t *target) Close()                 {}
func (t *target) Down() bool             { return false }

func (t *target) Address(name string) string { return Scheme + "://" + t.prefix + name }

// List implements backend.Target.
func (t *target) List(ctx context.Context) iter.Seq2[*backend.Standing, error] {
	return func(yield func(*backend.Standing, error) bool) {
		for _, full := range t.names() {
			name, below := strings.CutPrefix(full, t.prefix)
			if below && !yield(t.Look(ctx, name)) {
				return
			}
		}
	}
}

// Look implements backend.Target. A state exists for every name.
func (t *target) Look(ctx context.Context, name string) (*backend.Standing, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	full := t.prefix + name
	at := t.at(full)
	s := &backend.Standing{
		ID: full, Name: name, CanRead: true, CanWrite: true, CanLock: true, Current: backend.Ref{Known: true},
		Locked: at.lock != "", Holder: backend.Holder{Reason: at.lock, ReasonKnown: true},
	}
	if v := at.current(full); v != nil {
		s.Current.ID = v.ID
	}
	return s, ctx.Err()
}

func (t *target) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	return t.Look(ctx, strings.TrimPrefix(id, t.prefix))
}

// Current implements backend.Target.
func (t *target) Current(ctx context.Context, s *backend.Standing) (*backend.Version, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at(s.ID).current(s.ID), ctx.Err()
}

// Version implements backend.Target.
func (t *target) Version(ctx context.Context, id string) (*backend.Version, error) {
	name := id[:max(0, strings.LastIndexByte(id, '@'))]
	for v, err := range t.Versions(ctx, &backend.Standing{ID: name}) {
		if err != nil || v.ID == id {
			return v, err
		}
	}
	return nil, &backend.Error{Code: backend.ForbiddenOrMissing, Message: fmt.Sprintf("the version %q does not exist", id)}
}

// Versions implements backend.Target.
func (t *target) Versions(ctx context.Context, s *backend.Standing) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		t.mu.Lock()
		at := t.at(s.ID)
		var all []*backend.Version
		for n := len(at.versions); n > 0; n-- {
			if all = append(all, at.version(s.ID, n)); at.keepsOne {
				break
			}
		}
		t.mu.Unlock()
		for _, v := range all {
			if !yield(v, ctx.Err()) {
				return
			}
		}
	}
}

// Read implements backend.Target.
func (t *target) Read(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text, err := t.at(v.ID[:max(0, strings.LastIndexByte(v.ID, '@'))]).text(v.ID)
	return io.NopCloser(bytes.NewReader(text)), errors.Join(err, ctx.Err())
}

// Writer implements backend.Target.
func (t *target) Writer(s *backend.Standing, o backend.WriterOptions) backend.Writer {
	w := &writer{target: t, name: s.Name, id: s.ID, reason: o.Reason}
	if o.Inherited {
		w.seen = s
	}
	return w
}

type writer struct {
	target           *target
	name, id, reason string
	seen             *backend.Standing
	granted          bool
}

func (w *writer) Seen() *backend.Standing { return w.seen }
func (w *writer) LastName() string        { return w.name }
func (w *writer) LostRequests() int       { return 0 }
func (w *writer) Granted() bool           { return w.granted }
func (w *writer) Notes() []string         { return nil }

// Lock implements lockwait.Locker.
func (w *writer) Lock(ctx context.Context, sending lockwait.Sending) error {
	if err := sending(ctx); err != nil {
		return err
	}
	w.target.mu.Lock()
	at := w.target.at(w.id)
	if at.lock != "" {
		defer w.target.mu.Unlock()
		return lockwait.ErrHeld
	}
	at.lock = w.reason
	w.target.mu.Unlock()
	w.granted = true
	var err error
	w.seen, err = w.target.Look(context.WithoutCancel(ctx), w.name)
	return err
}

// Holder implements lockwait.Locker.
func (w *writer) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	if err := sending(ctx); err != nil {
		return lockwait.Holder{}, err
	}
	w.target.mu.Lock()
	defer w.target.mu.Unlock()
	lock := w.target.at(w.id).lock
	if lock == "" {
		return lockwait.Holder{}, nil
	}
	return lockwait.Holder{Name: "the holder of " + w.name, Reason: lock, Ours: lock == w.reason, Other: lock != w.reason}, nil
}

// Unlock implements lockwait.Locker.
func (w *writer) Unlock(ctx context.Context, sending lockwait.Sending) error {
	if err := sending(ctx); err != nil {
		return err
	}
	w.target.mu.Lock()
	defer w.target.mu.Unlock()
	at := w.target.at(w.id)
	if at.lock != w.reason {
		return lockwait.ErrNotHeld
	}
	at.lock = ""
	return nil
}

// Write implements backend.Writer.
func (w *writer) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	body, err := p.Open(ctx)
	if err != nil {
		return nil, &backend.SourceError{Err: err}
	}
	text, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, &backend.SourceError{Err: err}
	}
	if sum := md5.Sum(text); hex.EncodeToString(sum[:]) != p.MD5 {
		return nil, &backend.SourceError{Changed: true}
	}
	return w.store(ctx, p, func(*state) (stored, error) {
		return stored{text: text, serial: p.Serial}, nil
	})
}

// Restore implements backend.Restorer.
func (w *writer) Restore(ctx context.Context, p backend.Write, id string) (*backend.Version, error) {
	return w.store(ctx, p, func(at *state) (stored, error) {
		text, err := at.text(id)
		if err != nil {
			return stored{}, &backend.Error{Code: backend.Unsupported, Message: err.Error()}
		}
		return stored{text: text, serial: p.Serial}, nil
	})
}

// store adds the version that next returns.
func (w *writer) store(ctx context.Context, p backend.Write, next func(*state) (stored, error)) (*backend.Version, error) {
	if err := p.Sending(ctx); err != nil {
		return nil, err
	}
	w.target.mu.Lock()
	defer w.target.mu.Unlock()
	at := w.target.at(w.id)
	if err := w.checkWrite(at, p); err != nil {
		return nil, err
	}
	version, err := next(at)
	if err != nil {
		return nil, err
	}
	version.written = time.Now()
	at.removed = false
	at.versions = append(at.versions, version)
	return at.current(w.id), nil
}

// checkWrite checks that the lock is held and that the state is the one that was read. The
// caller holds the mutex.
func (w *writer) checkWrite(at *state, p backend.Write) error {
	if at.lock != w.reason {
		return &backend.Error{Code: backend.NotLocked, Message: fmt.Sprintf("%s is not locked by this haul", w.name)}
	}
	if now := at.current(w.id); (now == nil) != (p.Was == nil) || now != nil && now.ID != p.Was.ID {
		return &backend.Error{Code: backend.Changed, Message: fmt.Sprintf("%s holds another version", w.name)}
	}
	return nil
}

// CheckRemoval implements backend.Remover.
func (w *writer) CheckRemoval(ctx context.Context) error { return ctx.Err() }

// Remove implements backend.Remover.
func (w *writer) Remove(ctx context.Context, p backend.Write) error {
	if err := p.Sending(ctx); err != nil {
		return err
	}
	w.target.mu.Lock()
	defer w.target.mu.Unlock()
	at := w.target.at(w.id)
	if err := w.checkWrite(at, p); err != nil {
		return err
	}
	at.removed = true
	return nil
}
