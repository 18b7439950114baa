package backendtest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// Target tests one kind of backend as a target. open returns a fresh target and the name of
// an unlocked state there without a version.
func Target(t *testing.T, open func(t *testing.T) (backend.Target, string)) {
	t.Run("a state without a version", func(t *testing.T) {
		target, name := open(t)
		s := look(t, target, name)
		if s.Name != name || s.Locked || !s.CanRead || !s.CanWrite || !s.CanLock {
			t.Errorf("%+v", s)
		}
		if v, err := target.Current(t.Context(), s); v != nil || err != nil {
			t.Errorf("the current version is %+v, %v; want none", v, err)
		}
	})

	t.Run("what is written is current and reads back", func(t *testing.T) {
		target, name := open(t)
		first, second := text(1), text(2)
		write(t, target, name, 1, first)
		WantBytes(t, target, name, first)
		write(t, target, name, 2, second)
		WantBytes(t, target, name, second)
		if s := look(t, target, name); s.Locked {
			t.Error("it is still locked")
		}
		var versions []*backend.Version
		for v, err := range target.Versions(t.Context(), look(t, target, name)) {
			if err != nil {
				t.Fatal(err)
			}
			versions = append(versions, v)
			if again, err := target.Version(t.Context(), v.ID); err != nil || again.ID != v.ID || again.Serial != v.Serial {
				t.Errorf("version %s reads as %+v, %v", v.ID, again, err)
			}
		}
		want := [][]byte{second, first}
		if !versions[0].Kept {
			want = want[:1]
		}
		if len(versions) != len(want) {
			t.Fatalf("there are %d versions, want %d", len(versions), len(want))
		}
		for i, v := range versions { // the newest first
			wantVersion(t, target, v, want[i])
			if serial := int64(2 - i); v.Serial != 0 && v.Serial != serial {
				t.Errorf("version %s has serial %d, want %d or unknown", v.ID, v.Serial, serial)
			}
		}
	})

	t.Run("a former version is restored", func(t *testing.T) {
		target, name := open(t)
		first, second := text(1), text(2)
		write(t, target, name, 1, first)
		former, err := target.Current(t.Context(), look(t, target, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, target, name, 2, second)
		was, err := target.Current(t.Context(), look(t, target, name))
		if err != nil {
			t.Fatal(err)
		}
		w := writer(t, target, name, "one")
		restorer, ok := w.(backend.Restorer)
		if !ok {
			t.Skip("targets of this kind cannot copy a version")
		}
		lease := acquire(t, w)
		p := toWrite(lease, 1, first, always)
		p.Was = was
		restored, err := restorer.Restore(t.Context(), p, former.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := restorer.Restore(t.Context(), p, "no-such-version"); backend.CodeOf(err) != backend.Unsupported && backend.CodeOf(err) != backend.Changed {
			t.Errorf("restoring a version that does not exist ended with %v", err)
		}
		release(t, lease)
		if restored.ID == former.ID || restored.ID == was.ID {
			t.Errorf("%s is not a new version", restored.ID)
		}
		WantBytes(t, target, name, first)
		if _, err := restorer.Restore(t.Context(), p, former.ID); err == nil {
			t.Error("a version was restored without the lock")
		}
		if was.Kept {
			wantVersion(t, target, was, second)
		}
	})

	t.Run("a state is removed under the lock, and only as it was seen", func(t *testing.T) {
		target, name := open(t)
		write(t, target, name, 1, text(1))
		former, err := target.Current(t.Context(), look(t, target, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, target, name, 2, text(2))
		s := look(t, target, name)
		was, err := target.Current(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		w := writer(t, target, name, "one")
		remover, ok := w.(backend.Remover)
		if !ok {
			t.Skip("targets of this kind cannot remove a state")
		}
		lease := acquire(t, w)
		if err := remover.CheckRemoval(t.Context()); backend.CodeOf(err) == backend.NotRemovable {
			release(t, lease)
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		p := toWrite(lease, 2, text(2), func(context.Context) error { return io.ErrClosedPipe })
		p.Was = was
		if err := remover.Remove(t.Context(), p); err == nil {
			t.Error("it was removed although the check before sending failed")
		}
		p.Sending = always
		if target.Traits().Writes == backend.WritesCondition {
			p.Was = former
			if err := remover.Remove(t.Context(), p); backend.CodeOf(err) != backend.Changed {
				t.Errorf("removing another version than the current one ended with %v", err)
			}
		}
		WantBytes(t, target, name, text(2))
		p.Was = was
		if err := remover.Remove(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		release(t, lease)
		now, err := target.LookByID(t.Context(), s.ID)
		if backend.CodeOf(err) != backend.ForbiddenOrMissing && (err != nil || now.Current.ID != "" || now.Locked) {
			t.Errorf("after the removal it is %+v, %v", now, err)
		}
	})

	t.Run("one visible holder at a time", func(t *testing.T) {
		target, name := open(t)
		ours, theirs := writer(t, target, name, "one"), writer(t, target, name, "two")
		lease := acquire(t, ours)
		if _, err := lockwait.Acquire(t.Context(), theirs, lockwait.Options{}); err == nil {
			t.Fatal("two hold the lock")
		}
		holder, err := theirs.Holder(t.Context(), always)
		if err != nil || holder.Ours || holder == (lockwait.Holder{}) {
			t.Errorf("the other sees %+v, %v", holder, err)
		}
		if holder, err := ours.Holder(t.Context(), always); err != nil || !holder.Ours {
			t.Errorf("the holder sees %+v, %v", holder, err)
		}
		if s := look(t, target, name); !s.Locked {
			t.Error("it is not reported as locked")
		}
		release(t, lease)
		release(t, acquire(t, theirs))
	})

	t.Run("nothing is written without the lock", func(t *testing.T) {
		target, name := open(t)
		w := writer(t, target, name, "one")
		lease := acquire(t, w)
		release(t, lease)
		if _, err := w.Write(t.Context(), toWrite(lease, 1, text(1), always)); err == nil {
			t.Fatal("it was written")
		}
		if v, err := target.Current(t.Context(), look(t, target, name)); v != nil || err != nil {
			t.Errorf("it holds %+v, %v", v, err)
		}
	})

	t.Run("nothing is written if the check before sending fails", func(t *testing.T) {
		target, name := open(t)
		w := writer(t, target, name, "one")
		lease := acquire(t, w)
		refuse := func(context.Context) error { return io.ErrClosedPipe }
		if _, err := w.Write(t.Context(), toWrite(lease, 1, text(1), refuse)); err == nil {
			t.Error("it was written")
		}
		release(t, lease)
		if v, err := target.Current(t.Context(), look(t, target, name)); v != nil || err != nil {
			t.Errorf("it holds %+v, %v", v, err)
		}
	})

	t.Run("bytes other than the announced ones never arrive", func(t *testing.T) {
		target, name := open(t)
		w := writer(t, target, name, "one")
		lease := acquire(t, w)
		p := toWrite(lease, 1, text(1), always)
		p.Open = func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(bytes.Replace(text(1), []byte("1"), []byte("2"), 1))), nil
		}
		if _, err := w.Write(t.Context(), p); err == nil {
			t.Error("they were written")
		}
		release(t, lease)
		if v, err := target.Current(t.Context(), look(t, target, name)); v != nil || err != nil {
			t.Errorf("it holds %+v, %v", v, err)
		}
	})

	t.Run("a version that was not seen is not replaced", func(t *testing.T) {
		target, name := open(t)
		write(t, target, name, 1, text(1))
		was, err := target.Current(t.Context(), look(t, target, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, target, name, 2, text(2))
		w := writer(t, target, name, "one")
		lease := acquire(t, w)
		for _, was := range []*backend.Version{nil, was} {
			p := toWrite(lease, 3, text(3), always)
			p.Was = was
			if _, err := w.Write(t.Context(), p); backend.CodeOf(err) != backend.Changed && target.Traits().Writes == backend.WritesCondition {
				t.Errorf("the error is %v, want the code %s", err, backend.Changed)
			}
		}
		release(t, lease)
		if target.Traits().Writes == backend.WritesCondition {
			WantBytes(t, target, name, text(2))
		}
	})

	t.Run("another holder's lock is not released", func(t *testing.T) {
		target, name := open(t)
		lease := acquire(t, writer(t, target, name, "one"))
		stranger := lockwait.Resume(writer(t, target, name, "two"), nil, lockwait.Instant{})
		if err := stranger.Release(t.Context()); err == nil {
			t.Error("it was released")
		}
		if s := look(t, target, name); !s.Locked {
			t.Error("it is unlocked")
		}
		release(t, lease)
	})
}

// WantBytes checks the content of a state's current version.
func WantBytes(t *testing.T, target backend.Target, name string, want []byte) {
	t.Helper()
	s := look(t, target, name)
	v, err := target.Current(t.Context(), s)
	if err != nil || v == nil {
		t.Fatalf("%s holds %+v, %v", name, v, err)
	}
	if s.Current.Known && s.Current.ID != v.ID {
		t.Errorf("%s is said to hold %s, and holds %s", name, s.Current.ID, v.ID)
	}
	wantVersion(t, target, v, want)
}

func wantVersion(t *testing.T, target backend.Target, v *backend.Version, want []byte) {
	t.Helper()
	body, err := target.Read(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes that differ from the %d written (%v)", v.ID, len(got), len(want), err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
}

func always(context.Context) error { return nil }

func look(t *testing.T, target backend.Target, name string) *backend.Standing {
	t.Helper()
	s, err := target.Look(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func writer(t *testing.T, target backend.Target, name, haul string) backend.Writer {
	t.Helper()
	return target.Writer(look(t, target, name), backend.WriterOptions{Reason: "a test works here (" + haul + ")"})
}

func acquire(t *testing.T, w backend.Writer) *lockwait.Lease {
	t.Helper()
	lease, err := lockwait.Acquire(t.Context(), w, lockwait.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func release(t *testing.T, lease *lockwait.Lease) {
	t.Helper()
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func toWrite(lease *lockwait.Lease, serial int64, text []byte, sending lockwait.Sending) backend.Write {
	sum := md5.Sum(text)
	return backend.Write{
		Lease: lease, Sending: sending, Serial: serial, Lineage: lineage, MD5: hex.EncodeToString(sum[:]), Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
	}
}

func write(t *testing.T, target backend.Target, name string, serial int64, text []byte) {
	t.Helper()
	was, err := target.Current(t.Context(), look(t, target, name))
	if err != nil {
		t.Fatal(err)
	}
	w := writer(t, target, name, "one")
	lease := acquire(t, w)
	p := toWrite(lease, serial, text, always)
	p.Was = was
	if _, err := w.Write(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	release(t, lease)
}

const lineage = "8a3c4b52-9f7d-4f25-9d80-0b6c2f6f7a11"

// text returns a state with this serial.
func text(serial int) []byte {
	return fmt.Appendf(nil, `{"version":4,"terraform_version":"1.11.4","serial":%d,"lineage":%q,"outputs":{},"resources":[]}`, serial, lineage)
}

// Role tests how a kind is used as a target. state and container are addresses, written as
// the target itself writes them.
func Role(t *testing.T, kind backend.Kind, state, container string) {
	role := kind.Target
	if role == nil || kind.ReadOnly != "" || role.Open == nil {
		t.Fatalf("the kind cannot be a target: %+v", kind)
	}
	for _, address := range []string{state, container} {
		if got, err := (backend.Kinds{kind}).Target(address); err != nil || got.Target != role {
			t.Errorf("%q is not claimed as a target: %v", address, err)
		}
	}
	if err := role.CheckContainer(container); err != nil {
		t.Error(err)
	}
	if (role.Layout == nil) != kind.Traits.Workspaces {
		t.Error("only workspaces have no layout")
	}
	parent, name, err := role.SplitState(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := role.CheckName(name); err != nil {
		t.Error(err)
	}
	target, err := role.Open(t.Context(), parent)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if got := role.AddressOf(parent, name); got != state {
		t.Errorf("before it is open, the state %q in %q has the address %q, want %q", name, parent, got, state)
	}
	if got := target.Address(name); got != state {
		t.Errorf("the state %q in %q has the address %q, want %q", name, parent, got, state)
	}
}
