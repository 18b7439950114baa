package pg

import (
	"bytes"
	"context"
	"crypto/md5"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"tfhaul/backend"
)

// whole is the size up to which a state is sent in one statement. A larger one is sent in
// parts, which a temporary table collects, so that memory does not grow with it.
const whole = 8 << 20

// maxValue is how much text PostgreSQL stores in a field.
const maxValue = 1<<30 - 1<<20

// Write implements backend.Writer: it stores the state if the row is still the one that was
// read, or is still missing, and only through the session that has the lock.
func (w *writer) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	switch {
	case w.session == nil:
		return nil, w.failed(backend.NotLocked, "the lock is not held", nil)
	case p.Size > maxValue:
		return nil, w.failed(backend.Malformed, fmt.Sprintf("the state has %d bytes, and PostgreSQL stores less than 1 GiB in a field", p.Size), nil)
	}
	var stored *pin
	err := w.withPayload(ctx, p, func(data string, args ...any) (err error) {
		stored, err = w.store(ctx, p, data, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s := w.session; p.Was == nil && len(s.keys) > len(creationKeys(w.at.schema)) { // the row has its own lock now
		if err := s.unlock(ctx, creationKeys(w.at.schema)...); err != nil {
			return nil, w.afterSending(ctx, err)
		}
		s.created()
	}
	v := stored.version(w.at.workspace)
	v.Serial = p.Serial
	return v, nil
}

func (w *writer) failed(code backend.Code, why string, err error) error {
	return &backend.Error{Address: w.at.String(), Code: code, Answer: why, Err: err, Message: fmt.Sprintf("cannot write %q: %s", w.at, why)}
}

// withPayload reads the state, checks its digest, and calls store with the SQL expression of
// the state and its arguments.
func (w *writer) withPayload(ctx context.Context, p backend.Write, store func(data string, args ...any) error) error {
	in, err := p.Open(ctx)
	if err != nil {
		return &backend.SourceError{Err: err}
	}
	defer func() { _ = in.Close() }() // only read
	sum := md5.New()
	if p.Size <= whole {
		var text strings.Builder
		text.Grow(int(p.Size))
		if _, err := io.Copy(&text, io.TeeReader(io.LimitReader(in, p.Size+1), sum)); err != nil {
			return &backend.SourceError{Err: err}
		}
		if hex.EncodeToString(sum.Sum(nil)) != p.MD5 {
			return &backend.SourceError{Changed: true}
		}
		return store("$1", text.String())
	}
	if err := p.Sending(ctx); err != nil {
		return err
	}
	return w.inParts(ctx, p, in, sum, store)
}

// inParts sends a large state to a temporary table first. Until the transaction is committed,
// nothing is stored.
func (w *writer) inParts(ctx context.Context, p backend.Write, in io.Reader, sum hash.Hash, store func(data string, args ...any) error) error {
	s := w.session
	exec := func(query string, args ...any) error {
		_, err := s.conn.ExecContext(ctx, query, args...)
		return err
	}
	err := exec("BEGIN")
	if err == nil {
		err = exec("CREATE TEMPORARY TABLE tfhaul_parts (number int, part bytea) ON COMMIT DROP")
	}
	if err != nil {
		return w.undone(ctx, err)
	}
	buffer := make([]byte, chunk)
	for number := 0; ; number++ {
		n, err := io.ReadFull(in, buffer)
		_, _ = sum.Write(buffer[:n]) // never fails
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return w.undone(ctx, &backend.SourceError{Err: err})
		}
		if n > 0 {
			if err := exec("INSERT INTO pg_temp.tfhaul_parts VALUES ($1, $2)", number, bytes.Clone(buffer[:n])); err != nil {
				return w.undone(ctx, err)
			}
		}
		if err != nil {
			break
		}
	}
	if hex.EncodeToString(sum.Sum(nil)) != p.MD5 {
		return w.undone(ctx, &backend.SourceError{Changed: true})
	}
	if err := store("(SELECT convert_from(string_agg(part, ''::bytea ORDER BY number), 'UTF8') FROM pg_temp.tfhaul_parts)"); err != nil {
		if w.session == s {
			return w.undone(ctx, err)
		}
		return err // the session broke, and the transaction with it
	}
	if err := exec("COMMIT"); err != nil {
		return w.afterSending(ctx, err)
	}
	return nil
}

// undone ends a transaction in which nothing was stored. If that fails, the session is useless.
func (w *writer) undone(ctx context.Context, cause error) error {
	if isBroken(cause) {
		w.relock(ctx)
		return w.explain(ctx, "write", cause)
	}
	if _, err := w.session.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err != nil {
		w.lose()
	}
	return w.explain(ctx, "write", cause)
}

// store executes the one statement that stores the state. In one statement, the server checks
// the lock and the former version and stores the new one.
func (w *writer) store(ctx context.Context, p backend.Write, data string, args []any) (*pin, error) {
	s := w.session
	number := func(value any) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args))
	}
	const returning = " RETURNING id, xmin::text, length(convert_to(data, 'UTF8')), md5(convert_to(data, 'UTF8'))"
	var query string
	switch {
	case p.Was != nil:
		_, was, err := parseID(p.Was.ID)
		if err != nil {
			return nil, err
		}
		query = fmt.Sprintf("UPDATE %s SET data = %s WHERE name = %s AND xmin::text = %s AND md5(convert_to(coalesce(data, ''), 'UTF8')) = %s AND %s%s, true",
			w.at.table(), data, number(w.at.workspace), number(was.xmin), number(was.md5), s.held(), returning)
	default:
		// The row gets its own lock at once, so that the one for creating can be released.
		query = fmt.Sprintf("INSERT INTO %s (name, data) SELECT %s, %s WHERE %s ON CONFLICT (name) DO NOTHING%s, pg_try_advisory_lock(id)",
			w.at.table(), number(w.at.workspace), data, s.held(), returning)
	}
	if err := p.Sending(ctx); err != nil {
		return nil, err
	}
	if w.session != s || s == nil { // the check found it broken
		return nil, w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	backend.CountRequest(ctx)
	var id int64
	var locked bool
	stored := &pin{}
	switch err := s.conn.QueryRowContext(ctx, query, args...).Scan(&id, &stored.xmin, &stored.size, &stored.md5, &locked); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, w.refused(ctx)
	case err != nil:
		return nil, w.afterSending(ctx, err)
	}
	if p.Was == nil && locked {
		s.keys = append(s.keys, id)
	}
	return stored, nil
}

// refused returns why a statement has stored nothing.
func (w *writer) refused(ctx context.Context) error {
	held, err := w.session.holds(ctx)
	switch {
	case err != nil:
		return w.afterSending(ctx, err)
	case !held:
		return w.failed(backend.NotLocked, "the server no longer has our lock", nil)
	}
	return w.failed(backend.Changed, "the workspace changed after it was read", nil)
}

// afterSending explains a failed statement. Without an answer of the server, the state may have
// been stored; the server then decides that before it ends the session.
func (w *writer) afterSending(ctx context.Context, err error) error {
	if ctx.Err() == nil && !isBroken(err) {
		return w.explain(ctx, "write", err)
	}
	explained := w.explain(context.WithoutCancel(ctx), "write", err)
	w.relock(context.WithoutCancel(ctx))
	why := "the server did not answer"
	if e, ok := errors.AsType[*backend.Error](explained); ok {
		why = e.Answer
	}
	return w.failed(backend.Ambiguous, why, err)
}

// CheckRemoval implements backend.Remover.
func (w *writer) CheckRemoval(ctx context.Context) error { return ctx.Err() }

// Remove implements backend.Remover.
func (w *writer) Remove(ctx context.Context, p backend.Write) error {
	if w.session == nil {
		return w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	_, was, err := parseID(p.Was.ID)
	if err != nil {
		return err
	}
	if err := p.Sending(ctx); err != nil {
		return err
	}
	if w.session == nil {
		return w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	backend.CountRequest(ctx)
	query := fmt.Sprintf("DELETE FROM %s WHERE name = $1 AND xmin::text = $2 AND md5(convert_to(coalesce(data, ''), 'UTF8')) = $3 AND %s RETURNING true", w.at.table(), w.session.held())
	var gone bool
	switch err := w.session.conn.QueryRowContext(ctx, query, w.at.workspace, was.xmin, was.md5).Scan(&gone); {
	case errors.Is(err, sql.ErrNoRows):
		return w.refused(ctx)
	case err != nil:
		return w.afterSending(ctx, err)
	}
	f, err := w.target.database.look(ctx, w.at)
	switch {
	case err != nil:
		return w.failed(backend.Ambiguous, "the workspace cannot be read after the request to delete it", err)
	case f.pin != nil:
		return w.failed(backend.Ambiguous, "the workspace exists again after the request to delete it", nil)
	}
	return nil
}
