// Package backendtest tests what every kind of backend must do.
package backendtest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tfhaul/backend"
)

// Suite tests one kind of backend as a source. The states are named by
// slash-separated keys, and can have any content.
func Suite(t *testing.T, kind backend.Kind, open opener) {
	kinds := backend.Kinds{kind}
	find := func(t *testing.T, address string, f backend.Filter) *backend.Listing {
		return find(t, kinds, address, f)
	}
	t.Run("lists every state, sorted by key", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{
			"terraform.tfstate":       []byte("1"),
			"b/terraform.tfstate":     []byte("2"),
			"a/deep/er/vpc.tfstate":   []byte("3"),
			"a.b/terraform.tfstate":   []byte("4"),
			"a/terraform.tfstate":     []byte("5"),
			"a/main.tf":               []byte("not state"),
			"a/notes.tfstate.txt":     []byte("not state"),
			"a/terraform.tfstate.old": []byte("not state"),
		})
		listing := find(t, ref, backend.Filter{})
		wantKeys(t, listing, "a.b/terraform.tfstate", "a/deep/er/vpc.tfstate", "a/terraform.tfstate", "b/terraform.tfstate", "terraform.tfstate")
		for _, o := range listing.States {
			p := o.Place()
			if want := strings.TrimPrefix(path.Dir(p.Key), "."); p.Dir != want {
				t.Errorf("%q has the directory %q, want %q", p.Key, p.Dir, want)
			}
			// Terraform's backend of this kind would look for the workspace there.
			at := path.Join(p.Dir, p.Base+backend.StateExt)
			if kind.Target != nil && kind.Target.Layout != nil {
				at = kind.Target.Layout(ref, at, p.Workspace)
			}
			if at != p.Key {
				t.Errorf("%q has the place %+v, which leads to %q", p.Key, p, at)
			}
		}
	})

	t.Run("reads exactly the bytes stored", func(t *testing.T) {
		files := map[string][]byte{
			"empty.tfstate": {},
			"bytes.tfstate": allBytes(),
			"large.tfstate": bytes.Repeat(allBytes(), 20_000), // 5 MB
		}
		ref, _ := open(t, files)
		for _, o := range find(t, ref, backend.Filter{}).States {
			got, pin := read(t, o, nil)
			want := files[o.Place().Key]
			if !bytes.Equal(got, want) {
				t.Errorf("%q: read %d bytes that differ from the %d written", o.Address(), len(got), len(want))
			}
			if pin.Size != int64(len(want)) && !(kind.Traits.Encoded && pin.Size == 0) {
				t.Errorf("%q: version has size %d, want %d", o.Address(), pin.Size, len(want))
			}
		}
	})

	t.Run("any characters in names", func(t *testing.T) {
		keys := []string{
			"with blank/my state.tfstate",
			"ünï/日本語.tfstate",
			"plus+and%20percent/a&b=c?d#e.tfstate",
			"quote'\"/[brackets]{braces}.tfstate",
			"-dash/-rf.tfstate",
			".hidden/.tfstate",
		}
		files := map[string][]byte{}
		for _, k := range keys {
			files[k] = []byte(k)
		}
		ref, _ := open(t, files)
		listing := find(t, ref, backend.Filter{})
		slices.Sort(keys)
		wantKeys(t, listing, keys...)
		for _, o := range listing.States {
			if got, _ := read(t, o, nil); string(got) != o.Place().Key {
				t.Errorf("%q holds the content of %q", o.Address(), got)
			}
			if alone := find(t, o.Address(), backend.Filter{}); len(alone.States) != 1 {
				t.Errorf("typing %q finds %d states, want 1", o.Address(), len(alone.States))
			}
		}
	})

	t.Run("include and exclude", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{
			"live/net/terraform.tfstate":     nil,
			"live/app/terraform.tfstate":     nil,
			"archive/net/terraform.tfstate":  nil,
			"live/app/legacy.state":          nil,
			"live/app/old/terraform.tfstate": nil,
		})
		for _, tt := range []struct {
			does string
			o    backend.Filter
			want []string
		}{
			{"include replaces the default", backend.Filter{Include: []string{"**/*.state"}}, []string{"live/app/legacy.state"}},
			{"one matching include is enough", backend.Filter{Include: []string{"**/*.state", "archive/**"}}, []string{"archive/net/terraform.tfstate", "live/app/legacy.state"}},
			{"exclude wins", backend.Filter{Include: []string{"live/**/*.tfstate"}, Exclude: []string{"**/app/**"}}, []string{"live/net/terraform.tfstate"}},
			{"excluding a directory excludes its contents", backend.Filter{Exclude: []string{"archive", "**/old"}}, []string{"live/app/terraform.tfstate", "live/net/terraform.tfstate"}},
			{"a pattern without ** matches only the top level", backend.Filter{Include: []string{"live/*/terraform.tfstate"}}, []string{"live/app/terraform.tfstate", "live/net/terraform.tfstate"}},
		} {
			t.Run(tt.does, func(t *testing.T) { wantKeys(t, find(t, ref, tt.o), tt.want...) })
		}
	})

	t.Run("finding nothing is an error that lists the patterns", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{"a/main.tf": []byte("x"), "errored.tfstate": []byte("x")})
		listing, err := kinds.Find(t.Context(), ref, backend.Filter{Exclude: []string{"secret"}})
		var none *backend.NoMatchError
		if !errors.As(err, &none) {
			t.Fatalf("error %v, want a *NoMatchError", err)
		}
		for _, said := range []string{backend.DefaultInclude, "secret"} {
			if !strings.Contains(err.Error(), said) {
				t.Errorf("error %q does not name %q", err, said)
			}
		}
		if listing == nil || !slices.ContainsFunc(listing.Skipped, func(s backend.Skip) bool { return s.Code == backend.SkipErrored }) {
			t.Errorf("listing %+v, want errored.tfstate among the skipped files", listing)
		}
	})

	t.Run("files that are not the state are skipped with a reason", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{
			"net/terraform.tfstate":                       []byte("{}"),
			"net/errored.tfstate":                         []byte("{}"),
			"net/terraform.tfstate.backup":                []byte("{}"),
			"net/.terraform/terraform.tfstate":            []byte("{}"),
			"net/.terraform/modules/m/x.tfstate":          []byte("{}"),
			"net/.terragrunt-cache/a/b/terraform.tfstate": []byte("{}"),
		})
		listing := find(t, ref, backend.Filter{})
		wantKeys(t, listing, "net/terraform.tfstate")
		for name, code := range map[string]string{"errored.tfstate": backend.SkipErrored, ".backup": backend.SkipBackup, ".terraform": backend.SkipTerraformDir, ".terragrunt-cache/": backend.SkipTerragrunt} {
			if !slices.ContainsFunc(listing.Skipped, func(s backend.Skip) bool {
				return s.Code == code && strings.Contains(s.Name, name) && s.Reason != ""
			}) {
				t.Errorf("%s is not skipped as %q: %+v", name, code, listing.Skipped)
			}
		}
	})

	t.Run("a lock file beside the state is reported", func(t *testing.T) {
		const description = `{"ID":"6d3f","Operation":"OperationTypeApply","Info":"why","Who":"ann@build-7","Version":"1.11.4","Created":"2025-03-04T05:06:07.89Z","Path":"terraform.tfstate"}`
		ref, _ := open(t, map[string][]byte{
			"net/a.tfstate":            []byte("{}"),
			"net/.a.tfstate.lock.info": []byte(description), // the local backend's
			"net/a.tfstate.tflock":     []byte(description), // the s3 backend's
			"net/a.tflock":             []byte(description), // the gcs backend's
			"net/b.tfstate":            []byte("{}"),
		})
		listing := find(t, ref, backend.Filter{Include: []string{"**"}})
		wantKeys(t, listing, "net/a.tfstate", "net/b.tfstate")
		lock, err := listing.States[0].Holder(t.Context())
		if err != nil || lock == nil {
			t.Fatalf("Holder = %+v, %v; want a lock", lock, err)
		}
		if lock.ID == "" { // some kinds have IDs of their own
			t.Error("the lock has no ID")
		}
		want := backend.Lock{ID: lock.ID, Who: "ann@build-7", Operation: "OperationTypeApply", Info: "why", Path: lock.Path, IsFile: lock.IsFile,
			Created: time.Date(2025, 3, 4, 5, 6, 7, 890_000_000, time.UTC)}
		if *lock != want || !strings.Contains(lock.Path, "a.tf") {
			t.Errorf("Holder = %+v\nwant     %+v", *lock, want)
		}
		if lock, err := listing.States[1].Holder(t.Context()); lock != nil || err != nil {
			t.Errorf("the state beside it: Holder = %+v, %v; want none", lock, err)
		}
	})

	testStates(t, kinds, open, contents{
		names: [2]string{"a/one.tfstate", "a/two.tfstate"},
		first: []byte("as it was"), sameSize: []byte("AS IT WAS"), other: []byte("longer than it was"),
		large: bytes.Repeat(allBytes(), 100),
	})
}

// An opener stores states by name in a fresh place. It returns its address, and mutate, which
// replaces one state as another writer would; nil removes it.
type opener func(t *testing.T, files map[string][]byte) (ref string, mutate func(name string, data []byte))

// contents are the names and the contents of the states of testStates.
type contents struct {
	names                         [2]string
	first, sameSize, other, large []byte // sameSize has the size of first, other has not
}

// testStates tests what does not depend on how states are named.
func testStates(t *testing.T, kinds backend.Kinds, open opener, c contents) {
	find := func(t *testing.T, address string, f backend.Filter) *backend.Listing {
		return find(t, kinds, address, f)
	}
	t.Run("a state's address finds that state alone", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{c.names[0]: c.first, c.names[1]: c.other})
		for _, o := range find(t, ref, backend.Filter{}).States {
			alone := find(t, o.Address(), backend.Filter{})
			if len(alone.States) != 1 {
				t.Fatalf("%q finds %d states, want 1", o.Address(), len(alone.States))
			}
			if got := alone.States[0].Address(); got != o.Address() {
				t.Errorf("%q finds a state with address %q", o.Address(), got)
			}
			here, _ := read(t, o, nil)
			there, _ := read(t, alone.States[0], nil)
			if !bytes.Equal(here, there) {
				t.Errorf("%q: the bytes differ when found by address", o.Address())
			}
		}
	})

	t.Run("a version can be read again", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{c.names[0]: c.first})
		o := find(t, ref, backend.Filter{}).States[0]
		_, pin := read(t, o, nil)
		if err := o.Check(t.Context(), pin); err != nil {
			t.Errorf("Check of an unchanged state: %v", err)
		}
		again, second := read(t, o, &pin)
		if !bytes.Equal(again, c.first) {
			t.Errorf("reading the version again returns other bytes")
		}
		if err := o.Check(t.Context(), second); err != nil {
			t.Errorf("Check after the second read: %v", err)
		}
	})

	for _, change := range []struct {
		does string
		data []byte
	}{
		{"another size", c.other},
		{"same size", c.sameSize},
		{"removed", nil},
	} {
		t.Run("a change is noticed: "+change.does, func(t *testing.T) {
			ref, mutate := open(t, map[string][]byte{c.names[0]: c.first, c.names[1]: c.other})
			o := find(t, ref, backend.Filter{}).States[0]
			_, pin := read(t, o, nil)
			mutate(c.names[0], change.data)

			var changed *backend.ChangedError
			if err := o.Check(t.Context(), pin); !errors.As(err, &changed) {
				t.Errorf("Check: %v, want a *ChangedError", err)
			} else if changed.Gone != (change.data == nil) {
				t.Errorf("Gone is %v: %v", changed.Gone, err)
			}
			// A backend that keeps versions still has the old bytes; no backend may return
			// the new ones.
			in, _, err := o.Open(t.Context(), &pin)
			switch {
			case errors.As(err, &changed):
			case err != nil:
				t.Errorf("Open of the old version: %v, want a *ChangedError", err)
			default:
				got, err := io.ReadAll(in)
				if err != nil || !bytes.Equal(got, c.first) {
					t.Errorf("Open of the old version returns other bytes (%v)", err)
				}
				_ = in.Close() // only read
			}
		})
	}

	t.Run("a fresh state is not locked", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{c.names[0]: c.first})
		lock, err := find(t, ref, backend.Filter{}).States[0].Holder(t.Context())
		if lock != nil || err != nil {
			t.Errorf("Holder = %+v, %v; want none", lock, err)
		}
	})

	t.Run("a canceled context ends every operation", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{c.names[0]: c.first})
		o := find(t, ref, backend.Filter{}).States[0]
		_, pin := read(t, o, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := kinds.Find(ctx, ref, backend.Filter{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Find: %v", err)
		}
		if _, _, err := o.Open(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Open: %v", err)
		}
		if err := o.Check(ctx, pin); !errors.Is(err, context.Canceled) {
			t.Errorf("Check: %v", err)
		}
		if _, err := o.Holder(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Holder: %v", err)
		}
	})

	t.Run("concurrent readers", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{c.names[0]: c.large})
		o := find(t, ref, backend.Filter{}).States[0]
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				in, _, err := o.Open(context.WithoutCancel(t.Context()), nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = in.Close() }() // only read
				if n, err := io.Copy(io.Discard, in); err != nil || n != int64(len(c.large)) {
					t.Errorf("read %d of %d bytes: %v", n, len(c.large), err)
				}
				if _, err := o.Holder(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// find lists ref and fails the test if that finds nothing.
func find(t *testing.T, kinds backend.Kinds, ref string, o backend.Filter) *backend.Listing {
	t.Helper()
	listing, err := kinds.Find(t.Context(), ref, o)
	if err != nil {
		t.Fatalf("Find(%q): %v", ref, err)
	}
	return listing
}

// read reads a state and fills in the version's MD5, as callers do.
func read(t *testing.T, o backend.State, pin *backend.Version) ([]byte, backend.Version) {
	t.Helper()
	in, got, err := o.Open(t.Context(), pin)
	if err != nil {
		t.Fatalf("Open(%q): %v", o.Address(), err)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		t.Fatalf("reading %q: %v", o.Address(), err)
	}
	if err := in.Close(); err != nil {
		t.Errorf("closing %q: %v", o.Address(), err)
	}
	sum := md5.Sum(data)
	got.MD5 = hex.EncodeToString(sum[:])
	return data, got
}

func wantKeys(t *testing.T, listing *backend.Listing, want ...string) {
	t.Helper()
	var got []string
	for _, o := range listing.States {
		got = append(got, o.Place().Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q\nwant  %q", got, want)
	}
}

// allBytes returns every byte value once.
func allBytes() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
