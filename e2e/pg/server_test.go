package pg_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"log"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"
)

// The password of the server's owner. It is valid only for servers started by these tests.
const ownerPassword = "owner-password-of-the-e2e-tests-only"

// userPassword is that of every other user. It has characters that must be escaped in URLs.
const userPassword = "canary/p@ss:of the users"

// postgres is the server of all tests; nil if PostgreSQL is not installed.
var postgres *server

func TestMain(m *testing.M) { os.Exit(runWithServer(m)) }

func runWithServer(m *testing.M) int {
	isolateFromMachine()
	dir, err := os.MkdirTemp("", "tfhaul-e2e-pg-")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // only the temporary directory is left behind
	program, err := installed("postgres")
	if err != nil {
		fmt.Println("NOT TESTED: PostgreSQL is not installed (apt-get install postgresql), so nothing of backend/pg is tested against a server")
		return m.Run()
	}
	if postgres, err = startServer(program, dir); err != nil {
		log.Print(err)
		return 1
	}
	defer postgres.stop()
	return m.Run()
}

// isolateFromMachine hides this machine's PostgreSQL settings.
func isolateFromMachine() {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "TFHAUL_") && name != "TFHAUL_TESTS" {
			_ = os.Unsetenv(name) // the name is valid: it comes from the environment
		}
	}
	_ = os.Setenv("PGPASSWORD", userPassword) // the name is valid
}

// installed returns the path of one of PostgreSQL's programs, which Debian does not put on PATH.
func installed(name string) (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is valid
	if len(found) > 0 {
		return found[len(found)-1], nil
	}
	return exec.LookPath(name)
}

// A server is a running PostgreSQL server on loopback.
type server struct {
	port  int
	child *exec.Cmd
	log   *output
	names atomic.Int64
	// authority is the certificate of the authority that made the server's, in PEM.
	authority []byte
}

// startServer creates a database cluster below dir and starts a server for it.
func startServer(program, dir string) (*server, error) {
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(ownerPassword), 0o600); err != nil {
		return nil, err
	}
	if err := giveAway(dir, data, password); err != nil {
		return nil, err
	}
	authority, err := writeCertificate(dir)
	if err != nil {
		return nil, err
	}
	certificate, key := filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	if err := giveAway(certificate, key); err != nil {
		return nil, err
	}
	initdb := exec.Command(filepath.Join(filepath.Dir(program), "initdb"), "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8", "--locale", "C", "--no-sync")
	initdb.Dir = data
	demote(initdb)
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{port: port, authority: authority, log: outputUntil("ready to accept connections")}
	s.child = exec.Command(program, "-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+data,
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=80", "-c", "log_min_messages=log",
		"-c", "ssl=on", "-c", "ssl_cert_file="+certificate, "-c", "ssl_key_file="+key)
	s.child.Dir, s.child.Stdout, s.child.Stderr = data, s.log, s.log
	demote(s.child)
	if err := s.child.Start(); err != nil {
		return nil, err
	}
	if err := s.log.await(); err != nil {
		s.stop()
		return nil, fmt.Errorf("the server does not start: %w", err)
	}
	return s, nil
}

// giveAway makes the user that the server runs as the owner of these files. PostgreSQL does not
// run as root.
func giveAway(paths ...string) error {
	uid, gid, demoted := serverUser()
	for _, path := range paths {
		if !demoted {
			return nil
		}
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// serverUser returns the user that servers run as if the tests run as root.
func serverUser() (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ = strconv.Atoi(u.Uid) // numbers on the systems where root exists
			gid, _ = strconv.Atoi(u.Gid)
			return uid, gid, true
		}
	}
	return 0, 0, false
}

// stop ends the server and its sessions.
func (s *server) stop() {
	_ = s.child.Process.Signal(os.Interrupt) // a fast shutdown; Wait reports the rest
	_ = s.child.Wait()
}

// url returns the connection string of a user, with the password.
func (s *server) url(user, database, password string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }() // nothing was accepted
	return l.Addr().(*net.TCPAddr).Port, nil
}

// A testDatabase is a database of one test, with a user who owns it.
type testDatabase struct {
	t              testing.TB
	server         *server
	name, user     string
	password       string
	*sql.DB               // as the owner of the server
	port           int    // of the server, or of a proxy in front of it
	schema, params string // of addresses
}

// newDatabase creates a database. The test is skipped, loudly, without PostgreSQL.
func newDatabase(t testing.TB, options ...string) *testDatabase {
	t.Helper()
	if postgres == nil {
		t.Skip("NOT TESTED: PostgreSQL is not installed")
	}
	n := postgres.names.Add(1)
	d := &testDatabase{t: t, server: postgres, name: fmt.Sprintf("infra%d", n), user: fmt.Sprintf("ci%d", n), password: userPassword, port: postgres.port, schema: "terraform_remote_state", params: "&sslmode=disable"}
	owner, err := sql.Open("postgres", postgres.url("postgres", "postgres", ownerPassword))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"CREATE ROLE " + d.user + " LOGIN PASSWORD " + pq.QuoteLiteral(d.password),
		"CREATE DATABASE " + d.name + " OWNER " + d.user + " " + strings.Join(options, " "),
	} {
		if _, err := owner.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if d.DB, err = sql.Open("postgres", postgres.url("postgres", d.name, ownerPassword)); err != nil {
		t.Fatal(err)
	}
	d.exec("GRANT CREATE ON SCHEMA public TO " + d.user)
	t.Cleanup(func() {
		_ = d.Close()
		_, _ = owner.Exec("DROP DATABASE " + d.name + " WITH (FORCE)") // the cluster is removed in the end
		_ = owner.Close()
	})
	return d
}

func (d *testDatabase) exec(query string, args ...any) {
	d.t.Helper()
	if _, err := d.Exec(query, args...); err != nil {
		d.t.Fatal(err)
	}
}

// address returns the address of the schema, or of a workspace in it.
func (d *testDatabase) address(workspace string) string {
	address := fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?schema=%s", d.user, d.port, d.name, d.schema)
	if workspace != "" {
		address += "&workspace=" + url.QueryEscape(workspace)
	}
	return address + d.params
}

// createTable creates the table as the database's user.
func (d *testDatabase) createTable() {
	d.t.Helper()
	for _, statement := range []string{
		"CREATE SCHEMA IF NOT EXISTS " + pq.QuoteIdentifier(d.schema) + " AUTHORIZATION " + d.user,
		"CREATE SEQUENCE IF NOT EXISTS public.global_states_id_seq AS bigint",
		"ALTER SEQUENCE public.global_states_id_seq OWNER TO " + d.user,
		"CREATE TABLE " + d.table() + " (id bigint NOT NULL DEFAULT nextval('public.global_states_id_seq') PRIMARY KEY, name text UNIQUE, data text)",
		"ALTER TABLE " + d.table() + " OWNER TO " + d.user,
	} {
		d.exec(statement)
	}
}

func (d *testDatabase) table() string { return pq.QuoteIdentifier(d.schema) + ".states" }

// put stores what another program would store; nil removes the row.
func (d *testDatabase) put(workspace string, data []byte) {
	d.t.Helper()
	if data == nil {
		d.exec("DELETE FROM "+d.table()+" WHERE name = $1", workspace)
		return
	}
	d.exec("INSERT INTO "+d.table()+" (name, data) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET data = $2", workspace, string(data))
}

// stored returns the bytes of a row.
func (d *testDatabase) stored(workspace string) []byte {
	d.t.Helper()
	var data []byte
	if err := d.QueryRow("SELECT convert_to(data, 'UTF8') FROM "+d.table()+" WHERE name = $1", workspace).Scan(&data); err != nil {
		d.t.Fatal(err)
	}
	return data
}

// locks returns how many advisory locks there are in the database.
func (d *testDatabase) locks() int {
	d.t.Helper()
	n := 0
	if err := d.QueryRow("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

// An output is what a program prints.
type output struct {
	awaited string

	mu   sync.Mutex
	text bytes.Buffer
	said chan struct{} // closed when the text contains what is awaited
}

func outputUntil(awaited string) *output { return &output{awaited: awaited, said: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := strings.Contains(o.text.String(), o.awaited)
	o.text.Write(p)
	if !before && strings.Contains(o.text.String(), o.awaited) {
		close(o.said)
	}
	return len(p), nil
}

// await waits until the program has printed the awaited text.
func (o *output) await() error {
	select {
	case <-o.said:
		return nil
	case <-time.After(30 * time.Second):
		o.mu.Lock()
		defer o.mu.Unlock()
		return fmt.Errorf("it did not print %q:\n%s", o.awaited, o.text.String())
	}
}
