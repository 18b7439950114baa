package pg

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/lib/pq"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// A state is an SQLSTATE code: https://www.postgresql.org/docs/current/errcodes-appendix.html
type state string

const (
	invalidPassword   state = "28P01"
	notAuthorized     state = "28000"
	noDatabase        state = "3D000"
	noSchema          state = "3F000"
	noTable           state = "42P01"
	noColumn          state = "42703"
	noUniqueIndex     state = "42P10"
	noFunction        state = "42883" // for the type of a column
	otherType         state = "42804"
	invalidText       state = "22P02" // for the type of a column, such as jsonb
	noPrivilege       state = "42501"
	canceled          state = "57014"
	lockTimeout       state = "55P03"
	tooMany           state = "53300"
	readOnly          state = "25006"
	invalidEncoding   state = "22021"
	untranslatable    state = "22P05"
	noStatement       state = "26000"
	duplicateObject   state = "42P07"
	duplicateKey      state = "23505"
	duplicateSchema   state = "42P06"
	cannotConnectNow  state = "57P03"
	shutdownClass           = "57P"
	connectionClass         = "08"
	insufficientClass       = "53"
)

// sqlState returns the code of the server's error, or "".
func sqlState(err error) state {
	if e := pq.As(err); e != nil {
		return state(e.Code)
	}
	return ""
}

// isShutdown reports whether the server ends the session with this code.
func (s state) isShutdown() bool {
	return strings.HasPrefix(string(s), shutdownClass) || strings.HasPrefix(string(s), connectionClass)
}

// explain turns the error of a request into a sentence. doing is what failed, in the infinitive.
func (db *database) explain(ctx context.Context, doing string, l *location, err error) error {
	if err == nil || isOurs(err) {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("cannot %s %q: %w", doing, l, context.Cause(ctx))
	}
	code, why := db.reason(l, err)
	return &backend.Error{Address: l.String(), Code: code, Answer: why, Message: fmt.Sprintf("cannot %s %q: %s", doing, l, why), Err: err}
}

// reason returns the code of an error, and the part of the sentence that says why and what to
// do.
func (db *database) reason(l *location, err error) (backend.Code, string) {
	said := ""
	if e := pq.As(err); e != nil {
		// Neither the detail nor the statement, which may have a part of a state.
		said = fmt.Sprintf(" (%q)", plainwords.Clean(e.Message))
	}
	switch sqlState(err) {
	case invalidPassword:
		if !db.hasPassword {
			return backend.NoCredentials, fmt.Sprintf("the server requires a password for the user %s: set PGPASSWORD, or add it to ~/.pgpass or PG_CONN_STR", db.user)
		}
		return backend.BadCredentials, fmt.Sprintf("the password of the user %s is wrong: check PGPASSWORD, ~/.pgpass and PG_CONN_STR", db.user)
	case notAuthorized:
		return backend.BadCredentials, fmt.Sprintf("the server rejects connections of the user %s from here: check the user, the server's pg_hba.conf, and sslmode%s", db.user, said)
	case noDatabase:
		return backend.NoContainer, fmt.Sprintf("the database %s does not exist: check its name%s", l.database, said)
	case noSchema, noTable:
		return backend.NoContainer, fmt.Sprintf("the schema %s has no table states: check ?%s=NAME, and whether the user %s may see it", l.schema, paramSchema, db.user)
	case noColumn, noUniqueIndex, noFunction, otherType:
		return backend.Failed, fmt.Sprintf("the table states in the schema %s is not like Terraform's%s", l.schema, said)
	case invalidText: // without what the server said, which may have a part of a state
		return backend.Failed, fmt.Sprintf("the table states in the schema %s is not like Terraform's: name and data must have the type text", l.schema)
	case noPrivilege:
		return backend.AccessDenied, fmt.Sprintf("the user %s lacks a privilege%s", db.user, said)
	case canceled:
		return backend.Failed, "the server ended the statement, probably because of its statement_timeout: raise it for this user, or with ?options=-cstatement_timeout%3D5min" + said
	case lockTimeout:
		return backend.Failed, "another session is changing the row and has not finished: wait for it, or end it" + said
	case tooMany:
		return backend.RateLimited, "the server has no free connection: lower --parallelism, or close other connections" + said
	case readOnly:
		return backend.AccessDenied, "the connection is read-only: is the server a standby?" + said
	case invalidEncoding, untranslatable:
		// Without what the server said, which names bytes of the state.
		return backend.Malformed, "the database cannot store this state: its text has characters that are not valid in the database's encoding (SHOW server_encoding)"
	case noStatement:
		return backend.Unsupported, poolerText
	case "":
		return db.withoutAnswer(l, err)
	}
	if sqlState(err).isShutdown() {
		return backend.Unreachable, "the server ended the session, or is starting or stopping: try again later" + said
	}
	if strings.HasPrefix(string(sqlState(err)), insufficientClass) {
		return backend.Failed, "the server is out of disk space, memory or another resource" + said
	}
	return backend.Failed, fmt.Sprintf("the server responded with the error %s%s", sqlState(err), said)
}

// withoutAnswer explains an error that did not come from the server.
func (db *database) withoutAnswer(l *location, err error) (backend.Code, string) {
	var timeout net.Error
	switch {
	case errors.Is(err, pq.ErrSSLNotSupported):
		return backend.Failed, "the server does not support TLS, but sslmode requires it (Terraform's default): enable TLS in the server, or add sslmode=disable, which sends passwords and states unencrypted"
	case errors.Is(err, pq.ErrSSLKeyHasWorldPermissions), errors.Is(err, pq.ErrSSLKeyUnknownOwnership):
		return backend.NoCredentials, "other users can read the client's key (sslkey): run chmod 600 on it"
	case errors.Is(err, os.ErrNotExist) && l.socket():
		return backend.Unreachable, fmt.Sprintf("no server listens on the socket in %s", l.host)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return backend.Unreachable, "the server did not answer in time"
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, sql.ErrConnDone):
		return backend.Unreachable, "the server, or a proxy in between, closed the connection"
	}
	return backend.Unreachable, plainwords.Describe(err)
}

// poolerText explains why there can be no lock.
const poolerText = "a pooler such as PgBouncer shares the server's sessions between clients (pool_mode=transaction), so a lock protects nothing, not even Terraform's: connect to PostgreSQL itself, or to a pool in session mode"
