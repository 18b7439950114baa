package pg

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lib/pq"

	"tfhaul/backend"
)

// A database is a connection pool for reading, and the source of sessions that hold locks. It is
// safe for concurrent use.
type database struct {
	pool        *sql.DB
	user        string
	hasPassword bool
	wire        backend.Wire

	// creating is a semaphore for Terraform's lock for creating workspaces, of which a
	// database has one: our own moves wait for each other instead of finding it held.
	creating chan struct{}

	mu     sync.Mutex
	ours   map[int]string // the state for which each of our sessions has a lock, by its process
	direct bool           // no pooler shares the server's sessions between clients
	maker  string         // the state that the holder of creating locks; "" without one
}

// tlsConfigs numbers the configurations registered with lib/pq.
var tlsConfigs atomic.Int64

// maxIdle is how long an idle connection is kept.
const maxIdle = time.Minute

// openDatabase prepares the connections to a location's database. It sends no requests.
func openDatabase(l *location, c backend.Connection) (*database, error) {
	config := l.config.Clone()
	if err := trust(&config, c.TLS); err != nil {
		return nil, err
	}
	connector, err := pq.NewConnectorConfig(config)
	if err != nil {
		return nil, badSettings("the address", err)
	}
	connector.Dialer(dialer{timeout: c.Timeout})
	pool := sql.OpenDB(connector)
	pool.SetMaxIdleConns(c.Parallelism)
	pool.SetConnMaxIdleTime(maxIdle)
	if config.SSLMode == pq.SSLModeDisable && !l.socket() && !backend.IsLoopback(l.host) {
		c.Logger.Warn("the connection to PostgreSQL is not encrypted (sslmode=disable)", "host", l.host)
	}
	return &database{
		pool: pool, user: l.user, hasPassword: config.Password != "",
		creating: make(chan struct{}, 1), ours: map[int]string{},
	}, nil
}

// trust makes sslmode=verify-full use the program's certificate authorities, unless the user
// names others.
func trust(config *pq.Config, authorities *tls.Config) error {
	if config.SSLMode != pq.SSLModeVerifyFull || config.SSLRootCert != "" || authorities == nil {
		return nil
	}
	if home, err := os.UserHomeDir(); err == nil {
		if _, err := os.Stat(filepath.Join(home, ".postgresql", "root.crt")); err == nil {
			return nil
		}
	}
	key := "tfhaul-" + strconv.FormatInt(tlsConfigs.Add(1), 10)
	config.SSLMode = pq.SSLMode("pqgo-" + key)
	return pq.RegisterTLSConfig(key, &tls.Config{RootCAs: authorities.RootCAs, ServerName: config.Host, MinVersion: tls.VersionTLS12})
}

// A dialer opens connections that fail if nothing moves for a while.
type dialer struct{ timeout time.Duration }

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &stallConn{c, d.timeout}, nil
}

// Dial implements pq.Dialer, which calls DialContext instead.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout implements pq.Dialer. lib/pq calls it for connect_timeout.
func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	return dialer{min(d.timeout, timeout)}.Dial(network, address)
}

// A stallConn is a connection whose reads and writes have a time limit.
type stallConn struct {
	net.Conn
	timeout time.Duration
}

func (c *stallConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *stallConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// reading runs queries in a read-only transaction. do must close its rows.
func (db *database) reading(ctx context.Context, do func(*sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	backend.CountRequest(ctx)
	tx, err := db.pool.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err == nil {
		err = errors.Join(do(tx), rolledBack(tx))
	}
	db.observe(ctx, err)
	return err
}

// rolledBack ends a transaction that has only read. A broken connection has ended it already.
func rolledBack(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) && !isBroken(err) {
		return err
	}
	return nil
}

// observe records whether the server answered.
func (db *database) observe(ctx context.Context, err error) {
	if !isBroken(err) {
		err = nil
	}
	db.wire.Observe(ctx, err)
}

// table returns the quoted name of the table in the schema.
func (l *location) table() string { return pq.QuoteIdentifier(l.schema) + ".states" }

// isBroken reports whether a request failed without an answer from the server.
func isBroken(err error) bool {
	return err != nil && pq.As(err) == nil && !errors.Is(err, sql.ErrNoRows) && !isOurs(err) ||
		errors.Is(err, driver.ErrBadConn) || sqlState(err).isShutdown()
}

// isOurs reports whether an error is not about the connection.
func isOurs(err error) bool {
	var known *backend.Error
	var changed *backend.ChangedError
	return errors.As(err, &known) || errors.As(err, &changed)
}

// A pin identifies what a row holds: the transaction that wrote it, and the content.
type pin struct {
	xmin, md5 string
	size      int64
}

func (p pin) differs(was pin) string {
	switch {
	case p.size != was.size:
		return fmt.Sprintf("size %d, was %d", p.size, was.size)
	case p.md5 != was.md5:
		return "other bytes of the same size"
	}
	return "it was written again"
}
