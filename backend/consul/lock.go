package consul

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tfhaul/backend"
	"tfhaul/crash"
)

// listedLockFresh is how long to rely on the locks that a search listed: long enough to plan
// hundreds of states without a request for each, too short for a haul's later moves.
const listedLockFresh = time.Minute

// A heldLock is a lock that was found.
type heldLock struct {
	session string
	lock    backend.Lock
}

// lockPath returns the address of the lock.
func (s *state) lockPath() string { return s.at.at(below(s.at.key) + lockSuffix).String() }

// Holder implements backend.State. Within a minute of the search that found this state, it
// uses the search's listing if that has no lock.
func (s *state) Holder(ctx context.Context) (*backend.Lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !s.lockListed && !s.listed.IsZero() && time.Since(s.listed) <= listedLockFresh {
		return nil, nil
	}
	held, err := s.readLock(ctx)
	if held == nil || err != nil {
		return nil, err
	}
	return &held.lock, nil
}

// readLock returns nil if the state is not locked. A lock belongs to a session; without one,
// what is left of it is stale. Its description is that of its holder if it has the session's ID.
func (s *state) readLock(ctx context.Context) (*heldLock, error) {
	r := request{doing: "read the lock", address: s.lockPath(), needs: "key:read"}
	start := below(s.at.key) + lockSuffix
	found, err := s.server.withPrefix(ctx, r, start)
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether the state is locked: %w", err)
	}
	lock := found[start]
	if lock == nil || lock.Session == "" {
		return nil, nil
	}
	held := &heldLock{session: lock.Session, lock: backend.Lock{ID: lock.Session, Path: s.lockPath(), Info: "it does not describe itself"}}
	if info := found[below(s.at.key)+infoSuffix]; info != nil && len(info.Value) <= backend.MaxLockInfo {
		described := backend.Lock{Path: held.lock.Path}
		if described.Describe(info.Value); described.ID == lock.Session {
			held.lock = described
		}
	}
	return held, nil
}

// What Terraform requests for the session of a lock. Consul ends a session that is not renewed
// between one and two times its TTL, and then lets nobody take its locks for the delay.
const (
	sessionTTL  = 15 * time.Second
	lockDelay   = 5 * time.Second
	renewEvery  = sessionTTL / 3
	lockFlags   = 0x2ddccbc058a50c18 // by which Consul's clients recognize locks
	destroyTime = 10 * time.Second
)

// A session holds the lock of one state. It is renewed until it is ended.
type session struct {
	server *server
	id     string
	stop   context.CancelFunc
	done   chan struct{} // closed when renewing has stopped

	mu  sync.Mutex
	end bool
}

// newSession creates a session, and starts to renew it.
func (s *server) newSession(ctx context.Context, r request) (*session, error) {
	var err error
	r.needs, r.method, r.path = "session:write", http.MethodPut, "/session/create"
	r.body, err = json.Marshal(map[string]string{"Name": "tfhaul", "TTL": sessionTTL.String(), "LockDelay": lockDelay.String(), "Behavior": "release"})
	if err != nil {
		return nil, err
	}
	a, err := s.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	var created struct{ ID string }
	if err := s.decode(ctx, r, a, &created); err != nil {
		return nil, err
	}
	if created.ID == "" {
		return nil, s.explain(ctx, r, &unreadableAnswer{"the server created a session without an ID"})
	}
	renewing, stop := context.WithCancel(context.Background()) // until end is called
	made := &session{server: s, id: created.ID, stop: stop, done: make(chan struct{})}
	crash.Go(ctx, func() {
		defer close(made.done)
		made.renew(renewing)
	})
	return made, nil
}

// renew renews the session until ctx ends, or the session does.
func (s *session) renew(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r := request{doing: "renew a session on", address: s.server.base, needs: "session:write", method: http.MethodPut, path: "/session/renew/" + s.id}
		if _, err := s.server.ask(ctx, r); statusOf(err) == http.StatusNotFound {
			return // the next request under the lock finds out
		}
	}
}

// close destroys the session and releases its locks. Without an answer, the session ends by
// itself, because it is not renewed any more.
func (s *session) close() error {
	s.stop()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end {
		return nil
	}
	s.end = true
	ctx, cancel := context.WithTimeout(context.Background(), destroyTime) // no check before sending: it may end here
	defer cancel()
	r := request{doing: "end a session on", address: s.server.base, needs: "session:write", method: http.MethodPut, path: "/session/destroy/" + s.id}
	_, err := s.server.ask(ctx, r)
	return err
}
