// Package backendtest is what every kind of backend has to pass.
package backendtest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tfhaul/backend"
)

// Suite tests one kind of source. open puts files, named by slash-separated keys, into a place of its
// own and returns the SOURCE that names all of it, and mutate, which replaces one file's content
// (nil removes the file) as another writer would.
func Suite(t *testing.T, kind backend.Kind, open func(t *testing.T, files map[string][]byte) (ref string, mutate func(name string, data []byte))) {
	kinds := backend.Kinds{kind}
	find := func(t *testing.T, address string, f backend.Filter) *backend.Listing {
		return find(t, kinds, address, f)
	}
	t.Run("finds every state, in the order of the keys", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{
			"terraform.tfstate":       []byte("1"),
			"b/terraform.tfstate":     []byte("2"),
			"a/deep/er/vpc.tfstate":   []byte("3"),
			"a.b/terraform.tfstate":   []byte("4"),
			"a/terraform.tfstate":     []byte("5"),
			"a/main.tf":               []byte("no state"),
			"a/notes.tfstate.txt":     []byte("no state"),
			"a/terraform.tfstate.old": []byte("no state"),
		})
		listing := find(t, ref, backend.Filter{})
		wantKeys(t, listing, "a.b/terraform.tfstate", "a/deep/er/vpc.tfstate", "a/terraform.tfstate", "b/terraform.tfstate", "terraform.tfstate")
		for _, o := range listing.States {
			if p := o.Place(); p.Workspace != backend.DefaultWorkspace {
				t.Errorf("%q has workspace %q, want %q", p.Key, p.Workspace, backend.DefaultWorkspace)
			}
		}
		deep := listing.States[1].Place()
		if deep.Dir != "a/deep/er" || deep.Base != "vpc" {
			t.Errorf("Dir %q, Base %q; want a/deep/er, vpc", deep.Dir, deep.Base)
		}
	})

	t.Run("reads the very bytes", func(t *testing.T) {
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
			if pin.Size != int64(len(want)) {
				t.Errorf("%q: pin says size %d, want %d", o.Address(), pin.Size, len(want))
			}
		}
	})

	t.Run("a name alone finds that object", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{"a/one.tfstate": []byte("one"), "a/two.tfstate": []byte("two")})
		for _, o := range find(t, ref, backend.Filter{}).States {
			alone := find(t, o.Address(), backend.Filter{})
			if len(alone.States) != 1 {
				t.Fatalf("%q finds %d objects, want 1", o.Address(), len(alone.States))
			}
			if got := alone.States[0].Address(); got != o.Address() {
				t.Errorf("%q finds an object called %q", o.Address(), got)
			}
			here, _ := read(t, o, nil)
			there, _ := read(t, alone.States[0], nil)
			if !bytes.Equal(here, there) {
				t.Errorf("%q alone has other bytes", o.Address())
			}
		}
	})

	t.Run("names of any shape work", func(t *testing.T) {
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
				t.Errorf("%q holds what belongs to %q", o.Address(), got)
			}
			if alone := find(t, o.Address(), backend.Filter{}); len(alone.States) != 1 {
				t.Errorf("typing %q finds %d objects, want 1", o.Address(), len(alone.States))
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
			{"any include is enough", backend.Filter{Include: []string{"**/*.state", "archive/**"}}, []string{"archive/net/terraform.tfstate", "live/app/legacy.state"}},
			{"exclude wins", backend.Filter{Include: []string{"live/**/*.tfstate"}, Exclude: []string{"**/app/**"}}, []string{"live/net/terraform.tfstate"}},
			{"exclude of a directory excludes what is in it", backend.Filter{Exclude: []string{"archive", "**/old"}}, []string{"live/app/terraform.tfstate", "live/net/terraform.tfstate"}},
			{"without ** only the top is meant", backend.Filter{Include: []string{"live/*/terraform.tfstate"}}, []string{"live/app/terraform.tfstate", "live/net/terraform.tfstate"}},
		} {
			t.Run(tt.does, func(t *testing.T) { wantKeys(t, find(t, ref, tt.o), tt.want...) })
		}
	})

	t.Run("nothing to take is an error that says what was tried", func(t *testing.T) {
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
		if listing == nil || len(listing.Skipped) != 1 {
			t.Errorf("listing %+v, want the errored.tfstate among what was skipped", listing)
		}
	})

	t.Run("what is not the state is not taken, and said so", func(t *testing.T) {
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

	t.Run("a pin reads what was read before", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{"a.tfstate": []byte("as it was")})
		o := find(t, ref, backend.Filter{}).States[0]
		_, pin := read(t, o, nil)
		if err := o.Check(t.Context(), pin); err != nil {
			t.Errorf("Check of what did not change: %v", err)
		}
		again, second := read(t, o, &pin)
		if string(again) != "as it was" {
			t.Errorf("a pinned read gives other bytes")
		}
		if err := o.Check(t.Context(), second); err != nil {
			t.Errorf("Check of the second pin: %v", err)
		}
	})

	for _, change := range []struct {
		does string
		data []byte
	}{
		{"of another size", []byte("longer than it was")},
		{"of the same size", []byte("AS IT WAS")},
		{"removed", nil},
	} {
		t.Run("a change is noticed: "+change.does, func(t *testing.T) {
			ref, mutate := open(t, map[string][]byte{"a.tfstate": []byte("as it was"), "b.tfstate": []byte("other")})
			o := find(t, ref, backend.Filter{}).States[0]
			_, pin := read(t, o, nil)
			mutate("a.tfstate", change.data)

			var changed *backend.ChangedError
			if err := o.Check(t.Context(), pin); !errors.As(err, &changed) {
				t.Errorf("Check: %v, want a *ChangedError", err)
			} else if changed.Gone != (change.data == nil) {
				t.Errorf("Gone is %v: %v", changed.Gone, err)
			}
			// A source that keeps versions still has the old bytes; no source may give the new.
			in, _, err := o.Open(t.Context(), &pin)
			switch {
			case errors.As(err, &changed):
			case err != nil:
				t.Errorf("a pinned Open: %v, want a *ChangedError", err)
			default:
				got, err := io.ReadAll(in)
				if err != nil || string(got) != "as it was" {
					t.Errorf("a pinned Open gives other bytes than were pinned (%v)", err)
				}
				_ = in.Close() // it was only read
			}
		})
	}

	t.Run("nobody holds the lock of a fresh state", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{"a.tfstate": []byte("{}")})
		lock, err := find(t, ref, backend.Filter{}).States[0].Holder(t.Context())
		if lock != nil || err != nil {
			t.Errorf("Lock = %+v, %v; want none", lock, err)
		}
	})

	t.Run("a lock that Terraform left beside the state is reported", func(t *testing.T) {
		const description = `{"ID":"6d3f","Operation":"OperationTypeApply","Info":"why","Who":"ann@build-7","Version":"1.11.4","Created":"2025-03-04T05:06:07.89Z","Path":"terraform.tfstate"}`
		ref, _ := open(t, map[string][]byte{
			"net/a.tfstate":            []byte("{}"),
			"net/.a.tfstate.lock.info": []byte(description), // the local backend's
			"net/a.tfstate.tflock":     []byte(description), // the s3 and gcs backends'
			"net/b.tfstate":            []byte("{}"),
		})
		listing := find(t, ref, backend.Filter{Include: []string{"**"}})
		wantKeys(t, listing, "net/a.tfstate", "net/b.tfstate")
		lock, err := listing.States[0].Holder(t.Context())
		if err != nil || lock == nil {
			t.Fatalf("Lock = %+v, %v; want a lock", lock, err)
		}
		want := backend.Lock{ID: "6d3f", Who: "ann@build-7", Operation: "OperationTypeApply", Info: "why", Path: lock.Path,
			Created: time.Date(2025, 3, 4, 5, 6, 7, 890_000_000, time.UTC)}
		if *lock != want || !strings.Contains(lock.Path, "a.tfstate") {
			t.Errorf("Lock = %+v\nwant   %+v", *lock, want)
		}
		if lock, err := listing.States[1].Holder(t.Context()); lock != nil || err != nil {
			t.Errorf("the state beside it: Lock = %+v, %v; want none", lock, err)
		}
	})

	t.Run("an ended context ends everything", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{"a.tfstate": []byte("{}")})
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
			t.Errorf("Lock: %v", err)
		}
	})

	t.Run("many readers at once", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{"a.tfstate": bytes.Repeat(allBytes(), 100)})
		o := find(t, ref, backend.Filter{}).States[0]
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				in, pin, err := o.Open(context.WithoutCancel(t.Context()), nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = in.Close() }() // it was only read
				if n, err := io.Copy(io.Discard, in); err != nil || n != pin.Size {
					t.Errorf("read %d of %d bytes: %v", n, pin.Size, err)
				}
				if _, err := o.Holder(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// find lists ref, which must hold something.
func find(t *testing.T, kinds backend.Kinds, ref string, o backend.Filter) *backend.Listing {
	t.Helper()
	listing, err := kinds.Find(t.Context(), ref, o)
	if err != nil {
		t.Fatalf("Find(%q): %v", ref, err)
	}
	return listing
}

// read reads an object and fills its pin's MD5, as the callers of package source do.
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

// allBytes is every byte value once.
func allBytes() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
