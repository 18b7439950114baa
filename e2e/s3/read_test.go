package s3_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/backend/s3"
)

// kinds returns the kinds with connections of their own, so that credentials are read
// again.
func kinds() backend.Kinds {
	return backend.Kinds{file.Kind(backend.Connection{}), s3.Kind(backend.Connection{})}
}

func findOne(t *testing.T, ref string) backend.State {
	t.Helper()
	listing, err := kinds().Find(t.Context(), ref, backend.Filter{})
	if err != nil {
		t.Fatalf("Find(%q): %v", ref, err)
	}
	if len(listing.States) != 1 {
		t.Fatalf("Find(%q) finds %d states, want 1", ref, len(listing.States))
	}
	return listing.States[0]
}

func readAll(t *testing.T, o backend.State) ([]byte, backend.Version) {
	t.Helper()
	in, pin, err := o.Open(t.Context(), nil)
	if err != nil {
		t.Fatalf("Open(%q): %v", o.Address(), err)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		t.Fatalf("reading %q: %v", o.Address(), err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	sum := md5.Sum(data)
	pin.MD5 = hex.EncodeToString(sum[:])
	return data, pin
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

func wantChanged(t *testing.T, err error, gone bool) {
	t.Helper()
	var changed *backend.ChangedError
	if !errors.As(err, &changed) || changed.Gone != gone {
		t.Errorf("error %v, want a *ChangedError with Gone %v", err, gone)
	}
}

func TestASearchReadsEveryPage(t *testing.T) {
	const n = 1500 // a page has at most 1000 keys
	b := gateway.bucket(t)
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("env:/ws-%04d/network/terraform.tfstate", i)
	}
	b.putAll(want)
	listing, err := kinds().Find(t.Context(), b.ref("env:/"), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, listing, want...)
	if p := listing.States[1234].Place(); p.Workspace != "ws-1234" || p.Dir != "network" {
		t.Errorf("place %+v", p)
	}
}

func TestKeysOfAnyShape(t *testing.T) {
	b := gateway.bucket(t)
	keys := []string{
		"a+b/c d.tfstate", "a b+c/100%.tfstate", "%2F/%zz.tfstate", "question?mark=1&x/#hash.tfstate",
		"ünï/日本語 😀.tfstate", "a;b,c:d@e=f!$'()*~.tfstate", "<xml>&amp;/\"q\".tfstate", "tab\there.tfstate",
	}
	slices.Sort(keys)
	for _, k := range keys {
		b.put(k, []byte(k))
	}
	listing, err := kinds().Find(t.Context(), b.ref(""), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, listing, keys...)
	for _, o := range listing.States {
		if strings.ContainsAny(o.Address(), " \t\n\"<>") {
			t.Errorf("the name %q contains what a URL cannot", o.Address())
		}
		again := findOne(t, o.Address())
		if again.Address() != o.Address() || again.Place().Key != o.Place().Key {
			t.Errorf("typing %q gives %q, key %q", o.Address(), again.Address(), again.Place().Key)
		}
		if got, _ := readAll(t, again); string(got) != o.Place().Key {
			t.Errorf("%q reads the content of %q", o.Address(), got)
		}
		// The directory alone, as typed.
		if dir, _, ok := strings.Cut(o.Place().Key, "/"); ok {
			if _, err := kinds().Find(t.Context(), b.ref(url.PathEscape(dir)+"/"), backend.Filter{}); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAVersionedPinReadsWhatWasPinned(t *testing.T) {
	b := gateway.versionedBucket(t)
	first := bytes.Repeat([]byte("first "), 1<<20)
	version := b.put("a.tfstate", first)
	o := findOne(t, b.ref("a.tfstate"))

	// Overwritten in the middle of the first read.
	in, pin, err := o.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := url.ParseQuery(pin.ID)
	if err != nil || id.Get("version_id") != version || id.Get("etag") == "" || pin.Size != int64(len(first)) || pin.Created.IsZero() {
		t.Errorf("version %+v, want ID %s and all other fields", pin, version)
	}
	half := make([]byte, len(first)/2)
	if _, err := io.ReadFull(in, half); err != nil {
		t.Fatal(err)
	}
	second := b.put("a.tfstate", []byte("second"))
	rest, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(append(half, rest...), first) {
		t.Errorf("the read that was overwritten returns other bytes (%v)", err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}

	wantChanged(t, o.Check(t.Context(), pin), false)
	in, again, err := o.Open(t.Context(), &pin)
	if err != nil {
		t.Fatalf("the old version still exists: %v", err)
	}
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, first) || again.ID != pin.ID {
		t.Errorf("reading the version returns other bytes (%v), version %s", err, again.ID)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}

	// A version in the address is read and checked as such, whatever version is current.
	old := findOne(t, b.ref("a.tfstate", "versionId", version))
	data, oldPin := readAll(t, old)
	if !bytes.Equal(data, first) || !strings.Contains(old.Address(), "versionId="+version) {
		t.Errorf("%q reads another version", old.Address())
	}
	if err := old.Check(t.Context(), oldPin); err != nil {
		t.Errorf("Check of a named version: %v", err)
	}
	if data, _ := readAll(t, findOne(t, b.ref("a.tfstate"))); string(data) != "second" {
		t.Errorf("the current version (%s) is not read", second)
	}

	b.remove("a.tfstate") // a delete marker
	wantChanged(t, o.Check(t.Context(), pin), true)
	b.removeVersion("a.tfstate", version)
	_, _, err = o.Open(t.Context(), &pin)
	wantChanged(t, err, true)
}

func TestUnversionedPinRefusesNewContent(t *testing.T) {
	b := gateway.bucket(t)
	b.put("a.tfstate", []byte("first"))
	o := findOne(t, b.ref("a.tfstate"))
	_, pin := readAll(t, o)

	b.put("a.tfstate", []byte("first")) // the same bytes again
	if err := o.Check(t.Context(), pin); err != nil {
		t.Errorf("the same bytes written again count as a change: %v", err)
	}
	b.put("a.tfstate", []byte("FIRST"))
	wantChanged(t, o.Check(t.Context(), pin), false)
	_, _, err := o.Open(t.Context(), &pin)
	wantChanged(t, err, false)
	b.remove("a.tfstate")
	wantChanged(t, o.Check(t.Context(), pin), true)
	_, _, err = o.Open(t.Context(), &pin)
	wantChanged(t, err, true)
}

func TestEnablingVersioningIsNotAChange(t *testing.T) {
	b := gateway.bucket(t)
	b.put("a.tfstate", []byte("first"))
	o := findOne(t, b.ref("a.tfstate"))
	_, pin := readAll(t, o)
	b.enableVersioning()
	if err := o.Check(t.Context(), pin); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestALargeStateIsStreamed(t *testing.T) {
	b := gateway.bucket(t)
	const size, most = 64 << 20, 4 << 20
	b.put("large.tfstate", bytes.Repeat([]byte("0123456789abcdef"), size/16))
	o := findOne(t, b.ref("large.tfstate"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	in, _, err := o.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, in)
	if err != nil || n != size {
		t.Errorf("read %d of %d bytes: %v", n, size, err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > most {
		t.Errorf("reading %d MiB allocated %d KiB in total, want at most %d", size>>20, allocated>>10, most>>10)
	}
}
