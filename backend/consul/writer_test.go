package consul

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/memory"
	"tfhaul/fixtures"
	"tfhaul/fixtures/consul"
	"tfhaul/fixtures/testenv"
	"tfhaul/lockwait"
	"tfhaul/migrate"
)

// stateOf returns a state with this serial, of at least this size, whose bytes do not compress
// well if it is large.
func stateOf(serial int64, size int64) []byte {
	return fixtures.Spec{Seed: 5, Serial: serial, Resources: 1, MinSize: size}.Bytes()
}

// moveInto moves a state to an address with connections of its own.
func moveInto(t *testing.T, address, name string, text []byte, more ...func(*migrate.Engine)) migrate.Result {
	t.Helper()
	source := memory.New()
	source.Put("a.tfstate", text)
	listing, err := backend.Kinds{source.Kind()}.Find(t.Context(), "memory://a.tfstate", backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := kind().Target.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	engine := &migrate.Engine{Target: opened, Haul: migrate.NewHaulID()}
	engine.BackupDir = t.TempDir()
	for _, set := range more {
		set(engine)
	}
	return engine.Move(context.WithoutCancel(t.Context()), migrate.Move{Object: listing.States[0], Workspace: name})
}

// wantState fails unless the key holds the state, and nothing else is below it.
func wantState(t *testing.T, s *consul.Server, address, key string, want []byte) {
	t.Helper()
	got, _, err := read(t, find(t, address+key))
	if err != nil || got != string(want) {
		t.Errorf("%s has %d bytes that differ from the %d written (%v)", key, len(got), len(want), err)
	}
	v, err := find(t, address+key).value(t.Context(), request{})
	if err != nil {
		t.Fatal(err)
	}
	if left := s.Keys(key + "/"); len(left) != len(v.chunks) {
		t.Errorf("below %s are %q, and it has %d parts", key, left, len(v.chunks))
	}
	if n := s.Sessions(""); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// A state is stored in the form that Terraform would choose: compressed as the one that it
// replaces, or as the address says, and in parts if it is large.
func TestFormsOfAState(t *testing.T) {
	small, large := int64(2_000), int64(1_200_000)
	for _, tt := range []struct {
		name           string
		was            int64 // the size of the former state; 0 for none
		packed         bool  // the former state is
		size           int64
		query          string
		gzip, inChunks bool
	}{
		{name: "new", size: small},
		{name: "new, large", size: large, inChunks: true},
		{name: "new, compressed", size: small, query: "?gzip=true", gzip: true},
		{name: "as before", was: small, packed: true, size: small, gzip: true},
		{name: "as before, large", was: large, packed: true, size: large, gzip: true},
		{name: "not as before", was: small, packed: true, size: small, query: "?gzip=false"},
		{name: "larger", was: small, size: large, inChunks: true},
		{name: "smaller", was: large, size: small},
		{name: "large and large", was: large, size: large, inChunks: true},
		{name: "just within a value, not within a request", size: 400_000, inChunks: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &consul.Server{}
			address := start(t, s)
			if tt.was != 0 {
				plant(s, "live/net", stateOf(3, tt.was), tt.packed)
			}
			text := stateOf(4, tt.size)
			if r := moveInto(t, address+"live/"+tt.query, "net", text); r.Outcome != migrate.Moved {
				t.Fatalf("%+v", r)
			}
			wantState(t, s, address, "live/net", text)
			stored := s.Get("live/net").Value
			chunks := s.Keys("live/net/tfstate.")
			if len(chunks) > 0 {
				stored = s.Get(chunks[0]).Value
			}
			if isGzip(stored) != tt.gzip || len(chunks) > 0 != tt.inChunks && !tt.gzip {
				t.Errorf("compressed: %t, parts: %d", isGzip(stored), len(chunks))
			}
			for i := range chunks {
				if want := fmt.Sprintf("live/net/tfstate.%s/%d", md5Of(text), i); s.Get(want) == nil {
					t.Errorf("there is no %s", want)
				}
			}
		})
	}
}

// Another writer of the same key is noticed, even if it holds no lock. Nothing of ours is left.
func TestAnotherWriterIsNoticed(t *testing.T) {
	for name, size := range map[string]int64{"small": 2_000, "large": 2 << 20} {
		t.Run(name, func(t *testing.T) {
			s := &consul.Server{}
			address := start(t, s)
			plant(s, "net", stateOf(3, 0), false)
			var wrote atomic.Bool
			s.Intercept = func(w http.ResponseWriter, r *http.Request, op string, answer func() *httptest.ResponseRecorder) {
				if op == "PUT txn" && s.Get("net/.lock") != nil && wrote.CompareAndSwap(false, true) {
					s.Put("net", []byte("theirs"))
				}
				consul.Give(w, answer())
			}
			if r := moveInto(t, address, "net", stateOf(4, size)); r.Outcome == migrate.Moved || !wrote.Load() {
				t.Errorf("%+v", r)
			}
			s.Intercept = nil
			if got := string(s.Get("net").Value); got != "theirs" || len(s.Keys("net/")) != 0 {
				t.Errorf("%q, and %q", got, s.Keys("net/"))
			}
		})
	}
}

// If the session expires while a state is written, nothing is stored, and the lock of the next
// holder is not touched.
func TestTheSessionExpiresWhileWriting(t *testing.T) {
	for name, size := range map[string]int64{"small": 2_000, "large": 2 << 20} {
		for at, ops := range map[string]string{"before a part": "PUT kv", "before the transaction": "PUT txn"} {
			if size == 2_000 && ops == "PUT kv" {
				continue
			}
			t.Run(name+", "+at, func(t *testing.T) {
				s := &consul.Server{}
				address := start(t, s)
				plant(s, "net", stateOf(3, 0), false)
				var expired atomic.Bool
				s.Intercept = func(w http.ResponseWriter, r *http.Request, op string, answer func() *httptest.ResponseRecorder) {
					if e := s.Get("net/.lock"); op == ops && e != nil && e.Session != "" && expired.CompareAndSwap(false, true) {
						s.ExpireSessions()
						s.Lock("net", "theirs", []byte(`{"ID":"theirs"}`))
					}
					consul.Give(w, answer())
				}
				r := moveInto(t, address, "net", stateOf(4, size))
				if r.Outcome == migrate.Moved || !expired.Load() || r.Locked {
					t.Errorf("%+v", r)
				}
				s.Intercept = nil
				if !bytes.Equal(s.Get("net").Value, stateOf(3, 0)) {
					t.Error("something was stored")
				}
				if e := s.Get("net/.lock"); e == nil || e.Session != "theirs" || string(s.Get("net/.lockinfo").Value) != `{"ID":"theirs"}` {
					t.Errorf("the next holder's lock is %+v", e)
				}
				if r := moveInto(t, address, "net", stateOf(4, size)); r.Outcome == migrate.Moved || !strings.Contains(r.Message, "locked") {
					t.Errorf("under another lock: %+v", r)
				}
				s.ExpireSessions()
				if r := moveInto(t, address, "net", stateOf(4, size)); r.Outcome != migrate.Moved {
					t.Errorf("again: %+v", r)
				}
				wantState(t, s, address, "net", stateOf(4, size))
			})
		}
	}
}

// A lock that another session holds stops a move. The message names its holder.
func TestALockStopsAMove(t *testing.T) {
	s := &consul.Server{}
	address := start(t, s)
	plant(s, "net", stateOf(3, 0), false)
	s.Lock("net", "c0ffee", []byte(`{"ID":"c0ffee","Who":"ann@build-7","Operation":"OperationTypeApply","Created":"2026-01-02T03:04:05Z"}`))
	r := moveInto(t, address, "net", stateOf(4, 0))
	if r.Outcome == migrate.Moved || !strings.Contains(r.Message, "ann@build-7") {
		t.Errorf("%+v", r)
	}
	if s.Sessions("") != 1 || len(s.Keys("net/")) != 2 {
		t.Errorf("%d sessions, %q", s.Sessions(""), s.Keys("net/"))
	}
}

// Consul grants a lock only some seconds after its session has ended without releasing it.
func TestTheDelayAfterASession(t *testing.T) {
	now := time.Now()
	s := &consul.Server{Now: func() time.Time { return now }}
	target := openTarget(t, start(t, s))
	first := target.Writer(&backend.Standing{ID: "net", Name: "net"}, backend.WriterOptions{Reason: "one"}).(*writer)
	if _, err := lockwait.Acquire(t.Context(), first, lockwait.Options{}); err != nil {
		t.Fatal(err)
	}
	if info := string(s.Get("net/.lockinfo").Value); !strings.Contains(info, first.session.id) || !strings.Contains(info, `"Info":"one"`) || !strings.Contains(info, `"Path":"net"`) {
		t.Errorf("the description of the lock is %s", info)
	}
	first.session.stop() // as if the process were killed
	now = now.Add(time.Minute)
	second := target.Writer(&backend.Standing{ID: "net", Name: "net"}, backend.WriterOptions{Reason: "two"})
	var held *lockwait.HeldError
	if _, err := lockwait.Acquire(t.Context(), second, lockwait.Options{}); !errors.As(err, &held) || !strings.Contains(err.Error(), "a session that has ended") {
		t.Errorf("within the delay: %v", err)
	}
	now = now.Add(lockDelay)
	lease, err := lockwait.Acquire(t.Context(), second, lockwait.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil || len(s.Keys("net")) != 0 {
		t.Errorf("%v, left: %q", err, s.Keys("net"))
	}
}

// A session is renewed while it has a lock, and closing a target ends it.
func TestSessionsEndWithTheirTarget(t *testing.T) {
	s := &consul.Server{}
	target := openTarget(t, start(t, s))
	for _, name := range []string{"a", "b"} {
		w := target.Writer(&backend.Standing{ID: name, Name: name}, backend.WriterOptions{Reason: "one"})
		if _, err := lockwait.Acquire(t.Context(), w, lockwait.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if s.Sessions("") != 2 {
		t.Errorf("%d sessions", s.Sessions(""))
	}
	target.Close()
	if s.Sessions("") != 0 || s.Get("a/.lock").Session != "" {
		t.Errorf("%d sessions are left", s.Sessions(""))
	}
}

// A lock of another process is not released, and the message says how it ends.
func TestALockOfAnotherProcess(t *testing.T) {
	s := &consul.Server{}
	target := openTarget(t, start(t, s))
	s.Lock("net", "c0ffee", []byte(`{"ID":"c0ffee"}`))
	w := target.Writer(&backend.Standing{ID: "net", Name: "net"}, backend.WriterOptions{Reason: "one", Inherited: true})
	if err := w.Unlock(t.Context(), always); backend.CodeOf(err) != backend.Stuck || !strings.Contains(err.Error(), "terraform force-unlock c0ffee") {
		t.Errorf("error %v", err)
	}
}

// A fate is what happens to one request.
type fate int

const (
	lostBefore  fate = iota // the request does not arrive
	lostAfter               // it takes effect, and its response is lost
	failsBefore             // the server answers 500 without effect
	failsAfter              // a proxy answers 500 although it took effect
	fates
)

// Every request of a move is lost, or answered with an error. The move reports what happened,
// no lock is left, and the next run of the move succeeds.
func TestFaultsAtEveryRequestOfAMove(t *testing.T) {
	if testing.Short() {
		t.Skip("sweeps requests of moves")
	}
	cases := 0
	for _, tt := range []struct {
		name      string
		was, size int64
	}{{"fresh", 0, 2_000}, {"newer", 2_000, 2_000}, {"large", 1 << 20, 1 << 20}} {
		t.Run(tt.name, func(t *testing.T) {
			requests := faulty(t, tt.was, tt.size, -1, 0)
			for number := range requests {
				for f := range fates {
					if cases++; !testenv.Full() && cases%19 != 0 {
						continue // a sample
					}
					t.Run(fmt.Sprintf("%d-%d", number, f), func(t *testing.T) {
						t.Parallel()
						faulty(t, tt.was, tt.size, number, f)
					})
				}
			}
		})
	}
	t.Logf("%d faults, of which a sample was tested unless TFHAUL_TESTS=full", cases)
}

// faulty runs a move whose request with this number meets a fate, and returns how many requests
// a move has.
func faulty(t *testing.T, was, size int64, number int, f fate) (requests int) {
	s := &consul.Server{}
	address := start(t, s)
	old, text := stateOf(3, was), stateOf(4, size)
	if was != 0 {
		plant(s, "net", old, false)
	}
	var seen atomic.Int64
	s.Intercept = func(w http.ResponseWriter, r *http.Request, _ string, answer func() *httptest.ResponseRecorder) {
		if int(seen.Add(1))-1 != number {
			consul.Give(w, answer())
			return
		}
		if f == lostAfter || f == failsAfter {
			answer()
		} else {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		if f == lostBefore || f == lostAfter {
			panic(http.ErrAbortHandler)
		}
		consul.Refuse(w, http.StatusInternalServerError, "rpc error making call: EOF")
	}
	r := moveInto(t, address, "net", text, func(e *migrate.Engine) { e.LockTimeout = 20 * time.Second })
	requests = int(seen.Load())
	s.Intercept = nil
	stored := ""
	if s.Get("net") != nil {
		var err error
		if stored, _, err = read(t, find(t, address+"net")); err != nil {
			t.Fatalf("the state cannot be read after %+v: %v", r, err)
		}
	}
	switch {
	case r.Outcome == migrate.Moved && stored != string(text):
		t.Error("it is reported as moved, but is not there")
	case stored != string(text) && (was != 0 && stored != string(old) || was == 0 && stored != ""):
		t.Errorf("the key holds %d bytes of neither state", len(stored))
	case r.Outcome != migrate.Moved && r.Outcome != migrate.Failed, r.Outcome != migrate.Moved && r.Message == "", r.Locked, r.UnlockCommand != "":
		t.Errorf("%+v", r)
	case number < 0 && r.Outcome != migrate.Moved:
		t.Errorf("without a fault: %+v", r)
	}
	s.ExpireSessions() // whose end was not announced to the server
	if e := s.Get("net/.lock"); e != nil && e.Session != "" {
		t.Errorf("it is locked: %+v", e)
	}
	if r := moveInto(t, address, "net", text); r.Outcome != migrate.Moved && r.Outcome != migrate.AlreadyThere {
		t.Errorf("again: %+v", r)
	}
	if stored, _, err := read(t, find(t, address+"net")); err != nil || stored != string(text) {
		t.Errorf("it is not there in the end: %v", err)
	}
	return requests
}
