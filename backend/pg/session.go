package pg

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// creationKeys returns the keys that Terraform and OpenTofu lock while they create a workspace:
// -1 for a whole database, and since OpenTofu 1.10 one for each table.
func creationKeys(schema string) lockKeys {
	hash := fnv.New32()
	_, _ = hash.Write([]byte(schema + "\x00states")) // never fails
	return lockKeys{-1, -int64(hash.Sum32())}
}

// SQL for advisory locks. A lock with one key of 64 bits has the halves in classid and objid,
// and 1 in objsubid.
const (
	isGranted = `l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	lockKey   = `(l.classid::bigint << 32 | l.objid::bigint)`
)

// A session is one connection that holds the lock of a workspace. The lock ends with it, so
// whatever is written through it is written under the lock.
type session struct {
	database *database
	at       *location
	conn     *sql.Conn
	process  int      // the server's process, which pg_locks shows
	keys     lockKeys // that are locked
	creating bool     // it has the database's semaphore
}

// rowWait is how long a session waits for another one that changes the row.
const rowWait = "10s"

// openSession opens a connection of its own. Name is what the server shows as the program.
func (db *database) openSession(ctx context.Context, at *location, name string) (_ *session, err error) {
	s := &session{database: db, at: at}
	backend.CountRequest(ctx)
	if s.conn, err = db.pool.Conn(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.discard()
		}
	}()
	if err := s.conn.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&s.process); err != nil {
		return nil, err
	}
	if err := s.checkDirect(ctx); err != nil {
		return nil, err
	}
	_, err = s.conn.ExecContext(ctx, fmt.Sprintf("SELECT set_config('lock_timeout', '%s', false), set_config('application_name', %s, false)", rowWait, pq.QuoteLiteral(name)))
	return s, err
}

// checkDirect detects a pooler in transaction mode: two clients then have one session of the
// server at the same time. It asks once.
func (s *session) checkDirect(ctx context.Context) error {
	s.database.mu.Lock()
	direct := s.database.direct
	s.database.mu.Unlock()
	if direct {
		return nil
	}
	var other int
	err := s.database.reading(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&other)
	})
	switch {
	case err != nil:
		return err
	case other == s.process:
		return &backend.Error{Address: s.at.String(), Code: backend.Unsupported, Answer: poolerText, Message: fmt.Sprintf("cannot lock %q: %s", s.at, poolerText)}
	}
	s.database.mu.Lock()
	defer s.database.mu.Unlock()
	s.database.direct = true
	return nil
}

// errCreating is returned while another program creates a workspace. It holds the lock for that
// only briefly.
var errCreating = errors.New("another program is creating a workspace")

// take tries once to lock the workspace, with the keys that Terraform locks. It returns
// lockwait.ErrHeld if another session has the lock.
func (s *session) take(ctx context.Context) error {
	creation := creationKeys(s.at.schema)
	tries := ""
	for _, key := range creation {
		tries += fmt.Sprintf(", pg_try_advisory_lock(%d)", key)
	}
	find := fmt.Sprintf("SELECT id, pg_try_advisory_lock(id)%s FROM %s WHERE name = %s", tries, s.at.table(), pq.QuoteLiteral(s.at.workspace))
	for {
		var id int64
		var locked bool
		got := make([]bool, len(creation))
		switch err := s.conn.QueryRowContext(ctx, find).Scan(&id, &locked, &got[0], &got[1]); {
		case errors.Is(err, sql.ErrNoRows):
			exists, err := s.takeCreation(ctx, tries, creation, got)
			if err != nil || !exists {
				return err
			}
			continue // another program has just created it
		case err != nil:
			return err
		}
		free := !slices.Contains(got, false)
		if locked {
			s.keys = append(s.keys, id)
		}
		s.keep(creation, got)
		switch {
		case !locked:
			return errors.Join(lockwait.ErrHeld, s.unlock(ctx, s.keys...))
		case !free:
			return errors.Join(errCreating, s.unlock(ctx, s.keys...))
		}
		return s.unlock(ctx, creation...)
	}
}

// takeCreation locks the keys for creating a workspace. If the workspace exists by then, it
// unlocks them and reports true.
func (s *session) takeCreation(ctx context.Context, tries string, creation lockKeys, got []bool) (exists bool, err error) {
	if err := s.conn.QueryRowContext(ctx, "SELECT "+strings.TrimPrefix(tries, ", ")).Scan(&got[0], &got[1]); err != nil {
		return false, err
	}
	s.keep(creation, got)
	if slices.Contains(got, false) {
		return false, errors.Join(errCreating, s.unlock(ctx, s.keys...))
	}
	err = s.conn.QueryRowContext(ctx, fmt.Sprintf("SELECT true FROM %s WHERE name = %s", s.at.table(), pq.QuoteLiteral(s.at.workspace))).Scan(&exists)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return exists, errors.Join(err, s.unlock(ctx, s.keys...))
}

// keep records the keys that were locked.
func (s *session) keep(keys lockKeys, got []bool) {
	for i, key := range keys {
		if got[i] {
			s.keys = append(s.keys, key)
		}
	}
}

// unlock unlocks keys.
func (s *session) unlock(ctx context.Context, keys ...int64) error {
	for _, key := range slices.Clone(keys) {
		if !slices.Contains(s.keys, key) {
			continue
		}
		var done bool
		if err := s.conn.QueryRowContext(ctx, fmt.Sprintf("SELECT pg_advisory_unlock(%d)", key)).Scan(&done); err != nil {
			return err
		}
		s.keys = slices.DeleteFunc(s.keys, func(k int64) bool { return k == key })
		if !done {
			return lockwait.ErrNotHeld
		}
	}
	return nil
}

// holds reports whether this session has the lock. It asks the server.
func (s *session) holds(ctx context.Context) (bool, error) {
	backend.CountRequest(ctx)
	var held bool
	err := s.conn.QueryRowContext(ctx, "SELECT "+s.held()).Scan(&held)
	return held, err
}

// held returns the SQL condition that the session that evaluates it has the lock.
func (s *session) held() string {
	return fmt.Sprintf("(SELECT count(*) = %d FROM pg_locks l WHERE %s AND l.pid = pg_backend_pid() AND l.pid = %d AND %s = ANY('%s'))",
		len(s.keys), isGranted, s.process, lockKey, s.keys.array())
}

// discard closes the connection, which ends whatever lock it has.
func (s *session) discard() {
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn }) // closes it
	_ = s.conn.Close()                                           // closed already
}

// creationTries is how often to ask for a lock that another program holds only briefly, and
// creationPause the time in between.
const (
	creationTries = 10
	creationPause = 100 * time.Millisecond
)

// lock opens a session and takes the lock of a workspace. Our own moves that create workspaces
// do so one after the other. sending is called just before the lock is asked for.
func (db *database) lock(ctx context.Context, at *location, name string, sending lockwait.Sending) (*session, error) {
	if db.creates(at) {
		return nil, lockwait.ErrHeld
	}
	if err := db.startCreating(ctx, at); err != nil {
		return nil, err
	}
	s, err := db.lockNow(ctx, at, name, sending)
	if err == nil && s.createsRow() {
		s.creating = true
		return s, nil
	}
	db.endCreating()
	return s, err
}

func (db *database) lockNow(ctx context.Context, at *location, name string, sending lockwait.Sending) (*session, error) {
	s, err := db.openSession(ctx, at, name)
	if err != nil {
		return nil, err
	}
	db.mu.Lock()
	db.ours[s.process] = at.lockName()
	db.mu.Unlock()
	for try := 1; ; try++ {
		if err = sending(ctx); err != nil {
			break
		}
		backend.CountRequest(ctx)
		err = s.take(ctx)
		if !errors.Is(err, errCreating) || try == creationTries {
			break
		}
		if slept := lockwait.Sleep(ctx, creationPause); slept != nil {
			err = slept
			break
		}
	}
	if err != nil {
		s.end()
		if errors.Is(err, errCreating) {
			err = fmt.Errorf("%w: %w", lockwait.ErrHeld, err)
		}
		return nil, err
	}
	return s, nil
}

// createsRow reports whether the lock is the one for creating a workspace.
func (s *session) createsRow() bool { return slices.Contains(s.keys, -1) }

// end closes the session, and lets other moves create workspaces.
func (s *session) end() {
	s.discard()
	s.database.mu.Lock()
	delete(s.database.ours, s.process)
	s.database.mu.Unlock()
	s.created()
}

// created lets other moves create workspaces.
func (s *session) created() {
	if s.creating {
		s.creating = false
		s.database.endCreating()
	}
}

// creates reports whether another move of ours is creating the same workspace.
func (db *database) creates(at *location) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.maker == at.lockName()
}

// startCreating waits for our other moves that create workspaces, or the table.
func (db *database) startCreating(ctx context.Context, at *location) error {
	select {
	case db.creating <- struct{}{}:
		db.mu.Lock()
		defer db.mu.Unlock()
		db.maker = at.lockName()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (db *database) endCreating() {
	db.mu.Lock()
	db.maker = ""
	db.mu.Unlock()
	<-db.creating
}
