package backendtest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	"tfhaul/backend"
)

// Objects tests a target as a place for copies. open returns an empty place.
func Objects(t *testing.T, open func(t *testing.T) backend.Objects) {
	const name = "network/sv-1.tfstate"
	put := func(t *testing.T, place backend.Objects, text string, was *backend.Version) (*backend.Version, error) {
		t.Helper()
		return place.PutObject(t.Context(), name, object(text, was))
	}
	holds := func(t *testing.T, place backend.Objects, want string) *backend.Version {
		t.Helper()
		in, v, err := place.GetObject(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(in)
		if err = errors.Join(err, in.Close()); err != nil || string(got) != want {
			t.Errorf("it holds %q, %v; want %q", got, err, want)
		}
		return v
	}

	t.Run("a file is stored once", func(t *testing.T) {
		place := open(t)
		if _, _, err := place.GetObject(t.Context(), name); backend.CodeOf(err) != backend.NoState {
			t.Errorf("a file that is not there: %v", err)
		}
		if _, err := put(t, place, "one", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := put(t, place, "two", nil); backend.CodeOf(err) != backend.Changed {
			t.Errorf("a second file of this name: %v, want the code %s", err, backend.Changed)
		}
		holds(t, place, "one")
	})

	t.Run("a file is replaced only if it is the expected one", func(t *testing.T) {
		place := open(t)
		first, err := put(t, place, "one", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := put(t, place, "two", first); err != nil {
			t.Fatal(err)
		}
		if _, err := put(t, place, "three", first); backend.CodeOf(err) != backend.Changed {
			t.Errorf("replacing a version that is not there any more: %v, want the code %s", err, backend.Changed)
		}
		read := holds(t, place, "two")
		if _, err := put(t, place, "three", read); err != nil {
			t.Errorf("replacing the version that GetObject returned: %v", err)
		}
		holds(t, place, "three")
	})

	t.Run("other bytes than announced are not stored", func(t *testing.T) {
		place := open(t)
		for _, sent := range []string{"On", "One", "Ones", ""} {
			o := object("one", nil)
			o.Open = object(sent, nil).Open
			if _, err := place.PutObject(t.Context(), name, o); err == nil {
				t.Errorf("%q is stored as the announced one", sent)
			}
			if _, _, err := place.GetObject(t.Context(), name); backend.CodeOf(err) != backend.NoState {
				t.Fatalf("%q left something: %v", sent, err)
			}
		}
	})

	t.Run("a file can be empty", func(t *testing.T) {
		place := open(t)
		if _, err := put(t, place, "", nil); err != nil {
			t.Fatal(err)
		}
		holds(t, place, "")
		if _, err := put(t, place, "one", nil); backend.CodeOf(err) != backend.Changed {
			t.Errorf("a second file of this name: %v, want the code %s", err, backend.Changed)
		}
	})

	t.Run("a file is removed", func(t *testing.T) {
		place := open(t)
		if _, err := put(t, place, "one", nil); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time, it no longer exists
			if err := place.RemoveObject(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
		if _, _, err := place.GetObject(t.Context(), name); backend.CodeOf(err) != backend.NoState {
			t.Errorf("after it was removed: %v", err)
		}
	})
}

func object(text string, was *backend.Version) backend.Object {
	sum := md5.Sum([]byte(text))
	return backend.Object{Was: was, MD5: hex.EncodeToString(sum[:]), Size: int64(len(text)), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader([]byte(text))), nil
	}}
}
