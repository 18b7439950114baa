package tfe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tfhaul/backend"
)

// Servers opens organizations, and single workspaces, as sources and targets. All that are on
// one host share a client, and so its rate limit, which the server sets for the user.
type servers struct {
	connection       backend.Connection
	mu               sync.Mutex
	clients          map[string]*Client // by Address.Server
	rosters          map[string]*roster // by Address.Server and organization
	sources, targets map[string]bool    // the hosts of sources and targets, also of those that are not yet open
}

// newServers returns the servers of a connection.
func newServers(c backend.Connection) *servers {
	s := &servers{clients: map[string]*Client{}, rosters: map[string]*roster{}, sources: map[string]bool{}, targets: map[string]bool{}}
	doubts := c.Doubts
	c.Doubts = func(host string) string {
		if s.differ() {
			return "The sources and targets are on different hosts, so TFE_TOKEN and --token-file are not used: each token must be stored for its host"
		}
		if doubts == nil {
			return ""
		}
		return doubts(host)
	}
	s.connection = c
	return s
}

// differ reports whether sources, or sources and targets, are on different hosts. A token that
// is not stored for a host must then be sent to neither, because it is a secret of the other
// one.
func (s *servers) differ() bool {
	hosts := maps.Clone(s.sources)
	maps.Copy(hosts, s.targets)
	return len(s.sources) > 0 && len(hosts) > 1
}

// isTarget records the host of a target.
func (s *servers) isTarget(a Address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.targets[a.Host] = true
}

// sourceForm is the form of the address of a source, for messages.
const sourceForm = Scheme + "://[HOST/]ORG[/WORKSPACE]"

// parse parses the address of a source, tfe://[HOST/]ORG[/WORKSPACE]. The first part is a
// host if it contains a dot or a colon, or is localhost.
func (s *servers) parse(address string) (Address, error) {
	env := backend.Getenv(s.connection.Environ)
	if a, err := parsed(ParseOrganization, address, env); err == nil {
		return a, nil
	}
	a, err := parsed(ParseWorkspace, address, env)
	if bad, ok := errors.AsType[*AddressError](err); ok && bad.Origin == "" {
		bad.Origin, bad.Reason = "the source", strings.ReplaceAll(bad.Reason, workspaceForm, sourceForm)
	}
	return a, err
}

// open implements backend.Kind.
func (s *servers) open(_ context.Context, address string) (backend.Backend, error) {
	a, err := s.parse(address)
	if err != nil {
		return nil, err
	}
	s.isSource(a)
	return &organization{servers: s, address: a}, nil
}

// expect implements backend.Kind. Opening the source reports a mistake in its address.
func (s *servers) expect(address string) {
	if a, err := s.parse(address); err == nil {
		s.isSource(a)
	}
}

// isSource records the host of a source.
func (s *servers) isSource(a Address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources[a.Host] = true
}

// canonical implements backend.Kind, for sources and targets.
func (s *servers) canonical(address string) string {
	a, err := s.parse(address)
	if err != nil {
		return address
	}
	return strings.ToLower(a.String())
}

// connect returns the client for an address's host.
func (s *servers) connect(ctx context.Context, a Address) (*Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[a.Server()]; c != nil {
		return c, nil
	}
	c, err := Connect(ctx, a, s.connection)
	if err != nil {
		return nil, err
	}
	s.clients[a.Server()] = c
	return c, nil
}

// An organization whose workspaces are read, or only one of them.
type organization struct {
	*servers
	address Address

	requests atomic.Int32 // that the last listing took
}

// States implements backend.Backend. It lists 100 workspaces with each request.
func (o *organization) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	client, err := o.connect(ctx, o.address)
	if err != nil {
		return nil, err
	}
	if o.address.Workspace != "" {
		return o.one(ctx, client)
	}
	workspaces, err := o.list(ctx, client)
	if err != nil {
		return nil, err
	}
	listing := &backend.Listing{}
	for _, ws := range workspaces {
		if !f.TakesName(ws.Name) {
			continue
		}
		state := o.state(client, ws)
		state.lister = o
		switch {
		case ws.Current.Known && ws.Current.ID == "":
			listing.Skipped = append(listing.Skipped, backend.Skip{Name: state.address, Code: backend.SkipNoState, Reason: "has no state"})
		case !ws.CanRead:
			listing.Skipped = append(listing.Skipped, backend.Skip{Name: state.address, Code: backend.SkipNoPermission, Reason: "holds states that this token cannot read"})
		default:
			listing.States = append(listing.States, state)
		}
	}
	listing.Sort()
	if len(listing.States) == 0 {
		return listing, &backend.NoMatchError{Address: Scheme + "://" + o.address.String(), Include: f.Include, Exclude: f.Exclude, Skipped: len(listing.Skipped), Names: true}
	}
	return listing, nil
}

// one lists the one workspace that the address names.
func (o *organization) one(ctx context.Context, client *Client) (*backend.Listing, error) {
	ws, lister := o.rosterOf(o.address).find(ctx, client, o)
	if ws == nil {
		var err error
		ws, err = backend.Retry(ctx, client.Down, func() (*Workspace, error) {
			return client.sourceWorkspace(ctx, o.address.Organization, o.address.Workspace)
		})
		if err != nil {
			return nil, err
		}
	}
	state := o.state(client, ws)
	state.lister = lister
	switch {
	case !ws.CanRead:
		return nil, state.failed(backend.AccessDenied, "this token cannot read the states of the workspace "+ws.String()+": use a token with permission to read them")
	case ws.Current.Known && ws.Current.ID == "":
		return nil, state.noState()
	}
	return &backend.Listing{States: []backend.State{state}}, nil
}

func (o *organization) state(client *Client, ws *Workspace) *workspaceState {
	a := o.address
	a.Workspace = ws.Name
	return &workspaceState{client: client, address: Scheme + "://" + a.String(), organization: o.address.Organization,
		page: "https://" + a.Host + "/app/" + a.Organization + "/workspaces/" + ws.Name, seen: ws, at: time.Now()}
}

// A workspaceState is the state of a workspace that is read.
type workspaceState struct {
	client                *Client
	address, organization string
	page                  string        // of the workspace, for a browser
	lister                *organization // nil if the workspace was not found by a listing

	mu   sync.Mutex
	seen *Workspace // the last reading; never nil
	at   time.Time  // of that reading
}

// trustedFor is how long the listing is relied on, which saves a request for each workspace:
// for who holds the lock, and for which version is current. Check always asks.
const trustedFor = 5 * time.Minute

// Address implements backend.State.
func (s *workspaceState) Address() string { return s.address }

// Traits implements backend.State.
func (s *workspaceState) Traits() backend.Traits { return traits }

// Server implements backend.Served.
func (s *workspaceState) Server() string { return s.client.Host() }

// Aliases implements backend.Aliased.
func (s *workspaceState) Aliases() []string { return []string{WithoutScheme(s.address)} }

// Place implements backend.State.
func (s *workspaceState) Place() backend.Place {
	ws, _ := s.last()
	return backend.Place{Organization: s.organization, Project: ws.Project, Workspace: ws.Name, Key: ws.Name, Base: "terraform"}
}

// last returns the last reading, and whether it can still be relied on.
func (s *workspaceState) last() (ws *Workspace, recent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen, time.Since(s.at) < trustedFor
}

// saw records a reading.
func (s *workspaceState) saw(ws *Workspace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ws.Project == "" {
		ws.Project = s.seen.Project
	}
	s.seen, s.at = ws, time.Now()
}

// look reads the workspace again.
func (s *workspaceState) look(ctx context.Context) (*Workspace, error) {
	before, _ := s.last()
	ws, err := backend.Retry(ctx, s.client.Down, func() (*Workspace, error) {
		return s.client.sourceWorkspace(ctx, s.organization, before.Name)
	})
	if backend.CodeOf(err) == backend.ForbiddenOrMissing {
		return nil, &backend.ChangedError{Address: s.address, Gone: true}
	}
	if err != nil {
		return nil, err
	}
	if ws.ID != before.ID {
		return nil, &backend.ChangedError{Address: s.address, How: "another workspace has this name now"}
	}
	s.saw(ws)
	return ws, nil
}

// Open implements backend.State.
func (s *workspaceState) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	sv, err := s.version(ctx, v)
	if err != nil {
		return nil, backend.Version{}, err
	}
	body, err := s.download(ctx, sv)
	if e, ok := errors.AsType[*Error](err); ok && e.Status >= 400 && e.Status < 500 && e.Code != backend.RateLimited {
		// The download URL of a listing expires.
		if sv, err = s.stateVersion(ctx, sv.ID); err == nil {
			body, err = s.download(ctx, sv)
		}
	}
	if err != nil {
		return nil, backend.Version{}, s.explained(sv, err)
	}
	return body, sv.Version, nil
}

// version returns the state version to read: v, or the current one if v is nil.
func (s *workspaceState) version(ctx context.Context, v *backend.Version) (*StateVersion, error) {
	ws, recent := s.last()
	if v != nil {
		if ws.current != nil && ws.current.ID == v.ID {
			return ws.current, nil
		}
		if sv, ok := v.Detail.(*StateVersion); ok && sv.download != "" {
			return sv, nil
		}
		return s.stateVersion(ctx, v.ID)
	}
	if !recent {
		var err error
		if ws, err = s.look(ctx); err != nil {
			return nil, err
		}
	}
	if ws.current != nil {
		return ws.current, nil
	}
	return s.current(ctx, ws)
}

// current reads the current state version of a workspace whose reading did not include it.
func (s *workspaceState) current(ctx context.Context, ws *Workspace) (*StateVersion, error) {
	sv, err := backend.Retry(ctx, s.client.Down, func() (*StateVersion, error) { return s.client.Current(ctx, ws) })
	if err == nil && sv == nil {
		return nil, s.noState()
	}
	return sv, err
}

// stateVersion reads a state version by its ID.
func (s *workspaceState) stateVersion(ctx context.Context, id string) (*StateVersion, error) {
	sv, err := backend.Retry(ctx, s.client.Down, func() (*StateVersion, error) { return s.client.StateVersion(ctx, id) })
	if backend.CodeOf(err) == backend.ForbiddenOrMissing {
		return nil, &backend.ChangedError{Address: s.address, How: "the state version " + id + " can no longer be read"}
	}
	return sv, err
}

// download starts downloading a state version.
func (s *workspaceState) download(ctx context.Context, sv *StateVersion) (io.ReadCloser, error) {
	return backend.Retry(ctx, s.client.Down, func() (io.ReadCloser, error) { return s.client.Open(ctx, sv) })
}

// explained adds to the failure of a download what is known about the state version.
func (s *workspaceState) explained(sv *StateVersion, err error) error {
	ws, _ := s.last()
	switch {
	case sv == nil || backend.CodeOf(err) == "":
		return err
	case sv.Pending || sv.Announced:
		return s.failed(backend.Failed, fmt.Sprintf("the state version %s of %s is not complete: its bytes have not arrived, or are still being processed. "+
			"Wait until the workspace shows it as finalized", sv.ID, ws))
	case sv.Discarded():
		return s.failed(backend.Failed, fmt.Sprintf("the server has discarded the state version %s of %s because its bytes never arrived", sv.ID, ws))
	case ws.HYOK:
		return s.failed(backend.KeyDenied, fmt.Sprintf("the organization holds the encryption key of %s (HYOK), and its state cannot be downloaded from here: %v. "+
			"Run tfhaul where the organization's HYOK agent can be reached", ws, err))
	case sv.download == "":
		return s.failed(backend.Failed, fmt.Sprintf("the server offers no download of the state version %s of %s. If its data was deleted, an administrator can restore it "+
			"(restore_backing_data, until it is deleted permanently)", sv.ID, ws))
	}
	return err
}

// Check implements backend.State.
func (s *workspaceState) Check(ctx context.Context, v backend.Version) error {
	ws, err := s.look(ctx)
	if err != nil {
		return err
	}
	now := ws.Current.ID
	if !ws.Current.Known {
		sv, err := s.current(ctx, ws)
		if err != nil {
			return err
		}
		now = sv.ID
	}
	switch now {
	case v.ID:
		return nil
	case "":
		return &backend.ChangedError{Address: s.address, Gone: true}
	}
	return &backend.ChangedError{Address: s.address, How: fmt.Sprintf("its current state version is %s, was %s", now, v.ID)}
}

// Holder implements backend.State. A run in progress counts as a lock: it will write, or
// waits for a user who lets it write.
func (s *workspaceState) Holder(ctx context.Context) (*backend.Lock, error) {
	ws, recent := s.last()
	if !recent || s.lock(ws) != nil {
		var err error
		if ws, err = s.look(ctx); err != nil {
			return nil, err
		}
	}
	return s.lock(ws), nil
}

// lock returns what keeps others from reading a state that will last; nil if nothing does.
func (s *workspaceState) lock(ws *Workspace) *backend.Lock {
	run := ws.Run
	if ws.Holder.Kind == "run" && (run == nil || run.ID != ws.Holder.ID) {
		run = &backend.Run{ID: ws.Holder.ID}
	}
	switch {
	case run != nil && !run.Over:
		status := ""
		if run.Status != "" {
			status = ", " + strings.ReplaceAll(run.Status, "_", " ")
		}
		return &backend.Lock{Who: "run " + run.ID + status, Path: s.address,
			Removal: fmt.Sprintf("confirm, discard or cancel it at %s/runs/%s", s.page, run.ID)}
	case ws.Locked:
		who := ""
		if ws.Holder.Kind != "" {
			who = ws.Holder.String()
		}
		return &backend.Lock{ID: ws.Holder.Reason, Who: who, Info: ws.Holder.Reason, Path: s.address, Removal: s.removal(ws.Holder.Reason)}
	}
	return nil
}

// removal returns how to release a lock with this reason: with the command if a haul of
// tfhaul took it, otherwise by hand.
func (s *workspaceState) removal(reason string) string {
	if _, haul, ours := (&backend.Lock{Info: reason}).Move(); ours {
		return "tfhaul unlock " + strings.TrimPrefix(s.address, Scheme+"://") + " --haul " + haul
	}
	return "unlock the workspace at " + s.page
}

func (s *workspaceState) noState() error {
	return s.failed(backend.NoState, fmt.Sprintf("the workspace %s has no state", strings.TrimPrefix(s.address, Scheme+"://")))
}

func (s *workspaceState) failed(code backend.Code, message string) error {
	return &backend.Error{Address: s.address, Code: code, Message: message}
}

// A sourceLease is the lock of a workspace whose state is read.
type sourceLease struct {
	state *workspaceState
	lock  backend.Lock
	shown string // the current state version's ID in the response to the last lock or unlock request; "" if unknown
}

// Lock implements backend.Lease.
func (l *sourceLease) Lock() backend.Lock { return l.lock }

// Shows implements backend.Witness.
func (l *sourceLease) Shows(v backend.Version) bool { return l.shown != "" && l.shown == v.ID }

// TakeLock implements backend.Lockable. The lock's ID is its reason, because the API gives
// locks no ID; the reason names the haul.
func (s *workspaceState) TakeLock(ctx context.Context, r backend.LockRequest) (backend.Lease, error) {
	ws, _ := s.last()
	held := &sourceLease{state: s, lock: backend.Lock{ID: r.Info, Operation: r.Operation, Info: r.Info, Path: s.address, Removal: s.removal(r.Info)}}
	if !ws.CanLock {
		return nil, s.failed(backend.AccessDenied, "this token can read the workspace "+ws.String()+" but not lock it: use a token with permission to lock it")
	}
	if run := ws.Run; run != nil && !run.Over { // Holder says which
		return nil, &backend.LockedError{Address: s.address, Lock: *s.lock(ws)}
	}
	locked, err := s.client.Lock(ctx, ws, r.Info)
	switch code := backend.CodeOf(err); {
	case err == nil:
		if locked.current == nil && locked.Current == ws.Current {
			locked.current = ws.current
		}
		s.saw(locked)
		held.shown = locked.Current.ID
		return held, nil
	case code != backend.LockedByOther && code != backend.Ambiguous:
		return nil, err
	}
	// Another user holds it, or the response was lost.
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	now, looked := s.look(ctx)
	switch {
	case looked != nil && backend.CodeOf(err) == backend.Ambiguous:
		return nil, &backend.LockLeftError{Address: s.address, Lift: held.lock.Removal, Err: err}
	case looked != nil:
		return nil, looked
	case now.Locked && now.Holder.Reason == r.Info:
		held.shown = now.Current.ID
		return held, nil
	case now.Locked && !now.Holder.ReasonKnown && backend.CodeOf(err) == backend.Ambiguous:
		return nil, &backend.LockLeftError{Address: s.address, Lift: held.lock.Removal, Err: err}
	case now.Locked:
		return nil, &backend.LockedError{Address: s.address, Lock: *s.lock(now)}
	}
	return nil, err
}

// Release implements backend.Lease. It looks at the lock first: the server would also let us
// release a lock that another process of the same account took.
func (l *sourceLease) Release(ctx context.Context) error {
	l.shown = ""
	ws, err := l.state.ours(ctx, l.lock.ID)
	if err != nil {
		return err
	}
	unlocked, err := backend.Retry(ctx, l.state.client.Down, func() (*Workspace, error) {
		return l.state.client.Unlock(ctx, ws)
	})
	switch backend.CodeOf(err) {
	case "":
		if err == nil {
			l.shown = unlocked.Current.ID
			now := *ws
			now.Locked, now.Holder = false, backend.Holder{}
			l.state.saw(&now)
		}
		return err
	case backend.NotLocked: // after a lost response
		return nil
	case backend.LockedByOther:
		now, err := l.state.look(ctx)
		if err == nil {
			err = &backend.LockLostError{Address: l.state.address, Lock: l.state.lock(now)}
		}
		return err
	}
	return &backend.LockLeftError{Address: l.state.address, Lift: l.lock.Removal, Err: err}
}

// ours reads the workspace unless that was just done, and returns a *LockLostError unless the
// lock has this reason.
func (s *workspaceState) ours(ctx context.Context, reason string) (*Workspace, error) {
	s.mu.Lock()
	ws, age := s.seen, time.Since(s.at)
	s.mu.Unlock()
	if !ws.Locked || ws.Holder.Reason != reason || age > lockSeenFor {
		var err error
		if ws, err = s.look(ctx); err != nil {
			return nil, err
		}
	}
	switch {
	case !ws.Locked:
		return nil, &backend.LockLostError{Address: s.address}
	case ws.Holder.ReasonKnown && ws.Holder.Reason != reason:
		return nil, &backend.LockLostError{Address: s.address, Lock: s.lock(ws)}
	}
	return ws, nil
}

// lockSeenFor is how long a look at the lock counts, as for the lock of a target.
const lockSeenFor = 5 * time.Second

// Leave implements backend.Lease.
func (l *sourceLease) Leave() string {
	return fmt.Sprintf("The workspace %s stays locked (%q), so that no run can change its state there. To unlock it: %s",
		strings.TrimPrefix(l.state.address, Scheme+"://"), l.lock.Info, l.lock.Removal)
}

// FreeLock implements backend.Lockable.
func (s *workspaceState) FreeLock(ctx context.Context, id string) error {
	if _, err := s.ours(ctx, id); err != nil {
		if lost, ok := errors.AsType[*backend.LockLostError](err); ok && lost.Lock == nil {
			return nil
		}
		return err
	}
	return (&sourceLease{state: s, lock: backend.Lock{ID: id, Info: id, Path: s.address, Removal: s.removal(id)}}).Release(ctx)
}
