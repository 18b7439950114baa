package migrate_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/backend/tfe"
	"tfhaul/fixtures"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// The organization and the workspace that the tests move into, and the lineages
// of the states that they move.
const (
	org       = "demo"
	workspace = "network"
	lineage   = "3f7b9a52-5a0b-4f10-9c57-1f5e6c0a7d11"
	foreign   = "77777777-1111-4222-8333-444444444444"
)

// A bench is an embedded TFE, an engine that works on it and a snapshot in a
// file. The connections are in memory, so that all waiting is in virtual time
// when the test runs in a synctest bubble.
type bench struct {
	t      *testing.T
	sim    *tfesim.Server
	over   func(http.RoundTripper) http.RoundTripper
	dialer *memoryDialer
	engine *migrate.Engine
	events []migrate.Event
	file   string // the snapshot
	// timeout replaces the client's 30 seconds, if not 0.
	timeout time.Duration
	// settings gives a move the settings that wantSettings expects.
	settings func(*migrate.Move)
}

func newBench(t *testing.T, o tfesim.Options) *bench {
	t.Helper()
	return newBenchOver(t, o, func(next http.RoundTripper) http.RoundTripper { return next })
}

// newBenchOver makes a bench whose network is what over makes of it.
func newBenchOver(t *testing.T, o tfesim.Options, over func(http.RoundTripper) http.RoundTripper) *bench {
	t.Helper()
	sim, err := tfesim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, sim: sim, over: over, dialer: newMemoryDialer()}
	server := &http.Server{Handler: sim}
	served := make(chan error, 1)
	go func() { served <- server.Serve(b.dialer) }()
	t.Cleanup(func() {
		b.engine.Target.(*tfe.Target).Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		// Unlike Close it waits until the connections have ended, too.
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
	})
	b.engine = b.newEngine(sim.Token(tfesim.Owner))
	b.workspaceExists(workspace)
	return b
}

// newEngine makes an engine whose token is the one given.
func (b *bench) newEngine(token string) *migrate.Engine {
	b.t.Helper()
	return b.newEngineWith(token, 30*time.Second)
}

// newEngineWith makes an engine that ends a request after some time without an answer.
func (b *bench) newEngineWith(token string, timeout time.Duration) *migrate.Engine {
	b.t.Helper()
	client, err := tfe.New(tfe.Options{
		API:       &url.URL{Scheme: "http", Host: "localhost", Path: "/api/v2/"},
		Token:     token,
		Timeout:   cmp.Or(b.timeout, timeout),
		Transport: b.over(&http.Transport{DialContext: b.dialer.DialContext, DisableCompression: true}),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	var mu sync.Mutex
	return &migrate.Engine{
		Target: client.Target(org), Haul: migrate.NewHaulID(),
		Observe: func(e migrate.Event) {
			mu.Lock()
			defer mu.Unlock()
			b.events = append(b.events, e)
		},
	}
}

func (b *bench) workspaceExists(name string) {
	b.t.Helper()
	if _, err := b.sim.AddWorkspace(org, name); err != nil {
		b.t.Fatal(err)
	}
}

// state makes a small state.
// bigState makes a state of at least so many bytes.
func bigState(size int64) []byte {
	return fixtures.Spec{Serial: 7, Lineage: lineage, Seed: 9, MinSize: size}.Bytes()
}

func state(serial int64, lineage string, seed uint64) []byte {
	return fixtures.Spec{Serial: serial, Lineage: lineage, Seed: seed, Resources: 3, Outputs: 3}.Bytes()
}

// snapshot writes the snapshot that will be moved.
func (b *bench) snapshot(raw []byte) {
	b.t.Helper()
	dir := b.t.TempDir()
	b.file = writeSnapshot(b.t, dir, raw)
	b.engine.BackupDir = filepath.Join(dir, "backup")
}

// writeSnapshot writes a state file that is an hour old.
func writeSnapshot(t *testing.T, dir string, raw []byte) string {
	t.Helper()
	file := filepath.Join(dir, "terraform.tfstate")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	return file
}

// holds seeds the workspace.
func (b *bench) holds(raw []byte) (id string) {
	b.t.Helper()
	id, err := b.sim.Seed(org, workspace, raw)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

func (b *bench) move() migrate.Move {
	b.t.Helper()
	listing, err := backend.Kinds{file.Kind(backend.Connection{})}.Find(b.t.Context(), b.file, backend.Filter{})
	if err != nil {
		b.t.Fatal(err)
	}
	return migrate.Move{Object: listing.States[0], Workspace: workspace}
}

// run moves the snapshot.
func (b *bench) run(change ...func(*migrate.Move)) migrate.Result {
	b.t.Helper()
	m := b.move()
	for _, c := range change {
		c(&m)
	}
	return b.engine.Move(b.t.Context(), m)
}

// wantHeld fails unless the workspace's current state is raw; nil means that it holds no state.
func (b *bench) wantHeld(raw []byte) {
	b.t.Helper()
	held, _, ok := b.sim.Current(org, workspace)
	switch {
	case !ok && raw == nil:
	case !ok:
		b.t.Errorf("the workspace holds nothing, want MD5 %s", digest(raw))
	case raw == nil:
		b.t.Errorf("the workspace holds a state with MD5 %s, want none", digest(held))
	case !bytes.Equal(held, raw):
		b.t.Errorf("the workspace holds MD5 %s, want %s", digest(held), digest(raw))
	}
}

func (b *bench) wantUnlocked() {
	b.t.Helper()
	if h, locked := b.sim.LockHolder(org, workspace); locked {
		b.t.Errorf("the workspace is locked by %s (%q), want it free", h.Name, h.Reason)
	}
}

func want(t *testing.T, r migrate.Result, outcome migrate.Outcome, relation migrate.Relation, code migrate.Code) {
	t.Helper()
	if r.Outcome != outcome || r.Relation != relation || r.Code != code {
		t.Errorf("got outcome %q, relation %q, code %q, want %q, %q, %q\nmessage: %s\nnotes: %q",
			r.Outcome, r.Relation, r.Code, outcome, relation, code, r.Message, r.Notes)
	}
	if outcome == migrate.Moved != (code == "") && outcome != migrate.AlreadyThere && outcome != migrate.WouldMove {
		t.Errorf("an outcome of %q cannot have code %q", outcome, code)
	}
	if r.Message == "" {
		t.Error("the result has no message")
	}
}

func digest(raw []byte) string {
	sum := md5.Sum(raw)
	return hex.EncodeToString(sum[:])
}

// A memoryDialer is a listener whose connections are pipes in memory.
type memoryDialer struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryDialer() *memoryDialer {
	return &memoryDialer{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// DialContext connects to the server.
func (d *memoryDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case d.conns <- server:
		return client, nil
	case <-d.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (d *memoryDialer) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (d *memoryDialer) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// Addr implements net.Listener.
func (d *memoryDialer) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
