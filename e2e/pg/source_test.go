package pg_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

func acquire(t *testing.T, target backend.Target, workspace string) *lockwait.Lease {
	t.Helper()
	s, err := target.Look(t.Context(), workspace)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := lockwait.Acquire(t.Context(), target.Writer(s, backend.WriterOptions{Reason: "a test holds this lock"}), lockwait.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// find lists the states of an address.
func find(t *testing.T, kinds backend.Kinds, address string, f backend.Filter) []backend.State {
	t.Helper()
	l, err := kinds.Find(t.Context(), address, f)
	if err != nil {
		t.Fatal(err)
	}
	return l.States
}

// read reads a state.
func read(t *testing.T, s backend.State, v *backend.Version) ([]byte, backend.Version) {
	t.Helper()
	in, now, err := s.Open(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(in)
	if err = errors.Join(err, in.Close()); err != nil {
		t.Fatal(err)
	}
	return data, now
}

// tfhaul reads exactly the stored bytes, whatever the encoding of the database is.
func TestReadsExactlyTheBytesStored(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{
		"UTF8":      nil,
		"LATIN1":    {"ENCODING LATIN1", "TEMPLATE template0"},
		"SQL_ASCII": {"ENCODING SQL_ASCII", "TEMPLATE template0"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDatabase(t, options...)
			d.createTable()
			files := map[string][]byte{
				"empty": {}, "default": []byte("{\"name\": \"Zoë\\u0000\x01\"}\r\n"), "w x/ü": []byte("1"),
				"large": bytes.Repeat([]byte("0123456789é\n"), 300_000), // 3.9 MB, and chunks end inside a character
				"exact": bytes.Repeat([]byte("x"), 1<<20),
			}
			for workspace, text := range files {
				d.put(workspace, text)
			}
			kinds := d.kinds()
			states := find(t, kinds, d.address(""), backend.Filter{})
			if len(states) != len(files) {
				t.Fatalf("%d states are found, want %d", len(states), len(files))
			}
			for _, s := range states {
				want := files[s.Place().Workspace]
				got, pin := read(t, s, nil)
				if !bytes.Equal(got, want) || pin.Size != int64(len(want)) {
					t.Errorf("%s: read %d bytes (size %d) that differ from the %d stored", s.Address(), len(got), pin.Size, len(want))
				}
				alone := find(t, kinds, s.Address(), backend.Filter{})
				if len(alone) != 1 || alone[0].Address() != s.Address() {
					t.Fatalf("%s finds %d states", s.Address(), len(alone))
				}
				if again, _ := read(t, alone[0], &pin); !bytes.Equal(again, want) {
					t.Errorf("%s: the bytes differ when it is read again", s.Address())
				}
				if err := s.Check(t.Context(), pin); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestWorkspacesAreSelectedByName(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	for _, workspace := range []string{"default", "eu-prod", "eu-test", "us-prod"} {
		d.put(workspace, []byte("{}"))
	}
	for _, tt := range []struct {
		filter backend.Filter
		want   string
	}{
		{backend.Filter{}, "default eu-prod eu-test us-prod"},
		{backend.Filter{Include: []string{"*-prod"}}, "eu-prod us-prod"},
		{backend.Filter{Include: []string{"eu-*"}, Exclude: []string{"*-test"}}, "eu-prod"},
	} {
		var names []string
		for _, s := range find(t, d.kinds(), d.address(""), tt.filter) {
			names = append(names, s.Place().Workspace)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%+v selects %s, want %s", tt.filter, got, tt.want)
		}
	}
	var none *backend.NoMatchError
	if _, err := d.kinds().Find(t.Context(), d.address(""), backend.Filter{Include: []string{"nothing"}}); !errors.As(err, &none) {
		t.Errorf("the error is %v, want a *NoMatchError", err)
	}
}

func TestAChangeIsNoticed(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{"another size": []byte("longer than it was"), "the same size": []byte("AS IT WAS"), "the same bytes": []byte("as it was"), "removed": nil} {
		t.Run(name, func(t *testing.T) {
			d := newDatabase(t)
			d.createTable()
			d.put("default", []byte("as it was"))
			s := find(t, d.kinds(), d.address("default"), backend.Filter{})[0]
			_, pin := read(t, s, nil)
			d.put("default", data)
			var changed *backend.ChangedError
			if err := s.Check(t.Context(), pin); !errors.As(err, &changed) || changed.Gone != (data == nil) {
				t.Errorf("Check: %v", err)
			}
			if _, _, err := s.Open(t.Context(), &pin); !errors.As(err, &changed) || changed.Gone != (data == nil) {
				t.Errorf("Open: %v", err)
			}
		})
	}
}

func TestTheHolderOfALock(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	d.put("default", []byte("{}"))
	s := find(t, d.kinds(), d.address("default"), backend.Filter{})[0]
	if lock, err := s.Holder(t.Context()); lock != nil || err != nil {
		t.Errorf("an unlocked state: %+v, %v", lock, err)
	}
	other, err := d.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	var id, pid int64
	if err := other.QueryRowContext(t.Context(), "SELECT id, pg_backend_pid() FROM "+d.table()+" WHERE pg_try_advisory_lock(id)").Scan(&id, &pid); err != nil {
		t.Fatal(err)
	}
	lock, err := s.Holder(t.Context())
	if err != nil || lock == nil || lock.ID != fmt.Sprint(pid) || !strings.HasPrefix(lock.Who, "postgres") || !strings.Contains(lock.Lift(), fmt.Sprintf("pg_terminate_backend(%d)", pid)) {
		t.Errorf("the lock is %+v, %v; want that of session %d", lock, err, pid)
	}
}

func TestACanceledContextEndsEveryOperation(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	d.put("default", []byte("{}"))
	kinds := d.kinds()
	s := find(t, kinds, d.address("default"), backend.Filter{})[0]
	_, pin := read(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, found := kinds.Find(ctx, d.address(""), backend.Filter{})
	_, _, opened := s.Open(ctx, nil)
	_, held := s.Holder(ctx)
	for does, err := range map[string]error{"Find": found, "Open": opened, "Check": s.Check(ctx, pin), "Holder": held} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", does, err)
		}
	}
}

func TestConcurrentReaders(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	d.put("default", bytes.Repeat([]byte("0123456789"), 200_000))
	s := find(t, d.kinds(), d.address("default"), backend.Filter{})[0]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			in, pin, err := s.Open(context.WithoutCancel(t.Context()), nil)
			if err != nil {
				t.Error(err)
				return
			}
			n, err := io.Copy(io.Discard, in)
			if err = errors.Join(err, in.Close()); err != nil || n != pin.Size {
				t.Errorf("read %d of %d bytes: %v", n, pin.Size, err)
			}
		})
	}
	wg.Wait()
}

// Reading creates and changes nothing: it works for a user with read access only, and on a server
// whose transactions are read-only.
func TestReadingIsReadOnly(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	d.put("default", []byte("{}"))
	d.exec("ALTER DATABASE " + d.name + " SET default_transaction_read_only = on")
	s := find(t, d.kinds(), d.address(""), backend.Filter{})
	if got, _ := read(t, s[0], nil); string(got) != "{}" {
		t.Errorf("tfhaul reads %q", got)
	}
}
