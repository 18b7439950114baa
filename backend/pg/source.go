package pg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"tfhaul/backend"
)

// A schema is a backend for the workspaces in one schema, or for one of them.
type schema struct {
	database *database
	at       *location
}

// States lists the workspaces. Includes and excludes are about their names.
func (s *schema) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.at.workspace != "" {
		return &backend.Listing{States: []backend.State{s.row(s.at.workspace)}}, nil
	}
	names, err := s.database.names(ctx, s.at)
	if err != nil {
		return nil, err
	}
	l := &backend.Listing{}
	for _, name := range names {
		if !f.Excludes(name) && (len(f.Include) == 0 || f.Takes(name)) {
			l.States = append(l.States, s.row(name))
		}
	}
	l.Sort()
	if len(l.States) == 0 {
		return l, &backend.NoMatchError{Address: s.at.String(), Include: f.Include, Exclude: f.Exclude, Names: true}
	}
	return l, nil
}

// names returns the names of all workspaces with a row.
func (db *database) names(ctx context.Context, at *location) (names []string, err error) {
	err = db.reading(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT DISTINCT name FROM "+at.table()+" WHERE name IS NOT NULL ORDER BY name")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Err reports what matters
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		return rows.Err()
	})
	return names, db.explain(ctx, "list", at, err)
}

func (s *schema) row(name string) *row { return &row{s.database, s.at.in(name)} }

// A row is the state of a workspace.
type row struct {
	database *database
	at       *location
}

func (r *row) Address() string        { return r.at.String() }
func (r *row) Traits() backend.Traits { return traits }

// Server returns the database.
func (r *row) Server() string { return r.at.server() }

// Place implements backend.State. A schema is the backend of one configuration, and the name of
// its directory is unknown.
func (r *row) Place() backend.Place {
	p := backend.Place{Base: "terraform", Key: r.at.workspace, Workspace: r.at.workspace, Root: r.at.schema}
	if p.Root == defaultSchema {
		p.Root = r.at.database
	}
	p.Searched = p.Root
	return p
}

// chunk is how many bytes are read at a time, so that memory does not grow with a state.
const chunk = 1 << 20

// Open implements backend.State. It reads the row in one statement, so in one snapshot of the
// database, in chunks, and as UTF-8 whatever the database's encoding is.
func (r *row) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	var was *pin
	if v != nil {
		_, p, err := parseID(v.ID)
		if err != nil {
			return nil, backend.Version{}, err
		}
		was = &p
	}
	in, now, err := r.open(ctx, was)
	if err != nil {
		return nil, backend.Version{}, err
	}
	return in, *now.version(r.at.workspace), nil
}

// open reads the row if it still is what was read before, or whatever it holds if was is nil.
func (r *row) open(ctx context.Context, was *pin) (io.ReadCloser, pin, error) {
	if err := ctx.Err(); err != nil {
		return nil, pin{}, err
	}
	b, err := r.begin(ctx, was)
	if err != nil {
		r.database.observe(ctx, err)
		return nil, pin{}, r.database.explain(ctx, "read", r.at, err)
	}
	r.database.observe(ctx, nil)
	return b, b.pin, nil
}

// begin starts to read the row.
func (r *row) begin(ctx context.Context, was *pin) (_ *body, err error) {
	backend.CountRequest(ctx)
	ctx, cancel := context.WithCancel(ctx)
	b := &body{row: r, ctx: ctx, cancel: cancel}
	defer func() {
		if err != nil {
			_ = b.Close() // not read
		}
	}()
	if b.tx, err = r.database.pool.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); err != nil {
		return nil, err
	}
	// OFFSET 0 makes PostgreSQL compute the inner values once, and not for each chunk.
	const query = `SELECT i, d.xmin, d.size, d.md5, d.rows, substr(d.bytes, i * %[2]d + 1, %[2]d)
FROM (SELECT xmin, bytes, length(bytes) AS size, md5(bytes) AS md5, count(*) OVER () AS rows
  FROM (SELECT xmin::text, convert_to(coalesce(data, ''), 'UTF8') AS bytes FROM %[1]s WHERE name = $1 OFFSET 0) r OFFSET 0) d
CROSS JOIN LATERAL generate_series(0, greatest(0, (d.size - 1) / %[2]d)) i`
	if b.rows, err = b.tx.QueryContext(ctx, fmt.Sprintf(query, r.at.table(), chunk), r.at.workspace); err != nil {
		return nil, err
	}
	if err := b.next(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case b.count == 0 && was != nil:
		return nil, &backend.ChangedError{Address: r.Address(), Gone: true}
	case b.count == 0:
		return nil, r.missing()
	case was != nil && b.pin != *was:
		return nil, &backend.ChangedError{Address: r.Address(), How: b.pin.differs(*was)}
	}
	return b, nil
}

// notOne returns the error for a workspace with several rows, which Terraform's unique index
// prevents. Terraform would use any of them.
func notOne(doing string, at *location, rows int64) error {
	why := fmt.Sprintf("the table %s.states has %d rows for the workspace %s, and it is not clear which one is its state: delete the others, and create Terraform's unique index on name", at.schema, rows, at.workspace)
	return &backend.Error{Address: at.String(), Code: backend.Failed, Answer: why, Message: fmt.Sprintf("cannot %s %q: %s", doing, at, why)}
}

// missing returns the error for a workspace without a row.
func (r *row) missing() error {
	const why = "the schema has no row for this workspace"
	return &backend.Error{Address: r.Address(), Code: backend.NoState, Answer: why, Message: fmt.Sprintf("cannot read %q: %s", r.Address(), why)}
}

// A body is a row that is being read.
type body struct {
	row    *row
	ctx    context.Context
	cancel context.CancelFunc
	tx     *sql.Tx
	rows   *sql.Rows
	pin    pin
	count  int64 // chunks that have arrived
	got    int64 // bytes of them
	rest   []byte
}

// next receives a chunk. After the last one, the error is io.EOF.
func (b *body) next() error {
	if !b.rows.Next() {
		if err := b.rows.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	var number, rows int64
	var p pin
	var bytes sql.RawBytes
	if err := b.rows.Scan(&number, &p.xmin, &p.size, &p.md5, &rows, &bytes); err != nil {
		return err
	}
	if rows > 1 {
		return notOne("read", b.row.at, rows)
	}
	if number != b.count || b.count > 0 && p != b.pin {
		return errors.New("the server sent the parts of the state in the wrong order")
	}
	b.pin, b.rest = p, bytes
	b.count++
	b.got += int64(len(bytes))
	return nil
}

func (b *body) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		err := b.next()
		switch {
		case errors.Is(err, io.EOF) && b.got == b.pin.size:
			return 0, io.EOF
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
			fallthrough
		case err != nil:
			b.row.database.observe(b.ctx, err)
			return 0, b.row.database.explain(b.ctx, "read all of", b.row.at, err)
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close ends the transaction. What has not been read need not arrive.
func (b *body) Close() error {
	if b.rows == nil || b.got < b.pin.size {
		b.cancel()
	}
	if b.rows != nil {
		_ = b.rows.Close() // Err reports what matters
	}
	if b.tx != nil {
		_ = b.tx.Rollback() // it has only read
	}
	b.cancel()
	return nil
}

// Check implements backend.State.
func (r *row) Check(ctx context.Context, v backend.Version) error {
	_, was, err := parseID(v.ID)
	if err != nil {
		return err
	}
	found, err := r.database.look(ctx, r.at)
	switch {
	case err != nil:
		return err
	case found.pin == nil:
		return &backend.ChangedError{Address: r.Address(), Gone: true}
	case *found.pin != was:
		return &backend.ChangedError{Address: r.Address(), How: found.pin.differs(was)}
	}
	return nil
}

// Holder implements backend.State.
func (r *row) Holder(ctx context.Context) (*backend.Lock, error) {
	found, err := r.database.look(ctx, r.at)
	if err != nil || found.pin == nil || found.holder == nil {
		return nil, err
	}
	return found.holder.lock(r.at), nil
}

// A holder is a session with a lock.
type holder struct {
	process               int
	user, client, program string
	since                 time.Time // when the session began
}

// name returns who holds the lock, as far as the server reveals it.
func (h *holder) name() string {
	name := h.user
	if h.client != "" {
		name += "@" + h.client
	}
	if name == "" {
		name = "a user"
	}
	return name
}

// lock describes the session for a user. Only the end of the session releases its lock.
func (h *holder) lock(at *location) *backend.Lock {
	return &backend.Lock{
		ID: strconv.Itoa(h.process), Who: h.name(), Info: h.program, Path: at.String(), Created: h.since,
		Operation: "PostgreSQL session " + strconv.Itoa(h.process),
		Removal:   fmt.Sprintf(`end its session in the database (SELECT pg_terminate_backend(%d)), because terraform force-unlock does not release it`, h.process),
	}
}

// A finding is what the database knows about a workspace.
type finding struct {
	id       int64 // of its row
	pin      *pin  // nil without a row
	holder   *holder
	canWrite bool
}

// look reads what a row holds and who holds its lock: the lock of its ID or, without a row, the
// lock for creating workspaces.
func (db *database) look(ctx context.Context, at *location) (*finding, error) {
	const query = `SELECT s.id, s.xmin, s.size, s.md5, coalesce(s.rows, 0), h.pid, h.usename, h.client, h.application_name, h.backend_start, NOT pg_is_in_recovery() AND w.can
FROM (SELECT has_table_privilege($3::text, 'INSERT') AND has_table_privilege($3::text, 'UPDATE') AS can) w
LEFT JOIN (SELECT id, xmin::text, length(b) AS size, md5(b) AS md5, count(*) OVER () AS rows FROM (SELECT id, xmin, convert_to(coalesce(data, ''), 'UTF8') AS b FROM %s WHERE name = $1 OFFSET 0) r) s ON true
LEFT JOIN LATERAL (
  SELECT l.pid, a.usename, host(a.client_addr) AS client, a.application_name, a.backend_start
  FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE %s AND %s = ANY(CASE WHEN s.id IS NULL THEN $2::bigint[] ELSE ARRAY[s.id::bigint] END)
  ORDER BY l.pid LIMIT 1) h ON true`
	f := &finding{}
	err := db.reading(ctx, func(tx *sql.Tx) error {
		var id, size, pid sql.NullInt64
		var xmin, md5, user, client, program sql.NullString
		var since sql.NullTime
		var rows int64
		row := tx.QueryRowContext(ctx, fmt.Sprintf(query, at.table(), isGranted, lockKey), at.workspace, creationKeys(at.schema).array(), at.table())
		if err := row.Scan(&id, &xmin, &size, &md5, &rows, &pid, &user, &client, &program, &since, &f.canWrite); err != nil {
			return err
		}
		if rows > 1 {
			return notOne("inspect", at, rows)
		}
		if id.Valid {
			f.id, f.pin = id.Int64, &pin{xmin.String, md5.String, size.Int64}
		}
		if pid.Valid {
			f.holder = &holder{int(pid.Int64), user.String, client.String, program.String, since.Time}
		}
		return nil
	})
	if err != nil {
		return nil, db.explain(ctx, "inspect", at, err)
	}
	if f.pin == nil && f.holder != nil && db.createsAnother(f.holder.process, at) {
		f.holder = nil // our own process creates another workspace, for which moves wait
	}
	return f, nil
}

// createsAnother reports whether a session is ours, for another workspace.
func (db *database) createsAnother(process int, at *location) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	name, ours := db.ours[process]
	return ours && name != at.lockName()
}

// lockName identifies a workspace in its database.
func (l *location) lockName() string { return l.schema + "\x00" + l.workspace }

// lockKeys are keys of advisory locks.
type lockKeys []int64

// array writes the keys as PostgreSQL reads them.
func (k lockKeys) array() string {
	text := ""
	for _, key := range slices.Sorted(slices.Values(k)) {
		text += "," + strconv.FormatInt(key, 10)
	}
	return "{" + text[1:] + "}"
}
