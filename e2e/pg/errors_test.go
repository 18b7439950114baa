package pg_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/pg"
	"tfhaul/fixtures"
	"tfhaul/lockwait"
	"tfhaul/migrate"
)

// Each refusal of the server has a code and a message that says what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	d.put("default", []byte("{}"))
	d.exec("CREATE ROLE reader" + d.name + " LOGIN PASSWORD '" + userPassword + "'")
	d.exec("CREATE SCHEMA empty")
	d.exec("CREATE SCHEMA other CREATE TABLE states (name text, text text)")
	d.exec("CREATE SCHEMA \"binary\" CREATE TABLE states (name text, data bytea)")
	d.exec("CREATE SCHEMA json CREATE TABLE states (name text, data jsonb)")
	d.exec(`INSERT INTO "binary".states VALUES ('default', '{}')`)
	d.exec("INSERT INTO json.states VALUES ('default', '{}')")
	d.exec("CREATE SCHEMA twice CREATE TABLE states (id bigint, name text, data text)")
	d.exec("INSERT INTO twice.states VALUES (1, 'default', '{}'), (2, 'default', '')")
	d.exec(`GRANT USAGE ON SCHEMA empty, other, twice, "binary", json TO ` + d.user)
	d.exec(`GRANT SELECT ON other.states, "binary".states, json.states, twice.states TO ` + d.user)
	closed, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	address := func(user string, port int, database, rest string) string {
		return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?%s", user, port, database, rest)
	}
	for name, tt := range map[string]struct {
		address string
		code    backend.Code
		want    string
	}{
		"no server":           {address(d.user, closed, d.name, "sslmode=disable"), backend.Unreachable, "connection refused"},
		"no TLS":              {address(d.user, withoutTLS(t), d.name, ""), backend.Failed, "the server does not support TLS, but sslmode requires it (Terraform's default)"},
		"no such user":        {address("nobody", d.port, d.name, "sslmode=disable"), backend.BadCredentials, "the password of the user nobody is wrong"},
		"no such database":    {address(d.user, d.port, "nothing", "sslmode=disable"), backend.NoContainer, "the database nothing does not exist"},
		"no such schema":      {address(d.user, d.port, d.name, "sslmode=disable&schema=nothing"), backend.NoContainer, "the schema nothing has no table states"},
		"no such table":       {address(d.user, d.port, d.name, "sslmode=disable&schema=empty"), backend.NoContainer, "the schema empty has no table states"},
		"no such workspace":   {d.address("nothing"), backend.NoState, "the schema has no row for this workspace"},
		"another table":       {address(d.user, d.port, d.name, "sslmode=disable&schema=other&workspace=default"), backend.Failed, "is not like Terraform's"},
		"a table of bytes":    {address(d.user, d.port, d.name, "sslmode=disable&schema=binary&workspace=default"), backend.Failed, "is not like Terraform's"},
		"a table of JSON":     {address(d.user, d.port, d.name, "sslmode=disable&schema=json&workspace=default"), backend.Failed, "name and data must have the type text"},
		"two rows":            {address(d.user, d.port, d.name, "sslmode=disable&schema=twice"), backend.Failed, "has 2 rows for the workspace default"},
		"no privilege":        {address("reader"+d.name, d.port, d.name, "sslmode=disable"), backend.AccessDenied, "lacks a privilege"},
		"statement timeout":   {address(d.user, d.port, d.name, "sslmode=disable&options=-cstatement_timeout%3D1&workspace=default"), backend.Failed, "statement_timeout: raise it"},
		"server that refuses": {address(d.user, d.port, d.name, "sslmode=disable&options=-cnothing%3D1"), backend.Failed, "the server responded with the error"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "statement timeout" {
				d.put("default", fixtures.Spec{Seed: 1, Serial: 1, Resources: 1, MinSize: 20 << 20}.Bytes())
			}
			kinds := backend.Kinds{pg.Kind(backend.Connection{})}
			listing, err := kinds.Find(t.Context(), tt.address, backend.Filter{})
			if err == nil {
				in, _, opened := listing.States[0].Open(t.Context(), nil)
				if err = opened; err == nil {
					t.Fatalf("the state was read: %v", in.Close())
				}
			}
			if backend.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %s: %v; want %s: %s", backend.CodeOf(err), err, tt.code, tt.want)
			}
		})
	}
}

// A move waits for a session that is changing the row, but only for a limited time. Then it
// stores nothing.
func TestOthersThatDoNotFinish(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	old := fixtures.Spec{Seed: 5, Serial: 3, Resources: 1}.Bytes()
	d.put("prod", old)
	tx, err := d.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("UPDATE " + d.table() + " SET data = data || ' '"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a.tfstate")
	if err := os.WriteFile(file, fixtures.Spec{Seed: 5, Serial: 4, Resources: 1}.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	tfhaul(t, t.TempDir(), nil, "move", file, d.address("prod")).want(t, 1).has(t, "another session is changing the row")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(d.stored("prod"), old) {
		t.Error("it holds another state")
	}
}

// A state that the database cannot store is refused, and nothing is stored.
func TestTextThatTheDatabaseCannotStore(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "ENCODING LATIN1", "TEMPLATE template0")
	d.createTable()
	file := filepath.Join(t.TempDir(), "a.tfstate")
	text := strings.Replace(string(fixtures.Spec{Seed: 1, Serial: 1, Resources: 1}.Bytes()), `"outputs": {`, `"outputs": {"name": {"value": "日本", "type": "string"},`, 1)
	text = strings.Replace(text, `},}`, `}}`, 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "日本") {
		t.Fatal("the fixture has no outputs")
	}
	r := tfhaul(t, t.TempDir(), nil, "move", file, d.address("prod")).want(t, 1).has(t, "not valid in the database's encoding")
	if out := r.stdout + r.stderr; strings.Contains(out, "0xe6") {
		t.Errorf("bytes of the state are shown: %s", out)
	}
	if _, there := d.has("prod"); there {
		t.Error("something was stored")
	}
}

// If an administrator ends the session, the lock ends with it, and nothing is written.
func TestTheSessionWithTheLockIsEnded(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	d.put("prod", []byte("{}"))
	target := d.target(d.kinds())
	defer target.Close()
	s, err := target.Look(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	w := target.Writer(s, backend.WriterOptions{Reason: "a test holds this lock"})
	lease, err := lockwait.Acquire(t.Context(), w, lockwait.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.exec("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	d.awaitNoLocks()
	if err := lease.Ensure(t.Context(), 0); !errors.Is(err, lockwait.ErrNotHeld) || !strings.Contains(err.Error(), "connection that held it broke") {
		t.Errorf("Holder reports the lock as held: %v", err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Errorf("releasing a lock that is gone: %v", err)
	}
}

// tfhaul unlock releases no lock of a session, and says what does.
func TestUnlockOfASessionsLock(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	d.put("prod", []byte("{}"))
	target := d.target(d.kinds())
	defer target.Close()
	s, err := target.Look(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	haul := migrate.NewHaulID()
	lease, err := lockwait.Acquire(t.Context(), target.Writer(s, backend.WriterOptions{Reason: "tfhaul moves a state here (haul " + haul + ")"}), lockwait.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tfhaul(t, t.TempDir(), nil, "unlock", d.address("prod"), "--haul", haul).want(t, 1).has(t, "its lock ends with the PostgreSQL session", "SELECT pg_terminate_backend(")
	if n := d.locks(); n != 1 {
		t.Errorf("there are %d locks, want 1", n)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
	tfhaul(t, t.TempDir(), nil, "unlock", d.address("prod"), "--haul", haul).want(t, 0).has(t, "is not locked")
}

// A pooler in transaction mode is detected, because no lock protects anything there.
func TestPoolersInTransactionMode(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program = "/usr/sbin/pgbouncer"; !exists(program) {
			t.Skip("NOT TESTED with PgBouncer: it is not installed")
		}
	}
	d := newDatabase(t)
	d.createTable()
	d.put("default", []byte("{}"))
	dir, err := os.MkdirTemp("", "tfhaul-e2e-pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // only the temporary directory is left behind
	for mode, works := range map[string]bool{"transaction": false, "session": true} {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		settings := filepath.Join(dir, mode+".ini")
		text := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%d user=%s password='%s'\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%d\nauth_type=any\npool_mode=%s\nignore_startup_parameters=extra_float_digits,options\nunix_socket_dir=\n",
			d.server.port, d.user, userPassword, port, mode)
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := giveAway(dir, settings); err != nil {
			t.Fatal(err)
		}
		bouncer, log := exec.CommandContext(t.Context(), program, settings), outputUntil("process up")
		bouncer.Stdout, bouncer.Stderr = log, log
		demote(bouncer)
		if err := bouncer.Start(); err != nil {
			t.Fatal(err)
		}
		if err := log.await(); err != nil {
			t.Fatal(err)
		}
		behind := *d
		behind.port = port
		if got, _ := read(t, find(t, behind.kinds(), behind.address("default"), backend.Filter{})[0], nil); string(got) != "{}" {
			t.Errorf("behind a pooler in %s mode, tfhaul reads %q", mode, got)
		}
		target := behind.target(behind.kinds())
		s, err := target.Look(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		lease, err := lockwait.Acquire(t.Context(), target.Writer(s, backend.WriterOptions{Reason: "a test holds this lock"}), lockwait.Options{})
		switch {
		case works && err != nil:
			t.Errorf("in %s mode: %v", mode, err)
		case works:
			if err := lease.Release(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		case backend.CodeOf(err) != backend.Unsupported || !strings.Contains(err.Error(), "pool_mode=transaction"):
			t.Errorf("in %s mode: %v, want the code %s", mode, err, backend.Unsupported)
		}
		target.Close()
		if err := bouncer.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = bouncer.Wait() // killed
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
